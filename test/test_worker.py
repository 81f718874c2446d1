import threading
import time

import pytest

from sg_depth_ros.node.worker import FrameQueue
from sg_depth_ros.node.worker import Worker
from sg_depth_ros.node.worker import WorkerStoppedError


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


def test_a_frame_is_in_work_from_the_moment_it_is_taken():
    queue: FrameQueue[int] = FrameQueue(every_frame=True)
    assert queue.wait_until_done(0)
    queue.put(1)
    assert queue.take() == 1  # the worker may not have come to process it yet
    assert not queue.wait_until_done(0)
    queue.done()
    assert queue.wait_until_done(0)


def test_a_task_is_done_in_the_worker_although_no_frame_comes():
    worker, recorder, _ = start(every_frame=True)
    result = worker.ask(lambda processor: (processor, threading.get_ident())).result(5)
    assert result == (recorder, recorder.threads[0])
    worker.stop(5)


def test_a_task_is_done_between_the_frame_in_work_and_those_that_wait():
    worker, recorder, _ = start(every_frame=True)
    recorder.gate.clear()
    for frame in range(3):
        worker.frames.put(frame)
    assert recorder.begun.acquire(timeout=5)
    future = worker.ask(lambda processor: list(processor.seen))
    assert not future.done()
    recorder.gate.set()
    assert future.result(5) == [0]
    wait_until_idle(worker, recorder, 3)
    worker.stop(5)
    assert recorder.seen == [0, 1, 2]


def test_what_a_task_raises_reaches_who_asked_and_nobody_else():
    worker, recorder, errors = start(every_frame=True)

    def fail(processor: Recorder) -> None:
        raise KeyError('task')

    with pytest.raises(KeyError, match='task'):
        worker.ask(fail).result(5)
    worker.frames.put(1)
    wait_until_idle(worker, recorder, 1)
    worker.stop(5)
    assert errors == []


def test_a_task_may_be_taken_back_before_it_begins():
    worker, recorder, _ = start(every_frame=True)
    recorder.gate.clear()
    worker.frames.put(0)
    assert recorder.begun.acquire(timeout=5)
    done: list[int] = []
    taken_back, kept = (worker.ask(lambda processor, i=i: done.append(i)) for i in range(2))
    assert taken_back.cancel()
    recorder.gate.set()
    kept.result(5)
    worker.stop(5)
    assert done == [1]


@pytest.mark.parametrize('stuck', [False, True])
def test_tasks_that_are_not_done_fail_when_the_worker_stops(stuck: bool):
    worker, recorder, _ = start(every_frame=True)
    recorder.gate.clear()
    worker.frames.put(0)
    assert recorder.begun.acquire(timeout=5)
    waiting = worker.ask(lambda processor: None)
    if not stuck:
        threading.Timer(0.05, recorder.gate.set).start()
    assert worker.stop(0.05 if stuck else 5) != stuck
    with pytest.raises(WorkerStoppedError):
        waiting.result(1)  # although the frame may still be in work
    with pytest.raises(WorkerStoppedError):
        worker.ask(lambda processor: None).result(5)
    recorder.gate.set()
    assert worker.stop(5)


def test_a_worker_that_could_not_start_refuses_tasks():
    def create() -> Recorder:
        raise ValueError('no engine')

    worker: Worker[int, Recorder] = Worker(create, True, lambda error: None)
    with pytest.raises(ValueError, match='no engine'):
        worker.start()
    with pytest.raises(WorkerStoppedError):
        worker.ask(lambda processor: None).result(5)


def test_every_dropped_frame_is_told():
    told: list[None] = []
    queue: FrameQueue[int] = FrameQueue(False, lambda: told.append(None))
    for frame in range(5):
        queue.put(frame)
    assert queue.take() == 4
    queue.put(5)
    assert len(told) == 4


def test_a_deactivation_does_not_wait_for_ever():
    worker, recorder, _ = start(every_frame=True)
    recorder.gate.clear()
    worker.frames.put(0)
    assert recorder.begun.acquire(timeout=5)
    assert not worker.discard(0.05)
    recorder.gate.set()
    assert worker.discard(5)
    worker.stop(5)


def test_a_processor_that_cannot_be_closed_is_told_and_the_thread_ends():
    worker, recorder, errors = start(every_frame=True)

    def close() -> None:
        raise RuntimeError('busy')

    recorder.close = close
    assert worker.stop(5)
    assert [str(error) for error in errors] == ['busy']
