"""Several drives at once, each in a process of its own, none lost by another's failure."""

import multiprocessing
import os
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from sg_depth_ros.errors import UserError
from training.data.prepare import DriveIsThere
from training.data.prepare import PreparedDrive
from training.data.prepare import PrepareOptions
from training.data.prepare import Progressed
from training.data.prepare import Report
from training.data.prepare import prepare_drive
from training.data.sources import SourceOptions
from training.data.sources import open_source

_PATIENCE_S = 5.0  # for a process that was told to end


@dataclass(frozen=True)
class Task:
    """One drive to make: a recording, which part of it, and how."""

    recording: Path
    source_options: SourceOptions
    dataset: Path
    options: PrepareOptions


@dataclass(frozen=True)
class Failed:
    """A drive that could not be made."""

    message: str


Outcome = PreparedDrive | DriveIsThere | Failed


@dataclass
class _Worker:
    process: BaseProcess
    task: int | None = None


def run_task(task: Task, report: Report) -> PreparedDrive | DriveIsThere:
    """
    Open a recording and make its drive.

    :raises UserError: where that cannot be done.
    """
    return prepare_drive(
        open_source(task.recording, task.source_options),
        task.recording,
        task.dataset,
        task.options,
        report,
        task.source_options.lidar_topic,
    )


def run_tasks(
    tasks: Sequence[Task],
    jobs: int,
    on_progress: Callable[[int, Progressed], None],
    on_outcome: Callable[[int, Outcome], None],
) -> None:
    """
    Make drives in processes; a failure, even a process that is killed, costs its drive only.

    Not a ProcessPoolExecutor: it gives up all tasks when one process dies.

    :param jobs: how many processes.
    :param on_progress: called with the number of the task, here as everything.
    :param on_outcome: called once for each task, in the order in which they end.
    """
    waiting = deque(range(len(tasks)))
    workers: dict[Connection, _Worker] = {}
    ended: list[BaseProcess] = []
    try:
        while waiting or workers:
            while waiting and len(workers) < jobs:
                channel, worker = _start_worker()
                workers[channel] = worker
                _give_task(channel, worker, waiting, tasks)
            for ready in connection.wait(list(workers)):
                assert isinstance(ready, Connection)
                worker = workers[ready]
                message = _receive(ready, worker)
                assert worker.task is not None
                if isinstance(message, Progressed):
                    on_progress(worker.task, message)
                    continue
                on_outcome(worker.task, message)
                if not _give_task(ready, worker, waiting, tasks):
                    ended.append(workers.pop(ready).process)
                    ready.close()  # which ends it
        for process in ended:
            process.join(_PATIENCE_S)
    finally:
        for channel, worker in workers.items():
            channel.close()
            worker.process.kill()  # at any moment: what it leaves can be continued
            worker.process.join(_PATIENCE_S)


def _give_task(
    channel: Connection, worker: _Worker, waiting: deque[int], tasks: Sequence[Task]
) -> bool:
    """Give a worker its next task; return whether there was one and the worker lives."""
    worker.task = None
    if not waiting or not worker.process.is_alive():
        return False
    worker.task = waiting.popleft()
    with suppress(BrokenPipeError):  # it died just now, which receiving will tell
        channel.send(tasks[worker.task])
    return True


def _receive(channel: Connection, worker: _Worker) -> Progressed | Outcome:
    try:
        message: Progressed | Outcome = channel.recv()
    except (EOFError, ConnectionResetError):
        worker.process.join(_PATIENCE_S)
        code = worker.process.exitcode
        how = f'signal {-code}' if code is not None and code < 0 else f'status {code}'
        return Failed(
            f'its process ended with {how}, out of memory perhaps; the same command goes on '
            'where it was'
        )
    return message


def _start_worker() -> tuple[Connection, _Worker]:
    # Not fork: OpenCV's and NumPy's threads do not survive it.
    context = multiprocessing.get_context('spawn')
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs,), daemon=True)
    with _interrupts_held():
        process.start()
    theirs.close()
    return ours, _Worker(process)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back for a moment; a process started meanwhile never hears of it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(channel: Connection) -> None:
    """Make one drive after the other until the channel is closed."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            task: Task = channel.recv()
        except EOFError:
            return
        channel.send(_outcome(task, channel.send))


def _outcome(task: Task, report: Report) -> Outcome:
    try:
        return run_task(task, report)
    except UserError as error:
        return Failed(str(error))
    except Exception as error:  # a defect of ours, which must not cost the other drives
        traceback.print_exc()
        return Failed(f'{task.recording}: unexpected {error!r}, explained above')


def _end_with_parent() -> None:
    """End at once where the parent was killed and cannot tell; what is left can be continued."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)
