"""Subscriptions of the node over real topics: QoS, transports, pairing."""

import threading
from dataclasses import replace

import pytest
from builtin_interfaces.msg import Time
from rclpy.qos import DurabilityPolicy
from rclpy.qos import QoSProfile
from rclpy.qos import ReliabilityPolicy
from ros_pair import ros_pair
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image

from sg_depth_ros.node.parameters import NodeParameters
from sg_depth_ros.node.topics.inputs import Inputs
from sg_depth_ros.node.topics.qos import input_qos

BEST_EFFORT = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
RELIABLE = QoSProfile(depth=10)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@pytest.fixture
def ros():
    with ros_pair() as pair:
        yield pair


def inputs_of(ros, **settings):
    frames = []
    return Inputs(ros.node, replace(NodeParameters(), **settings), frames.append), frames


def stamped(kind, seconds):
    message = kind()
    message.header.stamp = Time(sec=seconds)
    return message


def seconds(frames):
    return [frame.message.header.stamp.sec for frame in frames]


def offered(reliability, durability=DurabilityPolicy.VOLATILE):
    return QoSProfile(depth=1, reliability=reliability, durability=durability)


def test_what_is_asked_for_is_what_every_publisher_offers():
    reliable = offered(ReliabilityPolicy.RELIABLE)
    weak = offered(ReliabilityPolicy.BEST_EFFORT)
    kept = offered(ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL)
    auto = NodeParameters()

    def asked(settings, offers, latched=False):
        qos = input_qos(settings, offers, latched)
        return qos.reliability.name, qos.durability.name

    assert asked(auto, []) == ('RELIABLE', 'VOLATILE')
    assert asked(auto, [reliable, reliable]) == ('RELIABLE', 'VOLATILE')
    assert asked(auto, [reliable, weak]) == ('BEST_EFFORT', 'VOLATILE')
    assert asked(auto, [kept]) == ('RELIABLE', 'VOLATILE')
    assert asked(auto, [kept], latched=True) == ('RELIABLE', 'TRANSIENT_LOCAL')
    assert asked(auto, [kept, reliable], latched=True) == ('RELIABLE', 'VOLATILE')
    forced = replace(auto, input_reliability='best_effort')
    assert asked(forced, [reliable]) == ('BEST_EFFORT', 'VOLATILE')


def test_queues_are_deeper_where_no_image_may_be_lost():
    assert input_qos(NodeParameters(), []).depth == 5
    assert input_qos(NodeParameters(processing_mode='every'), []).depth == 1000
    assert input_qos(NodeParameters(input_depth=7), []).depth == 7


@pytest.mark.parametrize('publisher_first', [True, False])
def test_each_topic_meets_its_own_publisher(ros, publisher_first):
    """Images best effort and infos reliable, offered before or after the subscription."""
    inputs, frames = inputs_of(ros)
    if not publisher_first:
        inputs.subscribe()
        ros.spin(0.1)
    images = ros.other.create_publisher(Image, ros.topic('image'), BEST_EFFORT)
    infos = ros.other.create_publisher(CameraInfo, ros.topic('camera_info'), RELIABLE)
    if publisher_first:
        ros.wait(lambda: ros.node.get_publishers_info_by_topic(inputs.image_topic))
        inputs.subscribe()
    ros.wait(lambda: images.get_subscription_count() and infos.get_subscription_count())
    ros.wait(lambda: inputs.describe() == f'{inputs.image_topic} (best_effort)')
    images.publish(stamped(Image, 3))
    infos.publish(stamped(CameraInfo, 4))
    ros.wait(lambda: frames and inputs.camera_infos.newest)
    assert seconds(frames) == [3] and frames[0].info is None
    assert (inputs.images_received, inputs.infos_received) == (1, 1)
    offers = ros.node.get_subscriptions_info_by_topic(inputs.camera_info_topic)
    assert [offer.qos_profile.reliability.name for offer in offers] == ['RELIABLE']
    inputs.destroy()


