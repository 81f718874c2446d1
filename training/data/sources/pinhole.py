"""From the camera_info of a recording to the pinhole camera of its frames, and what to say."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera_info import SIZE_TOLERANCE
from sg_depth_ros.errors import UserError
from sg_depth_ros.rectification import RectifiedCamera
from sg_depth_ros.rectification import rectified_camera
from training.data.sources.camera_file import CameraFile

MAX_BLACK_SHARE = 0.005  # of undistorted images, before it is worth a word


def pinhole_camera(
    info: Any, where: str, width: int, height: int, notes: list[str], is_rectified: bool = False
) -> RectifiedCamera:
    """
    Return the pinhole camera of a recording's images, and what brings them there.

    :param info: sensor_msgs/CameraInfo, or a ``CameraFile``.
    :param where: what the info comes from, for messages.
    :param width: of the images, in pixels; ``height`` likewise.
    :param notes: gets a sentence for what was done.
    :param is_rectified: the images are rectified, whatever the info's D says.
    :raises UserError: where the info does not fit the images, or no such camera can be had.
    """
    try:
        camera = rectified_camera(info, width, height, is_rectified=is_rectified)
    except UserError as error:
        raise UserError(f'{where}: {error}') from error
    if camera.scaled:
        notes.append('Images and camera_info differ in size by a scale: intrinsics are scaled.')
    if camera.undistortion is None:
        return camera
    notes.append(f'Lens distortion is undone ({info.distortion_model}).')
    outside = camera.undistortion.outside
    share = 0.0 if outside is None else float(outside.mean())
    if share > MAX_BLACK_SHARE:
        notes.append(
            f'{100 * share:.0f} % of the undistorted image is black, the lens did not see it: '
            'calibrate with alpha 0, so that P of camera_info shows seen pixels only.'
        )
    return camera


def file_camera(
    info: CameraFile, path: Path, images: str, width: int, height: int, notes: list[str]
) -> RectifiedCamera:
    """
    Return the pinhole camera of images that a camera file describes.

    :param path: of the camera file.
    :param images: what the images are, for messages.
    :param notes: gets a sentence for what was done.
    :raises UserError: where the images are no pure scale of the calibrated ones.
    """
    cut = info.width - width, info.height - height
    if max(cut) == 1 and min(cut) >= 0:
        notes.append('Odd rows or columns are cut off at the end, as video codecs do.')
        info = replace(info, width=width, height=height)
    elif abs((width * info.height) / (height * info.width) - 1) > SIZE_TOLERANCE:
        turned = abs((height * info.height) / (width * info.width) - 1) <= SIZE_TOLERANCE
        raise UserError(
            f'{images}: {width}x{height}, but {path} is of images of {info.width}x{info.height}: '
            + (
                'turned by 90 degrees; calibrate with images that are turned alike'
                if turned
                else 'no pure scale; take the calibration of these images'
            )
        )
    return pinhole_camera(info, str(path), width, height, notes)


def undistorted(image: NDArray[np.uint8], camera: RectifiedCamera) -> NDArray[np.uint8]:
    """Return an image (H, W, 3) as the pinhole camera sees it."""
    return image if camera.undistortion is None else camera.undistortion.apply(image)
