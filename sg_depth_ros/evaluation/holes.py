"""
How much infinite depth frames hold.

What a hole is, and from how many pixels on it counts, is ``sg_depth_ros/infinite_depth.py``.
"""

from collections.abc import Sequence
from typing import Literal
from typing import NamedTuple

import numpy as np

from sg_depth_ros.evaluation.frame_key import FrameKey
from sg_depth_ros.evaluation.prediction import FramePrediction
from sg_depth_ros.ground import GroundPlane
from sg_depth_ros.ground import GroundPlaneRefusal
from sg_depth_ros.infinite_depth import HoleCriterion
from sg_depth_ros.infinite_depth import Holes
from sg_depth_ros.infinite_depth import find_holes_in_depth
from sg_depth_ros.infinite_depth import refuse_unlike_planes


class FrameScore(NamedTuple):
    """How many pixels of a frame have infinite depth."""

    entry: FrameKey
    hole_pixels: int
    plane: GroundPlane | GroundPlaneRefusal
    plane_from: Literal['road', 'all'] = 'all'
    counted: Literal['movable', 'all'] = 'all'
    missing_pixels: int = 0  # of the hole's, on vehicles that are not where they stand


def find_holes(prediction: FramePrediction, criterion: HoleCriterion, metric: bool) -> Holes:
    """
    Find a frame's pixels of infinite depth.

    :param metric: whether depth is in metres.
    """
    return find_holes_in_depth(
        prediction.depth_m,
        prediction.labels,
        prediction.camera,
        metric=metric,
        criterion=criterion,
    )


def score_frame(entry: FrameKey, holes: Holes) -> FrameScore:
    """Return what of a frame's holes decides about it."""
    return FrameScore(
        entry,
        int(np.count_nonzero(holes.pixels)),
        holes.plane,
        holes.plane_from,
        holes.counted,
        int(np.count_nonzero(holes.missing)),
    )


def refuse_outliers(scores: Sequence[FrameScore]) -> tuple[FrameScore, ...]:
    """
    Refuse planes unlike those of their drive.

    :return: the scores in their order; the refused ones have no hole.
    """
    drives: dict[str, list[FrameScore]] = {}
    for score in scores:
        drives.setdefault(score.entry.drive, []).append(score)
    checked = {
        score.entry: score
        if isinstance(plane, GroundPlane)
        else score._replace(hole_pixels=0, missing_pixels=0, plane=plane)
        for own in drives.values()
        for score, plane in zip(own, refuse_unlike_planes([s.plane for s in own]))
    }
    return tuple(checked[s.entry] for s in scores)
