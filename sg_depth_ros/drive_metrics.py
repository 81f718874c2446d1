"""
Metrics over the frames of drives: infinite depth, and what changes from frame to frame.

Together with ``metrics.py`` all that is measured of depth, for ``evaluate`` and for replays alike.
The metrics of this file are ours. Infinite depth and the change of the median depth need no ground
truth; the change of the scale ratio does.
"""

import math
from collections.abc import Iterable
from collections.abc import Sequence
from typing import Any
from typing import NamedTuple

import numpy as np

from sg_depth_ros.ground import BELOW_GROUND
from sg_depth_ros.ground import BelowGround
from sg_depth_ros.ground import GroundPlane
from sg_depth_ros.ground import GroundPlaneRefusal


class FrameValue(NamedTuple):
    """A number measured in one frame of a drive."""

    drive: str
    frame: int  # consecutive frames differ by 1
    value: float  # > 0


class TemporalScale(NamedTuple):
    """
    How steady the scale ratio is: a change that no constant factor can mend.

    The change of a pair of consecutive frames is |ln(after / before)|.
    """

    drives: int  # with at least two frames that have ground truth
    pairs: int  # of consecutive frames that both have ground truth
    mean: float | None  # change per pair, mean of the drives' means; None without pairs
    p95: float | None  # 95th percentile of all pairs' changes
    spread: float  # std(ratios / median(ratios)) within a drive, mean of the drives

    def to_json(self) -> dict[str, Any]:
        """Return the numbers by name."""
        return {
            'drives': self.drives,
            'pairs': self.pairs,
            'change_mean': self.mean,
            'change_p95': self.p95,
            'spread_within_drive': self.spread,
        }


class DepthChange(NamedTuple):
    """How much the median depth of an image changes to the next frame, as |ln(after / before)|."""

    pairs: int
    mean: float  # mean of the drives' means
    p95: float  # of all pairs

    def to_json(self) -> dict[str, Any]:
        """Return the numbers by name."""
        return self._asdict()


class HoleCount(NamedTuple):
    """How many pixels of infinite depth a frame has; none count where the plane was refused."""

    pixels: int
    plane: GroundPlane | GroundPlaneRefusal


class InfiniteDepthSummary(NamedTuple):
    """How much infinite depth there is, over all frames, with or without ground truth."""

    frames: int  # with more pixels than the threshold
    pixels: int  # in all frames
    frames_without_plane: int  # which could not be judged
    all_frames: int
    threshold_px: float  # at the size of the depth images
    limits: BelowGround

    def to_json(self) -> dict[str, Any]:
        """Return the numbers by name, and by which limits they were counted."""
        return {
            'frames': self.frames,
            'pixels': self.pixels,
            'frames_without_ground_plane': self.frames_without_plane,
            'of_frames': self.all_frames,
            'threshold_px': round(self.threshold_px, 3),
            'margin_camera_heights': self.limits.margin,
            'angle_deg': self.limits.angle_deg,
        }


def temporal_scale(ratios: Iterable[FrameValue]) -> TemporalScale | None:
    """
    Measure how the scale ratio (median truth / median prediction) changes within drives.

    :param ratios: of the frames that have ground truth; frames beside a gap make no pair.
    :return: None where no drive has two of them.
    """
    drives = [drive for drive in _by_drive(ratios) if len(drive) > 1]
    if not drives:
        return None
    values = [np.array(list(drive.values()), np.float64) for drive in drives]
    spread = float(np.mean([np.std(v / np.median(v)) for v in values]))
    change = _change(drives)
    if change is None:
        return TemporalScale(len(drives), 0, None, None, spread)
    return TemporalScale(len(drives), change.pairs, change.mean, change.p95, spread)


def depth_change(median_depths: Iterable[FrameValue]) -> DepthChange | None:
    """
    Measure how the median depth changes from frame to frame; it needs no ground truth.

    :param median_depths: of whole images, in metres or up to scale.
    :return: None where no two frames of a drive are consecutive.
    """
    return _change(_by_drive(median_depths))


def summarize_infinite_depth(
    counts: Sequence[HoleCount], threshold_px: float, limits: BelowGround = BELOW_GROUND
) -> InfiniteDepthSummary:
    """
    Count the frames and pixels of infinite depth.

    :param counts: one per frame, with the planes of ``infinite_depth.refuse_unlike_planes``.
    :param threshold_px: of ``HoleCriterion.threshold_at``.
    :param limits: that the pixels were found by.
    """
    seen = [c.pixels for c in counts if isinstance(c.plane, GroundPlane)]
    return InfiniteDepthSummary(
        frames=sum(pixels > threshold_px for pixels in seen),
        pixels=sum(seen),
        frames_without_plane=len(counts) - len(seen),
        all_frames=len(counts),
        threshold_px=threshold_px,
        limits=limits,
    )


def _by_drive(values: Iterable[FrameValue]) -> list[dict[int, float]]:
    """Return each drive's values by frame, in the order of the frames."""
    drives: dict[str, dict[int, float]] = {}
    for drive, frame, value in sorted(values):
        drives.setdefault(drive, {})[frame] = value
    return list(drives.values())


def _change(drives: Sequence[dict[int, float]]) -> DepthChange | None:
    changes = [
        [
            abs(math.log(drive[frame + 1] / value))
            for frame, value in drive.items()
            if frame + 1 in drive
        ]
        for drive in drives
    ]
    changes = [c for c in changes if c]
    if not changes:
        return None
    every = np.concatenate(changes)
    mean = float(np.mean([np.mean(c) for c in changes]))
    return DepthChange(len(every), mean, float(np.percentile(every, 95)))
