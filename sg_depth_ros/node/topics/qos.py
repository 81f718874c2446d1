"""Quality of service: what the inputs ask for and the outputs offer."""

from collections.abc import Sequence

from rclpy.qos import DurabilityPolicy
from rclpy.qos import HistoryPolicy
from rclpy.qos import QoSProfile
from rclpy.qos import ReliabilityPolicy

from sg_depth_ros.node.parameters import NodeParameters

RELIABILITIES: dict[str, ReliabilityPolicy] = {
    'reliable': ReliabilityPolicy.RELIABLE,
    'best_effort': ReliabilityPolicy.BEST_EFFORT,
}


def output_qos(settings: NodeParameters) -> QoSProfile:
    """Return KEEP_LAST, VOLATILE and, by default, RELIABLE: RViz and best-effort readers match."""
    depth = settings.output_depth or (200 if settings.every_frame else 2)
    return _profile(RELIABILITIES[settings.output_reliability], depth)


def latched_qos() -> QoSProfile:
    """Return the QoS of what is published once and kept for readers that come later."""
    return _profile(ReliabilityPolicy.RELIABLE, 1, DurabilityPolicy.TRANSIENT_LOCAL)


def input_qos(
    settings: NodeParameters, offers: Sequence[QoSProfile], latched: bool = False
) -> QoSProfile:
    """
    Return the QoS of an input subscription that every publisher matches.

    Reliable, unless some publisher offers only best effort or the parameters say otherwise. The
    newest-only slot lies behind a queue: with a depth of 1 half of the possible frames of a large
    image were lost on default Fast DDS.

    :param offers: of the topic's publishers.
    :param latched: ask for messages from before, where all of ``offers`` keep them.
    """
    depth = settings.input_depth or (1000 if settings.every_frame else 5)
    if settings.input_reliability == 'auto':
        # What the middleware does not tell is unknown, and taken for the default: reliable.
        weak = any(offer.reliability == ReliabilityPolicy.BEST_EFFORT for offer in offers)
        reliability = ReliabilityPolicy.BEST_EFFORT if weak else ReliabilityPolicy.RELIABLE
    else:
        reliability = RELIABILITIES[settings.input_reliability]
    kept = [offer.durability == DurabilityPolicy.TRANSIENT_LOCAL for offer in offers]
    if latched and kept and all(kept):
        return _profile(reliability, depth, DurabilityPolicy.TRANSIENT_LOCAL)
    return _profile(reliability, depth)


def _profile(
    reliability: ReliabilityPolicy,
    depth: int,
    durability: DurabilityPolicy = DurabilityPolicy.VOLATILE,
) -> QoSProfile:
    return QoSProfile(
        reliability=reliability,
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        durability=durability,
    )
