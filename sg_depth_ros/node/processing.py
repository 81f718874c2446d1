"""What the worker thread does with a frame: decode, estimate, publish, measure."""

import math
import time
from collections.abc import Callable
from concurrent.futures import Future

from builtin_interfaces.msg import Time
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from sg_depth_ros.engines.self_test import SelfTestResult
from sg_depth_ros.engines.self_test import run_self_test
from sg_depth_ros.errors import UserError
from sg_depth_ros.estimator import NO_VALID_DEPTH
from sg_depth_ros.estimator import DepthEstimator
from sg_depth_ros.estimator import Estimate
from sg_depth_ros.estimator import EstimatorSettings
from sg_depth_ros.image_encoding import ImageEncodingError
from sg_depth_ros.node.engine_keeper import EngineKeeper
from sg_depth_ros.node.monitoring.content import measure_content
from sg_depth_ros.node.monitoring.log_limit import LogLimit
from sg_depth_ros.node.monitoring.monitor import Monitor
from sg_depth_ros.node.monitoring.stamps import StampWatch
from sg_depth_ros.node.monitoring.statistics import FrameTimes
from sg_depth_ros.node.monitoring.statistics import Level
from sg_depth_ros.node.parameters import NodeParameters
from sg_depth_ros.node.snapshot import Snapshot
from sg_depth_ros.node.snapshot_requests import SnapshotRequests
from sg_depth_ros.node.topics.decoding import MessageDecoder
from sg_depth_ros.node.topics.frames import Frame
from sg_depth_ros.node.topics.frames import stamp_ns
from sg_depth_ros.node.topics.inputs import Inputs
from sg_depth_ros.node.topics.outputs import Outputs


