import threading
import time

import pytest

from sg_depth_ros.node.worker import FrameQueue
from sg_depth_ros.node.worker import Worker


class Recorder:
    """A processor that notes what it is given and in which thread it lives."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.threads = [threading.get_ident()]
        self.gate = threading.Event()
        self.gate.set()
        self.begun = threading.Semaphore(0)
        self.closed = False

    def process(self, frame: int) -> None:
        self.threads.append(threading.get_ident())
        self.begun.release()
        assert self.gate.wait(5)
        if frame < 0:
            raise ValueError(f'frame {frame}')
        self.seen.append(frame)

    def close(self) -> None:
        self.threads.append(threading.get_ident())
        self.closed = True


def start(every_frame: bool) -> tuple[Worker[int, Recorder], Recorder, list[Exception]]:
    made: list[Recorder] = []
    errors: list[Exception] = []

    def create() -> Recorder:
        made.append(Recorder())
        return made[0]

    worker: Worker[int, Recorder] = Worker(create, every_frame, errors.append)
    worker.start()
    return worker, made[0], errors


def wait_until_idle(worker: Worker[int, Recorder], recorder: Recorder, count: int) -> None:
    end_s = time.monotonic() + 5
    while len(recorder.seen) < count or len(worker.frames):
        assert time.monotonic() < end_s
        time.sleep(0.002)


def test_the_processor_is_made_used_and_closed_in_one_other_thread():
    worker, recorder, _ = start(every_frame=True)
    worker.frames.put(1)
    wait_until_idle(worker, recorder, 1)
    assert worker.stop(5)
    assert recorder.closed
    assert len(set(recorder.threads)) == 1
    assert recorder.threads[0] != threading.get_ident()


def test_every_frame_is_processed_in_order():
    worker, recorder, _ = start(every_frame=True)
    for frame in range(500):
        worker.frames.put(frame)
    wait_until_idle(worker, recorder, 500)
    worker.stop(5)
    assert recorder.seen == list(range(500))
    assert worker.frames.dropped == 0


def test_latest_keeps_the_newest_of_what_came_during_work():
    worker, recorder, _ = start(every_frame=False)
    recorder.gate.clear()
    worker.frames.put(0)
    assert recorder.begun.acquire(timeout=5)
    for frame in range(1, 10):
        worker.frames.put(frame)
    recorder.gate.set()
    wait_until_idle(worker, recorder, 2)
    worker.stop(5)
    assert recorder.seen == [0, 9]
    assert worker.frames.dropped == 8


def test_a_frame_that_fails_is_reported_and_the_next_one_processed():
    worker, recorder, errors = start(every_frame=True)
    for frame in (1, -2, 3):
        worker.frames.put(frame)
    wait_until_idle(worker, recorder, 2)
    worker.stop(5)
    assert recorder.seen == [1, 3]
    assert [str(error) for error in errors] == ['frame -2']


def test_a_processor_that_cannot_be_made_fails_the_start():
    def create() -> Recorder:
        raise ValueError('no engine')

    worker: Worker[int, Recorder] = Worker(create, True, lambda error: None)
    with pytest.raises(ValueError, match='no engine'):
        worker.start()
    assert worker.stop(1)


def test_what_a_processor_held_that_cannot_be_made_is_freed_in_the_workers_thread():
    freed_in: list[int] = []

    class Memory:
        def __del__(self) -> None:
            freed_in.append(threading.get_ident())

    def allocate() -> None:
        memory = Memory()
        raise KeyError(memory is not None)

    def create() -> Recorder:
        try:
            allocate()
        except KeyError as error:
            raise ValueError('no engine') from error
        raise AssertionError

    worker: Worker[int, Recorder] = Worker(create, True, lambda error: None)
    with pytest.raises(ValueError, match='no engine') as failure:
        worker.start()
    assert len(freed_in) == 1 and freed_in != [threading.get_ident()]
    # Where it came from can still be told.
    assert [entry.name for entry in failure.traceback][-1] == 'create'


def test_a_start_can_be_given_up_while_the_processor_is_being_made():
    gate = threading.Event()

    def create() -> Recorder:
        gate.wait(5)
        return Recorder()

    worker: Worker[int, Recorder] = Worker(create, True, lambda error: None)
    with pytest.raises(InterruptedError):
        worker.start(keep_waiting=lambda: False)
    gate.set()
    assert worker.stop(5)


def test_discard_forgets_what_waits_and_lets_the_frame_in_work_finish():
    worker, recorder, _ = start(every_frame=True)
    recorder.gate.clear()
    for frame in range(4):
        worker.frames.put(frame)
    assert recorder.begun.acquire(timeout=5)
    discarding = threading.Thread(target=worker.discard)
    discarding.start()
    time.sleep(0.05)
    assert discarding.is_alive()
    recorder.gate.set()
    discarding.join(5)
    assert recorder.seen == [0]
    worker.frames.put(7)
    wait_until_idle(worker, recorder, 2)
    assert recorder.seen == [0, 7]
    worker.stop(5)


def test_stop_says_when_the_work_does_not_end():
    worker, recorder, _ = start(every_frame=True)
    recorder.gate.clear()
    worker.frames.put(1)
    assert recorder.begun.acquire(timeout=5)
    assert not worker.stop(0.05)
    recorder.gate.set()
    assert worker.stop(5)
    assert recorder.closed


def test_a_closed_queue_takes_nothing_and_gives_nothing():
    queue: FrameQueue[int] = FrameQueue(every_frame=True)
    queue.put(1)
    queue.close()
    queue.put(2)
    assert queue.take() is None
    assert len(queue) == 0
