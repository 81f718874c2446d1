"""
A small image read at some pixels of a large one, as if it had been resized to that size.

LiDAR measures one pixel in thirty: reading the prediction there gives the numbers of resizing it
all, at a fraction of the time (``benchmarks/evaluation.py``).
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray


class Pixels(NamedTuple):
    """Pixels of an image of ``shape`` (H, W)."""

    rows: NDArray[np.intp]  # [N]
    columns: NDArray[np.intp]  # [N]
    shape: tuple[int, int]


class _Neighbours(NamedTuple):
    """Between which two pixels of the small image each of the large one's lies, on one axis."""

    lower: NDArray[np.intp]
    upper: NDArray[np.intp]
    upper_weight: NDArray[np.float64]  # 0 to 1


def true_pixels(mask: NDArray[np.bool_]) -> Pixels:
    """Return where a mask (H, W) is True, in the order of boolean indexing."""
    rows, columns = np.divmod(np.flatnonzero(mask), mask.shape[1])
    return Pixels(rows, columns, (mask.shape[0], mask.shape[1]))


def sample_bilinear(image: NDArray[np.float64], pixels: Pixels) -> NDArray[np.float64]:
    """
    Return what ``cv2.resize(..., INTER_LINEAR)`` of an image (h, w) holds at pixels, (N,).

    Pixel centres are aligned (-0.5 stays -0.5) and beyond the outermost ones it is constant.
    """
    y = _neighbours(pixels.rows, image.shape[0], pixels.shape[0])
    x = _neighbours(pixels.columns, image.shape[1], pixels.shape[1])
    above = image[y.lower, x.lower]
    above += x.upper_weight * (image[y.lower, x.upper] - above)
    below = image[y.upper, x.lower]
    below += x.upper_weight * (image[y.upper, x.upper] - below)
    return above + y.upper_weight * (below - above)


def sample_nearest(labels: NDArray[np.uint8], pixels: Pixels) -> NDArray[np.uint8]:
    """Return what ``camera.resize_labels`` of class ids (h, w) holds at pixels, (N,)."""
    height, width = pixels.shape
    y = _nearest(labels.shape[0], height)[pixels.rows]
    x = _nearest(labels.shape[1], width)[pixels.columns]
    return labels[y, x]


def _neighbours(places: NDArray[np.intp], small: int, large: int) -> _Neighbours:
    center = np.clip((np.arange(large) + 0.5) * (small / large) - 0.5, 0.0, small - 1.0)
    lower = center.astype(np.intp)
    weight = center - lower
    return _Neighbours(lower[places], np.minimum(lower + 1, small - 1)[places], weight[places])


def _nearest(small: int, large: int) -> NDArray[np.intp]:
    # OpenCV itself says which pixel it takes: halfway between two centres it is its own rounding.
    row = np.arange(small, dtype=np.float32)[None]
    nearest = cv2.resize(row, (large, 1), interpolation=cv2.INTER_NEAREST_EXACT)
    return np.asarray(nearest[0], np.intp)
