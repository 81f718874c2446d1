"""From a camera_info to a camera without distortion, and from its images to rectified ones."""

from dataclasses import dataclass
from typing import Any
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.errors import UserError
from sg_depth_ros.pipeline import received_camera

_FISHEYE_MODELS = ('equidistant', 'fisheye')
_POLYNOMIAL_MODELS = ('plumb_bob', 'rational_polynomial')


@dataclass(frozen=True, eq=False)
class RectifiedCamera:
    """A camera whose images are made free of distortion."""

    intrinsics: Intrinsics  # of rectified images
    distortion_model: str | None  # what was undone, None: nothing
    maps: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None  # [H, W] each

    def rectify(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """
        Undo the distortion of an image (H, W, 3).

        :raises UserError: where it is of another size than the camera.
        """
        height, width = image.shape[:2]
        if (width, height) != (self.intrinsics.width, self.intrinsics.height):
            raise UserError(
                f'image of {width}x{height} among images of '
                f'{self.intrinsics.width}x{self.intrinsics.height}'
            )
        if self.maps is None:
            return image
        return np.asarray(cv2.remap(image, *self.maps, cv2.INTER_LINEAR), np.uint8)


class _InfoView(NamedTuple):
    """The fields of a CameraInfo that place the camera, with K or P as k."""

    k: NDArray[np.float64]
    width: int
    height: int
    roi: Any
    binning_x: int
    binning_y: int


def rectified_camera(
    info: Any, width: int, height: int, *, already_rectified: bool
) -> RectifiedCamera:
    """
    Understand a sensor_msgs/CameraInfo; region of interest and binning are taken into account.

    :param info: the message, of rosbags or rclpy.
    :param width: of the received images, in pixels; ``height`` likewise.
    :param already_rectified: the topic's name says so; distortion is then history, and P counts.
    :raises UserError: where it is not calibrated, does not fit the images, or the distortion
        model is unknown.
    """
    distortion = np.asarray(info.d, np.float64)
    raw = received_camera(_view(info, info.k), width, height)
    projected = None
    if info.p[0] > 0:
        P = np.asarray(info.p, np.float64).reshape(3, 4)
        projected = received_camera(_view(info, P[:, :3].reshape(-1)), width, height)
    unrotated = np.allclose(np.asarray(info.r).reshape(3, 3), np.eye(3), atol=1e-6)
    if already_rectified:
        return RectifiedCamera(projected or raw, None)
    if not np.any(distortion):
        return RectifiedCamera(projected if projected and unrotated else raw, None)
    # The stereo rotation R is not applied: LiDAR and TF know the camera as it is mounted.
    new = projected if projected and unrotated else None
    if info.distortion_model in _POLYNOMIAL_MODELS:
        return _polynomial(raw, distortion, new, info.distortion_model)
    if info.distortion_model in _FISHEYE_MODELS:
        return _fisheye(raw, distortion, new, info.distortion_model)
    raise UserError(
        f'distortion model {info.distortion_model!r} is not known; known: '
        f'{", ".join(_POLYNOMIAL_MODELS + _FISHEYE_MODELS)}. Record rectified images (image_proc)'
    )


def _polynomial(
    raw: Intrinsics, distortion: NDArray[np.float64], new: Intrinsics | None, model: str
) -> RectifiedCamera:
    size = (raw.width, raw.height)
    if distortion.size not in (4, 5, 8, 12, 14):
        raise UserError(f'{distortion.size} distortion coefficients do not fit {model}')
    if new is None:
        # Alpha 0: every pixel of the result has been seen, no black border to learn from.
        matrix, _ = cv2.getOptimalNewCameraMatrix(raw.matrix(), distortion, size, 0)
        new = Intrinsics.from_matrix(np.asarray(matrix), *size)
    maps = cv2.initUndistortRectifyMap(
        raw.matrix(), distortion, np.eye(3), new.matrix(), size, cv2.CV_32FC1
    )
    return RectifiedCamera(new, model, (np.asarray(maps[0]), np.asarray(maps[1])))


def _fisheye(
    raw: Intrinsics, distortion: NDArray[np.float64], new: Intrinsics | None, model: str
) -> RectifiedCamera:
    size = (raw.width, raw.height)
    if distortion.size < 4 or np.any(distortion[4:]):
        raise UserError(f'{distortion.size} distortion coefficients do not fit {model}: it has 4')
    coefficients = distortion[:4]
    if new is None:
        matrix = cv2.fisheye.estimateNewCameraMatrixForUndistortRectify(
            raw.matrix(), coefficients, size, np.eye(3), balance=0.0
        )
        new = Intrinsics.from_matrix(np.asarray(matrix), *size)
    maps = cv2.fisheye.initUndistortRectifyMap(
        raw.matrix(), coefficients, np.eye(3), new.matrix(), size, cv2.CV_32FC1
    )
    return RectifiedCamera(new, model, (np.asarray(maps[0]), np.asarray(maps[1])))


def _view(info: Any, k: Any) -> _InfoView:
    return _InfoView(
        np.asarray(k, np.float64),
        int(info.width),
        int(info.height),
        info.roi,
        int(info.binning_x),
        int(info.binning_y),
    )