def test_a_camera_info_sent_once_before_is_still_received(ros):
    infos = ros.other.create_publisher(CameraInfo, ros.topic('camera_info'), LATCHED)
    infos.publish(stamped(CameraInfo, 9))
    inputs, _ = inputs_of(ros)
    ros.wait(lambda: ros.node.get_publishers_info_by_topic(inputs.camera_info_topic))
    inputs.subscribe()
    ros.wait(lambda: inputs.camera_infos.newest)
    assert inputs.camera_infos.newest.header.stamp.sec == 9
    inputs.destroy()


def test_a_camera_info_sent_once_by_a_late_publisher_is_looked_for(ros):
    inputs, _ = inputs_of(ros)
    inputs.subscribe()
    ros.spin(0.1)
    infos = ros.other.create_publisher(CameraInfo, ros.topic('camera_info'), LATCHED)
    infos.publish(stamped(CameraInfo, 9))
    ros.wait(lambda: inputs.camera_infos.newest)
    inputs.destroy()


def test_compressed_images_come_on_the_transport_s_own_topic():
    with ros_pair('-r', 'depth_node:~/image:=front/image_raw') as ros:
        inputs, frames = inputs_of(ros, image_transport='compressed')
        namespace = ros.node.get_namespace()
        assert inputs.image_topic == f'{namespace}/front/image_raw/compressed'
        inputs.subscribe()
        images = ros.other.create_publisher(CompressedImage, inputs.image_topic, RELIABLE)
        ros.wait(images.get_subscription_count)
        images.publish(stamped(CompressedImage, 5))
        ros.wait(lambda: frames)
        assert isinstance(frames[0].message, CompressedImage)
        inputs.destroy()


def test_exact_pairing_hands_on_images_with_the_info_of_their_stamp(ros):
    inputs, frames = inputs_of(ros, camera_info_sync='exact')
    inputs.subscribe()
    images = ros.other.create_publisher(Image, ros.topic('image'), RELIABLE)
    infos = ros.other.create_publisher(CameraInfo, ros.topic('camera_info'), RELIABLE)
    ros.wait(lambda: images.get_subscription_count() and infos.get_subscription_count())
    for second in (1, 2, 3):
        images.publish(stamped(Image, second))
    ros.wait(lambda: inputs.images_received == 3)
    for second in (1, 3):
        infos.publish(stamped(CameraInfo, second))
    ros.wait(lambda: len(frames) == 2)
    assert seconds(frames) == [1, 3]
    assert [frame.info.header.stamp.sec for frame in frames] == [1, 3]
    assert inputs.images_unpaired == 1
    inputs.destroy()


def test_a_weaker_publisher_is_met_even_where_messages_have_come(ros):
    inputs, frames = inputs_of(ros)
    inputs.subscribe()
    first = ros.other.create_publisher(Image, ros.topic('image'), RELIABLE)
    ros.wait(first.get_subscription_count)
    first.publish(stamped(Image, 1))
    ros.wait(lambda: frames)
    second = ros.other.create_publisher(Image, ros.topic('image'), BEST_EFFORT)
    ros.wait(second.get_subscription_count)
    second.publish(stamped(Image, 2))
    ros.wait(lambda: len(frames) == 2)
    assert seconds(frames) == [1, 2]
    inputs.destroy()


def test_what_the_parameters_ask_for_is_kept(ros):
    inputs, _ = inputs_of(ros, input_reliability='reliable')
    inputs.subscribe()
    images = ros.other.create_publisher(Image, ros.topic('image'), BEST_EFFORT)
    ros.spin(1.3)  # longer than offers are looked at again
    assert not images.get_subscription_count()
    assert inputs.describe() == f'{inputs.image_topic} (reliable)'
    inputs.destroy()


