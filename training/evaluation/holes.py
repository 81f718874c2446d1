"""
Which frames hold infinite depth: the filter between the two stages.

Guizilini et al., ICLR 2020: a car ahead at the camera's own speed stands still in the image, so
self-supervision pushes it to infinity, where it lies below the ground. The threshold of 10 pixels
is the authors'; all else is ours.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.classes import MOVABLE_IDS
from sg_depth_ros.classes import ROAD_ID
from sg_depth_ros.ground import BELOW_GROUND
from sg_depth_ros.ground import FIT_RANGE_M
from sg_depth_ros.ground import BelowGround
from sg_depth_ros.ground import GroundPlane
from sg_depth_ros.ground import GroundPlaneRefusal
from sg_depth_ros.ground import InfiniteDepth
from sg_depth_ros.ground import find_infinite_depth
from training.data.drive import SplitEntry
from training.evaluation.predictions import FramePrediction

PAPER_AREA_PX = 640 * 192  # what the threshold of 10 pixels was chosen for
FEWEST_PLANES = 10  # of a drive, to tell what its plane is usually like
HEIGHT_SPREAD = 1.3  # a plane further from the drive's median height than this factor is refused
ANGLE_SPREAD_DEG = 5.0  # so is one that is tilted more against the drive's median normal


@dataclass(frozen=True)
class HoleCriterion:
    """When a frame counts as one with infinite depth."""

    threshold_px: float = 10.0  # at 640x192; scaled by the area of other sizes
    limits: BelowGround = BELOW_GROUND
    fit_range_m: tuple[float, float] = FIT_RANGE_M
    road_only: bool = False  # the plane from road pixels only
    movable_only: bool = False  # count pixels of classes that can move only
    seed: int = 0

    def threshold_at(self, width: int, height: int) -> float:
        """Return the threshold in pixels of an image of ``width`` x ``height``."""
        return self.threshold_px * width * height / PAPER_AREA_PX


DEFAULT_CRITERION = HoleCriterion()


class FrameScore(NamedTuple):
    """How many pixels of a frame lie clearly below the ground."""

    entry: SplitEntry
    pixels_below: int
    plane: GroundPlane | GroundPlaneRefusal


class Decision(NamedTuple):
    """Whether a frame is dropped, and why or why not."""

    score: FrameScore
    dropped: bool
    reason: str


def find_holes(
    prediction: FramePrediction, criterion: HoleCriterion, metric: bool
) -> InfiniteDepth:
    """Find a frame's pixels of infinite depth, of the classes that the criterion counts."""
    found = find_infinite_depth(
        prediction.depth_m,
        prediction.camera,
        metric=metric,
        fit_pixels=prediction.labels == ROAD_ID if criterion.road_only else None,
        limits=criterion.limits,
        fit_range_m=criterion.fit_range_m,
        seed=criterion.seed,
    )
    if not criterion.movable_only:
        return found
    return found._replace(below=found.below & np.isin(prediction.labels, MOVABLE_IDS))


def refuse_outliers(scores: Sequence[FrameScore]) -> tuple[FrameScore, ...]:
    """
    Refuse planes unlike those of their drive: the camera is fixed to the vehicle.

    A single plane fails on hills, in turns and between large vehicles, and then most of the
    picture is below it.

    :return: the scores in their order; the refused ones have no pixel below ground.
    """
    checked = {}
    for drive in {s.entry.drive for s in scores}:
        own = [s for s in scores if s.entry.drive == drive]
        planes = [s.plane for s in own if isinstance(s.plane, GroundPlane)]
        if len(planes) < FEWEST_PLANES:
            continue
        height = float(np.median([p.offset_m for p in planes]))
        normal = np.median([p.normal for p in planes], axis=0)
        normal /= np.linalg.norm(normal)
        for score in own:
            if isinstance(score.plane, GroundPlane):
                checked[score.entry] = _checked(score, score.plane, height, normal)
    return tuple(checked.get(s.entry, s) for s in scores)


def decide(
    scores: tuple[FrameScore, ...], threshold_px: float, cap: float
) -> tuple[Decision, ...]:
    """
    Drop the frames above the threshold, the worst first, at most a share ``cap`` of all.

    :param threshold_px: at the size the scores were counted at.
    :return: one decision per score, in their order.
    """
    above = [s for s in scores if s.pixels_below > threshold_px]
    worst_first = sorted(above, key=lambda s: (-s.pixels_below, s.entry))
    dropped = {s.entry for s in worst_first[: int(cap * len(scores))]}
    return tuple(_decision(s, s.entry in dropped, threshold_px, cap) for s in scores)


def _checked(
    score: FrameScore, plane: GroundPlane, height: float, normal: NDArray[np.float64]
) -> FrameScore:
    ratio = plane.offset_m / height
    angle_deg = math.degrees(math.acos(min(1.0, float(plane.normal @ normal))))
    if 1 / HEIGHT_SPREAD <= ratio <= HEIGHT_SPREAD and angle_deg <= ANGLE_SPREAD_DEG:
        return score
    reason = (
        f"unlike the drive's other planes: camera height {plane.offset_m:.2f}, their median is "
        f'{height:.2f}; tilted by {angle_deg:.1f} degrees against their normal'
    )
    return FrameScore(score.entry, 0, GroundPlaneRefusal(reason))


def _decision(score: FrameScore, dropped: bool, threshold_px: float, cap: float) -> Decision:
    if isinstance(score.plane, GroundPlaneRefusal):
        return Decision(score, False, f'no ground plane: {score.plane.reason}')
    if score.pixels_below <= threshold_px:
        return Decision(score, False, 'not above the threshold')
    if dropped:
        return Decision(score, True, 'infinite depth: more pixels below ground than the threshold')
    return Decision(score, False, f'above the threshold, but the cap of {cap:.0%} is reached')
