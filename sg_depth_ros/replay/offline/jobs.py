"""
Several models on several bags, some of them at a time, each in a process of its own.

What a task finds goes to disk, step by step (``kept_steps``); through the pipe go only numbers. A
process that fails or is killed takes no other with it.
"""

import multiprocessing
import signal
import traceback
from collections.abc import Callable
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from typing import NamedTuple

import cv2

from sg_depth_ros.errors import UserError
from sg_depth_ros.errors import full_disk
from sg_depth_ros.replay.offline.judged_bag import BagTask
from sg_depth_ros.replay.offline.judged_bag import judge_bag

STOP_TIMEOUT_S = 20.0  # for writing a step, after the image that is being worked on
OnProgress = Callable[[int, int], object]  # task, images done


class TaskFailure(NamedTuple):
    """Why a task has no result."""

    task: BagTask
    reason: str


class _Done(NamedTuple):
    """What a process says last; an empty reason is success."""

    reason: str


class _StoppedError(Exception):
    """The main process is gone or wants to end."""


class _Running(NamedTuple):
    """A process at work."""

    number: int
    process: SpawnProcess


def run_tasks(
    tasks: Sequence[BagTask], jobs: int, on_progress: OnProgress
) -> tuple[TaskFailure, ...]:
    """
    Do all tasks; what they find is in their kept steps then.

    Interrupted, every task keeps what it has found.

    :param jobs: so many at a time; 1: in this process.
    :return: those that failed, in their order.
    """
    reasons = _in_turn(tasks, on_progress) if jobs == 1 else _abreast(tasks, jobs, on_progress)
    return tuple(TaskFailure(tasks[n], reason) for n, reason in sorted(reasons.items()))


def _in_turn(tasks: Sequence[BagTask], on_progress: OnProgress) -> dict[int, str]:
    said = [_try(task, partial(on_progress, n)) for n, task in enumerate(tasks)]
    return {number: reason for number, reason in enumerate(said) if reason}


def _try(task: BagTask, on_progress: Callable[[int], object]) -> str:
    """Do a task; return why it failed, or nothing. A defect costs one task, not all."""
    try:
        judge_bag(task, on_progress)
    except UserError as error:
        return str(error)
    except _StoppedError:
        raise
    except Exception as error:
        told = full_disk(error) if isinstance(error, OSError) else None
        if told is not None:
            return str(told)
        traceback.print_exc()
        return f'{type(error).__name__}: {error} (a defect; see above)'
    return ''


def _abreast(tasks: Sequence[BagTask], jobs: int, on_progress: OnProgress) -> dict[int, str]:
    context = multiprocessing.get_context('spawn')
    waiting = list(enumerate(tasks))
    running: dict[Connection, _Running] = {}
    reasons: dict[int, str] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                number, task = waiting.pop(0)
                ours, theirs = context.Pipe()
                process = context.Process(target=_work, args=(task, theirs), daemon=True)
                process.start()
                theirs.close()  # so that ours ends when the process does
                running[ours] = _Running(number, process)
            for connection in wait(list(running)):
                assert isinstance(connection, Connection)
                number, process = running[connection]
                said = _said(connection, process)
                if isinstance(said, int):
                    on_progress(number, said)
                    continue
                process.join()
                connection.close()
                del running[connection]
                if said.reason:
                    reasons[number] = said.reason
    finally:
        _stop(running)
    return reasons


def _said(connection: Connection, process: SpawnProcess) -> int | _Done:
    try:
        said = connection.recv()
    except (EOFError, ConnectionResetError):
        process.join()
        return _Done(
            f'its process ended with exit status {process.exitcode}; was it killed, or out of '
            'memory? Try fewer --jobs'
        )
    assert isinstance(said, int | _Done)
    return said


def _stop(running: dict[Connection, _Running]) -> None:
    """Ask what still runs to keep what it has and to end."""
    for connection in running:
        connection.close()  # which they see
    for _, process in running.values():
        process.join(STOP_TIMEOUT_S)
        if process.is_alive():
            process.terminate()
            process.join()


def _work(task: BagTask, connection: Connection) -> None:
    """Do one task in a process of its own."""
    # Ctrl-C reaches every process of the terminal; the main one tells the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(task.threads)

    def on_progress(images: int) -> None:
        try:
            if connection.poll():  # nothing ever comes: the main process is gone
                raise _StoppedError
            connection.send(images)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise _StoppedError from error

    with suppress(_StoppedError, BrokenPipeError, ConnectionResetError):
        connection.send(_Done(_try(task, on_progress)))
