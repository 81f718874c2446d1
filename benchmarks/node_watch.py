"""What the benchmarks of the node watch it with: an engine that does nothing, and time stamps."""

import time
import tracemalloc
from typing import Any
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.classes import CITYSCAPES
from sg_depth_ros.classes import CLASS_NAMES
from sg_depth_ros.classes import ROAD_ID
from sg_depth_ros.classes import SKY_ID
from sg_depth_ros.contract import ModelContract
from sg_depth_ros.engines.engine import Prediction

NODE_NAME = 'depth_node'
MEASURED_TOPICS = ('depth/image', 'depth/camera_info', 'points')
FOCAL_SHARE = 0.58  # focal length over width, as KITTI's colour cameras have


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


def stamp_ns(message: Any) -> int:
    """Return a message's stamp."""
    stamp = message.header.stamp
    return int(stamp.sec * 10**9 + stamp.nanosec)
