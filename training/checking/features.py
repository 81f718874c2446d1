"""Points followed from image to image (Shi and Tomasi's corners, Lucas and Kanade's flow)."""

from collections.abc import Sequence
from typing import Any
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from training.checking.sampling import REFERENCE_WIDTH_PX

Gray = NDArray[np.uint8]
Points = NDArray[np.float64]

MOST_POINTS = 260
_FLOW: dict[str, Any] = {
    'winSize': (15, 15),
    'maxLevel': 4,
    'criteria': (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 0.01),
}
_BORDER_PX = 2


class Matches(NamedTuple):
    """The same points in two images, in pixels."""

    first: Points  # [N, 2]
    second: Points  # [N, 2]


class Tracks(NamedTuple):
    """The same points in some images of a window; ``points[0]`` is the window's first frame."""

    frames: tuple[int, ...]
    points: Points  # [V, N, 2]


def corners(image: Gray) -> NDArray[np.float32]:
    """Return corners, shape (N, 1, 2); none in an image without texture."""
    found = cv2.goodFeaturesToTrack(
        image, MOST_POINTS, 0.003, max(3.0, image.shape[1] / 90), blockSize=5
    )
    return np.zeros((0, 1, 2), np.float32) if found is None else np.asarray(found, np.float32)


def follow(
    first: Gray, second: Gray, points: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return where points (N, 1, 2) went, and which came back when followed the other way."""
    if not len(points):
        return points, np.zeros(0, np.bool_)
    there, found, _ = cv2.calcOpticalFlowPyrLK(first, second, points, None, **_FLOW)  # type: ignore[call-overload]
    back, found_back, _ = cv2.calcOpticalFlowPyrLK(second, first, there, None, **_FLOW)  # type: ignore[call-overload]
    height, width = first.shape
    strayed = np.linalg.norm((back - points)[:, 0], axis=1)
    u, v = there[:, 0].T
    good = (found.ravel() > 0) & (found_back.ravel() > 0)
    good &= strayed < 0.1 + 0.5 * width / REFERENCE_WIDTH_PX
    good &= (u > _BORDER_PX) & (u < width - 1 - _BORDER_PX)
    good &= (v > _BORDER_PX) & (v < height - 1 - _BORDER_PX)
    return np.asarray(there, np.float32), good


def match(first: Gray, second: Gray) -> Matches:
    """Follow the first image's corners into the second."""
    points = corners(first)
    there, good = follow(first, second, points)
    return Matches(points[good, 0].astype(np.float64), there[good, 0].astype(np.float64))


def track_window(
    grays: Sequence[Gray],
    start: int,
    *,
    views: int,
    longest: int,
    most_flow_px: float,
    least_points: int,
) -> Tracks | None:
    """
    Follow the corners of one image until they have moved far or too many are lost.

    :param grays: consecutive images.
    :param views: how many images beside the first to keep, spread evenly.
    :return: None where fewer points survive, or too few images; frames count from 0 in ``grays``.
    """
    points = corners(grays[start])
    if len(points) < least_points:
        return None
    path, alive = [points], np.ones(len(points), np.bool_)
    for index in range(start, min(start + longest, len(grays) - 1)):
        there, good = follow(grays[index], grays[index + 1], path[-1])
        if (alive & good).sum() < max(least_points, 0.35 * len(points)):
            break
        alive &= good
        path.append(there)
        moved_px = np.linalg.norm((there - points)[alive, 0], axis=1)
        if len(path) > views and np.median(moved_px) > most_flow_px:
            break
    last = len(path) - 1
    if last < views:
        return None
    kept = [0, *(round(last * (i + 1) / views) for i in range(views))]
    stacked = np.stack([path[i][alive, 0] for i in kept]).astype(np.float64)
    return Tracks(tuple(start + i for i in kept), stacked)
