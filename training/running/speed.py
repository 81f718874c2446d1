"""How fast a training runs, and what share of its time it waits for data."""

import time
from collections import deque
from typing import Any
from typing import NamedTuple

from lightning.pytorch.profilers import Profiler

WINDOW_S = 30.0
# Judged after the loader's first batches and whatever is compiled or tuned in the first steps.
WARM_UP_STEPS = 20
JUDGED_AFTER_S = 20.0
LARGEST_WAIT_SHARE = 0.05
_FETCH = 'train_dataloader_next'  # how Lightning calls the action of getting a batch


class _Moment(NamedTuple):
    time_s: float
    step: int
    samples: int  # since the start
    waited_s: float  # since the start


class SpeedMeter:
    """
    Speed of the last seconds, and the share of waiting since the first steps.

    :param now_s: time of the start, of any clock.
    :param step: number of optimiser steps done before.
    """

    def __init__(self, now_s: float, step: int) -> None:
        self._start = _Moment(now_s, step, 0, 0.0)
        self._window = deque([self._start])
        self._warm: _Moment | None = None

    def add(self, now_s: float, step: int, samples: int, waited_s: float) -> None:
        """
        Take note of a batch.

        :param step: number of optimiser steps done.
        :param samples: of the batch, of all processes.
        :param waited_s: for data, before this batch.
        """
        last = self._window[-1]
        moment = _Moment(now_s, step, last.samples + samples, last.waited_s + waited_s)
        self._window.append(moment)
        # The second oldest tells whether the window is long enough without the oldest.
        while len(self._window) > 2 and self._window[1].time_s <= now_s - WINDOW_S:
            self._window.popleft()
        if self._warm is None and step - self._start.step >= WARM_UP_STEPS:
            self._warm = moment

    @property
    def samples_per_s(self) -> float:
        """Of the last seconds."""
        first, last = self._window[0], self._window[-1]
        return (last.samples - first.samples) / max(last.time_s - first.time_s, 1e-9)

    @property
    def steps_per_s(self) -> float:
        """Of the last seconds."""
        first, last = self._window[0], self._window[-1]
        return (last.step - first.step) / max(last.time_s - first.time_s, 1e-9)

    @property
    def wait_share(self) -> float:
        """Share of the last seconds that was spent waiting for data."""
        first, last = self._window[0], self._window[-1]
        return (last.waited_s - first.waited_s) / max(last.time_s - first.time_s, 1e-9)

    @property
    def judged_wait_share(self) -> float | None:
        """Share of waiting since the first steps; None while that is too short to be judged."""
        last = self._window[-1]
        if self._warm is None or last.time_s - self._warm.time_s <= JUDGED_AFTER_S:
            return None
        return (last.waited_s - self._warm.waited_s) / (last.time_s - self._warm.time_s)

    def whole(self) -> str:
        """Return the speed from start to end, in words."""
        last = self._window[-1]
        elapsed_s = max(last.time_s - self._start.time_s, 1e-9)
        return (
            f'{last.step - self._start.step} steps in {duration(elapsed_s)}, '
            f'{last.samples / elapsed_s:.1f} samples/s, '
            f'{last.waited_s / elapsed_s:.1%} of the time waiting for data'
        )


class FetchClock(Profiler):
    """
    Measures how long the loop waits for batches, and hands everything on to another profiler.

    :param other: the trainer's own.
    """

    def __init__(self, other: Profiler) -> None:
        super().__init__()
        self.other = other
        self._since_s = 0.0
        self._waited_s = 0.0

    def start(self, action_name: str) -> None:  # noqa: D102
        self.other.start(action_name)
        if action_name.endswith(_FETCH):
            self._since_s = time.monotonic()

    def stop(self, action_name: str) -> None:  # noqa: D102
        if action_name.endswith(_FETCH):
            self._waited_s += time.monotonic() - self._since_s
        self.other.stop(action_name)

    def take(self) -> float:
        """Return the seconds waited since the last call."""
        waited_s, self._waited_s = self._waited_s, 0.0
        return waited_s

    def __getattr__(self, name: str) -> Any:
        """Be the other profiler in everything else."""
        return getattr(self.other, name)


def wait_advice(share: float, workers: int, cores: int) -> str:
    """
    Say what to do about waiting for data.

    :param share: of the time.
    :param workers: loader processes of each training process.
    :param cores: for each training process.
    """
    told = f'training waits for data {share:.0%} of the time'
    if workers < cores:
        better = min(cores, max(2, 2 * workers))
        return f'{told}: load with more processes, --data.workers {better} (now {workers})'
    return (
        f'{told}, with {workers} loader processes on {cores} cores: '
        'more would not help; put the dataset on a faster disk or train on a machine with more '
        'cores'
    )


def duration(seconds: float) -> str:
    """Write a time for people."""
    minutes = round(seconds / 60)
    if seconds < 100:
        return f'{seconds:.0f} s'
    return f'{minutes} min' if minutes < 100 else f'{minutes // 60} h {minutes % 60:02d} min'
