"""Messages written in place, read back as others read them."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from sensor_msgs.msg import PointField
from std_msgs.msg import Header
from tiny_model import tiny_contract

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.node.topics.messages import CloudBuffer
from sg_depth_ros.node.topics.messages import ImageBuffer
from sg_depth_ros.node.topics.messages import camera_info_message
from sg_depth_ros.node.topics.messages import label_info_message
from sg_depth_ros.point_cloud import PointCloudBuilder

CAMERA = Intrinsics(fx=40.0, fy=30.0, cx=11.3, cy=6.2, width=24, height=14)
HEADER = Header(frame_id='optical')


@pytest.fixture
def depth_m():
    depth = np.random.default_rng(0).uniform(1, 60, (14, 24)).astype(np.float32)
    depth[2, 3], depth[5, 7] = np.nan, np.inf
    return depth


@pytest.fixture
def image():
    return np.random.default_rng(1).integers(0, 256, (14, 24, 3), np.uint8)


def test_an_image_message_keeps_its_memory_and_describes_it():
    buffer = ImageBuffer('rgb8', np.uint8, channels=3)
    first = buffer.fill(np.full((4, 6, 3), 7, np.uint8), HEADER)
    memory = first.data
    second = buffer.fill(np.full((4, 6, 3), 9, np.uint8), Header(frame_id='next'))
    assert second is first and second.data is memory
    assert (second.height, second.width, second.step) == (4, 6, 18)
    assert set(second.data) == {9} and second.header.frame_id == 'next'


def test_an_image_message_follows_another_size():
    buffer = ImageBuffer('32FC1', np.float32)
    buffer.fill(np.zeros((4, 6), np.float32), HEADER)
    pixels = np.arange(6, dtype=np.float32).reshape(2, 3)
    message = buffer.fill(pixels, HEADER)
    assert (message.height, message.width, message.step) == (2, 3, 12)
    np.testing.assert_array_equal(np.frombuffer(message.data, np.float32), pixels.ravel())


def test_the_cloud_describes_itself(depth_m, image):
    message = CloudBuffer(PointCloudBuilder(CAMERA, 2)).fill(depth_m, image, None, HEADER)
    assert (message.height, message.width) == (7, 12)
    assert (message.point_step, message.row_step) == (16, 192)
    assert len(message.data) == 7 * 192
    assert not message.is_dense and not message.is_bigendian
    fields = [(f.name, f.offset, f.datatype, f.count) for f in message.fields]
    kind = PointField.FLOAT32
    assert fields == [
        ('x', 0, kind, 1),
        ('y', 4, kind, 1),
        ('z', 8, kind, 1),
        ('rgb', 12, kind, 1),
    ]


def test_a_labelled_cloud_has_the_label_behind_the_colour(depth_m, image):
    builder = PointCloudBuilder(CAMERA, with_labels=True)
    message = CloudBuffer(builder).fill(depth_m, image, image[..., 0].copy(), HEADER)
    label = message.fields[4]
    assert (label.name, label.offset, label.datatype) == ('label', 16, PointField.UINT8)
    assert (len(message.fields), message.point_step) == (5, 20)


@pytest.mark.parametrize('with_labels', [False, True])
@pytest.mark.parametrize('stride', [1, 3])
def test_sensor_msgs_py_reads_our_cloud_to_the_last_value(depth_m, image, with_labels, stride):
    point_cloud2 = pytest.importorskip('sensor_msgs_py.point_cloud2')
    labels = image[..., 1].copy() if with_labels else None
    builder = PointCloudBuilder(CAMERA, stride, with_labels=with_labels)
    message = CloudBuffer(builder).fill(depth_m, image, labels, HEADER)
    read = point_cloud2.read_points(message)
    written = builder.build(depth_m, image, labels)
    s = slice(None, None, stride)
    assert read.shape == (written.size,)
    for name in read.dtype.names:
        np.testing.assert_array_equal(read[name], written[name].ravel(), err_msg=name)
    finite = np.where(np.isfinite(depth_m), depth_m, np.nan)[s, s].ravel()
    np.testing.assert_array_equal(read['z'], finite)
    colors = np.ascontiguousarray(read['rgb']).view(np.uint32)
    np.testing.assert_array_equal((colors >> 16) & 255, image[s, s, 0].ravel())
    if with_labels:
        np.testing.assert_array_equal(read['label'], labels[s, s].ravel())
    valid = point_cloud2.read_points_numpy(message, ('x', 'y', 'z'), skip_nans=True)
    assert len(valid) == np.isfinite(finite).sum()


def test_camera_info_is_of_a_rectified_image_of_exactly_that_camera():
    info = camera_info_message(CAMERA, HEADER)
    assert (info.width, info.height) == (24, 14)
    np.testing.assert_array_equal(np.reshape(info.k, (3, 3)), CAMERA.matrix())
    np.testing.assert_array_equal(np.reshape(info.p, (3, 4))[:, :3], CAMERA.matrix())
    np.testing.assert_array_equal(np.reshape(info.r, (3, 3)), np.eye(3))
    assert not any(info.d) and info.p[3] == info.p[7] == 0
    assert (info.binning_x, info.roi.width) == (0, 0)


def test_label_info_names_every_class(monkeypatch):
    messages = SimpleNamespace(LabelInfo=SimpleNamespace, VisionClass=SimpleNamespace)
    monkeypatch.setitem(sys.modules, 'vision_msgs', SimpleNamespace(msg=messages))
    monkeypatch.setitem(sys.modules, 'vision_msgs.msg', messages)
    contract = tiny_contract()
    info = label_info_message(contract, HEADER)
    assert [c.class_id for c in info.class_map] == list(range(len(contract.class_names)))
    assert tuple(c.class_name for c in info.class_map) == contract.class_names
    assert info.header is HEADER


def test_without_vision_msgs_there_is_no_label_info(monkeypatch):
    monkeypatch.setitem(sys.modules, 'vision_msgs', None)
    monkeypatch.setitem(sys.modules, 'vision_msgs.msg', None)
    assert label_info_message(tiny_contract(), HEADER) is None
