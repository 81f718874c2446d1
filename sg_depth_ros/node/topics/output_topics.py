"""One output topic each: its publisher, and the message that is written in place."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import Image
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.estimator import Estimate
from sg_depth_ros.flying_pixels import FlyingPixelFilter
from sg_depth_ros.node.parameters import NodeParameters
from sg_depth_ros.node.topics.messages import CloudBuffer
from sg_depth_ros.node.topics.messages import ImageBuffer
from sg_depth_ros.node.topics.messages import camera_info_message
from sg_depth_ros.node.topics.publisher import create_publisher
from sg_depth_ros.point_cloud import PointCloudBuilder


class ImageOutput:
    """An image topic; its encoding may change."""

    def __init__(
        self,
        node: Node,
        topic: str,
        qos: QoSProfile,
        encoding: str,
        dtype: type[np.generic] = np.uint8,
        channels: int = 1,
    ) -> None:
        self.publisher = create_publisher(node, Image, topic, qos)
        self.encode_as(encoding, dtype, channels)

    @property
    def wanted(self) -> bool:
        """Whether anybody subscribes."""
        return bool(self.publisher.get_subscription_count())

    def encode_as(self, encoding: str, dtype: type[np.generic], channels: int = 1) -> None:
        """Take another encoding of sensor_msgs/image_encodings.hpp and what goes with it."""
        self._buffer = ImageBuffer(encoding, dtype, channels)

    def publish(self, pixels: NDArray[Any], header: Header) -> None:
        """Publish an image (H, W) or (H, W, C)."""
        self.publisher.publish(self._buffer.fill(pixels, header))

    def publish_written(
        self, height: int, width: int, header: Header, write: Callable[[NDArray[Any]], None]
    ) -> None:
        """Publish what ``write`` writes into the array (H, W) or (H, W, C) it is given."""
        write(self._buffer.pixels(height, width))
        self._buffer.message.header = header
        self.publisher.publish(self._buffer.message)


class CameraInfoOutput:
    """The intrinsics of the depth; the message is made anew when the camera changes."""

    def __init__(self, node: Node, topic: str, qos: QoSProfile) -> None:
        self.publisher = create_publisher(node, CameraInfo, topic, qos)
        self._camera: Intrinsics | None = None
        self._message = CameraInfo()

    @property
    def wanted(self) -> bool:
        """Whether anybody subscribes."""
        return bool(self.publisher.get_subscription_count())

    def publish(self, camera: Intrinsics, header: Header) -> None:
        """Publish the info of a rectified image."""
        if camera != self._camera:
            self._camera, self._message = camera, camera_info_message(camera, header)
        self._message.header = header
        self.publisher.publish(self._message)


class CloudOutput:
    """The cloud's topic; rays and buffers are made anew when the camera or a parameter changes."""

    def __init__(self, node: Node, topic: str, qos: QoSProfile, settings: NodeParameters) -> None:
        self.publisher = create_publisher(node, PointCloud2, topic, qos)
        self.apply(settings)

    @property
    def wanted(self) -> bool:
        """Whether anybody subscribes."""
        return bool(self.publisher.get_subscription_count())

    def apply(self, settings: NodeParameters) -> None:
        """Take stride, labels and edge filter from the parameters."""
        self._stride = settings.cloud_stride
        self._with_labels = settings.cloud_labels
        self._edge_share = settings.cloud_edge_filter
        self._camera: Intrinsics | None = None
        self._buffer: CloudBuffer | None = None
        self._flying: FlyingPixelFilter | None = None

    def publish(
        self, estimate: Estimate, camera: Intrinsics, depth_m: NDArray[np.float32], header: Header
    ) -> None:
        """Publish the cloud of one depth image."""
        if self._buffer is None or camera != self._camera:
            self._buffer = self._prepare(camera)
        labels = estimate.prediction.labels if self._with_labels else None
        hidden = None if self._flying is None else self._flying.find(depth_m)
        message = self._buffer.fill(depth_m, estimate.image, labels, header, hidden)
        self.publisher.publish(message)

    def _prepare(self, camera: Intrinsics) -> CloudBuffer:
        self._camera = camera
        self._flying = None
        if self._edge_share > 0:
            self._flying = FlyingPixelFilter(camera.height, camera.width, self._edge_share)
        return CloudBuffer(PointCloudBuilder(camera, self._stride, with_labels=self._with_labels))
