"""Durations of every frame as topics, under Autoware's names, for plots."""

import math

from rclpy.node import Node
from std_msgs.msg import Float64

from sg_depth_ros.node.topics.publisher import create_publisher


class DebugTopics:
    """
    ``~/debug/...``; what nobody subscribes to is not published.

    Autoware's nodes publish the same names as stamped numbers of its own message package.
    """

    def __init__(self, node: Node) -> None:
        # The work on a frame; from its stamp until it is published, by the node's clock; from the
        # start of one frame's work to the next's.
        self._processing_time = create_publisher(node, Float64, '~/debug/processing_time_ms', 10)
        self._pipeline_latency = create_publisher(node, Float64, '~/debug/pipeline_latency_ms', 10)
        self._cyclic_time = create_publisher(node, Float64, '~/debug/cyclic_time_ms', 10)

    def publish(self, processing_ms: float, latency_ms: float, cyclic_ms: float) -> None:
        """
        Publish the durations of one frame in milliseconds; NaN, which is not known, is not sent.

        :param latency_ms: NaN where the clock has not come.
        :param cyclic_ms: NaN for the first frame.
        """
        for publisher, value in (
            (self._processing_time, processing_ms),
            (self._pipeline_latency, latency_ms),
            (self._cyclic_time, cyclic_ms),
        ):
            if not math.isnan(value) and publisher.get_subscription_count():
                publisher.publish(Float64(data=value))

    def subscription_counts(self) -> list[tuple[str, int]]:
        """Return the topic and the number of subscribers of each."""
        publishers = (self._processing_time, self._pipeline_latency, self._cyclic_time)
        return [(p.topic_name, p.get_subscription_count()) for p in publishers]
