"""A synthetic drive as a recording of a vehicle, if wanted with a perfect depth camera."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.bags.bag import open_bag
from sg_depth_ros.bags.messages import stamp_ns
from training.data.sources.source import SourceOptions
from training.data.sources.synthetic import open_synthetic
from training.data.synthetic import layout
from training.data.synthetic.layout import SyntheticDrive
from training.data.synthetic.layout import SyntheticFrame
from training.data.vehicle_bag.recording import EncodedImage
from training.data.vehicle_bag.recording import Moment
from training.data.vehicle_bag.recording import Motion
from training.data.vehicle_bag.recording import Recording


def synthetic_recording(path: Path, with_depth: bool) -> Recording:
    """
    Open a synthetic drive.

    :param with_depth: with the true depth of every pixel.
    :raises UserError: where the drive is damaged.
    """
    source = open_synthetic(path, SourceOptions())
    drive = source.drive
    return Recording(
        name=source.name,
        description=source.description,
        licence=source.licence,
        notes=source.notes,
        intrinsics=drive.intrinsics,
        lidar_frame=layout.LIDAR_FRAME,
        T_base_camera=_square(drive.T_base_camera),
        T_base_lidar=_square(drive.T_base_lidar),
        frame_count=len(drive.frames),
        moments=partial(_moments, drive, with_depth),
    )


def _moments(drive: SyntheticDrive, with_depth: bool, encoded: bool) -> Iterator[Moment]:
    # Three readers: rosbags allows one iteration over a file at a time.
    with open_bag(drive.bag) as first, open_bag(drive.bag) as second, open_bag(drive.bag) as third:
        images = first.images(first.camera(layout.IMAGE_TOPIC))
        clouds = (entry.message for entry in second.messages(layout.LIDAR_TOPIC))
        odometry = third.messages(layout.ODOMETRY_TOPIC)
        for frame, image, cloud, moved in zip(drive.frames, images, clouds, odometry):
            stamps = (image.stamp_ns, stamp_ns(cloud.header), stamp_ns(moved.message.header))
            assert stamps == (frame.stamp_ns,) * 3, 'synthesize writes all at one stamp'
            yield Moment(
                frame.stamp_ns,
                _png(image.image) if encoded else image.image,
                np.frombuffer(cloud.data, '<f4').reshape(-1, len(cloud.fields)),
                _motion(frame, drive, moved.message.twist.twist),
                _depth(drive, frame.index) if with_depth else None,
            )


def _motion(frame: SyntheticFrame, drive: SyntheticDrive, twist: Any) -> Motion:
    linear, angular = twist.linear, twist.angular
    return Motion(
        frame.stamp_ns,
        _square(frame.T_world_camera) @ np.linalg.inv(_square(drive.T_base_camera)),
        np.array([linear.x, linear.y, linear.z]),
        np.array([angular.x, angular.y, angular.z]),
    )


def _depth(drive: SyntheticDrive, index: int) -> NDArray[np.float32]:
    depth_m = drive.depth_m(index)
    return np.where(depth_m > 0, depth_m, np.float32(np.inf))


def _png(rgb: NDArray[np.uint8]) -> EncodedImage:
    """Encode without loss: what is trained on and judged stays the same."""
    ok, data = cv2.imencode('.png', cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    assert ok, 'OpenCV encodes any image as PNG'
    return EncodedImage(data.tobytes(), 'png')


def _square(T: tuple[float, ...]) -> NDArray[np.float64]:
    """Return a transform of 12 numbers, row by row, as (4, 4)."""
    return np.vstack([np.reshape(T, (3, 4)), (0.0, 0.0, 0.0, 1.0)])
