"""Writing a recording as a rosbag2: image, camera_info, LiDAR, odometry, /tf and /tf_static."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from sg_depth_ros.bags.writer import BagStorage
from sg_depth_ros.bags.writer import BagWriter
from sg_depth_ros.bags.writer import FrameTransform
from sg_depth_ros.camera import Intrinsics
from training.data.vehicle_bag.recording import EncodedImage
from training.data.vehicle_bag.recording import Moment
from training.data.vehicle_bag.recording import Motion
from training.data.vehicle_bag.recording import Recording

IMAGE_TOPIC = '/camera/image_raw'
COMPRESSED_TOPIC = f'{IMAGE_TOPIC}/compressed'
CAMERA_INFO_TOPIC = '/camera/camera_info'
DEPTH_TOPIC = '/camera/depth/image_raw'
ODOMETRY_TOPIC = '/odometry'
ODOM_FRAME = 'odom'
BASE_FRAME = 'base_link'
CAMERA_FRAME = 'camera_optical'


class Written(NamedTuple):
    """How much of what a bag holds."""

    images: int
    clouds: int
    poses: int
    depth_images: int


def lidar_topic(lidar_frame: str) -> str:
    """Return the topic of a LiDAR's clouds."""
    return f'/{lidar_frame}/points'


def write_recording(
    recording: Recording,
    path: Path,
    storage: BagStorage = 'sqlite3',
    compressed: bool = False,
    advance: Callable[[], None] = lambda: None,
) -> Written:
    """
    Write a bag.

    :param path: appears when complete.
    :param compressed: images as CompressedImage.
    :param advance: called after each image.
    :raises UserError: where ``path`` exists or the recording is damaged; nothing is left.
    """
    clouds = poses = depth_images = 0
    with BagWriter(path, storage, _about(recording)) as bag:
        for number, moment in enumerate(recording.moments(compressed)):
            if number == 0:
                bag.tf_static(moment.stamp_ns, _mounting(recording))
            _write_image(bag, moment, recording.intrinsics)
            if moment.points is not None and recording.T_base_lidar is not None:
                topic = lidar_topic(recording.lidar_frame)
                bag.cloud(topic, moment.stamp_ns, recording.lidar_frame, moment.points)
                clouds += 1
            if moment.depth_m is not None:
                bag.image(DEPTH_TOPIC, moment.stamp_ns, CAMERA_FRAME, moment.depth_m)
                depth_images += 1
            if moment.motion is not None:
                _write_motion(bag, moment.motion)
                poses += 1
            advance()
    return Written(recording.frame_count, clouds, poses, depth_images)


def _about(recording: Recording) -> dict[str, str]:
    return {
        'source': recording.description,
        'licence': recording.licence,
        'notes': ' '.join(recording.notes),
    }


def _mounting(recording: Recording) -> list[FrameTransform]:
    mounting = [FrameTransform(BASE_FRAME, CAMERA_FRAME, recording.T_base_camera)]
    if recording.T_base_lidar is not None:
        mounting.append(FrameTransform(BASE_FRAME, recording.lidar_frame, recording.T_base_lidar))
    return mounting


def _write_motion(bag: BagWriter, motion: Motion) -> None:
    bag.odometry(
        ODOMETRY_TOPIC,
        motion.stamp_ns,
        ODOM_FRAME,
        BASE_FRAME,
        motion.T_odom_base,
        motion.velocity_m_s.tolist(),
        motion.angular_velocity_rad_s.tolist(),
    )
    bag.tf(motion.stamp_ns, [FrameTransform(ODOM_FRAME, BASE_FRAME, motion.T_odom_base)])


def _write_image(bag: BagWriter, moment: Moment, intrinsics: Intrinsics) -> None:
    bag.camera_info(CAMERA_INFO_TOPIC, moment.stamp_ns, CAMERA_FRAME, intrinsics)
    if isinstance(moment.image, EncodedImage):
        data, image_format = moment.image
        bag.compressed_image(COMPRESSED_TOPIC, moment.stamp_ns, CAMERA_FRAME, data, image_format)
    else:
        bag.image(IMAGE_TOPIC, moment.stamp_ns, CAMERA_FRAME, moment.image)
