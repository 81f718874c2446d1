"""
The player: a bag's raw messages through real publishers into the node, its outputs recorded.

``rhythms.py`` says when each is published.

The only module of replay that imports rclpy. One thread does everything, so that nothing competes
with the node but what is measured.
"""

import os
import time
from collections.abc import Callable
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import HistoryPolicy
from rclpy.qos import QoSProfile
from rclpy.qos import ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image
from sensor_msgs.msg import PointCloud2

from sg_depth_ros.bags.bag import BagMessage
from sg_depth_ros.bags.bag import CameraTopics
from sg_depth_ros.bags.messages import stamp_ns
from sg_depth_ros.bags.transforms import frame_name
from sg_depth_ros.errors import UserError
from sg_depth_ros.replay.live.node_numbers import NodeNumbers
from sg_depth_ros.replay.live.node_numbers import read_node_numbers
from sg_depth_ros.replay.live.node_process import NODE_NAME
from sg_depth_ros.replay.live.node_process import NodeProcess
from sg_depth_ros.replay.live.recording import OUTPUT_TOPICS
from sg_depth_ros.replay.live.recording import OutputKind
from sg_depth_ros.replay.live.recording import Recording
from sg_depth_ros.replay.live.recording import Sent
from sg_depth_ros.replay.live.rhythms import SPIN_S
from sg_depth_ros.replay.live.rhythms import Waiting
from sg_depth_ros.replay.live.usage import Usage
from sg_depth_ros.replay.live.usage import UsageMeter

QUIET_S = 1.0  # without any output for so long, a run is over
LONGEST_DRAIN_S = 30.0

_CLASSES: dict[OutputKind, Any] = {
    'depth': Image,
    'camera_info': CameraInfo,
    'points': PointCloud2,
    'mask': Image,
}


