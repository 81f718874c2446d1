"""What is measured of a frame's depth; no ROS."""

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.estimator import Estimate
from sg_depth_ros.node.statistics import NAN
from sg_depth_ros.node.statistics import FrameContent

STEP = 4  # every 4th row and column is enough for a share and a median


class FrameMeter:
    """Measures depth without allocating images: its own are kept."""

    def __init__(self) -> None:
        self._positive: NDArray[np.bool_] = np.empty((0, 0), np.bool_)
        self._finite: NDArray[np.bool_] = np.empty((0, 0), np.bool_)

    def measure(self, estimate: Estimate) -> FrameContent:
        """Return the measures of one frame."""
        valid_ratio = median_m = NAN
        if estimate.depth_m is not None:
            sample_m = estimate.depth_m[::STEP, ::STEP]
            valid_m = sample_m[np.isfinite(sample_m)]
            valid_ratio = valid_m.size / sample_m.size
            median_m = float(np.median(valid_m)) if valid_m.size else NAN
        return FrameContent(
            valid_ratio, median_m, estimate.scale, self._invalid_ratio(estimate.prediction.depth_m)
        )

    def _invalid_ratio(self, depth_m: NDArray[np.float32]) -> float:
        """Return the share of numbers that are no depth: NaN, infinite, zero or less."""
        if self._positive.shape != depth_m.shape:
            self._positive = np.empty(depth_m.shape, np.bool_)
            self._finite = np.empty(depth_m.shape, np.bool_)
        with np.errstate(invalid='ignore'):
            np.greater(depth_m, 0, out=self._positive)
            np.less(depth_m, np.inf, out=self._finite)
        np.logical_and(self._positive, self._finite, out=self._positive)
        return 1 - np.count_nonzero(self._positive) / depth_m.size
