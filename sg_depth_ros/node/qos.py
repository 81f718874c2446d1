"""Quality of service: what the inputs ask for and the outputs offer."""

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy
from rclpy.qos import HistoryPolicy
from rclpy.qos import QoSProfile
from rclpy.qos import ReliabilityPolicy

from sg_depth_ros.node.parameters import NodeParameters


def output_qos(parameters: NodeParameters) -> QoSProfile:
    """Return RELIABLE, KEEP_LAST, VOLATILE: RViz's default and best-effort readers both match."""
    depth = parameters.output_depth or (200 if parameters.every_frame else 2)
    return _profile(ReliabilityPolicy.RELIABLE, depth)


def input_qos(parameters: NodeParameters, reliability: ReliabilityPolicy) -> QoSProfile:
    """
    Return the QoS of an input subscription.

    The newest-only slot lies behind a queue: with a depth of 1 half of the possible frames of a
    large image were lost on default Fast DDS.
    """
    depth = parameters.input_depth or (1000 if parameters.every_frame else 5)
    return _profile(reliability, depth)


def input_reliability(node: Node, topic: str, parameters: NodeParameters) -> ReliabilityPolicy:
    """
    Return the reliability to ask for on a topic.

    For ``auto``: best effort where some publisher offers no more, else reliable. A best-effort
    publisher that appears later is met through the incompatible-QoS event.
    """
    if parameters.input_reliability == 'reliable':
        return ReliabilityPolicy.RELIABLE
    if parameters.input_reliability == 'best_effort':
        return ReliabilityPolicy.BEST_EFFORT
    offers = [info.qos_profile.reliability for info in node.get_publishers_info_by_topic(topic)]
    if ReliabilityPolicy.BEST_EFFORT in offers:
        return ReliabilityPolicy.BEST_EFFORT
    return ReliabilityPolicy.RELIABLE


def _profile(reliability: ReliabilityPolicy, depth: int) -> QoSProfile:
    return QoSProfile(
        reliability=reliability,
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        durability=DurabilityPolicy.VOLATILE,
    )
