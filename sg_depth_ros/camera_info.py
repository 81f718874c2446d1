"""
From a sensor_msgs/CameraInfo to the intrinsics of the image that was received with it.

No ROS: messages are read by their fields. Whatever they hold, the answer is a camera or a
UserError. REP 104 (ros.org/reps/rep-0104.html) and the comments of sensor_msgs/CameraInfo.
"""

import math
from dataclasses import dataclass
from typing import Any
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.errors import UserError

SIZE_TOLERANCE = 0.01  # how far width and height may disagree on one scale
# In widths and heights of the sensor: a field of view of 0.6 degrees, or an axis far outside.
LARGEST_SHARE = 100.0


class SensorRegion(NamedTuple):
    """The part of the sensor that an image shows, and how many of its pixels make one."""

    left: int  # of the full sensor, in its pixels; likewise the others
    top: int
    width: int
    height: int
    binning_x: int
    binning_y: int

    @property
    def image_size(self) -> tuple[int, int]:
        """Width and height of the image."""
        return self.width // self.binning_x, self.height // self.binning_y


@dataclass(frozen=True)
class CameraDescription:
    """A CameraInfo whose fields have been checked."""

    width: int  # of the full sensor, in pixels; likewise the height
    height: int
    k: Intrinsics  # of the full sensor; P where that alone counts
    p: Intrinsics | None  # likewise, of the rectified image; None: not set or not of use
    turns: bool  # R rotates the rectified image against the sensor
    d: NDArray[np.float64]
    distortion_model: str
    region: SensorRegion


def read_camera_info(info: Any, *, rectified: bool = False) -> CameraDescription:
    """
    Read and check a CameraInfo.

    :param info: the message, of rclpy or rosbags.
    :param rectified: the image is rectified: then P counts, and K only where P is not set.
    :raises UserError: where the camera is not calibrated or a field cannot be.
    """
    width, height = int(info.width), int(info.height)
    if width <= 0 or height <= 0:
        raise UserError(
            f'camera_info gives its images a size of {width}x{height}; the driver must fill in '
            'width and height'
        )
    d = np.asarray(info.d, np.float64).ravel()
    # What is not used may be anything: neither P without distortion to undo, ...
    p = _projection(info, width, height) if rectified or d.any() else None
    # ... nor K where P counts.
    return CameraDescription(
        width=width,
        height=height,
        k=p if rectified and p is not None else _sensor_camera(info.k, 3, 'K', width, height),
        p=p,
        turns=bool(d.any()) and not rectified and _turns(info.r),
        d=d,
        distortion_model=str(info.distortion_model),
        region=_region(info, width, height),
    )


def received_intrinsics(
    sensor: Intrinsics, region: SensorRegion, width: int, height: int
) -> Intrinsics:
    """
    Return the intrinsics of a received image.

    Those of the full sensor, minus the region's offset, divided by the binning; where the image is
    of another size than that by a pure scale, scaled.

    :param width: of the received image, in pixels; ``height`` likewise.
    :raises UserError: where the image is no scaled copy of the region; it names both sizes.
    """
    if width <= 0 or height <= 0:
        raise UserError(f'image of size {width}x{height} is empty')
    announced_width, announced_height = region.image_size
    # Binning leaves out the pixels that fill no whole bin.
    used = region.binning_x * announced_width, region.binning_y * announced_height
    camera = sensor.cropped(region.left, region.top, *used)
    if used != region.image_size:
        camera = camera.resized(announced_width, announced_height)
    if (camera.width, camera.height) == (width, height):
        return camera
    sx, sy = width / camera.width, height / camera.height
    if abs(sx / sy - 1) > SIZE_TOLERANCE:
        raise UserError(
            f'camera_info is of a {camera.width}x{camera.height} image, the image is '
            f'{width}x{height}: no pure scale; check that both topics are of the same camera'
        )
    return camera.resized(width, height)


def calibration_key(info: Any) -> tuple[Any, ...]:
    """Return all of an info that geometry depends on, to notice a change."""
    roi = info.roi
    return (
        *(np.asarray(values, np.float64).tobytes() for values in (info.k, info.d, info.p, info.r)),
        *(info.width, info.height, info.binning_x, info.binning_y, info.distortion_model),
        *(roi.x_offset, roi.y_offset, roi.width, roi.height),
    )


def _region(info: Any, width: int, height: int) -> SensorRegion:
    roi = info.roi
    left, top = int(roi.x_offset), int(roi.y_offset)
    roi_width, roi_height = int(roi.width), int(roi.height)
    # All zero means the whole sensor, and a binning of zero means one.
    if (left, top, roi_width, roi_height) == (0, 0, 0, 0):
        roi_width, roi_height = width, height
    binning = max(int(info.binning_x), 1), max(int(info.binning_y), 1)
    inside = left >= 0 and top >= 0 and left + roi_width <= width and top + roi_height <= height
    if roi_width <= 0 or roi_height <= 0 or not inside:
        raise UserError(
            f'camera_info: the region of interest of {roi_width}x{roi_height} at ({left}, {top}) '
            f'is no part of the sensor of {width}x{height}; all zero means all of it'
        )
    if binning[0] > roi_width or binning[1] > roi_height:
        raise UserError(
            f'camera_info: a binning of {binning[0]}x{binning[1]} leaves nothing of '
            f'{roi_width}x{roi_height} pixels'
        )
    return SensorRegion(left, top, roi_width, roi_height, *binning)


def _sensor_camera(values: Any, columns: int, name: str, width: int, height: int) -> Intrinsics:
    matrix = np.asarray(values, np.float64).ravel()
    if matrix.size != 3 * columns:
        raise UserError(f'camera_info: {name} has {matrix.size} numbers, not {3 * columns}')
    try:
        camera = Intrinsics.from_matrix(matrix.reshape(3, columns), width, height)
    except UserError as error:
        raise UserError(f'camera_info, {name}: {error}') from error
    shares = (
        *(camera.fx / width, camera.fy / height),
        *(camera.cx / width, camera.cy / height),
    )
    if max(map(math.fabs, shares)) > LARGEST_SHARE:
        raise UserError(
            f'camera_info, {name}: fx, fy, cx, cy = {camera.fx:g}, {camera.fy:g}, {camera.cx:g}, '
            f'{camera.cy:g} cannot be pixels of images of {width}x{height}; calibrate the camera'
        )
    return camera


def _projection(info: Any, width: int, height: int) -> Intrinsics | None:
    """Return the camera in the left 3x3 of P, or None where P is not set."""
    p = np.asarray(info.p, np.float64).ravel()
    if p.size != 12 or p[0] == 0 or p[5] == 0:
        return None
    return _sensor_camera(p, 4, 'P', width, height)


def _turns(values: Any) -> bool:
    """Return whether R turns; all zero is what drivers send that know no rotation."""
    rotation = np.asarray(values, np.float64).ravel()
    if not rotation.any():
        return False
    matrix = rotation.reshape(3, 3) if rotation.size == 9 else np.full((3, 3), np.nan)
    with np.errstate(over='ignore', invalid='ignore'):
        orthonormal = np.allclose(matrix @ matrix.T, np.eye(3), atol=1e-3)
    if not orthonormal or np.linalg.det(matrix) < 0:
        raise UserError('camera_info: R is no rotation; identity is right for a single camera')
    return not np.allclose(matrix, np.eye(3), atol=1e-6)
