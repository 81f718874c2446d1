"""Judging depth as the node publishes it."""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.metrics import CAP_M
from sg_depth_ros.metrics import Crop
from sg_depth_ros.metrics import ImageJudgement
from sg_depth_ros.metrics import judge_image


class PublishedJudgement(NamedTuple):
    """How well published depth fits; pixels without a valid depth are counted, not judged."""

    judgement: ImageJudgement | None  # None where no pixel could be judged
    invalid_pixels: int  # measured, but the depth there is NaN


class ValidPart(NamedTuple):
    """Depth without invalid pixels, and what was measured where it is valid."""

    depth_m: NDArray[np.float32]  # [h, w], > 0, +Inf is far; meaningless where it was invalid
    truth_m: NDArray[np.float32]  # [H, W], 0 where nothing was measured or depth is invalid
    invalid_pixels: int  # measured, but the depth there is NaN


def valid_part(depth_m: NDArray[np.float32], truth_m: NDArray[np.float32]) -> ValidPart:
    """Leave out what was measured where published depth is invalid."""
    invalid = ~(depth_m > 0)
    if not invalid.any():
        return ValidPart(depth_m, truth_m, 0)
    size = (truth_m.shape[1], truth_m.shape[0])
    # A pixel counts as invalid as soon as an invalid one takes part in its interpolation.
    spread = cv2.resize(invalid.astype(np.float32), size, interpolation=cv2.INTER_LINEAR) > 0
    return ValidPart(
        np.where(invalid, np.float32(1), depth_m),
        np.where(spread, np.float32(0), truth_m),
        int(np.count_nonzero((truth_m > 0) & spread)),
    )


def judge_published(
    depth_m: NDArray[np.float32],
    truth_m: NDArray[np.float32],
    labels: NDArray[np.uint8] | None = None,
    *,
    cap_m: float = CAP_M,
    crop: Crop = 'garg',
) -> PublishedJudgement:
    """
    Judge depth as the node publishes it: +Inf is far, NaN is nothing.

    :param depth_m: (h, w) metres, of any size.
    :param truth_m: (H, W) metres, 0 where nothing was measured.
    """
    valid = valid_part(depth_m, truth_m)
    judgement = judge_image(valid.depth_m, valid.truth_m, labels, cap_m=cap_m, crop=crop)
    return PublishedJudgement(judgement, valid.invalid_pixels)
