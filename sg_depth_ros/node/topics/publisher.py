"""Publishers that cost the executor nothing."""

from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile

try:
    from rclpy.event_handler import PublisherEventCallbacks
except ImportError:  # ROS 2 Humble
    from rclpy.qos_event import PublisherEventCallbacks


def create_publisher(node: Node, kind: type[Any], topic: str, qos: QoSProfile | int) -> Any:
    """
    Create a publisher that does not listen to events.

    By default each has two listeners, which only log a subscriber that asks for more than is
    offered; rclpy's executor goes through all of them for every message that comes in, which
    delays the start of the work on an image. A subscriber of rclpy, rclcpp or ros2 topic echo
    logs the mismatch on its side.
    """
    events = PublisherEventCallbacks(use_default_callbacks=False)
    return node.create_publisher(kind, topic, qos, event_callbacks=events)
