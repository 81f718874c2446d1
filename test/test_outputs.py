"""The node's outputs over real topics."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from rclpy.qos import DurabilityPolicy
from rclpy.qos import ReliabilityPolicy
from ros_pair import ros_pair
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import Image
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header
from tiny_model import tiny_contract

from sg_depth_ros.engines.engine import Prediction
from sg_depth_ros.estimator import Estimate
from sg_depth_ros.node.parameters import NodeParameters
from sg_depth_ros.node.topics.outputs import Outputs

HEIGHT, WIDTH = 32, 64
CONTRACT = tiny_contract(WIDTH, HEIGHT)
HEADER = Header(stamp=Time(sec=12, nanosec=34), frame_id='front_optical')
KINDS = {
    'depth/image': Image,
    'depth/camera_info': CameraInfo,
    'depth/color': Image,
    'image_rect_color': Image,
    'points': PointCloud2,
    'semantic/mask': Image,
    'semantic/confidence': Image,
    'semantic/color': Image,
}


@pytest.fixture
def ros():
    with ros_pair() as pair:
        yield pair


def estimate_of(**fields):
    """An estimate with something at every pixel; fields replaced."""
    rng = np.random.default_rng(0)
    depth_m = rng.uniform(1, 60, (HEIGHT, WIDTH)).astype(np.float32)
    depth_m[0, 0], depth_m[0, 1] = np.nan, np.inf
    labels = rng.integers(0, len(CONTRACT.class_names), (HEIGHT, WIDTH), np.uint8)
    labels[0, 0] = 255
    values = dict.fromkeys(Estimate._fields, 0.0)
    values |= {
        'image': rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8),
        'camera': CONTRACT.intrinsics,
        'prediction': Prediction(depth_m, labels, labels[::-1].copy()),
        'depth_m': depth_m,
        'camera_problem': '',
        'depth_problem': '',
    }
    return Estimate(**{**values, **fields})


def listen(ros, *names):
    received = {name: [] for name in names}
    for name in names:
        ros.other.create_subscription(KINDS[name], ros.topic(name), received[name].append, 10)
    return received


def published(ros, estimate, names=tuple(KINDS), **settings):
    """What listeners of some topics receive of one estimate."""
    outputs = Outputs(ros.node, NodeParameters(**settings), CONTRACT)
    received = listen(ros, *names)
    expected = {ros.topic(name) for name in names}
    ros.wait(lambda: {t for t, count in outputs.subscription_counts() if count} == expected)
    outputs.publish(estimate, HEADER)
    return outputs, received


def pixels(message, dtype=np.uint8):
    shape = (message.height, message.width, -1)
    return np.frombuffer(message.data, dtype).reshape(shape).squeeze()


def test_every_output_carries_the_header_and_the_content_of_the_image(ros):
    estimate = estimate_of()
    _, received = published(ros, estimate)
    ros.wait(lambda: all(received.values()))
    messages = {name: entries[0] for name, entries in received.items()}
    assert all(message.header == HEADER for message in messages.values())
    encodings = {n: m.encoding for n, m in messages.items() if isinstance(m, Image)}
    assert encodings == {
        'depth/image': '32FC1', 'depth/color': 'rgb8', 'image_rect_color': 'rgb8',
        'semantic/mask': 'mono8', 'semantic/confidence': 'mono8', 'semantic/color': 'rgb8',
    }  # fmt: skip
    depth_m, prediction = estimate.depth_m, estimate.prediction
    np.testing.assert_array_equal(pixels(messages['depth/image'], np.float32), depth_m)
    np.testing.assert_array_equal(pixels(messages['image_rect_color']), estimate.image)
    np.testing.assert_array_equal(pixels(messages['semantic/mask']), prediction.labels)
    np.testing.assert_array_equal(pixels(messages['semantic/confidence']), prediction.confidence)
    colors = np.zeros((256, 3), np.uint8)
    colors[: len(CONTRACT.palette)] = CONTRACT.palette
    np.testing.assert_array_equal(pixels(messages['semantic/color']), colors[prediction.labels])
    assert (messages['depth/camera_info'].width, messages['points'].width) == (WIDTH, WIDTH)
    assert not pixels(messages['depth/color'])[0, 0].any()


def test_nobody_listens_and_nothing_is_computed(ros):
    outputs = Outputs(ros.node, NodeParameters(), CONTRACT)
    assert not outputs.wants_anything and not outputs.wants_depth

    class Untouchable:
        def __getattr__(self, name):
            raise AssertionError(f'{name} was looked at')

    arrays = Untouchable()
    prediction = Prediction(arrays, np.zeros((2, 2), np.uint8), arrays)
    depth_m = SimpleNamespace(shape=(2, 2))
    outputs.publish(estimate_of(image=arrays, prediction=prediction, depth_m=depth_m), HEADER)


@pytest.mark.parametrize(
    ('name', 'wants_depth'),
    [('depth/image', True), ('depth/color', True), ('points', True), ('semantic/mask', False)],
)
def test_depth_is_wanted_by_the_topics_made_of_it(ros, name, wants_depth):
    outputs, received = published(ros, estimate_of(), (name,))
    assert outputs.wants_anything and outputs.wants_depth == wants_depth
    ros.wait(lambda: received[name])


def test_mask_confidence_and_cloud_are_of_one_size(ros):
    names = ('points', 'semantic/mask', 'semantic/confidence', 'semantic/color')
    estimate = estimate_of()
    _, received = published(ros, estimate, names, cloud_stride=3)
    ros.wait(lambda: all(received.values()))
    sizes = {name: (entries[0].height, entries[0].width) for name, entries in received.items()}
    assert {sizes[name] for name in names[:3]} == {(11, 22)}
    assert sizes['semantic/color'] == (HEIGHT, WIDTH)
    mask = pixels(received['semantic/mask'][0])
    np.testing.assert_array_equal(mask, estimate.prediction.labels[::3, ::3])
    assert received['semantic/mask'][0].step == 22


def test_millimetres_of_sixteen_bits(ros):
    depth_m = np.full((HEIGHT, WIDTH), 1.2345, np.float32)
    depth_m[0, :4] = np.nan, np.inf, 65.535, 65.6
    estimate = estimate_of(depth_m=depth_m)
    _, received = published(ros, estimate, ('depth/image',), depth_encoding='16UC1')
    ros.wait(lambda: received['depth/image'])
    message = received['depth/image'][0]
    assert (message.encoding, message.step) == ('16UC1', 2 * WIDTH)
    depth_mm = pixels(message, np.uint16)
    assert depth_mm[0, :4].tolist() == [0, 0, 65535, 0]
    assert set(depth_mm[1:].ravel().tolist()) == {1234}


def test_parameters_apply_to_the_next_image(ros):
    names = ('depth/image', 'points', 'semantic/mask')
    outputs, received = published(ros, estimate_of(), names)
    changed = {'depth_encoding': '16UC1', 'cloud_stride': 2, 'cloud_labels': True}
    outputs.apply(NodeParameters(**changed))
    outputs.publish(estimate_of(), HEADER)
    ros.wait(lambda: all(len(entries) == 2 for entries in received.values()))
    depth, points, mask = (received[name][1] for name in names)
    assert depth.encoding == '16UC1'
    assert [field.name for field in points.fields] == ['x', 'y', 'z', 'rgb', 'label']
    assert (points.height, mask.height) == (16, 16)


def test_the_edge_filter_leaves_out_points_of_the_cloud_only(ros):
    depth_m = np.full((HEIGHT, WIDTH), 20.0, np.float32)
    depth_m[:, 30:] = 5.0
    depth_m[:, 30] = 9.0
    estimate = estimate_of(depth_m=depth_m)
    names = ('depth/image', 'points')
    _, received = published(ros, estimate, names, cloud_edge_filter=0.1)
    ros.wait(lambda: all(received.values()))
    np.testing.assert_array_equal(pixels(received['depth/image'][0], np.float32), depth_m)
    points = np.frombuffer(received['points'][0].data, np.float32).reshape(HEIGHT, WIDTH, 4)
    missing = np.isnan(points[..., 2])
    assert missing[:, 30].all() and missing.sum() == HEIGHT


def test_without_a_camera_there_is_depth_but_no_cloud_and_no_info(ros):
    names = ('depth/image', 'depth/camera_info', 'points')
    outputs, received = published(ros, estimate_of(camera=None), names)
    outputs.publish(estimate_of(depth_problem='nothing is valid'), HEADER)
    ros.wait(lambda: len(received['depth/image']) == 2 and received['depth/camera_info'])
    ros.spin(0.1)
    assert (len(received['depth/camera_info']), len(received['points'])) == (1, 0)


def test_camera_info_follows_header_and_camera(ros):
    outputs, received = published(ros, estimate_of(), ('depth/camera_info',))
    later = Header(stamp=Time(sec=13), frame_id='front_optical')
    infos = received['depth/camera_info']
    # One after the other: an output keeps two messages for a reader that is late.
    ros.wait(lambda: len(infos) == 1)
    outputs.publish(estimate_of(), later)
    ros.wait(lambda: len(infos) == 2)
    outputs.publish(estimate_of(camera=replace(CONTRACT.intrinsics, fx=77.0)), later)
    ros.wait(lambda: len(infos) == 3)
    assert [info.header.stamp.sec for info in infos] == [12, 13, 13]
    assert [info.k[0] for info in infos] == [32.0, 32.0, 77.0]


def test_messages_keep_their_memory_from_image_to_image(ros):
    outputs, _ = published(ros, estimate_of())
    sent = []
    for topic in (outputs.depth, outputs.points, outputs.semantic_color, outputs.depth_color):
        topic.publisher = SimpleNamespace(
            publish=lambda message: sent.append(message.data),
            get_subscription_count=lambda: 1,
        )
    for _ in range(2):
        outputs.publish(estimate_of(), HEADER)
    assert len(sent) == 8
    assert all(first is second for first, second in zip(sent[:4], sent[4:]))


@pytest.mark.parametrize('reliability', ['reliable', 'best_effort'])
def test_outputs_offer_what_the_parameters_say(ros, reliability):
    Outputs(ros.node, NodeParameters(output_reliability=reliability), CONTRACT)
    for name in KINDS:
        (offer,) = ros.node.get_publishers_info_by_topic(ros.topic(name))
        assert offer.qos_profile.reliability == ReliabilityPolicy[reliability.upper()], name
        assert offer.qos_profile.durability == DurabilityPolicy.VOLATILE


def test_label_info_is_sent_once_and_kept_for_later_readers(ros, monkeypatch):
    class LabelInfo(SimpleNamespace):
        pass

    messages = SimpleNamespace(LabelInfo=LabelInfo, VisionClass=SimpleNamespace)
    monkeypatch.setitem(sys.modules, 'vision_msgs', SimpleNamespace(msg=messages))
    monkeypatch.setitem(sys.modules, 'vision_msgs.msg', messages)
    create, sent = ros.node.create_publisher, []

    def create_publisher(kind, topic, qos, event_callbacks):
        if kind is not LabelInfo:
            return create(kind, topic, qos)
        assert topic == '~/semantic/label_info'
        assert qos.durability == DurabilityPolicy.TRANSIENT_LOCAL
        assert qos.reliability == ReliabilityPolicy.RELIABLE
        return SimpleNamespace(
            publish=sent.append, topic_name=topic, get_subscription_count=lambda: 1
        )

    monkeypatch.setattr(ros.node, 'create_publisher', create_publisher)
    outputs = Outputs(ros.node, NodeParameters(), CONTRACT)
    outputs.publish(estimate_of(), HEADER)
    assert [len(message.class_map) for message in sent] == [len(CONTRACT.class_names)]
    assert ('~/semantic/label_info', 1) in outputs.subscription_counts()
    assert not outputs.wants_anything


def test_destroying_withdraws_every_topic(ros):
    outputs = Outputs(ros.node, NodeParameters(), CONTRACT)
    outputs.destroy()
    for name in KINDS:
        assert not ros.node.get_publishers_info_by_topic(ros.topic(name))
