"""
From a CameraInfo to the pinhole camera of the received image, and the maps that undistort it.

Models: REP 104 (ros.org/reps/rep-0104.html) and sensor_msgs/distortion_models.hpp; their formulas
are those of OpenCV (docs.opencv.org, calib3d and fisheye).
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.camera_info import read_camera_info
from sg_depth_ros.camera_info import received_intrinsics
from sg_depth_ros.errors import UserError

# How many coefficients OpenCV takes for each of ROS's models.
COEFFICIENT_COUNTS: dict[str, tuple[int, ...]] = {
    'plumb_bob': (4, 5),
    'rational_polynomial': (8, 12, 14),
    'equidistant': (4,),
}
# A picture that shows less than this of what it should is no picture of that calibration.
SMALLEST_SEEN_SHARE = 0.4
DOUBTFUL_SEEN_SHARE = 0.75
_UNSEEN_PX = -16.0  # where a map points that points nowhere: black, whatever the interpolation


class Lens(NamedTuple):
    """What a camera does beside projecting as a pinhole does."""

    raw: Intrinsics  # K, in pixels of the received image
    coefficients: NDArray[np.float64]  # [N], as the model orders them
    model: str  # one of COEFFICIENT_COUNTS


class Undistortion:
    """
    Once-computed maps that turn an image of a distorting lens into one of a pinhole camera.

    ``outside`` (H, W) are the pixels that the lens did not see, None where there are none.
    """

    def __init__(self, lens: Lens, target: Intrinsics) -> None:
        """
        Compute the maps.

        :param target: the camera of the undistorted image, of any size.
        """
        size = (target.width, target.height)
        fisheye = lens.model == 'equidistant'
        compute = cv2.fisheye.initUndistortRectifyMap if fisheye else cv2.initUndistortRectifyMap
        raw = lens.raw
        x, y = compute(
            raw.matrix(), lens.coefficients, np.eye(3), target.matrix(), size, cv2.CV_32FC1
        )
        # Written so that NaN is outside.
        seen = (x >= -0.5) & (x <= raw.width - 0.5) & (y >= -0.5) & (y <= raw.height - 0.5)
        seen &= _radius(target) < _largest_radius(lens)
        outside = ~seen
        self.seen_share = float(np.count_nonzero(seen) / seen.size)
        self.outside: NDArray[np.bool_] | None = outside if outside.any() else None
        x[outside] = y[outside] = _UNSEEN_PX
        # Fixed-point maps: half the time of floating-point ones.
        self._whole, self._fraction = cv2.convertMaps(x, y, cv2.CV_16SC2)

    def apply(
        self, image: NDArray[np.uint8], out: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8]:
        """
        Undistort an image (h, w, 3); what the lens did not see is black, see ``outside``.

        :param out: (H, W, 3) of the target's size to write into; None: a new array.
        """
        straight = cv2.remap(image, self._whole, self._fraction, cv2.INTER_LINEAR, dst=out)
        return np.asarray(straight, np.uint8)

    def nearest(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Undistort (h, w) without mixing neighbours; 0 where the lens did not see."""
        # OpenCV's fixed-point maps have five bits of fraction: of x, and above them of y.
        x = self._whole[..., 0] + (self._fraction % 32 >= 16)
        y = self._whole[..., 1] + (self._fraction // 32 >= 16)
        height, width = values.shape
        seen = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        straight = np.zeros(seen.shape, np.float32)
        straight[seen] = values[y[seen], x[seen]]
        return straight


@dataclass(frozen=True, eq=False)
class RectifiedCamera:
    """How a received image becomes one of a pinhole camera."""

    camera: Intrinsics  # after undistortion, at the received size
    lens: Lens | None  # None: the image is rectified already
    scaled: bool  # the image is not of the size that the info announces
    doubt: str  # what of the calibration is doubtful, else empty

    @cached_property
    def undistortion(self) -> Undistortion | None:
        """What undistorts a whole received image; None: nothing does."""
        return None if self.lens is None else Undistortion(self.lens, self.camera)


def rectified_camera(info: Any, width: int, height: int, is_rectified: bool) -> RectifiedCamera:
    """
    Return the pinhole camera of an image and the lens that it must be freed from.

    :param info: sensor_msgs/CameraInfo of rclpy or rosbags.
    :param width: of the received image, in pixels; ``height`` likewise.
    :param is_rectified: the image is rectified, whatever D says, and P describes it.
    :raises UserError: where the camera is not calibrated, the info does not fit the image, or the
        distortion cannot be undone.
    """
    described = read_camera_info(info, rectified=is_rectified)
    region = described.region
    scaled = region.image_size != (width, height)
    raw = received_intrinsics(described.k, region, width, height)
    if is_rectified:
        return RectifiedCamera(raw, None, scaled, '')
    if not described.d.any():
        doubt = ''
        if described.distortion_model == 'equidistant':
            doubt = (
                'camera_info names a fisheye lens but D is all zero: the images are taken to be '
                'rectified'
            )
        return RectifiedCamera(raw, None, scaled, doubt)
    lens = _lens(raw, described.d, described.distortion_model)
    # Undistorting must not turn the camera: the depth keeps the image's frame. So P, which
    # calibration chose for a picture without black borders, serves only without a rotation R.
    target = raw
    if described.p is not None and not described.turns:
        target = received_intrinsics(described.p, region, width, height)
    return RectifiedCamera(target, lens, scaled, _doubt(lens, target))


def is_rectified_topic(image_topic: str) -> bool:
    """Return whether a topic's name says that its images are rectified: image_rect*."""
    return image_topic.removesuffix('/compressed').rpartition('/')[2].startswith('image_rect')


def _lens(raw: Intrinsics, coefficients: NDArray[np.float64], model: str) -> Lens:
    counts = COEFFICIENT_COUNTS.get(model)
    if counts is None:
        raise UserError(
            f'camera_info: distortion_model {model!r} is unknown; known: '
            f'{", ".join(COEFFICIENT_COUNTS)}; or send rectified images'
        )
    if coefficients.size not in counts or not np.isfinite(coefficients).all():
        raise UserError(
            f'camera_info: {model} takes {" or ".join(map(str, counts))} finite coefficients, '
            f'D has {coefficients.size}: {np.array2string(coefficients[:14], separator=", ")}'
        )
    return Lens(raw, coefficients, model)


def _doubt(lens: Lens, target: Intrinsics) -> str:
    """Look at the undistorted picture, made small: is it a picture at all."""
    scale = min(1.0, 96 / max(target.width, target.height))
    size = max(1, round(target.width * scale)), max(1, round(target.height * scale))
    seen = Undistortion(lens, target.resized(*size)).seen_share
    text = f'undistorted with its D and K, {seen:.0%} of the image show anything'
    if seen < SMALLEST_SEEN_SHARE:
        raise UserError(f'camera_info: {text}; calibrate the camera anew or send rectified images')
    return f'{text}; is camera_info of this camera?' if seen < DOUBTFUL_SEEN_SHARE else ''


def _radius(camera: Intrinsics) -> NDArray[np.float32]:
    """Return every pixel's distance to the axis at z = 1, (H, W)."""
    x = ((np.arange(camera.width) - camera.cx) / camera.fx).astype(np.float32)
    y = ((np.arange(camera.height) - camera.cy) / camera.fy).astype(np.float32)
    return np.hypot(x[None, :], y[:, None])


def _largest_radius(lens: Lens) -> float:
    """
    Return how far from the axis, at z = 1, the lens's formula holds.

    Polynomials fitted to what the sensor saw turn back somewhere beyond: further out a second
    image of the scene would appear.
    """
    d = lens.coefficients
    with np.errstate(all='ignore'):
        if lens.model == 'equidistant':
            angle = np.linspace(0, math.pi / 2, 2000)[:-1]
            radius, bent = np.tan(angle), angle * _even_polynomial(angle, d)
        else:
            radius = np.tan(np.linspace(0, math.radians(89), 2000))
            bent = radius * _even_polynomial(radius, d[[0, 1, 4]] if d.size > 4 else d[:2])
            if lens.model == 'rational_polynomial':
                below = _even_polynomial(radius, d[5:8])
                bent = np.where(below > 0, bent / below, np.nan)
        turned = np.flatnonzero(~(np.diff(bent) > 0))
    return float(radius[turned[0]]) if turned.size else math.inf


def _even_polynomial(
    x: NDArray[np.float64], coefficients: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return 1 + c0 x^2 + c1 x^4 + ..."""
    terms = [c * x ** (2 * n) for n, c in enumerate(coefficients, 1)]
    return np.asarray(1.0 + sum(terms), np.float64)
