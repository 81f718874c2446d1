"""The node's subscriptions, whose QoS meets what the publishers offer."""

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image

from sg_depth_ros.node.parameters import NodeParameters
from sg_depth_ros.node.qos import input_qos
from sg_depth_ros.node.qos import input_reliability
from sg_depth_ros.rectification import is_rectified_topic

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # ROS 2 Humble
    from rclpy.qos_event import SubscriptionEventCallbacks


class Inputs:
    """
    Subscriptions to images and camera_info, made by ``subscribe``.

    :param on_image: takes an Image, or a CompressedImage where ``image_transport`` says so.
    :param on_camera_info: takes a CameraInfo.
    """

    def __init__(
        self,
        node: Node,
        parameters: NodeParameters,
        on_image: Callable[[Any], None],
        on_camera_info: Callable[[CameraInfo], None],
    ) -> None:
        self._node = node
        self._parameters = parameters
        self._on_image = on_image
        self._on_camera_info = on_camera_info
        self._compressed = parameters.image_transport == 'compressed'
        self._reliability = ReliabilityPolicy.RELIABLE
        self._subscriptions: list[Any] = []
        # A subscription must not be destroyed inside the callback of its own event.
        self._mismatch = node.create_guard_condition(self._subscribe_best_effort)
        raw_topic = node.resolve_topic_name('~/image')
        self.image_topic = f'{raw_topic}/compressed' if self._compressed else raw_topic
        self.camera_info_topic = node.resolve_topic_name('~/camera_info')

    @property
    def active(self) -> bool:
        """Whether there are subscriptions."""
        return bool(self._subscriptions)

    @property
    def is_rectified(self) -> bool:
        """Whether the images are rectified, by parameter or by the topic's name."""
        choice = self._parameters.input_distortion
        if choice == 'auto':
            return is_rectified_topic(self.image_topic)
        return choice == 'none'

    def subscribe(self) -> None:
        """Subscribe as the publishers of the images offer."""
        self._reliability = input_reliability(self._node, self.image_topic, self._parameters)
        self._create()

    def unsubscribe(self) -> None:
        """Drop the subscriptions."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []

    def destroy(self) -> None:
        """Drop everything."""
        self.unsubscribe()
        self._node.destroy_guard_condition(self._mismatch)

    def describe(self) -> str:
        """Return the topic and its reliability, for the log."""
        return f'{self.image_topic} ({self._reliability.name.lower()})'

    def missing(self, topic: str) -> str:
        """Return one line about a topic on which nothing comes, with its publishers."""
        publishers = self._node.get_publishers_info_by_topic(topic)
        names = ', '.join(f'{p.node_namespace.rstrip("/")}/{p.node_name}' for p in publishers)
        return f'nothing comes on {topic} (publishers: {names or "none"})'

    def _create(self) -> None:
        qos = input_qos(self._parameters, self._reliability)
        may_fall_back = (
            self._parameters.input_reliability == 'auto'
            and self._reliability == ReliabilityPolicy.RELIABLE
        )
        # Without a handler of ours, rclpy logs a mismatch and nothing comes.
        events = SubscriptionEventCallbacks(
            incompatible_qos=(lambda event: self._mismatch.trigger()) if may_fall_back else None
        )
        image_type = CompressedImage if self._compressed else Image
        # The info first: where both are there already, it should not come after its image.
        self._subscriptions = [
            self._node.create_subscription(kind, topic, callback, qos, event_callbacks=events)
            for kind, topic, callback in (
                (CameraInfo, self.camera_info_topic, self._on_camera_info),
                (image_type, self.image_topic, self._on_image),
            )
        ]

    def _subscribe_best_effort(self) -> None:
        if not self.active or self._reliability == ReliabilityPolicy.BEST_EFFORT:
            return
        self._reliability = ReliabilityPolicy.BEST_EFFORT
        self.unsubscribe()
        self._create()
        self._node.get_logger().info(
            f'a publisher offers best effort only: subscribed again, {self.describe()}'
        )
