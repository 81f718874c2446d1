"""Processes that work on several drives at once, none lost by another's failure."""

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
from typing import Any
from typing import Generic
from typing import NamedTuple
from typing import TypeVar

from sg_depth_ros.errors import UserError
from training.data.preparation.prepare import Progressed
from training.data.preparation.prepare import Report

Argument = TypeVar('Argument')
Result = TypeVar('Result')
_PATIENCE_S = 5.0  # for a process that was told to end


@dataclass(frozen=True)
class Failed:
    """Work that could not be done."""

    message: str


class _Done(NamedTuple):
    result: Any


class _Order(NamedTuple):
    work: Callable[[Any, Report], Any]
    argument: Any


@dataclass(frozen=True, eq=False)
class Job(Generic[Argument, Result]):
    """What is to be done with each of several arguments, and who hears of it."""

    work: Callable[[Argument, Report], Result]  # found by its name in the other process
    on_progress: Callable[[int, Progressed], None]  # with the argument's number
    on_outcome: Callable[[int, Result | Failed], None]  # once for each, as they end


class Workers:
    """
    Processes, started when needed; a defect, or a process that is killed, costs one drive.

    Not a ProcessPoolExecutor: that gives up everything when one process dies.

    :param count: how many at most.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._idle: list[_Worker] = []
        self._busy: dict[Connection, tuple[_Worker, int]] = {}

    def __enter__(self) -> 'Workers':
        """Start nothing yet."""
        return self

    def __exit__(self, *exception: object) -> None:
        """End the processes, at once where they work: what they leave can be continued."""
        for worker, _ in self._busy.values():
            worker.process.kill()
        for worker in (*self._idle, *(w for w, _ in self._busy.values())):
            worker.channel.close()
            worker.process.join(_PATIENCE_S)

    def run(self, job: Job[Argument, Result], arguments: Sequence[Argument]) -> None:
        """Do the work on every argument; its callbacks are called here."""
        waiting = deque(enumerate(arguments))
        while waiting or self._busy:
            while waiting and len(self._busy) < self._count:
                worker = self._idle.pop() if self._idle else _start_worker()
                number, argument = waiting.popleft()
                self._busy[worker.channel] = worker, number
                with suppress(BrokenPipeError):  # it died just now, which receiving will tell
                    worker.channel.send(_Order(job.work, argument))
            for ready in connection.wait(list(self._busy)):
                assert isinstance(ready, Connection)
                worker, number = self._busy[ready]
                message = _receive(worker)
                if isinstance(message, Progressed):
                    job.on_progress(number, message)
                    continue
                del self._busy[ready]
                if worker.process.is_alive():
                    self._idle.append(worker)
                job.on_outcome(number, message.result if isinstance(message, _Done) else message)


class _Worker(NamedTuple):
    process: BaseProcess
    channel: Connection


def _start_worker() -> _Worker:
    # Not fork: OpenCV's and NumPy's threads do not survive it.
    context = multiprocessing.get_context('spawn')
    ours, theirs = context.Pipe()
    process = context.Process(target=_obey, args=(theirs,), daemon=True)
    with _interrupts_held():
        process.start()
    theirs.close()
    return _Worker(process, ours)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back for a moment; a process started meanwhile never hears of it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _receive(worker: _Worker) -> Progressed | _Done | Failed:
    try:
        message: Progressed | _Done | Failed = worker.channel.recv()
    except (EOFError, ConnectionResetError):
        worker.process.join(_PATIENCE_S)
        code = worker.process.exitcode
        how = f'by signal {-code}' if code is not None and code < 0 else f'with status {code}'
        return Failed(
            f'its process was ended {how}, for lack of memory perhaps; the same command goes on '
            'where it was'
        )
    return message


def _obey(channel: Connection) -> None:
    """Follow orders until the channel is closed."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            order: _Order = channel.recv()
        except (EOFError, ConnectionResetError):
            return
        try:
            channel.send(_carry_out(order, channel.send))
        except (BrokenPipeError, ConnectionResetError):
            return  # who gave the order was killed; one who lives sees the channel close


def _carry_out(order: _Order, report: Report) -> _Done | Failed:
    try:
        return _Done(order.work(order.argument, report))
    except UserError as error:
        return Failed(str(error))
    except (BrokenPipeError, ConnectionResetError):
        raise
    except Exception as error:  # a defect of ours, which must not cost the other drives
        traceback.print_exc()
        return Failed(f'unexpected {error!r}, explained above')


def _end_with_parent() -> None:
    """End at once where the parent was killed and cannot tell; what is left can be continued."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)
