from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies
from numpy.typing import NDArray
from rosbags.highlevel import AnyReader

from sg_depth_ros.bags.transforms import quaternion_from_rotation
from sg_depth_ros.bags.writer import BagStorage
from sg_depth_ros.bags.writer import BagWriter
from sg_depth_ros.bags.writer import FrameTransform
from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.errors import UserError
from sg_depth_ros.image_encoding import decode_compressed_image

CAMERA = Intrinsics(20.0, 21.0, 7.5, 3.5, 16, 8)


def depth_of(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    depth_m = image[..., 1] * np.float32(0.37)
    depth_m[0, :2] = np.nan, np.inf
    return depth_m


def png_of(image: NDArray[np.uint8]) -> bytes:
    ok, data = cv2.imencode('.png', cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    assert ok
    return data.tobytes()


def write_everything(
    path: Path, storage: BagStorage = 'sqlite3'
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (8, 16, 3), np.uint8)
    points = rng.normal(size=(5, 4)).astype(np.float32)
    pose = np.eye(4)
    pose[:3, 3] = 1, 2, 3
    with BagWriter(path, storage) as bag:
        bag.tf_static(0, [FrameTransform('base_link', 'camera', pose)])
        bag.tf(2_500_000_006, [FrameTransform('odom', 'base_link', pose)])
        bag.camera_info('/camera/camera_info', 2_500_000_007, 'camera', CAMERA)
        bag.image('/camera/image', 2_500_000_007, 'camera', image)
        bag.image('/camera/gray', 2_500_000_008, 'camera', image[..., 0])
        bag.image('/camera/depth', 2_500_000_008, 'camera', depth_of(image))
        bag.compressed_image('/camera/png', 2_500_000_008, 'camera', png_of(image), 'png')
        bag.odometry('/odometry', 2_500_000_009, 'odom', 'base_link', pose, (4.0, 0.0, 0.5))
        bag.cloud('/lidar', 2_500_000_010, 'lidar', points, received_ns=3_000_000_000)
    return image, points


@pytest.mark.parametrize('storage', ['sqlite3', 'mcap'])
def test_what_is_written_is_read_back(tmp_path: Path, storage: BagStorage) -> None:
    image, points = write_everything(tmp_path / 'drive', storage)
    with AnyReader([tmp_path / 'drive']) as reader:
        messages: dict[str, tuple[int, Any]] = {
            connection.topic: (received, reader.deserialize(raw, connection.msgtype))
            for connection, received, raw in reader.messages()
        }
    received, message = messages['/camera/image']
    assert received == 2_500_000_007
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (2, 500_000_007)
    assert message.header.frame_id == 'camera'
    assert message.encoding == 'rgb8'
    np.testing.assert_array_equal(message.data.reshape(8, 16, 3), image)
    gray = messages['/camera/gray'][1]
    assert (gray.encoding, gray.step) == ('mono8', 16)
    depth = messages['/camera/depth'][1]
    assert (depth.encoding, depth.step) == ('32FC1', 64)
    np.testing.assert_array_equal(depth.data.view(np.float32).reshape(8, 16), depth_of(image))
    compressed = messages['/camera/png'][1]
    assert compressed.format == 'png'
    np.testing.assert_array_equal(decode_compressed_image(compressed), image)
    info = messages['/camera/camera_info'][1]
    np.testing.assert_array_equal(info.k.reshape(3, 3), CAMERA.matrix())
    np.testing.assert_array_equal(info.p.reshape(3, 4)[:, :3], CAMERA.matrix())
    assert not info.d.any()
    odometry = messages['/odometry'][1]
    assert odometry.twist.twist.linear.x == 4.0
    assert odometry.pose.pose.position.z == 3.0
    received, cloud = messages['/lidar']
    assert received == 3_000_000_000
    assert [f.name for f in cloud.fields] == ['x', 'y', 'z', 'intensity']
    np.testing.assert_array_equal(cloud.data.view(np.float32).reshape(5, 4), points)
    (transform,) = messages['/tf_static'][1].transforms
    assert (transform.header.frame_id, transform.child_frame_id) == ('base_link', 'camera')
    assert transform.transform.translation.y == 2.0
    assert transform.transform.rotation.w == 1.0
    (moving,) = messages['/tf'][1].transforms
    assert (moving.header.stamp.nanosec, moving.child_frame_id) == (500_000_006, 'base_link')


def test_an_exception_leaves_nothing_behind(tmp_path: Path) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        BagWriter(tmp_path / 'drive') as bag,
    ):
        bag.camera_info('/camera_info', 0, 'camera', CAMERA)
        _ = 1 / 0
    assert list(tmp_path.iterdir()) == []


def test_a_bag_is_never_overwritten(tmp_path: Path) -> None:
    write_everything(tmp_path / 'drive')
    with pytest.raises(UserError, match='exists already'):
        BagWriter(tmp_path / 'drive')


@settings(deadline=None)
@given(strategies.tuples(*[strategies.floats(-1, 1)] * 4).filter(lambda q: np.dot(q, q) > 1e-3))
def test_quaternion_of_a_rotation_is_the_one_it_was_made_from(
    values: tuple[float, float, float, float],
) -> None:
    x, y, z, w = q = np.array(values) / np.linalg.norm(values)
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    found = np.array(quaternion_from_rotation(rotation))
    assert min(np.abs(found - q).max(), np.abs(found + q).max()) < 1e-9
