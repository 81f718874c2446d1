"""A small bag whose LiDAR measures exactly what the tiny model predicts: for tests of replay."""

from pathlib import Path

import numpy as np
from tiny_model import RED_STEP_M
from tiny_model import tiny_ramp_m

from sg_depth_ros.bags.writer import BagWriter
from sg_depth_ros.bags.writer import FrameTransform
from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.contract import ModelContract

IMAGE_TOPIC = '/camera/image_raw'
FIRST_STAMP_NS = 1_700_000_000_000_000_000
PERIOD_NS = 100_000_000

# The LiDAR looks along x with z up, half a metre above the camera.
T_CAMERA_LIDAR = np.array(
    [[0.0, -1.0, 0.0, 0.0], [0.0, 0.0, -1.0, -0.5], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
)


def write_tiny_bag(
    path: Path,
    contract: ModelContract,
    *,
    frames: int = 10,
    lidar: bool = True,
    transform: bool = True,
    camera_info: bool = True,
    images: bool = True,
    focal_factor: float = 1.0,
    rows_around: int = 0,
    lidar_delay_ns: int = 0,
) -> Intrinsics:
    """
    Write a drive of uniform images, redder from frame to frame, at the model's own size.

    :param focal_factor: focal length over the model's; the measured depth grows with it, as the
        network sees everything nearer by this factor.
    :param rows_around: so many rows are above and below what the model is to see; the LiDAR sees
        nothing there.
    """
    c = contract.intrinsics
    camera = Intrinsics(c.fx * focal_factor, c.fy * focal_factor, c.cx, c.cy, c.width, c.height)
    whole = camera.cropped(0, -rows_around, camera.width, camera.height + 2 * rows_around)
    T_lidar_camera = np.linalg.inv(T_CAMERA_LIDAR)
    with BagWriter(path, 'mcap') as bag:
        if transform:
            bag.tf_static(FIRST_STAMP_NS, [FrameTransform('camera', 'lidar', T_CAMERA_LIDAR)])
        bag.odometry('/odometry', FIRST_STAMP_NS, 'odom', 'base', np.eye(4), (5.0, 0.0, 0.0))
        for number in range(frames):
            stamp_ns = FIRST_STAMP_NS + number * PERIOD_NS
            if camera_info:
                bag.camera_info('/camera/camera_info', stamp_ns, 'camera', whole)
            if images:
                rgb = np.full((whole.height, whole.width, 3), 255, np.uint8)
                rgb[rows_around : rows_around + camera.height] = (2 * number, 0, 0)
                bag.image(IMAGE_TOPIC, stamp_ns, 'camera', rgb)
            if lidar:
                depth_m = (tiny_ramp_m(contract) + 2 * number * RED_STEP_M) * focal_factor
                points = (camera.rays() * depth_m[..., None]).reshape(-1, 3)
                points = points @ T_lidar_camera[:3, :3].T + T_lidar_camera[:3, 3]
                bag.cloud('/lidar', stamp_ns + lidar_delay_ns, 'lidar', points)
    return whole
