"""
The nodes that benchmarks/node.py compares, each served in a process of its own.

Every node runs the same engine, which does nothing or only waits. Its subscriptions and publishers
are watched from outside, by what rclpy offers to every node, so that all are measured alike.
"""

import os
import threading
import time
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
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image
from sensor_msgs.msg import PointCloud2
from sensor_msgs.msg import PointField
from std_msgs.msg import Header

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.classes import CITYSCAPES
from sg_depth_ros.classes import CLASS_NAMES
from sg_depth_ros.classes import ROAD_ID
from sg_depth_ros.classes import SKY_ID
from sg_depth_ros.contract import ModelContract
from sg_depth_ros.engines.engine import Prediction
from sg_depth_ros.engines.opening import OpenedEngine
from sg_depth_ros.node.depth_node import DepthNode

RCLError = rclpy_implementation.RCLError
NODE_NAME = 'depth_node'
MEASURED_TOPICS = ('depth/image', 'depth/camera_info', 'points')
FOCAL_SHARE = 0.58  # focal length over width, as KITTI's colour cameras have
CLOUD_DTYPE = np.dtype([('x', '<f4'), ('y', '<f4'), ('z', '<f4'), ('rgb', '<f4')])

Command = Literal['ready', 'measure', 'trace', 'collect']


class NodeJob(NamedTuple):
    """What a node runs with."""

    network: tuple[int, int]  # width and height
    engine_ms: float = 0.0  # how long the engine waits
    model: str = ''  # run for real instead, by depth_node
    parameters: tuple[str, ...] = ()  # NAME:=VALUE, for depth_node
    environment: tuple[tuple[str, str], ...] = ()


class FrameRecord(NamedTuple):
    """What was seen of one frame; times by ``perf_counter_ns``, one clock for all processes."""

    stamp_ns: int
    received_ns: int  # the image's callback begins
    engine_started_ns: int
    engine_ended_ns: int
    published_ns: tuple[int, ...]  # publish() returns, of MEASURED_TOPICS
    peak_bytes: int  # allocated at once since the callback began; 0 unless traced
    cpu_ns: int  # of the publishing thread, since the frame before

    @property
    def overhead_ms(self) -> float:
        """From the callback to the last of the published messages, without the engine."""
        engine_ns = self.engine_ended_ns - self.engine_started_ns
        return (max(self.published_ns) - self.received_ns - engine_ns) / 1e6


class NoOpEngine:
    """Returns the same prediction for every image, after a while."""

    def __init__(self, width: int, height: int, wait_ms: float) -> None:
        self.contract = contract(width, height)
        self.description = 'an engine that does nothing'
        self.started_ns = self.ended_ns = 0
        self._wait_s = wait_ms / 1e3
        rows_m = np.geomspace(79.0, 4.0, height, dtype=np.float32)[:, None]
        texture = np.random.default_rng(0).normal(1.0, 0.02, (height, width)).astype(np.float32)
        labels = np.full((height, width), ROAD_ID, np.uint8)
        labels[: height // 5] = SKY_ID
        confidence = np.full((height, width), 200, np.uint8)
        self._prediction = Prediction(rows_m * texture, labels, confidence)

    def infer(self, image: NDArray[np.uint8]) -> Prediction:
        """Return the prediction."""
        assert image.shape == (self.contract.height, self.contract.width, 3), image.shape
        self.started_ns = time.perf_counter_ns()
        if self._wait_s:
            time.sleep(self._wait_s)
        self.ended_ns = time.perf_counter_ns()
        return self._prediction

    def run_network(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Nothing is held."""


def contract(width: int, height: int) -> ModelContract:
    """Return the contract of a metric model that knows the sky."""
    focal_px = FOCAL_SHARE * width
    camera = Intrinsics(focal_px, focal_px, (width - 1) / 2, (height - 1) / 2, width, height)
    return ModelContract(
        intrinsics=camera,
        min_depth_m=0.1,
        max_depth_m=80.0,
        metric=True,
        scale_source='speed',
        class_names=CLASS_NAMES,
        palette=tuple(c.color for c in CITYSCAPES),
        network='none',
        guidance='none',
        precision='fp32',
        training_stage=1,
        weights_sha256='0' * 64,
        trained_width=width,
        trained_height=height,
        dataset_sha256='0' * 64,
        config_sha256='0' * 64,
        git_commit='unknown',
    )


class Recorder:
    """Notes when a node's callbacks begin and its messages are published."""

    def __init__(self, engine: NoOpEngine) -> None:
        self.engine = engine
        self.publishers: dict[str, Any] = {}
        self._received: dict[int, tuple[int, int]] = {}  # time and traced memory by stamp
        self._published: dict[int, dict[str, int]] = {}
        self._last_cpu_ns = 0
        self.records: list[FrameRecord] = []

    def clear(self) -> None:
        """Forget what was seen."""
        self._received, self._published, self.records = {}, {}, []

    def on_image(self, message: Any) -> None:
        """Note that an image's callback begins."""
        received_ns = time.perf_counter_ns()
        traced = 0
        if tracemalloc.is_tracing():
            tracemalloc.reset_peak()
            traced = tracemalloc.get_traced_memory()[0]
        self._received[stamp_ns(message)] = received_ns, traced

    def on_published(self, topic: str, message: Any) -> None:
        """Note that a message is out; with the last one the frame's record is complete."""
        published_ns = time.perf_counter_ns()
        stamp = stamp_ns(message)
        if stamp not in self._received:
            return
        times = self._published.setdefault(stamp, {})
        times[topic] = published_ns
        if len(times) < len(MEASURED_TOPICS):
            return
        cpu_ns = time.thread_time_ns()
        received_ns, traced = self._received[stamp]
        peak = tracemalloc.get_traced_memory()[1] - traced if tracemalloc.is_tracing() else 0
        published = tuple(times[name] for name in MEASURED_TOPICS)
        engine = self.engine
        self.records.append(
            FrameRecord(
                stamp,
                received_ns,
                engine.started_ns,
                engine.ended_ns,
                published,
                peak,
                cpu_ns - self._last_cpu_ns,
            )
        )
        self._last_cpu_ns = cpu_ns


class Watched:
    """A node whose image callbacks and publishers are watched; goes before Node in the bases."""

    recorder: Recorder

    def create_subscription(
        self, msg_type: Any, topic: str, callback: Any, *args: Any, **options: Any
    ) -> Any:
        """Create a subscription; an image's callback is noted first."""

        def watched(message: Any) -> Any:
            self.recorder.on_image(message)
            return callback(message)

        chosen = watched if msg_type in (Image, CompressedImage) else callback
        return super().create_subscription(msg_type, topic, chosen, *args, **options)  # type: ignore[misc]

    def create_publisher(self, msg_type: Any, topic: str, *args: Any, **options: Any) -> Any:
        """Create a publisher; what it publishes is noted afterwards."""
        publisher = super().create_publisher(msg_type, topic, *args, **options)  # type: ignore[misc]
        name = topic.removeprefix('~/')
        if name in MEASURED_TOPICS:
            publish, on_published = publisher.publish, self.recorder.on_published

            def watched(message: Any) -> None:
                publish(message)
                on_published(name, message)

            publisher.publish = watched
            self.recorder.publishers[name] = publisher
        return publisher


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


def stamp_ns(message: Any) -> int:
    """Return a message's stamp."""
    stamp = message.header.stamp
    return int(stamp.sec * 10**9 + stamp.nanosec)
