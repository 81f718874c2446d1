"""The node's output topics; what nobody subscribes to is neither computed nor published."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import Image
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.contract import ModelContract
from sg_depth_ros.estimator import Estimate
from sg_depth_ros.node.messages import CloudBuffer
from sg_depth_ros.node.messages import ImageBuffer
from sg_depth_ros.node.messages import camera_info_message
from sg_depth_ros.node.parameters import NodeParameters
from sg_depth_ros.node.qos import output_qos
from sg_depth_ros.point_cloud import PointCloudBuilder


class ImageOutput:
    """An image topic and the message that is published on it."""

    def __init__(
        self,
        node: Node,
        topic: str,
        qos: QoSProfile,
        encoding: str,
        dtype: type[np.generic] = np.uint8,
        channels: int = 1,
    ) -> None:
        self.publisher = node.create_publisher(Image, topic, qos)
        self._buffer = ImageBuffer(encoding, dtype, channels)

    @property
    def wanted(self) -> bool:
        """Whether anybody subscribes."""
        return bool(self.publisher.get_subscription_count())

    def publish(self, pixels: NDArray[Any], header: Header) -> None:
        """Publish an image (H, W) or (H, W, C)."""
        self.publisher.publish(self._buffer.fill(pixels, header))


class CloudOutput:
    """The cloud's topic; rays are computed when the camera changes."""

    def __init__(
        self, node: Node, topic: str, qos: QoSProfile, parameters: NodeParameters
    ) -> None:
        self.publisher = node.create_publisher(PointCloud2, topic, qos)
        self.apply(parameters)

    def apply(self, parameters: NodeParameters) -> None:
        """Take parameters; the next cloud is built anew."""
        self._stride = parameters.cloud_stride
        self._with_labels = parameters.cloud_labels
        self._camera: Intrinsics | None = None
        self._buffer: CloudBuffer | None = None

    @property
    def wanted(self) -> bool:
        """Whether anybody subscribes."""
        return bool(self.publisher.get_subscription_count())

    def publish(
        self, estimate: Estimate, camera: Intrinsics, depth_m: NDArray[np.float32], header: Header
    ) -> None:
        """Publish the cloud of one depth image."""
        if self._buffer is None or camera != self._camera:
            builder = PointCloudBuilder(camera, self._stride, with_labels=self._with_labels)
            self._camera, self._buffer = camera, CloudBuffer(builder)
        labels = estimate.prediction.labels if self._with_labels else None
        self.publisher.publish(self._buffer.fill(depth_m, estimate.image, labels, header))


class Outputs:
    """Every output of the node."""

    def __init__(self, node: Node, parameters: NodeParameters, contract: ModelContract) -> None:
        qos = output_qos(parameters)
        self._node = node
        self.depth = ImageOutput(node, '~/depth/image', qos, '32FC1', np.float32)
        self.camera_info = node.create_publisher(CameraInfo, '~/depth/camera_info', qos)
        self.points = CloudOutput(node, '~/points', qos, parameters)
        self.image = ImageOutput(node, '~/image_rect_color', qos, 'rgb8', channels=3)
        self.depth_color = ImageOutput(node, '~/depth/color', qos, 'rgb8', channels=3)
        self.mask = ImageOutput(node, '~/semantic/mask', qos, 'mono8')
        self.confidence = ImageOutput(node, '~/semantic/confidence', qos, 'mono8')
        self.semantic_color = ImageOutput(node, '~/semantic/color', qos, 'rgb8', channels=3)
        self._palette = np.zeros((256, 3), np.uint8)
        self._palette[: len(contract.palette)] = contract.palette
        self._depth_color_max_m = parameters.depth_color_max_m

    @property
    def wants_depth(self) -> bool:
        """Whether any output needs the depth."""
        return self.depth.wanted or self.points.wanted or self.depth_color.wanted

    @property
    def wants_anything(self) -> bool:
        """Whether anybody subscribes to anything."""
        return any(publisher.get_subscription_count() for publisher in self._publishers())

    def apply(self, parameters: NodeParameters) -> None:
        """Take parameters that were changed at run time; in the thread that publishes."""
        self._depth_color_max_m = parameters.depth_color_max_m
        self.points.apply(parameters)

    def publish(self, estimate: Estimate, header: Header) -> None:
        """Publish all that is wanted and known of one image, under the image's header."""
        depth_m = estimate.depth_m
        if depth_m is not None and self.depth.wanted:
            self.depth.publish(depth_m, header)
        if estimate.camera is not None:
            self.camera_info.publish(camera_info_message(estimate.camera, header))
            if depth_m is not None and not estimate.depth_problem and self.points.wanted:
                self.points.publish(estimate, estimate.camera, depth_m, header)
        if depth_m is not None and self.depth_color.wanted:
            self.depth_color.publish(colorize_depth(depth_m, self._depth_color_max_m), header)
        if self.image.wanted:
            self.image.publish(estimate.image, header)
        labels = estimate.prediction.labels
        if self.mask.wanted:
            self.mask.publish(labels, header)
        if self.confidence.wanted:
            self.confidence.publish(estimate.prediction.confidence, header)
        if self.semantic_color.wanted:
            self.semantic_color.publish(self._palette[labels], header)

    def subscription_counts(self) -> list[tuple[str, int]]:
        """Return the topic and the number of subscribers of every output."""
        return [(p.topic_name, p.get_subscription_count()) for p in self._publishers()]

    def destroy(self) -> None:
        """Withdraw the topics."""
        for publisher in self._publishers():
            self._node.destroy_publisher(publisher)

    def _publishers(self) -> list[Any]:
        images = (
            self.depth, self.image, self.depth_color, self.mask, self.confidence,
            self.semantic_color,
        )  # fmt: skip
        return [self.camera_info, self.points.publisher, *(image.publisher for image in images)]


def colorize_depth(depth_m: NDArray[np.float32], max_depth_m: float) -> NDArray[np.uint8]:
    """
    Turn depth into colour on a fixed scale: red is near, blue is ``max_depth_m`` and beyond.

    :param depth_m: (H, W), NaN becomes black.
    :return: RGB (H, W, 3).
    """
    share = np.clip(depth_m / np.float32(max_depth_m), 0, 1)
    unknown = np.isnan(share)
    share[unknown] = 1
    nearness = (255 * (1 - share)).astype(np.uint8)
    bgr = cv2.applyColorMap(nearness, cv2.COLORMAP_TURBO)
    rgb = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
    rgb[unknown] = 0
    return rgb
