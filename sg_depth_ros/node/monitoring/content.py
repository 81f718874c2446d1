"""What is measured of a frame's depth; no ROS."""

import math

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.estimator import Estimate
from sg_depth_ros.node.monitoring.statistics import NAN
from sg_depth_ros.node.monitoring.statistics import FrameContent

SAMPLE_COUNT = 8000  # pixels are enough for a share and a median


def measure_content(estimate: Estimate) -> FrameContent:
    """Return the measures of one frame, which cost a small part of the time of its depth."""
    valid_ratio = median_m = NAN
    depth_m = estimate.depth_m
    if depth_m is not None:
        step = max(1, round(math.sqrt(depth_m.size / SAMPLE_COUNT)))
        sample_m = depth_m[::step, ::step]
        valid_m = sample_m[np.isfinite(sample_m)]
        valid_ratio = valid_m.size / sample_m.size
        median_m = float(np.median(valid_m)) if valid_m.size else NAN
    invalid_ratio = _invalid_ratio(estimate.prediction.depth_m)
    return FrameContent(valid_ratio, median_m, estimate.scale, invalid_ratio)


def _invalid_ratio(depth_m: NDArray[np.float32]) -> float:
    """Return the share of numbers that are no depth: NaN, infinite, zero or less."""
    # Almost always there are none, which two passes without a mask tell; both let NaN through.
    if depth_m.min() > 0 and depth_m.max() < np.inf:
        return 0.0
    with np.errstate(invalid='ignore'):
        return 1 - np.count_nonzero((depth_m > 0) & (depth_m < np.inf)) / depth_m.size
