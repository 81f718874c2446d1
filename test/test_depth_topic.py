import struct
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from tiny_bag import FIRST_STAMP_NS
from tiny_bag import IMAGE_TOPIC

from sg_depth_ros.bags.bag import open_bag
from sg_depth_ros.bags.depth_image import decode_compressed_depth_image
from sg_depth_ros.bags.depth_image import decode_depth_image
from sg_depth_ros.bags.writer import BagWriter
from sg_depth_ros.bags.writer import FrameTransform
from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.errors import UserError
from sg_depth_ros.replay.recorded_drive import BagOptions
from sg_depth_ros.replay.recorded_drive import recorded_camera
from sg_depth_ros.replay.recorded_drive import recorded_drive

CAMERA = Intrinsics(50.0, 50.0, 31.5, 15.5, 64, 32)
DEPTH_TOPIC = '/depth/image_raw'
OPTIONS = BagOptions(depth_topic=DEPTH_TOPIC)


def depth_image(height=32, width=64):
    depth_m = np.full((height, width), 7.5, np.float32)
    depth_m[0, 0], depth_m[0, 1], depth_m[0, 2] = np.nan, np.inf, 0
    return depth_m


def write_bag(
    path,
    depth_m,
    *,
    frame='camera',
    depth_camera=None,
    apart_m=None,
    stamp_ns=FIRST_STAMP_NS,
):
    with BagWriter(path) as bag:
        bag.camera_info('/camera/camera_info', stamp_ns, 'camera', CAMERA)
        bag.image(IMAGE_TOPIC, stamp_ns, 'camera', np.zeros((32, 64, 3), np.uint8))
        bag.image(DEPTH_TOPIC, stamp_ns + 5_000_000, frame, depth_m)
        if depth_camera is not None:
            bag.camera_info('/depth/camera_info', stamp_ns, frame, depth_camera)
        if apart_m is not None:
            T = np.eye(4)
            T[0, 3] = apart_m
            bag.tf_static(stamp_ns, [FrameTransform('camera', frame, T)])


def measured(path, options=OPTIONS):
    with open_bag(path) as bag:
        camera = recorded_camera(bag, options)
        with recorded_drive('drive', bag, camera, options) as drive:
            image = next(bag.images(camera.topics))
            return drive.truth.source, drive.truth_m(image, camera.intrinsics)


def test_a_depth_topic_is_ground_truth_and_no_second_camera(tmp_path):
    write_bag(tmp_path / 'bag', depth_image())
    source, depth_m = measured(tmp_path / 'bag')
    assert source == DEPTH_TOPIC
    assert depth_m[0, :4].tolist() == [0, 0, 0, 7.5]
    assert depth_m.shape == (32, 64)


def test_a_bag_may_begin_at_time_zero(tmp_path):
    write_bag(tmp_path / 'bag', depth_image(), stamp_ns=0)
    assert measured(tmp_path / 'bag')[1] is not None


def test_a_smaller_depth_image_of_the_same_camera_serves(tmp_path):
    write_bag(tmp_path / 'bag', depth_image(16, 32), depth_camera=CAMERA.resized(32, 16))
    _, depth_m = measured(tmp_path / 'bag')
    assert depth_m.shape == (32, 64)
    assert np.count_nonzero(depth_m == 7.5) == 32 * 64 - 3 * 4


def test_another_frame_in_the_same_place_serves(tmp_path):
    write_bag(tmp_path / 'bag', depth_image(), frame='depth_camera', apart_m=0.0)
    assert measured(tmp_path / 'bag')[1] is not None


@pytest.mark.parametrize(
    ('depth_m', 'camera', 'frame', 'apart_m', 'words'),
    [
        (depth_image(), None, 'left', 0.12, 'frame "left".*of another camera'),
        (depth_image(), None, 'left', None, 'frame "left".*of another camera'),
        (depth_image(16, 32), None, 'camera', None, '32x16.*no camera_info lies beside'),
        (
            depth_image(),
            Intrinsics(80.0, 80.0, 31.5, 15.5, 64, 32),
            'camera',
            None,
            'camera_info beside /depth/image_raw is of another camera',
        ),
        (np.zeros((32, 64, 3), np.uint8), None, 'camera', None, "'rgb8' is no depth image"),
    ],
)
def test_depth_of_another_camera_is_refused(depth_m, camera, frame, apart_m, words, tmp_path):
    write_bag(tmp_path / 'bag', depth_m, frame=frame, depth_camera=camera, apart_m=apart_m)
    with pytest.raises(UserError, match=words):
        measured(tmp_path / 'bag')


def raw_message(pixels, encoding, big_endian=False):
    stored = np.ascontiguousarray(pixels).astype(pixels.dtype.newbyteorder('><'[not big_endian]))
    return SimpleNamespace(
        encoding=encoding,
        height=pixels.shape[0],
        width=pixels.shape[1],
        step=stored.strides[0],
        is_bigendian=big_endian,
        data=stored.tobytes(),
    )


@pytest.mark.parametrize('big_endian', [False, True])
def test_millimetres_and_metres_are_told_apart(big_endian):
    millimetres = np.array([[0, 1500], [65535, 20]], np.uint16)
    decoded = decode_depth_image(raw_message(millimetres, '16UC1', big_endian))
    assert decoded == pytest.approx(np.array([[0, 1.5], [65.535, 0.02]]))
    metres = np.array([[np.nan, 1.5], [np.inf, -1]], np.float32)
    decoded = decode_depth_image(raw_message(metres, '32FC1', big_endian))
    assert decoded.tolist() == [[0, 1.5], [0, 0]]


def test_compressed_depth_is_undone():
    depth_m = np.linspace(1, 60, 32 * 64, dtype=np.float32).reshape(32, 64)
    quantum, offset = 100.0 * 101, -100.0  # as image_transport_plugins computes them
    inverse = np.round(quantum / depth_m + offset).astype(np.uint16)
    ok, png = cv2.imencode('.png', inverse)
    assert ok
    message = SimpleNamespace(
        format='32FC1; compressedDepth png',
        data=struct.pack('<iff', 0, quantum, offset) + png.tobytes(),
    )
    assert decode_compressed_depth_image(message) == pytest.approx(depth_m, rel=5e-3)
    message.format = '16UC1; compressedDepth'
    expected = inverse.astype(np.float32) * np.float32(1e-3)
    assert decode_compressed_depth_image(message).tolist() == expected.tolist()


@pytest.mark.parametrize(
    ('image_format', 'data', 'words'),
    [
        ('jpeg', b'', 'is no compressedDepth'),
        ('32FC1; compressedDepth rvl', bytes(20), 'is no compressedDepth of PNG'),
        ('16UC1; compressedDepth', bytes(12) + b'\x89PNG\r\n\x1a\n', 'damaged PNG'),
    ],
)
def test_what_is_no_compressed_depth_is_refused(image_format, data, words):
    with pytest.raises(UserError, match=words):
        decode_compressed_depth_image(SimpleNamespace(format=image_format, data=data))
