"""
How far TensorRT is with building a plan: to a callback, to a bar, and back to stop it.

TensorRT tells of phases that lie within each other, each of so many steps, from whatever thread
it likes. Source: NVIDIA, TensorRT API, IProgressMonitor.
"""

import threading
import time
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any
from typing import NamedTuple
from typing import cast

from rich.console import Console
from rich.progress import BarColumn
from rich.progress import Progress
from rich.progress import TextColumn
from rich.progress import TimeElapsedColumn

from sg_depth_ros.engines.tensorrt.api import IProgressMonitor
from sg_depth_ros.engines.tensorrt.api import TensorRT

_MOST_BEFORE_THE_END = 0.99  # a share of 1 means that the plan is there
_LINES, _LINE_EVERY_S = 10, 30.0  # without a terminal


class BuildProgress(NamedTuple):
    """How far a build is."""

    phase: str  # what TensorRT does, in its words
    share: float  # of the whole, 0 to 1; a guess that never falls, and 1 only at the end
    elapsed_s: float


# Whether to go on; called by one thread at a time, but not always by the same.
OnProgress = Callable[[BuildProgress], bool]


class BuildCancelledError(Exception):
    """A build was stopped because its caller asked for it."""


@dataclass
class _Phase:
    step_count: int
    parent: str | None
    done: int = 0
    open_share: float = 1.0  # of the step at work, after the phases within it that have ended


class BuildTracker:
    """
    Turns TensorRT's phases into one share, and whatever goes wrong meanwhile into a stop.

    No exception may leave these methods: their caller is C++, which would end the process. It is
    kept instead, TensorRT is told to stop, and ``check`` raises it where Python called.

    :param on_progress: told of every phase and step; None: nobody asks.
    """

    def __init__(self, on_progress: OnProgress | None = None) -> None:
        self._on_progress = on_progress
        self._lock = threading.Lock()
        self._phases: dict[str, _Phase] = {}  # TensorRT's names are unique among those at work
        self._share = 0.0
        self._start_s = time.monotonic()
        self._stopped = threading.Event()
        self._error: BaseException | None = None

    def phase_start(self, name: str, parent: str | None, step_count: int) -> None:
        """Take note of a phase that begins, within another or by itself."""
        with self._lock:
            self._phases[name] = _Phase(max(step_count, 1), parent)
            self._report(name)

    def step_complete(self, name: str, step: int) -> bool:
        """Take note of a step, counted from 0, and return whether TensorRT is to go on."""
        with self._lock:
            phase = self._phases.get(name)
            if phase is not None and step >= phase.done:
                phase.done = step + 1
                phase.open_share = 1.0
            self._report(name)
            return not self._stopped.is_set()

    def phase_finish(self, name: str) -> None:
        """Take note of a phase's end, which may come before its last step."""
        with self._lock:
            phase = self._phases.pop(name, None)
            if phase is not None and phase.parent in self._phases:
                self._phases[phase.parent].open_share /= 2

    def cancel(self) -> None:
        """Stop at TensorRT's next step; may be called from any thread and from the callback."""
        self._stopped.set()

    def check(self) -> None:
        """
        Say whether the build was stopped.

        :raises BuildCancelledError: where it was cancelled.
        :raises BaseException: whatever the callback raised.
        """
        if self._error is not None:
            raise self._error
        if self._stopped.is_set():
            raise BuildCancelledError('the build was cancelled')

    def finish(self) -> None:
        """Tell that the plan is there."""
        with self._lock:
            if self._on_progress is not None:
                self._on_progress(BuildProgress('Plan built', 1.0, self._elapsed_s()))

    def _report(self, name: str) -> None:
        if self._on_progress is None or self._stopped.is_set():
            return
        try:
            roots = (self._share_of(n) for n, p in self._phases.items() if p.parent is None)
            share = 1 - prod(1 - share for share in roots)
            self._share = max(self._share, min(share, _MOST_BEFORE_THE_END))
            if not self._on_progress(BuildProgress(name, self._share, self._elapsed_s())):
                self._stopped.set()
        except BaseException as error:  # KeyboardInterrupt too: it must not meet C++
            self._error = error
            self._stopped.set()

    def _share_of(self, name: str) -> float:
        """
        Return how much of a phase is done.

        How many phases a step will hold is not known. Each takes half of what is left of it, so
        that it comes near its end and never reaches it, however many follow.
        """
        phase = self._phases[name]
        within = (self._share_of(n) for n, p in self._phases.items() if p.parent == name)
        of_step = 1 - phase.open_share * prod(1 - share / 2 for share in within)
        return min((phase.done + of_step) / phase.step_count, 1.0)

    def _elapsed_s(self) -> float:
        return time.monotonic() - self._start_s


def progress_monitor(trt: TensorRT, tracker: BuildTracker) -> IProgressMonitor:
    """Return what TensorRT takes as ``config.progress_monitor``; keep it as long as the config."""
    base: Any = trt.IProgressMonitor

    class Monitor(base):
        def __init__(self) -> None:
            base.__init__(self)  # pybind11 demands it

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            tracker.phase_start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            return tracker.step_complete(phase_name, step)

        def phase_finish(self, phase_name: str) -> None:
            tracker.phase_finish(phase_name)

    return cast(IProgressMonitor, Monitor())


@contextmanager
def shown_progress(title: str, console: Console | None = None) -> Iterator[OnProgress]:
    """
    Show a build as a bar; without a terminal, as a line every tenth of the way.

    :param title: what is built.
    :param console: where; None: standard error.
    """
    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(title, console)
        return
    columns = (
        TextColumn('{task.description}'),
        BarColumn(),
        TextColumn('[progress.percentage]{task.percentage:>3.0f}%'),
        TimeElapsedColumn(),
        TextColumn('{task.fields[phase]}', style='dim'),
    )
    # A context, so that the bar stands still before anything else is printed.
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(title, total=1.0, phase='')

        def show(progress: BuildProgress) -> bool:
            bar.update(task, completed=progress.share, phase=progress.phase)
            return True

        yield show


class _Lines:
    def __init__(self, title: str, console: Console) -> None:
        self._title = title
        self._console = console
        self._next_tenth = 0
        self._next_s = 0.0

    def __call__(self, progress: BuildProgress) -> bool:
        share, elapsed_s = progress.share, progress.elapsed_s
        tenth = int(share * _LINES)
        if tenth >= self._next_tenth or elapsed_s >= self._next_s:
            self._next_tenth = tenth + 1
            self._next_s = elapsed_s + _LINE_EVERY_S
            self._console.print(
                f'{self._title}: {100 * share:.0f} % after {elapsed_s:.0f} s ({progress.phase})',
                highlight=False,
                markup=False,
                soft_wrap=True,
            )
        return True
