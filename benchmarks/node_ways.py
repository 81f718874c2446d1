"""
The nodes that benchmarks/node.py compares, each served in a process of its own.

Every node runs the same engine, which does nothing or only waits. Its subscriptions and publishers
are watched from outside, by what rclpy offers to every node, so that all are measured alike.
"""

import os
import threading
import tracemalloc
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from typing import Literal
from typing import NamedTuple

import cv2
import numpy as np
import rclpy
from numpy.typing import NDArray
from rclpy.executors import ExternalShutdownException
from rclpy.executors import SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import Image
from sensor_msgs.msg import PointCloud2
from sensor_msgs.msg import PointField
from std_msgs.msg import Header

from benchmarks.node_watch import MEASURED_TOPICS
from benchmarks.node_watch import NODE_NAME
from benchmarks.node_watch import NoOpEngine
from benchmarks.node_watch import Recorder
from benchmarks.node_watch import Watched
from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.classes import SKY_ID
from sg_depth_ros.engines.opening import OpenedEngine
from sg_depth_ros.node.depth_node import DepthNode

RCLError = rclpy_implementation.RCLError
CLOUD_DTYPE = np.dtype([('x', '<f4'), ('y', '<f4'), ('z', '<f4'), ('rgb', '<f4')])

Command = Literal['ready', 'measure', 'trace', 'collect']


class NodeJob(NamedTuple):
    """What a node runs with."""

    network: tuple[int, int]  # width and height
    engine_ms: float = 0.0  # how long the engine waits
    model: str = ''  # run for real instead, by depth_node
    parameters: tuple[str, ...] = ()  # NAME:=VALUE, for depth_node
    environment: tuple[tuple[str, str], ...] = ()


class OurNode(Watched, DepthNode):
    """The node of this package, configured and active."""

    def __init__(self, recorder: Recorder, job: NodeJob) -> None:
        self.recorder = recorder
        # A real model is opened as always.
        super().__init__(**({} if job.model else {'open_engine': self._open}))
        self.trigger_configure()
        self.trigger_activate()

    def _open(self, *arguments: Any, **options: Any) -> OpenedEngine:
        return OpenedEngine(self.recorder.engine, Path(__file__), None, ())


