"""What a synthetic frame really shows, and where a network really sees holes in it."""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import resize_labels
from sg_depth_ros.classes import MOVABLE_IDS
from sg_depth_ros.evaluation.prediction import FramePrediction
from training.data.synthetic import SyntheticDrive

HOLE_RATIO = 2.0  # a pixel predicted this many times too far is in a hole
# A frame really holds a hole where most of an object is in one. Nearer objects are cut off by the
# image's border, farther and smaller ones are a few pixels, and outlines are always blurred.
OBJECT_M = (4.0, 40.0)
OBJECT_PX = 12
OBJECT_STEP = 0.12  # neighbours whose true depths differ by more, in logarithms, are two objects


class Truth(NamedTuple):
    """What a frame really shows, at the network's size."""

    depth_m: NDArray[np.float32]  # [H, W], 0 for the sky
    same_speed: NDArray[np.bool_]  # [H, W], cars at the camera's own speed
    labels: NDArray[np.uint8]  # [H, W]


def truth_of(drive: SyntheticDrive, prediction: FramePrediction) -> Truth:
    """Read what a frame really shows."""
    height, width = prediction.depth_m.shape
    index = prediction.entry.frame
    same_speed = drive.same_speed(index).astype(np.uint8)
    depth_m = cv2.resize(
        drive.depth_m(index), (width, height), interpolation=cv2.INTER_NEAREST_EXACT
    )
    return Truth(
        np.asarray(depth_m, np.float32),
        resize_labels(same_speed, width, height) > 0,
        resize_labels(drive.labels(index), width, height),
    )


def in_hole(depth_m: NDArray[np.float32], truth: Truth) -> NDArray[np.bool_]:
    """Return where things are predicted far too far, whatever the filter thinks."""
    return np.asarray((truth.depth_m > 0) & (depth_m > HOLE_RATIO * truth.depth_m), np.bool_)


def holds_hole(depth_m: NDArray[np.float32], truth: Truth) -> bool:
    """Tell whether most of an object that can move is in a hole."""
    holes = in_hole(depth_m, truth)
    left = np.isin(truth.labels, MOVABLE_IDS) & (truth.depth_m > 0)
    log_depth = np.log(np.where(left, truth.depth_m, 1e-3)).astype(np.float32)
    while left.any():
        row, column = np.argwhere(left)[0]
        # Floods what is 0, within a border of one pixel; the seed's depth steps are its own.
        flooded = np.pad((~left).astype(np.uint8), 1, constant_values=1)
        step, flags = (OBJECT_STEP,), 4 | cv2.FLOODFILL_MASK_ONLY | (2 << 8)
        seed = (int(column), int(row))
        cv2.floodFill(log_depth, flooded, seed, (0,), loDiff=step, upDiff=step, flags=flags)
        one = flooded[1:-1, 1:-1] == 2
        left &= ~one
        is_near = OBJECT_M[0] <= np.median(truth.depth_m[one]) <= OBJECT_M[1]
        if is_near and one.sum() >= OBJECT_PX and holes[one].mean() > 0.5:
            return True
    return False
