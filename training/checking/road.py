"""
How far the camera went between two images, in units of its height above the road.

The road ahead is a plane of known direction (it contains the direction of travel and the camera's
x axis), so the second image of it follows from the first by one number: the way over the camera's
height. The number that makes the two look most alike is found by trying (plane sweep). With the
measured way in metres it gives the camera's height, which anyone can check with a tape measure.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.camera import resize_image
from training.checking.features import Gray
from training.checking.two_view import Array

WIDEST_PX = 320  # enough for 3 %, and four times as fast as twice the width
RATES = np.geomspace(0.02, 3.0, 36)
LEAST_LIKENESS = 0.5  # correlation of the two views of the road
LEAST_OVERLAP = 0.25


class RoadView(NamedTuple):
    """The part of the image in which the road is expected, and the plane it lies in."""

    camera: Intrinsics  # of the reduced image
    normal: Array  # [3], downwards
    rows: slice
    columns: slice

    @staticmethod
    def of(intrinsics: Intrinsics, ahead: Array) -> 'RoadView':
        """
        Expect the road in the middle below the horizon.

        :param ahead: (3,) direction of travel in the camera's frame.
        """
        width = min(intrinsics.width, WIDEST_PX)
        height = round(intrinsics.height * width / intrinsics.width)
        camera = intrinsics.resized(width, height)
        normal = np.cross(ahead / np.linalg.norm(ahead), [1.0, 0.0, 0.0])
        horizon = camera.cy + camera.fy * ahead[1] / ahead[2]
        top = int(np.clip(horizon + 0.12 * height, 0.4 * height, 0.8 * height))
        return RoadView(
            camera,
            normal / np.linalg.norm(normal),
            slice(top, height - 1),
            slice(width // 4, 3 * width // 4),
        )


def way_in_heights(
    view: RoadView, first: Gray, second: Gray, rotation: Array, direction: Array
) -> float:
    """
    Return way / camera height from one image to the next, NaN where no road is recognised.

    :param rotation: (3, 3), R of X_second = R X_first + t.
    :param direction: (3,) of t, length 1.
    """
    camera = view.camera
    seen, other = (
        _contrast(resize_image(image, camera.width, camera.height)) for image in (first, second)
    )
    seen = seen[view.rows, view.columns]
    matrix = camera.matrix()
    shift = np.array([[1, 0, view.columns.start], [0, 1, view.rows.start], [0, 0, 1]], np.float64)
    right = np.linalg.inv(matrix) @ shift
    plane = np.outer(direction, view.normal)
    likeness = np.array(
        [_likeness(seen, other, matrix @ (rotation + r * plane) @ right) for r in RATES]
    )
    if np.isfinite(likeness).sum() < 5:
        return float('nan')
    best = int(np.nanargmax(likeness))
    if likeness[best] < LEAST_LIKENESS or best in (0, len(RATES) - 1):
        return float('nan')
    before, here, after = likeness[best - 1 : best + 2]
    if not np.isfinite(before + after):
        return float('nan')
    offset = 0.5 * (before - after) / min(before - 2 * here + after, -1e-9)
    return float(RATES[best] * (RATES[1] / RATES[0]) ** offset)


def _likeness(seen: NDArray[np.float32], other: NDArray[np.float32], homography: Array) -> float:
    warped = cv2.warpPerspective(
        other,
        homography,
        (seen.shape[1], seen.shape[0]),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(float('nan'),),
    )
    inside = np.isfinite(warped)
    if inside.mean() < LEAST_OVERLAP:
        return float('nan')
    a, b = seen[inside], np.asarray(warped)[inside]
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum() + 1e-9))


def _contrast(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return fine structure of equal strength everywhere: asphalt counts as much as markings."""
    width = image.shape[1]
    values = image.astype(np.float32)
    fine = values - cv2.GaussianBlur(values, (0, 0), width / 64)
    strength = np.sqrt(cv2.GaussianBlur(fine * fine, (0, 0), width / 32)) + 2.0
    return np.asarray(fine / strength, np.float32)
