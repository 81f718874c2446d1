"""The node's subscriptions, whose QoS meets what the publishers offer."""

import time
from collections.abc import Callable
from typing import Any

from rclpy.clock import Clock
from rclpy.clock import ClockType
from rclpy.node import Node
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image

from sg_depth_ros.node.parameters import NodeParameters
from sg_depth_ros.node.topics.frames import CameraInfoCache
from sg_depth_ros.node.topics.frames import Frame
from sg_depth_ros.node.topics.frames import stamp_ns
from sg_depth_ros.node.topics.pairing import ExactPairing
from sg_depth_ros.node.topics.subscription import MatchedSubscription
from sg_depth_ros.rectification import is_rectified_topic

# Images that may wait for the camera_info of their stamp: of 3 MB each, as many as fit in 100 MB.
WAITING_IMAGES = 5
WAITING_IMAGES_OF_EVERY = 30


class Inputs:
    """
    Subscriptions to images and camera_info, made by ``subscribe``.

    All callbacks run in the executor's thread.

    :param on_frame: takes a ``Frame`` of every image; under ``camera_info_sync: exact`` of every
        one whose camera_info has come, which is then in it.
    """

    def __init__(
        self,
        node: Node,
        settings: NodeParameters,
        on_frame: Callable[[Frame], object],
    ) -> None:
        self._node = node
        self._on_frame = on_frame
        self.camera_infos = CameraInfoCache()
        self.images_received = 0
        self.infos_received = 0
        capacity = WAITING_IMAGES_OF_EVERY if settings.every_frame else WAITING_IMAGES
        self._pairing: ExactPairing[Frame, CameraInfo] | None = None
        if settings.camera_info_sync == 'exact':
            self._pairing = ExactPairing(
                lambda frame, info: on_frame(frame._replace(info=info)), capacity
            )
        compressed = settings.image_transport == 'compressed'
        raw_topic = node.resolve_topic_name('~/image')
        self.image_topic = f'{raw_topic}/compressed' if compressed else raw_topic
        self.camera_info_topic = node.resolve_topic_name('~/camera_info')
        # The info first: where both are there already, it should not come after its image.
        self._infos = MatchedSubscription(
            node, CameraInfo, self.camera_info_topic, self._take_info, settings, latched=True
        )
        kind = CompressedImage if compressed else Image
        self._images = MatchedSubscription(
            node, kind, self.image_topic, self._take_image, settings
        )
        # By the steady clock: a stopped simulation must not end the search for publishers.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(1.0, self._review, clock=steady)

    @property
    def active(self) -> bool:
        """Whether there are subscriptions."""
        return self._images.active

    @property
    def images_unpaired(self) -> int:
        """How many images were dropped because the camera_info of their stamp did not come."""
        return 0 if self._pairing is None else self._pairing.given_up

    def are_rectified(self, settings: NodeParameters) -> bool:
        """Return whether the images are rectified, by parameter or by the topic's name."""
        if settings.input_distortion == 'auto':
            return is_rectified_topic(self.image_topic)
        return settings.input_distortion == 'none'

    def subscribe(self) -> None:
        """Subscribe as the publishers offer."""
        self.camera_infos.open()
        self._infos.subscribe()
        self._images.subscribe()

    def unsubscribe(self) -> None:
        """Drop the subscriptions, and let nothing wait for a camera_info any longer."""
        self._images.unsubscribe()
        self._infos.unsubscribe()
        if self._pairing is not None:
            self._pairing.clear()
        self.camera_infos.close()

    def destroy(self) -> None:
        """Drop everything, and let nobody wait for a camera_info."""
        self.camera_infos.close()
        self._node.destroy_timer(self._timer)
        self._images.destroy()
        self._infos.destroy()

    def describe(self) -> str:
        """Return the image topic and its reliability, for the log."""
        return self._images.describe()

    def missing(self, topic: str) -> str:
        """Return one line about a topic on which nothing comes, with its publishers."""
        publishers = self._node.get_publishers_info_by_topic(topic)
        names = ', '.join(f'{p.node_namespace.rstrip("/")}/{p.node_name}' for p in publishers)
        text = f'nothing comes on {topic} (publishers: {names or "none"})'
        offers = {p.qos_profile.reliability for p in publishers}
        if topic == self.image_topic and ReliabilityPolicy.BEST_EFFORT in offers:
            # The commonest reason, and nothing else tells of it: DDS drops them silently.
            text += '; large best-effort images need the DDS profile at their publisher too'
        return text

    def _take_info(self, info: CameraInfo) -> None:
        self.infos_received += 1
        self.camera_infos.put(info)
        if self._pairing is not None:
            self._pairing.put_info(stamp_ns(info.header.stamp), info)

    def _take_image(self, message: Any) -> None:
        frame = Frame(message, time.monotonic())
        self.images_received += 1
        if self._pairing is None:
            self._on_frame(frame)
        else:
            self._pairing.put_image(stamp_ns(message.header.stamp), frame)

    def _review(self) -> None:
        self._infos.review()
        self._images.review()
