"""What the worker thread does with a frame: decode, estimate, publish, measure."""

import time
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.impl.rcutils_logger import RcutilsLogger
from sensor_msgs.msg import CameraInfo

from sg_depth_ros.engines.engine import Engine
from sg_depth_ros.estimator import DepthEstimator
from sg_depth_ros.estimator import Estimate
from sg_depth_ros.image_encoding import ImageEncodingError
from sg_depth_ros.node.decoding import decode
from sg_depth_ros.node.diagnostics import FrameTimes
from sg_depth_ros.node.diagnostics import Part
from sg_depth_ros.node.diagnostics import Statistics
from sg_depth_ros.node.frames import CameraInfoCache
from sg_depth_ros.node.frames import Frame
from sg_depth_ros.node.outputs import Outputs


class FrameProcessor:
    """
    Owns the engine in the worker's thread and does all of a frame's work.

    :param camera_info_wait_s: how long a frame may wait for the first camera_info.
    """

    def __init__(
        self,
        engine: Engine,
        estimator: DepthEstimator,
        outputs: Outputs,
        camera_infos: CameraInfoCache,
        statistics: Statistics,
        logger: RcutilsLogger,
        camera_info_wait_s: float,
    ) -> None:
        self._engine = engine
        self._estimator = estimator
        self._outputs = outputs
        self._camera_infos = camera_infos
        self._statistics = statistics
        self._logger = logger
        self._camera_info_wait_s = camera_info_wait_s
        self._last_stamp_ns = 0
        self._warned_of_frame_id = False

    def process(self, frame: Frame) -> None:
        """Do the work of one frame; what is wrong with it is reported, not raised."""
        message = frame.message
        started_s = time.monotonic()
        self._notice_jump(message.header.stamp)
        try:
            image = decode(message)
        except ImageEncodingError as error:
            self.report('input', f'image dropped: {error}')
            return
        decoded_s = time.monotonic()
        # Counted from the frame's arrival: images that came together wait together.
        info = self._camera_infos.wait(frame.received_s + self._camera_info_wait_s - decoded_s)
        self._compare_frame_ids(message, info)
        estimate = self._estimator.estimate(image, info, self._outputs.wants_depth)
        done_s = time.monotonic()
        self._outputs.publish(estimate, message.header)
        self._report_problems(estimate)
        published_s = time.monotonic()
        self._statistics.processed(
            FrameTimes(
                age_ms=1e3 * (started_s - frame.received_s),
                preprocess_ms=1e3 * (decoded_s - started_s) + estimate.preprocess_ms,
                inference_ms=estimate.inference_ms,
                postprocess_ms=estimate.postprocess_ms + 1e3 * (published_s - done_s),
            ),
            _valid_share(estimate),
        )

    def close(self) -> None:
        """Free the engine, in the thread that made it."""
        self._engine.close()

    def report(self, part: Part, text: str, level: bytes = DiagnosticStatus.ERROR) -> None:
        """Note a problem in the diagnostics and log it, at most once a second."""
        if not self._statistics.problem(part, text, level):
            return
        if level == DiagnosticStatus.ERROR:
            self._logger.error(text)
        else:
            self._logger.warning(text)

    def _report_problems(self, estimate: Estimate) -> None:
        if estimate.camera_problem and self._camera_infos.newest is not None:
            # That none has come at all is said by the node, with the topic and its publishers.
            self.report('camera_info', f'no cloud: {estimate.camera_problem}')
        elif estimate.depth_problem and estimate.camera is not None:
            self.report('output', estimate.depth_problem)

    def _notice_jump(self, stamp: Any) -> None:
        stamp_ns = stamp.sec * 10**9 + stamp.nanosec
        if stamp_ns < self._last_stamp_ns:
            self._logger.info('stamps jumped back: statistics begin anew')
            self._statistics.reset()
        self._last_stamp_ns = stamp_ns

    def _compare_frame_ids(self, message: Any, info: CameraInfo | None) -> None:
        if self._warned_of_frame_id:
            return
        frame_id = message.header.frame_id
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


def _valid_share(estimate: Estimate) -> float:
    if estimate.depth_m is None:
        return float('nan')
    return float(np.count_nonzero(np.isfinite(estimate.depth_m)) / estimate.depth_m.size)
