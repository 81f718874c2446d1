"""
From a CameraInfo to the pinhole camera of the received image, and the maps that undistort it.

No ROS: messages are read by their fields. Models: REP 104 and sensor_msgs/distortion_models.hpp.
"""

from dataclasses import dataclass
from typing import Any
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.errors import UserError
from sg_depth_ros.pipeline import received_camera

# How many coefficients OpenCV takes for each of ROS's models.
COEFFICIENT_COUNTS: dict[str, tuple[int, ...]] = {
    'plumb_bob': (4, 5),
    'rational_polynomial': (8, 12, 14),
    'equidistant': (4,),
}


def is_rectified_topic(image_topic: str) -> bool:
    """Return whether a topic's name says that its images are rectified: image_rect*."""
    return image_topic.removesuffix('/compressed').rpartition('/')[2].startswith('image_rect')


class Undistortion:
    """Once-computed maps that turn an image of a distorting lens into one of a pinhole camera."""

    def __init__(
        self, raw: Intrinsics, target: Intrinsics, coefficients: NDArray[np.float64], model: str
    ) -> None:
        """
        Compute the maps.

        :param raw: the lens's K, in pixels of the received image.
        :param target: the camera of the undistorted image, of the same size.
        :param coefficients: (N,) as the model orders them.
        :param model: one of ``COEFFICIENT_COUNTS``.
        :raises UserError: for an unknown model or another number of coefficients.
        """
        counts = COEFFICIENT_COUNTS.get(model)
        if counts is None:
            raise UserError(
                f'camera_info: distortion_model {model!r} is unknown; known: '
                f'{", ".join(COEFFICIENT_COUNTS)}; or send rectified images'
            )
        if coefficients.size not in counts or not np.isfinite(coefficients).all():
            raise UserError(
                f'camera_info: {model} takes {" or ".join(map(str, counts))} finite coefficients, '
                f'D is {coefficients.tolist()}'
            )
        size = (target.width, target.height)
        fisheye = model == 'equidistant'
        compute = cv2.fisheye.initUndistortRectifyMap if fisheye else cv2.initUndistortRectifyMap
        x, y = compute(raw.matrix(), coefficients, np.eye(3), target.matrix(), size, cv2.CV_32FC1)
        outside = (x < -0.5) | (x > raw.width - 0.5) | (y < -0.5) | (y > raw.height - 0.5)
        self.outside: NDArray[np.bool_] | None = outside if outside.any() else None
        # Fixed-point maps: half the time of floating-point ones.
        self._whole, self._fraction = cv2.convertMaps(x, y, cv2.CV_16SC2)

    def apply(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Undistort an image (H, W, 3); what the lens did not see is black, see ``outside``."""
        return np.asarray(
            cv2.remap(image, self._whole, self._fraction, cv2.INTER_LINEAR), np.uint8
        )


class RectifiedCamera(NamedTuple):
    """How a received image becomes one of a pinhole camera."""

    camera: Intrinsics  # after undistortion, at the received size
    undistortion: Undistortion | None  # None: the image is rectified already
    scaled: bool  # the image is not of the size that the info announces


def rectified_camera(info: Any, width: int, height: int, is_rectified: bool) -> RectifiedCamera:
    """
    Return the pinhole camera of an image and what brings the image there.

    :param info: sensor_msgs/CameraInfo of rclpy or rosbags.
    :param width: of the received image, in pixels; ``height`` likewise.
    :param is_rectified: the image is rectified, whatever D says, and P describes it.
    :raises UserError: where the camera is not calibrated, the info does not fit the image, or the
        distortion cannot be undone.
    """
    scaled = announced_size(info) != (width, height)
    projection = _projection_as_k(info)
    if is_rectified:
        return RectifiedCamera(received_camera(projection or info, width, height), None, scaled)
    raw = received_camera(info, width, height)
    coefficients = np.asarray(info.d, np.float64)
    if not coefficients.any():
        return RectifiedCamera(raw, None, scaled)
    # Undistorting must not turn the camera: the depth keeps the image's frame. So P, which
    # calibration chose for a picture without black borders, serves only without a rotation R.
    rotation = np.asarray(info.r, np.float64)
    turns = rotation.any() and not np.allclose(rotation.reshape(3, 3), np.eye(3), atol=1e-6)
    target = raw if turns or projection is None else received_camera(projection, width, height)
    undistortion = Undistortion(raw, target, coefficients, str(info.distortion_model))
    return RectifiedCamera(target, undistortion, scaled)


def announced_size(info: Any) -> tuple[int, int]:
    """Return width and height of the images that an info describes: region, then binning."""
    roi = info.roi
    whole = not (roi.width and roi.height)
    width, height = (info.width, info.height) if whole else (roi.width, roi.height)
    return int(width) // max(int(info.binning_x), 1), int(height) // max(int(info.binning_y), 1)


def calibration_key(info: Any) -> tuple[Any, ...]:
    """Return all of an info that geometry depends on, to notice a change."""
    roi = info.roi
    return (
        *(np.asarray(values, np.float64).tobytes() for values in (info.k, info.d, info.p, info.r)),
        *(info.width, info.height, info.binning_x, info.binning_y, info.distortion_model),
        *(roi.x_offset, roi.y_offset, roi.width, roi.height),
    )


@dataclass(frozen=True)
class _PinholeInfo:
    """The fields of a CameraInfo that ``received_camera`` reads."""

    k: NDArray[np.float64]
    width: int
    height: int
    roi: Any
    binning_x: int
    binning_y: int


def _projection_as_k(info: Any) -> _PinholeInfo | None:
    """Return the info with the left 3x3 of P in the place of K, or None where P is not set."""
    p = np.asarray(info.p, np.float64)
    if p.size != 12 or p[0] <= 0 or p[5] <= 0:
        return None
    k = p.reshape(3, 4)[:, :3]
    return _PinholeInfo(k, info.width, info.height, info.roi, info.binning_x, info.binning_y)
