"""The measured speed against what the road does in the images."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.checking.motion import PairMotions
from training.checking.two_view import Array
from training.data.drive import Drive

LEAST_PAIRS = 8
STANDING_M_S = 0.1
DRIVING_M_S = 1.0
LEAST_VARIATION = 0.15  # of the speed, relative, for correlation and offset to mean anything
LONGEST_OFFSET_S = 2.0
OFFSET_STEPS = 3  # tried per frame
LEAST_COVERED = 0.6  # of the pairs must have a speed after the shift
CERTAIN_GAIN = 2.0  # times less squared disagreement than without an offset
LEAST_DISAGREEMENT = 0.12  # relative: below it there is nothing to explain by an offset


@dataclass(frozen=True, eq=False)
class SpeedComparison:
    """Measured and seen motion of the pairs; NaN where unknown."""

    time_s: Array  # [P], middle of the pair, from the first frame
    measured_m_s: Array  # [P]
    seen_heights_s: Array  # [P], camera heights per second
    camera_height_m: float  # that makes them agree; NaN where it cannot be known
    height_spread: float  # relative, robust
    correlation: float  # NaN where the speed hardly changes
    offset_s: float | None  # what to add to the speed's stamps; None where it is not visible
    offsets_s: Array  # [T], that were tried; empty where it is not visible
    disagreement: Array  # [T], relative, after each
    standing_but_moving: NDArray[np.bool_]  # [P]
    driving_but_still: NDArray[np.bool_]  # [P]


def compare_speed(drive: Drive, motions: PairMotions) -> SpeedComparison | None:
    """Compare; None where the drive has neither speed nor poses."""
    if drive.scale_source == 'none' or not len(motions.frames):
        return None
    stamps_s = np.array([f.stamp_ns - drive.frames[0].stamp_ns for f in drive.frames]) * 1e-9
    frames = motions.frames
    step_s = stamps_s[frames + 1] - stamps_s[frames]
    safe_s = np.where(step_s > 0, step_s, np.nan)
    measured = _measured_m(drive, frames) / safe_s
    seen = motions.road_rate / safe_s
    time_s = (stamps_s[frames] + stamps_s[frames + 1]) / 2
    heights = measured / seen
    known = np.isfinite(heights) & (measured > DRIVING_M_S / 2)
    height_m = spread = math.nan
    if known.sum() >= LEAST_PAIRS:
        height_m = float(np.median(heights[known]))
        spread = float(np.median(np.abs(heights[known] - height_m))) / max(height_m, 1e-9)
    offsets_s, disagreement = _offsets(drive, stamps_s, time_s, seen, safe_s)
    return SpeedComparison(
        time_s=time_s,
        measured_m_s=measured,
        seen_heights_s=seen,
        camera_height_m=height_m,
        height_spread=spread,
        correlation=_correlation(measured, seen),
        offset_s=_clear_offset(offsets_s, disagreement, float(np.nanmedian(safe_s))),
        offsets_s=offsets_s,
        disagreement=disagreement,
        standing_but_moving=(measured < STANDING_M_S) & motions.moving,
        driving_but_still=(measured > DRIVING_M_S) & motions.still,
    )


def _measured_m(drive: Drive, frames: NDArray[np.int64]) -> Array:
    moved = [drive.displacement_m(int(i), int(i) + 1) for i in frames]
    return np.array([math.nan if m is None else m for m in moved])


def _correlation(measured: Array, seen: Array) -> float:
    known = np.isfinite(measured) & np.isfinite(seen)
    if known.sum() < LEAST_PAIRS:
        return math.nan
    a, b = measured[known], seen[known]
    if a.std() < LEAST_VARIATION * max(a.mean(), 1e-9) or b.std() == 0:
        return math.nan
    return float(np.corrcoef(a, b)[0, 1])


def _offsets(
    drive: Drive, stamps_s: Array, time_s: Array, seen: Array, step_s: Array
) -> tuple[Array, Array]:
    """Return offsets and how badly the speed, shifted by each, agrees with the road."""
    none = np.zeros(0)
    everywhere = _measured_m(drive, np.arange(len(stamps_s) - 1))
    with np.errstate(divide='ignore', invalid='ignore'):
        speed = everywhere / np.diff(stamps_s)
    middle_s = (stamps_s[1:] + stamps_s[:-1]) / 2
    known = np.isfinite(speed)
    pairs = np.isfinite(seen)
    if known.sum() < LEAST_PAIRS or pairs.sum() < LEAST_PAIRS:
        return none, none
    span_s = middle_s[known][-1] - middle_s[known][0]
    longest_s = min(LONGEST_OFFSET_S, span_s / 3)
    step = float(np.nanmedian(step_s)) / OFFSET_STEPS
    count = int(longest_s / step)
    offsets = np.arange(-count, count + 1) * step
    result = np.full(len(offsets), np.nan)
    for number, offset_s in enumerate(offsets):
        # A speed stamped too early by the offset belongs to the image at stamp + offset.
        at_s = time_s[pairs] - offset_s
        inside = (at_s >= middle_s[known][0]) & (at_s <= middle_s[known][-1])
        if inside.sum() < max(LEAST_PAIRS, LEAST_COVERED * pairs.sum()):
            continue
        shifted = np.interp(at_s[inside], middle_s[known], speed[known])
        result[number] = _disagreement(shifted, seen[pairs][inside])
    usable = np.isfinite(result)
    varies = speed[known].std() > LEAST_VARIATION * max(float(speed[known].mean()), 1e-9)
    if not usable.any() or not varies:
        return none, none
    return offsets[usable], result[usable]


def _disagreement(speed: Array, seen: Array) -> float:
    """Return what remains, relative, when the seen motion is scaled to the speed."""
    scale = float((seen * speed).sum() / max((seen * seen).sum(), 1e-12))
    left = np.minimum(np.abs(speed - scale * seen), 3 * np.median(np.abs(speed - scale * seen)))
    return float(np.sqrt((left**2).mean()) / max(float(np.abs(speed).mean()), 1e-9))


def _clear_offset(offsets_s: Array, disagreement: Array, step_s: float) -> float | None:
    if not len(offsets_s):
        return None
    best = int(np.argmin(disagreement))
    without = float(disagreement[int(np.argmin(np.abs(offsets_s)))])
    at_end = best in (0, len(offsets_s) - 1)
    gained = (without / max(float(disagreement[best]), 1e-9)) ** 2
    if without < LEAST_DISAGREEMENT or at_end or gained < CERTAIN_GAIN:
        return 0.0
    clear = abs(offsets_s[best]) >= max(0.15, 1.5 * step_s)
    return float(offsets_s[best]) if clear else 0.0