def test_an_image_that_waits_for_its_info_is_forgotten_when_unsubscribed(ros):
    inputs, frames = inputs_of(ros, camera_info_sync='exact')
    images = ros.other.create_publisher(Image, ros.topic('image'), RELIABLE)
    infos = ros.other.create_publisher(CameraInfo, ros.topic('camera_info'), RELIABLE)
    inputs.subscribe()
    ros.wait(lambda: images.get_subscription_count() and infos.get_subscription_count())
    images.publish(stamped(Image, 1))
    ros.wait(lambda: inputs.images_received)
    inputs.unsubscribe()
    ros.wait(lambda: not infos.get_subscription_count())
    inputs.subscribe()
    ros.wait(infos.get_subscription_count)
    infos.publish(stamped(CameraInfo, 1))
    ros.wait(lambda: inputs.infos_received)
    assert frames == []
    inputs.destroy()


def test_nothing_comes_between_unsubscribe_and_subscribe(ros):
    inputs, frames = inputs_of(ros)
    images = ros.other.create_publisher(Image, ros.topic('image'), RELIABLE)
    inputs.subscribe()
    ros.wait(images.get_subscription_count)
    inputs.unsubscribe()
    assert not inputs.active
    ros.wait(lambda: not images.get_subscription_count())
    images.publish(stamped(Image, 1))
    ros.spin(0.2)
    inputs.subscribe()
    inputs.subscribe()  # a second time changes nothing
    ros.wait(images.get_subscription_count)
    images.publish(stamped(Image, 2))
    ros.wait(lambda: frames)
    assert seconds(frames) == [2]
    inputs.destroy()
    assert not ros.node.get_subscriptions_info_by_topic(inputs.image_topic)


def test_nobody_waits_for_a_camera_info_while_unsubscribed(ros):
    inputs, _ = inputs_of(ros)

    def wait_for_info():
        thread = threading.Thread(target=inputs.camera_infos.wait, args=(30,))
        thread.start()
        thread.join(0.05)
        return thread

    inputs.subscribe()
    waiting = wait_for_info()
    assert waiting.is_alive()
    inputs.unsubscribe()
    waiting.join(10)
    assert not waiting.is_alive()
    inputs.subscribe()
    waiting = wait_for_info()
    assert waiting.is_alive()
    inputs.destroy()
    waiting.join(10)
    assert not waiting.is_alive()


def test_a_silent_topic_is_named_with_its_publishers(ros):
    inputs, _ = inputs_of(ros)
    topic = inputs.camera_info_topic
    assert inputs.missing(topic) == f'nothing comes on {topic} (publishers: none)'
    publisher = ros.other.create_publisher(CameraInfo, topic, RELIABLE)
    ros.wait(lambda: inputs.missing(topic) == f'nothing comes on {topic} (publishers: /other)')
    ros.other.destroy_publisher(publisher)
    inputs.destroy()


def test_silent_best_effort_images_make_one_think_of_the_dds_profile(ros):
    inputs, _ = inputs_of(ros)
    topic = inputs.image_topic
    reliable = ros.other.create_publisher(Image, topic, RELIABLE)
    ros.wait(lambda: '(publishers: /other)' in inputs.missing(topic))
    assert 'DDS profile' not in inputs.missing(topic)
    best_effort = ros.other.create_publisher(Image, topic, BEST_EFFORT)
    ros.wait(lambda: 'DDS profile' in inputs.missing(topic))
    for publisher in (reliable, best_effort):
        ros.other.destroy_publisher(publisher)
    inputs.destroy()


def test_rectified_by_parameter_or_by_the_topic_s_name():
    with ros_pair('-r', 'depth_node:~/image:=front/image_rect_color') as ros:
        inputs, _ = inputs_of(ros)
        choices = ('auto', 'none', 'camera_info')
        settings = [NodeParameters(input_distortion=choice) for choice in choices]
        assert [inputs.are_rectified(choice) for choice in settings] == [True, True, False]
        inputs.destroy()
