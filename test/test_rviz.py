"""RViz's configuration asks for topics that the node offers, as they are offered."""

from pathlib import Path
from typing import Any
from typing import NamedTuple

import pytest
import rclpy
from rclpy.context import Context
from rclpy.qos import DurabilityPolicy
from rclpy.qos import HistoryPolicy
from rclpy.qos import LivelinessPolicy
from rclpy.qos import QoSCompatibility
from rclpy.qos import QoSProfile
from rclpy.qos import ReliabilityPolicy
from rclpy.qos import qos_check_compatible
from tiny_model import tiny_contract

from sg_depth_ros.node.parameters import NodeParameters
from sg_depth_ros.node.topics.outputs import Outputs

yaml = pytest.importorskip('yaml')

CONFIG = Path(__file__).resolve().parents[1] / 'config' / 'depth.rviz'
# What a display of RViz subscribes to beside images of DepthCloud.
TYPES = {
    'rviz_default_plugins/Image': 'sensor_msgs/msg/Image',
    'rviz_default_plugins/PointCloud2': 'sensor_msgs/msg/PointCloud2',
}
SENSOR_DATA_DEPTH = 5  # queue of rmw_qos_profile_sensor_data


class Wish(NamedTuple):
    """What a display subscribes to."""

    display: str
    topic: str  # below the node's name
    type: str
    qos: QoSProfile


class Offer(NamedTuple):
    """What the node publishes."""

    type: str
    qos: QoSProfile


def displays() -> list[dict[str, Any]]:
    return yaml.safe_load(CONFIG.read_text())['Visualization Manager']['Displays']


def policy(kind: Any, name: str) -> Any:
    return kind[name.upper().replace(' ', '_')]


def asked(
    depth: int,
    reliability: ReliabilityPolicy,
    durability: DurabilityPolicy = DurabilityPolicy.VOLATILE,
) -> QoSProfile:
    return QoSProfile(
        depth=depth,
        reliability=reliability,
        durability=durability,
        liveliness=LivelinessPolicy.AUTOMATIC,
    )


def below_node(topic: str) -> str:
    assert topic.startswith('/depth_node/')  # what rviz.launch.py remaps
    return topic.removeprefix('/depth_node/')


def wishes() -> list[Wish]:
    found = []
    for display in displays():
        name = display['Name']
        if display['Class'] in TYPES:
            topic = display['Topic']
            assert policy(HistoryPolicy, topic['History Policy']) == HistoryPolicy.KEEP_LAST
            qos = asked(
                topic['Depth'],
                policy(ReliabilityPolicy, topic['Reliability Policy']),
                policy(DurabilityPolicy, topic['Durability Policy']),
            )
            found.append(Wish(name, below_node(topic['Value']), TYPES[display['Class']], qos))
        elif display['Class'] == 'rviz_default_plugins/DepthCloud':
            reliability = policy(ReliabilityPolicy, display['Reliability Policy'])
            qos = asked(display['Queue Size'], reliability)
            sensor = asked(SENSOR_DATA_DEPTH, ReliabilityPolicy.BEST_EFFORT)
            depth = below_node(display['Depth Map Topic'])
            color = below_node(display['Color Image Topic'])
            # As image_transport's getCameraInfoTopic says.
            info = f'{depth.rpartition("/")[0]}/camera_info'
            found += [
                Wish(name, depth, 'sensor_msgs/msg/Image', qos),
                Wish(name, color, 'sensor_msgs/msg/Image', qos),
                Wish(name, info, 'sensor_msgs/msg/CameraInfo', sensor),
            ]
    return found


@pytest.fixture(scope='module')
def offers() -> dict[str, Offer]:
    """Return what the graph says of a real node's outputs, by their names below the node's."""
    context = Context()
    rclpy.init(context=context)
    node = rclpy.create_node('shown_in_rviz', context=context)
    outputs = Outputs(node, NodeParameters(), tiny_contract())
    found = {}
    for topic, _ in outputs.subscription_counts():
        (info,) = node.get_publishers_info_by_topic(topic)
        found[topic.removeprefix('/shown_in_rviz/')] = Offer(info.topic_type, info.qos_profile)
    outputs.destroy()
    node.destroy_node()
    context.try_shutdown()
    return found


@pytest.mark.parametrize('wish', wishes(), ids=lambda wish: f'{wish.display} {wish.topic}')
def test_displays_get_what_they_subscribe_to(wish, offers):
    offer = offers[wish.topic]
    assert offer.type == wish.type
    compatible, reason = qos_check_compatible(offer.qos, wish.qos)
    assert compatible == QoSCompatibility.OK, reason


def test_images_are_asked_for_as_reliably_as_they_are_published(offers):
    for wish in wishes():
        if not wish.topic.endswith('camera_info'):
            assert wish.qos.reliability == offers[wish.topic].qos.reliability, wish.topic


def test_what_a_vehicle_wants_to_see_is_shown():
    shown = {wish.topic for wish in wishes()}
    assert shown >= {
        'depth/color', 'image_rect_color', 'points', 'semantic/color', 'depth/image',
    }  # fmt: skip
    assert 'rviz_default_plugins/TF' in {display['Class'] for display in displays()}


def test_clouds_take_their_colour_from_the_message():
    clouds = [d for d in displays() if d['Class'].endswith(('PointCloud2', 'DepthCloud'))]
    assert len(clouds) == 2
    assert {cloud['Color Transformer'] for cloud in clouds} == {'RGB8'}
