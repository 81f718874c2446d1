"""The rate of a drive, gaps in it, and stamps that cannot be right."""

import math
from typing import NamedTuple

import numpy as np

from training.checking.finding import Finding
from training.checking.finding import frame_list
from training.checking.finding import percent
from training.checking.two_view import Array
from training.data.drive import Drive

GAP_FACTOR = 1.7  # a step this much longer than the median is a gap
IRREGULAR = 0.2  # standard deviation of the other steps over the median
MANY_GAPS = 0.2
SLOWEST_HZ = 3.0


class Stamps(NamedTuple):
    """Steps from each frame of a drive to the next."""

    step_s: Array  # [F - 1]
    median_s: float  # NaN for a single frame
    gaps: tuple[int, ...]  # frames after which time is missing

    @property
    def rate_hz(self) -> float:
        """Return the usual rate."""
        return 1.0 / self.median_s if self.median_s > 0 else math.nan


def measure_stamps(drive: Drive) -> Stamps:
    """Measure all frames, whether or not they were read."""
    stamps_ns = np.array([f.stamp_ns for f in drive.frames], np.int64)
    step_s = np.diff(stamps_ns) * 1e-9
    median_s = float(np.median(step_s)) if len(step_s) else math.nan
    gaps = np.flatnonzero(step_s > GAP_FACTOR * median_s)  # none where there is no step
    return Stamps(step_s, median_s, tuple(int(g) for g in gaps))


def judge_stamps(drive: str, stamps: Stamps) -> list[Finding]:
    """Say where time runs backwards, stops, jumps or stutters."""
    if not len(stamps.step_s):
        return []
    judges = (_judge_order, _judge_gaps, _judge_jitter, _judge_rate)
    found = (judge(drive, stamps) for judge in judges)
    return [finding for finding in found if finding is not None]


def _judge_order(drive: str, stamps: Stamps) -> Finding | None:
    stuck = np.flatnonzero(stamps.step_s <= 0).tolist()
    if not stuck:
        return None
    return Finding(
        'error',
        drive,
        'stamps',
        'time stands still or runs backwards',
        f'after {frame_list(stuck)}',
        'displacements would be wrong: sort the recording by time and prepare it again',
    )


def _judge_gaps(drive: str, stamps: Stamps) -> Finding | None:
    if not stamps.gaps:
        return None
    many = len(stamps.gaps) > MANY_GAPS * len(stamps.step_s)
    return Finding(
        'error' if many else 'warning',
        drive,
        'stamps',
        'frames are missing: the stamps have gaps',
        f'{len(stamps.gaps)} of up to {stamps.step_s.max():.2f} s at {stamps.rate_hz:.1f} Hz '
        f'(after {frame_list(stamps.gaps)})',
        'a target beside a gap sees its neighbour from far away; record without losses',
    )


def _judge_jitter(drive: str, stamps: Stamps) -> Finding | None:
    usual = stamps.step_s[(stamps.step_s > 0) & (stamps.step_s <= GAP_FACTOR * stamps.median_s)]
    jitter = float(usual.std() / stamps.median_s) if len(usual) > 3 else 0.0
    if jitter <= IRREGULAR:
        return None
    return Finding(
        'warning',
        drive,
        'stamps',
        'the rate is irregular',
        f'steps vary by {percent(jitter)} of {stamps.median_s:.3f} s',
        "use the camera's own stamps (header.stamp), not the time of arrival",
    )


def _judge_rate(drive: str, stamps: Stamps) -> Finding | None:
    if not stamps.rate_hz < SLOWEST_HZ:
        return None
    return Finding(
        'warning',
        drive,
        'stamps',
        'few frames per second: neighbours share little of their view',
        f'{stamps.rate_hz:.2f} Hz',
        'record at 5 Hz or more, unless the camera moves slowly',
    )
