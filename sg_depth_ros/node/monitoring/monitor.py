"""Publishes what the node knows of itself, once a second, whatever state it is in."""

import math
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock
from rclpy.clock import ClockType
from rclpy.node import Node

from sg_depth_ros.engines.self_test import SelfTestResult
from sg_depth_ros.node.engine_keeper import EngineFailure
from sg_depth_ros.node.engine_opening import self_test_values
from sg_depth_ros.node.monitoring.debug import DebugTopics
from sg_depth_ros.node.monitoring.diagnostics import PartStatus
from sg_depth_ros.node.monitoring.diagnostics import camera_info_values
from sg_depth_ros.node.monitoring.diagnostics import diagnostic_array
from sg_depth_ros.node.monitoring.health import ClockState
from sg_depth_ros.node.monitoring.health import KeyValues
from sg_depth_ros.node.monitoring.health import Phase
from sg_depth_ros.node.monitoring.health import Situation
from sg_depth_ros.node.monitoring.health import input_values
from sg_depth_ros.node.monitoring.health import output_values
from sg_depth_ros.node.monitoring.health import part_health
from sg_depth_ros.node.monitoring.health import processing_values
from sg_depth_ros.node.monitoring.statistics import PARTS
from sg_depth_ros.node.monitoring.statistics import Level
from sg_depth_ros.node.monitoring.statistics import Part
from sg_depth_ros.node.monitoring.statistics import Statistics
from sg_depth_ros.node.parameters import NodeParameters
from sg_depth_ros.node.topics.frames import Frame
from sg_depth_ros.node.topics.inputs import Inputs
from sg_depth_ros.node.topics.outputs import Outputs
from sg_depth_ros.node.worker import FrameQueue

if TYPE_CHECKING:
    from sg_depth_ros.engines.tensorrt.progress import BuildProgress

REPORT_EVERY_S = 1.0


