"""
The node's output topics; what nobody subscribes to is neither computed nor published.

``~/semantic/mask``, ``confidence``, ``label_info`` and ``~/points`` are what Nav2's semantic
segmentation layer takes (github.com/kiwicampus/semantic_segmentation_layer): it walks mask and
cloud side by side, so that both must be of one size and stamp, and needs the labels first.
"""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from std_msgs.msg import Header

from sg_depth_ros.contract import ModelContract
from sg_depth_ros.depth_pictures import DepthColors
from sg_depth_ros.depth_pictures import Millimetres
from sg_depth_ros.depth_pictures import paint_labels
from sg_depth_ros.engines.engine import Prediction
from sg_depth_ros.estimator import Estimate
from sg_depth_ros.node.parameters import NodeParameters
from sg_depth_ros.node.topics.messages import label_info_message
from sg_depth_ros.node.topics.output_topics import CameraInfoOutput
from sg_depth_ros.node.topics.output_topics import CloudOutput
from sg_depth_ros.node.topics.output_topics import ImageOutput
from sg_depth_ros.node.topics.publisher import create_publisher
from sg_depth_ros.node.topics.qos import latched_qos
from sg_depth_ros.node.topics.qos import output_qos


class Outputs:
    """Every output of the node; ``apply`` and ``publish`` run in one thread."""

    def __init__(self, node: Node, settings: NodeParameters, contract: ModelContract) -> None:
        qos = output_qos(settings)
        self._node = node
        self.depth = ImageOutput(node, '~/depth/image', qos, '32FC1', np.float32)
        self.camera_info = CameraInfoOutput(node, '~/depth/camera_info', qos)
        self.points = CloudOutput(node, '~/points', qos, settings)
        self.image = ImageOutput(node, '~/image_rect_color', qos, 'rgb8', channels=3)
        self.depth_color = ImageOutput(node, '~/depth/color', qos, 'rgb8', channels=3)
        self.mask = ImageOutput(node, '~/semantic/mask', qos, 'mono8')
        self.confidence = ImageOutput(node, '~/semantic/confidence', qos, 'mono8')
        self.semantic_color = ImageOutput(node, '~/semantic/color', qos, 'rgb8', channels=3)
        self._label_info = self._publish_labels(contract)
        self._class_colors = np.zeros((256, 1, 3), np.uint8)
        self._class_colors[: len(contract.palette), 0] = contract.palette
        self._millimetres = Millimetres()
        self.apply(settings)

    @property
    def wants_depth(self) -> bool:
        """Whether any output needs the depth."""
        return self.depth.wanted or self.points.wanted or self.depth_color.wanted

    @property
    def wants_anything(self) -> bool:
        """Whether anybody subscribes to what is made of images."""
        return any(publisher.get_subscription_count() for publisher in self._image_publishers())

    def apply(self, settings: NodeParameters) -> None:
        """Take the parameters that may change at run time."""
        self._in_millimetres = settings.depth_encoding == '16UC1'
        dtype = np.uint16 if self._in_millimetres else np.float32
        self.depth.encode_as(settings.depth_encoding, dtype)
        self.points.apply(settings)
        self._stride = settings.cloud_stride
        self._depth_colors = DepthColors(settings.depth_color_max_m)

    def publish(self, estimate: Estimate, header: Header) -> None:
        """Publish all that is wanted and known of one image, under the image's header."""
        camera, depth_m = estimate.camera, estimate.depth_m
        # The info first: who shows a depth image looks for the newest info.
        if camera is not None and self.camera_info.wanted:
            self.camera_info.publish(camera, header)
        if depth_m is not None:
            self._publish_depth(depth_m, header)
            has_points = camera is not None and not estimate.depth_problem
            if camera is not None and has_points and self.points.wanted:
                self.points.publish(estimate, camera, depth_m, header)
        if self.image.wanted:
            self.image.publish(estimate.image, header)
        self._publish_semantics(estimate.prediction, header)

    def subscription_counts(self) -> list[tuple[str, int]]:
        """Return the topic and the number of subscribers of every output."""
        return [(p.topic_name, p.get_subscription_count()) for p in self._publishers()]

    def destroy(self) -> None:
        """Withdraw the topics."""
        for publisher in self._publishers():
            self._node.destroy_publisher(publisher)

    def _publish_depth(self, depth_m: NDArray[np.float32], header: Header) -> None:
        height, width = depth_m.shape
        if self.depth.wanted and self._in_millimetres:
            write = partial(self._millimetres.write, depth_m)
            self.depth.publish_written(height, width, header, write)
        elif self.depth.wanted:
            self.depth.publish(depth_m, header)
        if self.depth_color.wanted:
            paint = partial(self._depth_colors.paint, depth_m)
            self.depth_color.publish_written(height, width, header, paint)

    def _publish_semantics(self, prediction: Prediction, header: Header) -> None:
        labels, stride = prediction.labels, self._stride
        if self.mask.wanted:
            self.mask.publish(labels[::stride, ::stride], header)
        if self.confidence.wanted:
            self.confidence.publish(prediction.confidence[::stride, ::stride], header)
        if self.semantic_color.wanted:
            height, width = labels.shape
            paint = partial(paint_labels, labels, self._class_colors)
            self.semantic_color.publish_written(height, width, header, paint)

    def _publish_labels(self, contract: ModelContract) -> Any:
        header = Header(stamp=self._node.get_clock().now().to_msg())
        message = label_info_message(contract, header)
        if message is None:
            return None
        publisher = create_publisher(
            self._node, type(message), '~/semantic/label_info', latched_qos()
        )
        publisher.publish(message)
        return publisher

    def _image_publishers(self) -> list[Any]:
        topics = (
            self.depth, self.camera_info, self.points, self.image, self.depth_color, self.mask,
            self.confidence, self.semantic_color,
        )  # fmt: skip
        return [topic.publisher for topic in topics]

    def _publishers(self) -> list[Any]:
        labels = [] if self._label_info is None else [self._label_info]
        return [*self._image_publishers(), *labels]
