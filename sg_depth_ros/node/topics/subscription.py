"""A subscription that asks for no more than the topic's publishers offer."""

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy
from rclpy.qos import QoSProfile
from rclpy.qos import ReliabilityPolicy

from sg_depth_ros.node.parameters import NodeParameters
from sg_depth_ros.node.topics.qos import input_qos

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
    from rclpy.event_handler import UnsupportedEventTypeError
except ImportError:  # ROS 2 Humble
    from rclpy.qos_event import SubscriptionEventCallbacks
    from rclpy.qos_event import UnsupportedEventTypeError


class MatchedSubscription:
    """
    Subscribes to one topic as its publishers offer, and again when one offers less.

    :param latched: also ask for messages from before, where every publisher keeps them.
    """

    def __init__(
        self,
        node: Node,
        kind: type[Any],
        topic: str,
        callback: Callable[[Any], None],
        settings: NodeParameters,
        latched: bool = False,
    ) -> None:
        self._node = node
        self._kind = kind
        self._topic = topic
        self._callback = callback
        self._settings = settings
        self._latched = latched
        self._subscription: Any = None
        self._qos = QoSProfile(depth=1)
        self._received = 0
        # A subscription must not be destroyed inside the callback of its own event.
        self._mismatch = node.create_guard_condition(self._match)

    @property
    def active(self) -> bool:
        """Whether there is a subscription."""
        return self._subscription is not None

    def subscribe(self) -> None:
        """Subscribe as the publishers offer now."""
        self.unsubscribe()
        self._received = 0
        self._create(self._wanted_qos())

    def unsubscribe(self) -> None:
        """Drop the subscription."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
        self._subscription = None

    def destroy(self) -> None:
        """Drop everything."""
        self.unsubscribe()
        self._node.destroy_guard_condition(self._mismatch)

    def describe(self) -> str:
        """Return the topic and its reliability."""
        return f'{self._topic} ({self._qos.reliability.name.lower()})'

    def review(self) -> None:
        """Look at the offers again while nothing has come, where no event has told of them."""
        if self.active and not self._received:
            self._match()

    def _wanted_qos(self) -> QoSProfile:
        publishers = self._node.get_publishers_info_by_topic(self._topic)
        return input_qos(self._settings, [p.qos_profile for p in publishers], self._latched)

    def _match(self) -> None:
        if not self.active:
            return
        wanted = self._wanted_qos()
        if _terms(wanted) == _terms(self._qos):
            return
        self.unsubscribe()
        self._create(wanted)
        self._node.get_logger().info(
            f'subscribed to {self.describe()} again, as its publishers offer'
        )

    def _create(self, qos: QoSProfile) -> None:
        self._qos = qos
        arguments = (self._kind, self._topic, self._take, qos)
        # Without a handler of ours, rclpy logs a mismatch and nothing comes.
        events = SubscriptionEventCallbacks(incompatible_qos=lambda event: self._notice())
        try:
            self._subscription = self._node.create_subscription(*arguments, event_callbacks=events)
        except UnsupportedEventTypeError:  # of a middleware without it; review() does
            self._subscription = self._node.create_subscription(*arguments)

    def _notice(self) -> None:
        if self._settings.input_reliability == 'auto':
            self._mismatch.trigger()
            return
        self._node.get_logger().warning(
            f'a publisher of {self._topic} offers less than the {self.describe()} that '
            'input_reliability asks for: nothing of it comes'
        )

    def _take(self, message: Any) -> None:
        self._received += 1
        self._callback(message)


def _terms(qos: QoSProfile) -> tuple[ReliabilityPolicy, DurabilityPolicy]:
    return qos.reliability, qos.durability