class FrameProcessor:
    """
    Owns the engine in the worker's thread and does all of a frame's work.

    :param engine: also the estimator's.
    :param settings: the parameters that hold now; a change takes effect with the next frame.
    """

    def __init__(
        self,
        node: Node,
        engine: EngineKeeper,
        outputs: Outputs,
        inputs: Inputs,
        monitor: Monitor,
        settings: Callable[[], NodeParameters],
    ) -> None:
        self._engine = engine
        self._outputs = outputs
        self._inputs = inputs
        self._monitor = monitor
        self._statistics = monitor.statistics
        self._settings = settings
        self._applied = settings()
        self._clock = node.get_clock()
        self._logger = node.get_logger()
        # The camera may be another one with every image.
        self._changes, self._doubts = LogLimit(20, 10.0), LogLimit(20, 10.0)
        self._estimator = DepthEstimator(
            engine,
            estimator_settings(self._applied, inputs),
            on_change=self._tell_change,
            on_warning=self._tell_doubt,
        )
        self._stamps = StampWatch()
        self._jump_lines = LogLimit(1, 1.0)
        self._snapshots = SnapshotRequests()
        self._last_began_s = math.nan
        self._warned_of_frame_id = False
        self._decoder = MessageDecoder()
        self._tell_scale()

    def process(self, frame: Frame) -> None:
        """Do the work of one frame; what is wrong with it is reported, not raised."""
        self._take_settings()
        self._notice_jump(frame.message.header.stamp)
        if not self._wanted():
            self._statistics.unwanted()
            return
        if not self._engine.ready():
            self._statistics.dropped()
            return
        self._statistics.began()
        try:
            self._process(frame)
        finally:
            self._statistics.ended()

    def run_self_test(self) -> SelfTestResult | None:
        """
        Test the engine against the depth stored in the model, None where there is none.

        :raises UserError: while the engine is released.
        """
        engine = self._engine.engine
        if engine is None:
            raise UserError('the engine has failed and is not open; see /diagnostics')
        result = run_self_test(engine, self._engine.tolerance)
        if result is not None:
            self._monitor.self_tested(result)
        return result

    def snapshot_of_next(self, future: 'Future[Snapshot]') -> None:
        """Fill a future with copies of what the next good frame gives."""
        self._snapshots.add(future)

    def close(self) -> None:
        """Free the engine, in the thread that made it."""
        self._snapshots.refuse('the node was cleaned up before an image came')
        self._engine.close()

    def _process(self, frame: Frame) -> None:
        header = frame.message.header
        began_s, age_ms = time.monotonic(), self._age_ms(header.stamp)
        try:
            image = self._decoder.decode(frame.message)
        except ImageEncodingError as error:
            self._statistics.rejected()
            self._monitor.problem('input', f'image dropped: {error}')
            return
        decoded_s = time.monotonic()
        info = self._info_of(frame)
        waited_s = time.monotonic() - decoded_s
        self._compare_frame_ids(header, info)
        wants_depth = self._outputs.wants_depth or self._snapshots.any_left()
        estimate = self._estimator.estimate(image, info, wants_depth, self._stamps.last_s)
        estimated_s = time.monotonic()
        self._outputs.publish(estimate, header)
        published_s = time.monotonic()
        self._snapshots.answer(estimate, header)
        self._report_problems(estimate, info)
        times = FrameTimes(
            age_ms=age_ms,
            waiting_ms=1e3 * (began_s - frame.received_s + waited_s),
            preprocess_ms=1e3 * (decoded_s - began_s) + estimate.preprocess_ms,
            inference_ms=estimate.inference_ms,
            postprocess_ms=estimate.postprocess_ms + 1e3 * (published_s - estimated_s),
        )
        self._measure(estimate, times, header.stamp, began_s)

    def _measure(self, estimate: Estimate, times: FrameTimes, stamp: Time, began_s: float) -> None:
        content = measure_content(estimate)
        if content.network_invalid_ratio == 1:
            self._monitor.problem('output', NO_VALID_DEPTH)
        self._statistics.processed(times, content, self._applied.max_processing_time_ms)
        latency_ms = self._age_ms(stamp)
        last_s, self._last_began_s = self._last_began_s, began_s
        self._monitor.debug.publish(times.processing_ms, latency_ms, 1e3 * (began_s - last_s))

    def _take_settings(self) -> None:
        settings = self._settings()
        if settings is self._applied:
            return
        self._applied = settings
        self._estimator.change_settings(estimator_settings(settings, self._inputs))
        self._outputs.apply(settings)
        self._tell_scale()

    def _tell_change(self, line: str) -> None:
        if self._changes.allows():
            self._logger.info(line)

    def _tell_doubt(self, line: str) -> None:
        if self._doubts.allows():
            self._logger.warning(line)

    def _tell_scale(self) -> None:
        p = self._applied
        metric = self._engine.contract.metric or p.camera_height > 0
        self._monitor.depth_is_unscaled(p.allow_unscaled_depth and not metric)

    def _wanted(self) -> bool:
        return (
            self._applied.run_without_subscribers
            or self._snapshots.any_left()
            or self._outputs.wants_anything
        )

    def _info_of(self, frame: Frame) -> CameraInfo | None:
        if frame.info is not None:
            return frame.info
        settings = self._applied
        wait_s = settings.camera_info_wait_s if settings.every_frame else 0.0
        # Counted from the frame's arrival: images that came together wait together.
        left_s = frame.received_s + wait_s - time.monotonic()
        if self._inputs.camera_infos.newest is not None or left_s <= 0:
            return self._inputs.camera_infos.newest
        self._statistics.ended()
        info = self._inputs.camera_infos.wait(left_s)
        self._statistics.began()
        return info

    def _age_ms(self, stamp: Time) -> float:
        """Return the time since a stamp by the node's clock; NaN where that has not come."""
        now_ns = self._clock.now().nanoseconds
        if now_ns == 0:
            return math.nan
        return 1e-6 * (now_ns - stamp_ns(stamp))

    def _report_problems(self, estimate: Estimate, info: CameraInfo | None) -> None:
        # That no info has come at all is said by the monitor, with the topic's publishers.
        if estimate.camera_problem and info is not None:
            self._monitor.problem('camera_info', f'no cloud: {estimate.camera_problem}')
        elif estimate.depth_problem and estimate.camera is not None:
            self._monitor.problem('output', estimate.depth_problem)
        if estimate.scale_note:
            self._monitor.problem('output', estimate.scale_note, Level.WARN)

    def _notice_jump(self, stamp: Time) -> None:
        change = self._stamps.see(stamp_ns(stamp))
        if change == 'out of order':
            self._statistics.out_of_order()
        elif change == 'jumped back':
            self._statistics.jumped()
            self._estimator.reset()
            if self._jump_lines.allows():
                self._logger.info('stamps jumped back: statistics and smoothing begin anew')

    def _compare_frame_ids(self, header: Header, info: CameraInfo | None) -> None:
        if self._warned_of_frame_id:
            return
        frame_id = header.frame_id
        if not frame_id:
            self._logger.warning('images carry no frame_id; the outputs carry none either')
        elif info is not None and info.header.frame_id != frame_id:
            self._logger.warning(
                f'frame_id of image {frame_id!r} and camera_info {info.header.frame_id!r} '
                "differ; the image's is used"
            )
        else:
            return
        self._warned_of_frame_id = True


def estimator_settings(p: NodeParameters, inputs: Inputs) -> EstimatorSettings:
    """Return what the parameters say about geometry and scale."""
    return EstimatorSettings(
        is_rectified=inputs.are_rectified(p),
        focal_correction=p.focal_correction,
        allow_unscaled_depth=p.allow_unscaled_depth,
        max_depth_m=p.max_depth_m or None,
        fit=p.input_fit,
        camera_height_m=p.camera_height or None,
        scale_smoothing_s=p.scale_smoothing_s,
    )