class LivePlayer:
    """Plays into one running node; use as a context manager."""

    def __init__(
        self,
        topics: CameraTopics,
        node: NodeProcess,
        recording: Recording,
        kinds: tuple[OutputKind, ...],
        domain_id: int,
    ) -> None:
        """
        Create the publishers and subscriptions.

        :param topics: of the bag; images and infos are published on the same ones.
        :param kinds: the outputs to record.
        :param domain_id: ROS domain of the node.
        """
        assert topics.camera_info is not None
        os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
        self.image_topic = topics.image
        self._process = node
        self._recording = recording
        self._kinds = kinds
        self._subscriber_counts: dict[str, int] = {}
        self._last_output_ns = self._told_ns = 0
        self._numbers = NodeNumbers()
        self._meter: UsageMeter | None = None
        self._usage: Usage | None = None
        self._context = Context()
        # Ctrl-C stays Python's KeyboardInterrupt, which ends the node on its way out.
        rclpy.init(
            args=[],  # of this command's own, NAME:=VALUE would rename topics
            context=self._context,
            domain_id=domain_id,
            signal_handler_options=_NO_SIGNALS,
        )
        self._node = rclpy.create_node('replay_bag', context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        image_class = CompressedImage if topics.compressed else Image
        self._images = self._node.create_publisher(image_class, topics.image, _reliable(100))
        self._infos = self._node.create_publisher(CameraInfo, topics.camera_info, _reliable(100))
        for kind in kinds:
            self._node.create_subscription(
                _CLASSES[kind], _output(kind), self._recorder(kind), _reliable(1000), raw=True
            )
        self._node.create_subscription(
            DiagnosticArray, '/diagnostics', self._note_diagnostics, _reliable(10)
        )

    def __enter__(self) -> 'LivePlayer':
        """Return the player."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Leave the ROS graph."""
        self._executor.shutdown()
        self._node.destroy_node()
        self._context.try_shutdown()

    def wait_until_ready(self, timeout_s: float) -> None:
        """
        Wait until the node is active and everything is connected, seen from both sides.

        :raises UserError: where that does not happen in time.
        """
        deadline = time.monotonic() + timeout_s
        while missing := self._not_ready():
            if time.monotonic() > deadline:
                raise UserError(
                    f'the node was not ready after {timeout_s:g} s: {missing}; '
                    'see its log, or raise --start-timeout'
                )
            self.spin(SPIN_S)

    def publish_info(self, raw: bytes) -> None:
        """Publish a camera_info."""
        self._infos.publish(raw)

    def publish_image(self, message: BagMessage, due_ns: int | None = None) -> Sent:
        """Publish an image that was due at a time of the monotonic clock."""
        header = message.message.header
        now_ns = time.monotonic_ns()
        late_ns = 0 if due_ns is None else now_ns - due_ns
        sent = Sent(stamp_ns(header), frame_name(header.frame_id), now_ns, late_ns)
        self._recording.send(sent)
        self._images.publish(message.raw)
        return sent

    def is_complete(self, waiting: Waiting) -> bool:
        """Tell whether every output of an image has come."""
        return all(
            self._recording.count(kind, waiting.stamp_ns) >= waiting.expected
            for kind in self._kinds
        )

    def start_measuring(self) -> None:
        """Look at what the node takes of the machine from now on."""
        self._meter = UsageMeter(self._process.pid)
        self._meter.sample()

    def spin(self, timeout_s: float) -> None:
        """
        Take in one message, or wait until the time is over.

        :raises NodeDiedError: where the node has ended.
        """
        self._executor.spin_once(timeout_sec=timeout_s)
        self._process.check()
        if self._meter is not None:
            self._meter.sample()

    def take_in(self) -> None:
        """
        Take in the outputs that have come, without waiting.

        :raises NodeDiedError: where the node has ended.
        """
        before_ns = -1
        while self._last_output_ns != before_ns:
            before_ns = self._last_output_ns
            self.spin(0.0)

    def drain(self) -> None:
        """Take in what still comes, until nothing does and the node has told its numbers."""
        if self._meter is not None:
            self._meter.sample(again_after_s=0)
            self._usage, self._meter = self._meter.result(), None
        start_ns = time.monotonic_ns()
        while True:
            self.spin(SPIN_S)
            now_ns = time.monotonic_ns()
            quiet_since_ns = max(start_ns, self._last_output_ns)
            is_quiet = now_ns - quiet_since_ns > QUIET_S * 1e9
            if is_quiet and self._told_ns > quiet_since_ns:
                return
            if now_ns - start_ns > LONGEST_DRAIN_S * 1e9:
                return

    @property
    def usage(self) -> Usage | None:
        """What the node took of the machine while it was played to."""
        return self._usage if self._meter is None else self._meter.result()

    @property
    def node_numbers(self) -> NodeNumbers:
        """What the node last said of itself."""
        return self._numbers

    def _recorder(self, kind: OutputKind) -> Callable[[bytes], None]:
        def record(raw: bytes) -> None:
            self._last_output_ns = time.monotonic_ns()
            self._recording.add(kind, raw, self._last_output_ns)

        return record

    def _note_diagnostics(self, message: Any) -> None:
        for status in message.status:
            for pair in status.values:
                name, _, topic = pair.key.partition(' ')
                if name == 'subscribers' and pair.value.isdigit():
                    self._subscriber_counts[topic] = int(pair.value)
        self._numbers = read_node_numbers(message.status)
        self._told_ns = time.monotonic_ns()

    def _not_ready(self) -> str:
        """Say what is missing, or nothing."""
        for publisher in (self._images, self._infos):
            if not publisher.get_subscription_count():
                return f'it does not subscribe to {publisher.topic_name}'
        for kind in self._kinds:
            publishers = self._node.count_publishers(_output(kind))
            if not publishers:
                return f'it does not publish {_output(kind)}'
            if publishers > 1:
                return f'{publishers - 1} other node(s) publish {_output(kind)} in this ROS domain'
            # The node publishes only what it knows a subscriber of, so its own view counts.
            if not self._subscriber_counts.get(_output(kind)):
                return f'it does not see the subscriber of {_output(kind)}'
        return ''


_NO_SIGNALS = SignalHandlerOptions.NO


def _output(kind: OutputKind) -> str:
    return f'/{NODE_NAME}/{OUTPUT_TOPICS[kind]}'


def _reliable(depth: int) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=ReliabilityPolicy.RELIABLE
    )
