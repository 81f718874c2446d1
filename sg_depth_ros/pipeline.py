"""
From a received image to the network's input, and from its prediction to metric depth.

The node and the offline evaluation both go through these functions, so that a number measured
offline holds on the vehicle. No ROS, no engine: messages are read by their fields.
"""

import math
from typing import Any
from typing import Literal
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.camera import resize_image
from sg_depth_ros.contract import ModelContract
from sg_depth_ros.engines.engine import Prediction
from sg_depth_ros.errors import UserError

# How an image comes to the shape of the network: stretched, cropped first, or cropped only where
# it would be stretched too far.
Fit = Literal['auto', 'stretch', 'crop']

SIZE_TOLERANCE = 0.01  # how far width and height may disagree on one scale


class PreparedImage(NamedTuple):
    """An image as the network takes it, and the camera that would have taken it so."""

    image: NDArray[np.uint8]  # [H, W, 3], RGB, of the contract's size
    camera: Intrinsics | None  # of ``image``; None where the received camera is unknown


def received_camera(info: Any, width: int, height: int) -> Intrinsics:
    """
    Return the intrinsics of an image from its sensor_msgs/CameraInfo.

    K of the full sensor, minus the region of interest's offset, divided by the binning; where
    image and info differ in size by a pure scale, scaled (REP 104, ros.org/reps/rep-0104.html).

    :param info: the message, of rclpy or rosbags.
    :param width: of the received image, in pixels; ``height`` likewise.
    :raises UserError: where the camera is not calibrated or the info does not fit the image.
    """
    k = np.asarray(info.k, np.float64).reshape(3, 3)
    camera = Intrinsics.from_matrix(k, int(info.width), int(info.height))
    roi = info.roi
    if roi.width and roi.height:
        camera = camera.cropped(roi.x_offset, roi.y_offset, int(roi.width), int(roi.height))
    # Zero means one, as in the message's definition.
    binning_x, binning_y = max(int(info.binning_x), 1), max(int(info.binning_y), 1)
    if binning_x > 1 or binning_y > 1:
        camera = camera.resized(camera.width // binning_x, camera.height // binning_y)
    if (camera.width, camera.height) == (width, height):
        return camera
    sx, sy = width / camera.width, height / camera.height
    if abs(sx / sy - 1) > SIZE_TOLERANCE:
        raise UserError(
            f'camera_info is of a {camera.width}x{camera.height} image, the image is '
            f'{width}x{height}: no pure scale; check that both topics are of the same camera'
        )
    return camera.resized(width, height)


def prepare_image(
    image: NDArray[np.uint8], camera: Intrinsics | None, contract: ModelContract
) -> PreparedImage:
    """
    Bring an image and its camera to the network's size.

    :param image: RGB (h, w, 3) of any size.
    :param camera: of ``image``, or None where unknown.
    """
    width, height = contract.width, contract.height
    return PreparedImage(
        resize_image(image, width, height),
        None if camera is None else camera.resized(width, height),
    )


def focal_correction(camera: Intrinsics | None, contract: ModelContract) -> float:
    """
    Return what to multiply the network's depth with for another camera than it was trained with.

    A network sees sizes in pixels: at twice the focal length everything looks half as far. The
    focal length of a resize that is not uniform is the geometric mean of fx and fy.

    :param camera: at the network's size; None, where it is unknown, gives 1.
    """
    if camera is None:
        return 1.0
    trained = contract.intrinsics
    return math.sqrt(camera.fx * camera.fy) / math.sqrt(trained.fx * trained.fy)


def corrected_depth(
    prediction: Prediction,
    contract: ModelContract,
    camera: Intrinsics | None,
    max_depth_m: float | None = None,
) -> NDArray[np.float32]:
    """
    Turn a prediction into the depth that is published.

    :param camera: of the image at the network's size, None where unknown.
    :param max_depth_m: what lies beyond is infinite; by default the contract's.
    :return: depth_m (H, W) along z, a new array: NaN where the network gave no valid number, +Inf
        for sky and beyond ``max_depth_m`` (REP 117), never 0. Up to scale unless the contract is
        metric.
    """
    limit_m = contract.max_depth_m if max_depth_m is None else max_depth_m
    factor = np.float32(focal_correction(camera, contract))
    depth_m: NDArray[np.float32] = np.multiply(prediction.depth_m, factor, dtype=np.float32)
    with np.errstate(invalid='ignore'):
        invalid = ~(np.isfinite(prediction.depth_m) & (depth_m > 0))
        depth_m[depth_m > limit_m] = np.inf
    if 'sky' in contract.class_names:
        depth_m[prediction.labels == contract.class_names.index('sky')] = np.inf
    depth_m[invalid] = np.nan
    return depth_m