class NaiveNode(Watched, Node):
    """
    What a tutorial makes of it: all in the callback, messages made anew for every image.

    :param depth: of the subscription's queue.
    """

    def __init__(self, recorder: Recorder, job: NodeJob, depth: int) -> None:
        self.recorder = recorder
        super().__init__(NODE_NAME)
        self._engine = recorder.engine
        self._info: CameraInfo | None = None
        self._depth = self.create_publisher(Image, '~/depth/image', 10)
        self._camera_info = self.create_publisher(CameraInfo, '~/depth/camera_info', 10)
        self._points = self.create_publisher(PointCloud2, '~/points', 10)
        self.create_subscription(CameraInfo, '~/camera_info', self._on_info, 10)
        self.create_subscription(Image, '~/image', self._on_image, QoSProfile(depth=depth))

    def _on_info(self, info: CameraInfo) -> None:
        self._info = info

    def _on_image(self, message: Image) -> None:
        info = self._info
        if info is None:
            return
        network = self._engine.contract
        image = np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, 3)
        if message.encoding == 'bgr8':
            image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        if any(info.d):
            k = np.array(info.k).reshape(3, 3)
            image = cv2.undistort(image, k, np.array(info.d))
        image = cv2.resize(image, (network.width, network.height), interpolation=cv2.INTER_AREA)
        prediction = self._engine.infer(image)
        sx, sy = network.width / message.width, network.height / message.height
        fx, fy, cx, cy = info.k[0] * sx, info.k[4] * sy, info.k[2] * sx, info.k[5] * sy
        depth_m = prediction.depth_m * np.float32(fx / network.intrinsics.fx)
        depth_m[depth_m > network.max_depth_m] = np.inf
        depth_m[prediction.labels == SKY_ID] = np.inf
        depth_m[~(depth_m > 0)] = np.nan
        camera = Intrinsics(fx, fy, cx, cy, network.width, network.height)
        self._publish(message.header, image, depth_m, camera)

    def _publish(
        self,
        header: Header,
        image: NDArray[np.uint8],
        depth_m: NDArray[np.float32],
        camera: Intrinsics,
    ) -> None:
        height, width = depth_m.shape
        depth = Image(header=header, height=height, width=width, encoding='32FC1', step=4 * width)
        depth.data = depth_m.tobytes()
        self._depth.publish(depth)
        info = CameraInfo(header=header, height=height, width=width)
        info.k = [camera.fx, 0.0, camera.cx, 0.0, camera.fy, camera.cy, 0.0, 0.0, 1.0]
        self._camera_info.publish(info)
        u, v = np.meshgrid(np.arange(width), np.arange(height))
        cloud = np.empty((height, width), CLOUD_DTYPE)
        cloud['x'] = (u - camera.cx) / camera.fx * depth_m
        cloud['y'] = (v - camera.cy) / camera.fy * depth_m
        cloud['z'] = depth_m
        r, g, b = (image[..., channel].astype(np.uint32) for channel in range(3))
        cloud['rgb'] = (r << 16 | g << 8 | b).view(np.float32)
        points = PointCloud2(header=header, height=height, width=width, point_step=16)
        points.row_step = 16 * width
        points.fields = [
            PointField(name=name, offset=4 * index, datatype=PointField.FLOAT32, count=1)
            for index, name in enumerate(CLOUD_DTYPE.names or ())
        ]
        points.data = cloud.tobytes()
        self._points.publish(points)


WAYS: dict[str, Callable[[Recorder, NodeJob], Node]] = {
    'ours': OurNode,
    'inline10': lambda recorder, job: NaiveNode(recorder, job, 10),
    'inline1': lambda recorder, job: NaiveNode(recorder, job, 1),
}
TITLES = {
    'ours': 'depth_node',
    'inline10': 'work in the callback, queue of 10',
    'inline1': 'work in the callback, queue of 1',
}


def serve_node(connection: Connection, way: str, job: NodeJob) -> None:
    """
    Run a node in namespace /WAY until the connection closes; the main function of a process.

    Sends 'ok' once the node is up. Answers ``ready`` by whether all outputs have a subscriber,
    ``collect`` by the list of ``FrameRecord`` since ``measure`` or ``trace``, which also watches
    memory and makes everything slow.
    """
    os.environ.update(job.environment)
    assignments = ('autostart:=false', f'model:={job.model or __file__}', *job.parameters)
    words = [word for text in assignments for word in ('-p', text)]
    rclpy.init(args=['--ros-args', '-r', f'__ns:=/{way}', *words, '--log-level', 'warn'])
    recorder = Recorder(NoOpEngine(*job.network, job.engine_ms))
    node = WAYS[way](recorder, job)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    connection.send('ok')
    thread = threading.Thread(target=answer, args=(connection, recorder), daemon=True)
    thread.start()
    try:
        executor.spin()
    except (ExternalShutdownException, RCLError):
        if rclpy.ok():
            raise
    finally:
        if isinstance(node, DepthNode):
            node.release()


def answer(connection: Connection, recorder: Recorder) -> None:
    """Answer commands until the connection closes, then end the node."""
    while True:
        try:
            command: Command = connection.recv()
        except EOFError:
            rclpy.try_shutdown()
            return
        if command == 'ready':
            counts = [p.get_subscription_count() for p in recorder.publishers.values()]
            connection.send(len(counts) == len(MEASURED_TOPICS) and all(counts))
        elif command == 'collect':
            tracemalloc.stop()
            connection.send(recorder.records)
        else:
            recorder.clear()
            if command == 'trace':
                tracemalloc.start()
            connection.send('ok')
