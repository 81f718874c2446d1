"""A camera and a listener for the benchmarks of the node, in a process of its own."""

import os
import struct
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any
from typing import NamedTuple

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import Image
from sensor_msgs.msg import PointCloud2

from benchmarks.node_watch import FOCAL_SHARE
from benchmarks.node_watch import MEASURED_TOPICS
from benchmarks.node_watch import NODE_NAME

TYPES: dict[str, Any] = {
    'depth/image': Image,
    'depth/camera_info': CameraInfo,
    'points': PointCloud2,
    'depth/color': Image,
    'image_rect_color': Image,
    'semantic/mask': Image,
    'semantic/confidence': Image,
    'semantic/color': Image,
}
# plumb_bob of a wide lens: straight lines bend by some ten pixels.
DISTORTION = [-0.3, 0.1, 0.001, -0.001, -0.02]
DRAIN_S = 1.0


class CameraJob(NamedTuple):
    """What is sent and what is listened to."""

    size: tuple[int, int]  # width and height
    namespaces: tuple[str, ...]  # of the nodes
    encoding: str = 'rgb8'
    distorted: bool = False
    reliable: bool = True
    topics: tuple[str, ...] = MEASURED_TOPICS
    environment: tuple[tuple[str, str], ...] = ()


class Shots(NamedTuple):
    """A number of images for one node."""

    namespace: str
    count: int
    rate_hz: float
    drain: bool = True  # wait for the last outputs
    listens_after: float = 0.0  # share of a period in which outputs are left lying


class Shown(NamedTuple):
    """What became of ``Shots``; times by ``perf_counter_ns``."""

    sent_ns: dict[int, int]  # by stamp
    received: dict[str, int]  # messages by topic
    out_of_order: int  # messages not newer than the one before on their topic


class Camera:
    """Publishes noise and counts what comes back."""

    def __init__(self, job: CameraJob) -> None:
        self.job = job
        self._node = rclpy.create_node('camera')
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        reliability = ReliabilityPolicy.RELIABLE if job.reliable else ReliabilityPolicy.BEST_EFFORT
        qos = QoSProfile(depth=5, reliability=reliability)
        width, height = job.size
        self._image = Image(encoding=job.encoding, width=width, height=height, step=3 * width)
        self._image.header.frame_id = 'camera_optical'
        noise = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
        self._image.data.frombytes(memoryview(noise).cast('B'))
        self._info = camera_info(job)
        self._publishers: dict[str, tuple[Any, Any]] = {}
        self._last_stamp_ns: dict[tuple[str, str], int] = {}
        self._received: dict[str, int] = {}
        self._out_of_order = 0
        for namespace in job.namespaces:
            prefix = f'/{namespace}/{NODE_NAME}'
            self._publishers[namespace] = (
                self._node.create_publisher(Image, f'{prefix}/image', qos),
                self._node.create_publisher(CameraInfo, f'{prefix}/camera_info', qos),
            )
            for topic in job.topics:
                self._node.create_subscription(
                    TYPES[topic],
                    f'{prefix}/{topic}',
                    self._listener(namespace, topic),
                    QoSProfile(depth=10),
                    raw=True,  # what a listener makes of it is not the node's time
                )

    def connected(self) -> bool:
        """Whether every node listens."""
        self._executor.spin_once(0.01)
        pairs = self._publishers.values()
        return all(publisher.get_subscription_count() for pair in pairs for publisher in pair)

    def shoot(self, shots: Shots) -> Shown:
        """Send images at a steady rate."""
        images, infos = self._publishers[shots.namespace]
        self._received = dict.fromkeys(self.job.topics, 0)
        self._out_of_order = 0
        sent_ns: dict[int, int] = {}
        start_s = time.perf_counter()
        for index in range(shots.count):
            self._spin_until(start_s + index / shots.rate_hz)
            stamp_ns = time.time_ns()
            for message in (self._info, self._image):
                message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
            sent_ns[stamp_ns] = time.perf_counter_ns()
            infos.publish(self._info)
            images.publish(self._image)
            time.sleep(shots.listens_after / shots.rate_hz)
        self._spin_until(start_s + shots.count / shots.rate_hz)
        if shots.drain:
            self._spin_until(time.perf_counter() + DRAIN_S)
        return Shown(sent_ns, self._received, self._out_of_order)

    def _spin_until(self, end_s: float) -> None:
        while (left_s := end_s - time.perf_counter()) > 0:
            self._executor.spin_once(left_s)

    def _listener(self, namespace: str, topic: str) -> Callable[[bytes], None]:
        def listen(raw: bytes) -> None:
            # A header comes first in all of them: four bytes of encapsulation, then the stamp.
            seconds, nanoseconds = struct.unpack_from('<iI', raw, 4)
            stamp_ns = seconds * 10**9 + nanoseconds
            if stamp_ns <= self._last_stamp_ns.get((namespace, topic), 0):
                self._out_of_order += 1
            self._last_stamp_ns[namespace, topic] = stamp_ns
            self._received[topic] = self._received.get(topic, 0) + 1

        return listen


def camera_info(job: CameraJob) -> CameraInfo:
    """Return the info of a camera of the network's field of view."""
    width, height = job.size
    f, cx, cy = FOCAL_SHARE * width, (width - 1) / 2, (height - 1) / 2
    info = CameraInfo(width=width, height=height, distortion_model='plumb_bob')
    info.header.frame_id = 'camera_optical'
    info.d = DISTORTION if job.distorted else [0.0] * 5
    info.k = [f, 0.0, cx, 0.0, f, cy, 0.0, 0.0, 1.0]
    info.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    info.p = [f, 0.0, cx, 0.0, 0.0, f, cy, 0.0, 0.0, 0.0, 1.0, 0.0]
    return info


def serve_camera(connection: Connection, job: CameraJob) -> None:
    """
    Answer 'connected' and ``Shots`` until the connection closes; the main function of a process.

    Sends 'ok' once the camera is up.
    """
    os.environ.update(job.environment)
    rclpy.init()
    camera = Camera(job)
    connection.send('ok')
    try:
        while True:
            command = connection.recv()
            if isinstance(command, Shots):
                connection.send(camera.shoot(command))
            else:
                connection.send(camera.connected())
    except EOFError:
        rclpy.try_shutdown()