class Monitor:
    """
    Owns ``/diagnostics``: a status of each part, from a timer, in every state of the node.

    The node tells it of its transitions, from the executor's thread; the worker's thread tells
    it of the engine and the outputs.

    :param settings: the parameters that hold now.
    """

    def __init__(self, node: Node, settings: Callable[[], NodeParameters]) -> None:
        self.statistics = Statistics()
        self.debug = DebugTopics(node)
        self._node = node
        self._settings = settings
        self._phase: Phase = 'unconfigured'
        self._failure = ''
        self._engine = (Level.OK, 'ok')
        self._engine_values: KeyValues = []
        self._opened_count = 0
        self._unpaired = 0  # images without the camera_info of their stamp, at the last report
        self._enabled = True
        self._since_s = math.inf  # when images began to be wanted
        self._inputs: Inputs | None = None
        self._outputs: Outputs | None = None
        self._frames: FrameQueue[Frame] | None = None
        self._unknown_scale = False
        self._reported_s = -math.inf
        self._clock_ns = 0  # of the node's clock at the last report
        self._clock_moved_s = time.monotonic()
        self._publisher = node.create_publisher(DiagnosticArray, '/diagnostics', 10)
        # By the steady clock, so that a stopped simulation does not silence the node.
        clock = Clock(clock_type=ClockType.STEADY_TIME)
        node.create_timer(REPORT_EVERY_S, self.report, clock=clock)

    # The node's transitions.

    def unconfigured(self) -> None:
        """Tell that the node holds no engine."""
        self._phase = 'unconfigured'
        self._failure, self._engine_values = '', []
        self._inputs = self._outputs = self._frames = None

    def configure_failed(self, reason: str) -> None:
        """Tell that it holds none because configuring failed."""
        self.unconfigured()
        self._failure = reason

    def configuring(self, inputs: Inputs) -> None:
        """Tell that the engine is about to be opened."""
        self._phase, self._failure = 'configuring', ''
        self._inputs = inputs
        self._engine_values, self._opened_count = [], 0
        self.engine_opening()
        self._unpaired = 0
        self.statistics.begin()

    def inactive(self) -> None:
        """Tell that the engine is open and no images are wanted."""
        self._phase = 'inactive'

    def active(self) -> None:
        """Tell that images are wanted."""
        self._phase = 'active'
        self._begin()

    @property
    def enabled(self) -> bool:
        """Whether images are processed while active; set by ~/enable."""
        return self._enabled

    @enabled.setter
    def enabled(self, enabled: bool) -> None:
        if enabled != self._enabled:
            self._enabled = enabled
            self._begin()

    def _begin(self) -> None:
        self._since_s = time.monotonic()
        self.statistics.begin()

    def keep_waiting(self) -> bool:
        """
        Report while the executor's thread waits for an engine and its timer does not run.

        :return: False where the process is told to stop.
        """
        if not self._node.context.ok():
            return False
        if time.monotonic() - self._reported_s >= REPORT_EVERY_S:
            self.report()
        return True

    # What the worker's thread tells.

    def engine_is(self, level: Level, text: str) -> None:
        """Tell how the engine is."""
        self._engine = (level, text)

    def engine_opened(self, values: KeyValues) -> None:
        """Tell which engine has been opened."""
        self._opened_count += 1
        restarts = ('engine_restarts', str(self._opened_count - 1))
        self._engine, self._engine_values = (Level.OK, 'ok'), [*values, restarts]

    def engine_opening(self) -> None:
        """Tell that the engine is being opened, once more where it has failed."""
        again = self._opened_count > 0
        text = 'opening the engine again' if again else 'opening the engine'
        self._engine = (Level.ERROR if again else Level.WARN, text)

    def self_tested(self, result: SelfTestResult) -> None:
        """Tell of a self-test of the open engine."""
        new = self_test_values(result)
        names = {name for name, _ in new}
        old = [value for value in self._engine_values if value[0] not in names]
        self._engine_values = old + new
        # The engine is open, or it could not have been tested: so nothing else is to say of it.
        self._engine = (Level.OK, 'ok') if result.passed else (Level.ERROR, result.summary())

    def building(self, progress: 'BuildProgress') -> None:
        """Tell how far the building of a plan is."""
        self._engine = (
            Level.WARN,
            f'building the plan: {100 * progress.share:.0f} % after {progress.elapsed_s:.0f} s '
            f'({progress.phase})',
        )

    def outputs_made(self, outputs: Outputs) -> None:
        """Tell of the outputs, whose subscribers are reported."""
        self._outputs = outputs

    def watch(self, frames: FrameQueue[Frame]) -> None:
        """Tell where frames wait for the worker."""
        self._frames = frames

    def depth_is_unscaled(self, unscaled: bool) -> None:
        """Tell whether the depth that is published is up to an unknown scale."""
        self._unknown_scale = unscaled

    def problem(self, part: Part, text: str, level: Level = Level.ERROR) -> None:
        """Note a problem in the diagnostics and log it, at most once a second."""
        if not self.statistics.problem(part, text, level):
            return
        if level == Level.ERROR:
            self._node.get_logger().error(text)
        else:
            self._node.get_logger().warning(text)

    def frame_failed(self, error: Exception) -> None:
        """Count a frame of which the work raised, and log where, at most once a second."""
        self.statistics.failed()
        engine = isinstance(error, EngineFailure)
        text = f'frame failed: {error}' if engine else f'frame failed: {error!r}'
        if self.statistics.problem('engine' if engine else 'processing', text):
            trace = ''.join(traceback.format_exception(error))
            self._node.get_logger().error(f'{text}\n{trace}')

    # The report.

    def report(self) -> None:
        """Publish the diagnostics, and log what is missing."""
        if not self._node.context.ok():
            return
        self._reported_s = time.monotonic()
        p = self._settings()
        clock = self._clock_state()
        summary = self.statistics.summary(p.max_processing_time_ms)
        self._mention_infos(comes=summary.since_received_s < 2 * REPORT_EVERY_S)
        situation = self._situation(clock)
        problems = self.statistics.problems()
        values = self._values()
        values['input'] += input_values(summary, clock)
        values['processing'] += processing_values(summary, p)
        values['output'] += output_values(summary)
        statuses = [
            PartStatus(
                part,
                part_health(part, situation, summary, problems.get(part), p),
                values[part],
            )
            for part in PARTS
        ]
        stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(
            diagnostic_array(self._node.get_fully_qualified_name(), statuses, stamp)
        )

    def _situation(self, clock: ClockState) -> Situation:
        inputs = self._inputs
        return Situation(
            phase=self._phase,
            failure=self._failure,
            engine=self._engine,
            enabled=self._enabled,
            clock=clock,
            active_s=time.monotonic() - self._since_s if self._phase == 'active' else 0.0,
            image_missing=lambda: '' if inputs is None else inputs.missing(inputs.image_topic),
            clock_missing=self._missing_clock,
            unknown_scale=self._unknown_scale,
        )

    def _values(self) -> dict[Part, KeyValues]:
        inputs, outputs = self._inputs, self._outputs
        values: dict[Part, KeyValues] = {part: [] for part in PARTS}
        values['engine'] = list(self._engine_values)
        if inputs is not None:
            values['input'] = [
                ('topic', inputs.describe()),
                ('frames_unpaired', str(inputs.images_unpaired)),
                ('frames_waiting', str(0 if self._frames is None else len(self._frames))),
            ]
            values['camera_info'] = camera_info_values(
                inputs.camera_info_topic, inputs.camera_infos.newest
            )
        if outputs is not None:
            values['output'] = [
                (f'subscribers {topic}', str(count))
                for topic, count in (
                    *outputs.subscription_counts(),
                    *self.debug.subscription_counts(),
                )
            ]
        return values

    def _mention_infos(self, comes: bool) -> None:
        """Say that camera_info is missing; ``comes``: frames reach the worker."""
        inputs = self._inputs
        if self._phase != 'active' or inputs is None:
            return
        if comes and inputs.camera_infos.newest is None:
            text = inputs.missing(inputs.camera_info_topic)
            self.problem('camera_info', text, Level.WARN)
        last, self._unpaired = self._unpaired, inputs.images_unpaired
        if self._unpaired > last:
            text = (
                f'{self._unpaired - last} images were dropped: no camera_info of their stamp '
                f'came on {inputs.camera_info_topic} (camera_info_sync is exact)'
            )
            self.problem('camera_info', text, Level.WARN if comes else Level.ERROR)

    def _clock_state(self) -> ClockState:
        now_ns = self._node.get_clock().now().nanoseconds
        now_s = time.monotonic()
        if now_ns != self._clock_ns:
            self._clock_ns, self._clock_moved_s = now_ns, now_s
        if not self._node.get_parameter('use_sim_time').value:
            return 'system'
        if now_ns == 0:
            return 'missing'
        return 'still' if now_s - self._clock_moved_s > 2 * REPORT_EVERY_S else 'simulated'

    def _missing_clock(self) -> str:
        publishers = self._node.get_publishers_info_by_topic('/clock')
        return f'nothing comes on /clock (publishers: {len(publishers) or "none"})'
