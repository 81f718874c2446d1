"""What a process takes of the machine: CPU time and memory, from Linux's /proc."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from typing import NamedTuple

import numpy as np

SAMPLE_EVERY_S = 0.1
MEGABYTE = 1e6
_RESIDENT_FIELD = 1  # of /proc/PID/statm, in pages
_USER_FIELD, _SYSTEM_FIELD = 11, 12  # of /proc/PID/stat after the name, in clock ticks


class UsageSample(NamedTuple):
    """One look at a process."""

    time_s: float  # of the monotonic clock
    cpu_s: float  # that all its threads have used so far
    resident_mb: float


class Usage(NamedTuple):
    """What a process took over a time."""

    cpu_cores: float  # CPU time over time: 1.5 is one and a half cores
    memory_mb: float  # resident, median; memory shared with other processes is in it
    memory_peak_mb: float
    memory_growth_mb: float | None  # median of the last quarter less that of the second

    def to_json(self) -> dict[str, Any]:
        """Return the numbers by name."""
        return self._asdict()


class UsageMeter:
    """Samples a process now and then; where there is no /proc it measures nothing."""

    def __init__(self, pid: int, proc: Path = Path('/proc')) -> None:
        self._folder = proc / str(pid)
        self._samples: list[UsageSample] = []

    def sample(self, again_after_s: float = SAMPLE_EVERY_S) -> None:
        """Look at the process, unless that was done just now."""
        now_s = time.monotonic()
        if self._samples and now_s - self._samples[-1].time_s < again_after_s:
            return
        try:
            ticks = (self._folder / 'stat').read_text().rpartition(')')[2].split()
            pages = int((self._folder / 'statm').read_text().split()[_RESIDENT_FIELD])
        except (OSError, IndexError, ValueError):  # no Linux, or the process is gone
            return
        cpu_ticks = int(ticks[_USER_FIELD]) + int(ticks[_SYSTEM_FIELD])
        self._samples.append(
            UsageSample(
                now_s,
                cpu_ticks / os.sysconf('SC_CLK_TCK'),
                pages * os.sysconf('SC_PAGE_SIZE') / MEGABYTE,
            )
        )

    def result(self) -> Usage | None:
        """Return what was measured from the first to the last sample; None where nothing was."""
        return summarize_usage(self._samples)


def summarize_usage(samples: Sequence[UsageSample]) -> Usage | None:
    """Put samples together; None where they do not span any time."""
    if len(samples) < 2 or samples[-1].time_s <= samples[0].time_s:
        return None
    first, last = samples[0], samples[-1]
    memory_mb = np.array([s.resident_mb for s in samples])
    quarter = len(memory_mb) // 4
    growth_mb = None
    if quarter:
        # Not from the first one: buffers are made with the first images.
        begin, end = memory_mb[quarter : 2 * quarter], memory_mb[-quarter:]
        growth_mb = float(np.median(end) - np.median(begin))
    return Usage(
        cpu_cores=(last.cpu_s - first.cpu_s) / (last.time_s - first.time_s),
        memory_mb=float(np.median(memory_mb)),
        memory_peak_mb=float(memory_mb.max()),
        memory_growth_mb=growth_mb,
    )
