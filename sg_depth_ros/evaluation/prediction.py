"""What a model says of one frame, wherever the frame and the model are."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.evaluation.frame_key import FrameKey


class FramePrediction(NamedTuple):
    """A frame and its depth, both at the size of the depth image."""

    entry: FrameKey
    image: NDArray[np.uint8]  # [H, W, 3], RGB
    depth_m: NDArray[np.float32]  # [H, W], for this camera; as published: +Inf far, NaN invalid
    labels: NDArray[np.uint8]  # [H, W]; given where the drive has labels, else predicted
    labels_given: bool
    camera: Intrinsics  # of ``image``
