"""
The ROS 2 node: images and camera_info in; metric depth, a cloud and labels out.

The executor's thread only receives; one worker thread owns the engine and publishes.
"""

import argparse
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from diagnostic_msgs.msg import DiagnosticStatus
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock
from rclpy.clock import ClockType
from rclpy.executors import ExternalShutdownException
from rclpy.executors import SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.lifecycle import LifecycleNode
from rclpy.lifecycle import LifecycleState
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter

from sg_depth_ros.engines.opening import OpenedEngine
from sg_depth_ros.errors import USER_ERROR_EXIT_STATUS
from sg_depth_ros.errors import UserError
from sg_depth_ros.errors import exit_on_user_error
from sg_depth_ros.estimator import DepthEstimator
from sg_depth_ros.estimator import EstimatorSettings
from sg_depth_ros.node.diagnostics import Part
from sg_depth_ros.node.diagnostics import Statistics
from sg_depth_ros.node.engine_opening import engine_values
from sg_depth_ros.node.engine_opening import open_node_engine
from sg_depth_ros.node.frames import CameraInfoCache
from sg_depth_ros.node.frames import Frame
from sg_depth_ros.node.inputs import Inputs
from sg_depth_ros.node.outputs import Outputs
from sg_depth_ros.node.parameter_docs import parameter_help
from sg_depth_ros.node.parameter_server import SettingsBox
from sg_depth_ros.node.parameter_server import changed_parameters
from sg_depth_ros.node.parameter_server import check_model
from sg_depth_ros.node.parameter_server import declare_parameters
from sg_depth_ros.node.parameters import NodeParameters
from sg_depth_ros.node.processing import FrameProcessor
from sg_depth_ros.node.worker import Worker

STOP_TIMEOUT_S = 5.0

# Opens an engine in the calling thread: parameters, where to log, whether to go on building.
OpenNodeEngine = Callable[[NodeParameters, RcutilsLogger, Callable[[], bool]], OpenedEngine]


class DepthNode(LifecycleNode):
    """
    The lifecycle node ``depth_node``.

    configure: parameters, engine, self-test, publishers. activate: subscriptions. deactivate:
    drops them and keeps the engine. cleanup: frees it.

    :param open_engine: opens the engine when configuring, in the worker's thread.
    :raises UserError: for a parameter of a wrong type or out of range.
    """

    def __init__(self, open_engine: OpenNodeEngine = open_node_engine) -> None:
        super().__init__('depth_node')
        self.settings = SettingsBox(declare_parameters(self))
        self.failure: Exception | None = None  # of the last transition that failed
        self._open_engine = open_engine
        self._statistics = Statistics()
        self._camera_infos = CameraInfoCache()
        self._worker: Worker[Frame, FrameProcessor] | None = None
        self._inputs: Inputs | None = None
        self._outputs: Outputs | None = None
        self._engine_values: list[tuple[str, str]] = []
        self._images_since_report = 0
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        # By the steady clock, so that a stopped simulation does not silence the node.
        self.create_timer(1.0, self._report, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self.add_on_set_parameters_callback(self._may_set)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Read the parameters, open the engine, announce the outputs."""
        return self._attempt('configure', self._configure)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe."""
        return self._attempt('activate', self._activate)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Drop the subscriptions and what they brought; keep the engine."""
        return self._attempt('deactivate', self._deactivate)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the engine and withdraw the outputs."""
        return self._attempt('clean up', self.release)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything."""
        return self._attempt('shut down', self.release)

    def release(self) -> None:
        """Drop the subscriptions, free the engine in its thread and withdraw the outputs."""
        if self._inputs is not None:
            self._inputs.destroy()
            self._inputs = None
        self._camera_infos.close()
        if self._worker is not None and not self._worker.stop(STOP_TIMEOUT_S):
            self.get_logger().error(f'the engine is still busy after {STOP_TIMEOUT_S:.0f} s')
        self._worker = None
        if self._outputs is not None:
            self._outputs.destroy()
            self._outputs = None

    def _attempt(self, name: str, work: Callable[[], None]) -> TransitionCallbackReturn:
        # rclpy drops an exception of a transition, so its reason must be logged here.
        try:
            work()
        except UserError as error:
            self.failure = error
            self.get_logger().error(f'cannot {name}: {error}')
            return TransitionCallbackReturn.FAILURE
        except Exception as error:
            self.failure = error
            if self.context.ok():  # else told to stop: nothing ROS is valid any longer
                self.get_logger().error(f'cannot {name}: {error!r}\n{traceback.format_exc()}')
            return TransitionCallbackReturn.FAILURE
        return TransitionCallbackReturn.SUCCESS

    def _configure(self) -> None:
        settings = self.settings.current
        check_model(settings, self.get_fully_qualified_name())
        self._statistics.reset()
        self._camera_infos = CameraInfoCache()
        self._inputs = Inputs(self, settings, self._receive, self._camera_infos.put)
        self._worker = Worker(
            self._make_processor, settings.every_frame, self._report_failed_frame
        )
        try:
            self._worker.start(keep_waiting=self.context.ok)
        except BaseException:
            self.release()
            raise

    def _activate(self) -> None:
        assert self._inputs is not None
        self._inputs.subscribe()
        mode = 'every image' if self.settings.current.every_frame else 'the newest image'
        self.get_logger().info(f'active: {self._inputs.describe()}, processing {mode}')

    def _deactivate(self) -> None:
        assert self._inputs is not None and self._worker is not None
        self._inputs.unsubscribe()
        self._worker.discard()

    def _make_processor(self) -> FrameProcessor:
        """Open the engine and all that goes with it; runs in the worker's thread."""
        settings, logger = self.settings.current, self.get_logger()
        assert self._inputs is not None
        opened = self._open_engine(settings, logger, self.context.ok)
        engine = opened.engine
        try:
            self._announce(opened)
            estimator = DepthEstimator(
                engine,
                EstimatorSettings(
                    is_rectified=self._inputs.is_rectified,
                    focal_correction=settings.focal_correction,
                    allow_unscaled_depth=settings.allow_unscaled_depth,
                    max_depth_m=settings.max_depth_m or None,
                ),
                on_change=logger.info,
                on_warning=logger.warning,
            )
            self._outputs = Outputs(self, settings, engine.contract)
        except BaseException:
            engine.close()
            raise
        return FrameProcessor(
            engine,
            estimator,
            self._outputs,
            self._camera_infos,
            self._statistics,
            logger,
            settings.camera_info_wait_s if settings.every_frame else 0.0,
        )

    def _announce(self, opened: OpenedEngine) -> None:
        contract, settings = opened.engine.contract, self.settings.current
        self._engine_values = engine_values(opened)
        # Library, device and self-test were told when the engine was chosen.
        self.get_logger().info(
            f'{opened.path.name}: {contract.network}, guided by {contract.guidance}, '
            f'{contract.width}x{contract.height}'
        )
        if not contract.metric:
            self.get_logger().warning(
                'the model is not metric: depth is published up to an unknown scale'
                if settings.allow_unscaled_depth
                else 'the model is not metric: no depth and no cloud are published, unless '
                'allow_unscaled_depth is set'
            )

    def _may_set(self, parameters: 'list[Parameter[Any]]') -> SetParametersResult:
        configured = self._worker is not None
        try:
            settings = changed_parameters(self.settings.current, parameters, configured)
        except UserError as error:
            return SetParametersResult(successful=False, reason=str(error))
        self.settings.put(settings)
        return SetParametersResult(successful=True)

    def _receive(self, message: Any) -> None:
        if self._worker is not None:
            self._images_since_report += 1
            self._statistics.received()
            self._worker.frames.put(Frame(message, time.monotonic()))

    def _report_failed_frame(self, error: Exception) -> None:
        if not self.context.ok():
            return  # shutting down: publishing fails, and nobody listens
        if self._statistics.problem('engine', f'frame failed: {error!r}'):
            trace = ''.join(traceback.format_exception(error))
            self.get_logger().error(f'frame failed: {error!r}\n{trace}')

    def _report(self) -> None:
        """Publish the diagnostics, and say what is missing."""
        if self._worker is None or self._inputs is None or self._outputs is None:
            return
        images, self._images_since_report = self._images_since_report, 0
        warn = DiagnosticStatus.WARN
        if images and self._camera_infos.newest is None:
            text = self._inputs.missing(self._inputs.camera_info_topic)
            if self._statistics.problem('camera_info', text, warn):
                self.get_logger().warning(text)
        elif self._inputs.active and not images:
            self._statistics.problem('input', self._inputs.missing(self._inputs.image_topic), warn)
        values: dict[Part, list[tuple[str, str]]] = {
            'engine': self._engine_values,
            'input': [
                ('topic', self._inputs.describe()),
                ('frames_waiting', str(len(self._worker.frames))),
                ('frames_dropped', str(self._worker.frames.dropped)),
            ],
            'output': [
                (f'subscribers {topic}', str(count))
                for topic, count in self._outputs.subscription_counts()
            ],
        }
        stamp = self.get_clock().now().to_msg()
        name = self.get_fully_qualified_name().lstrip('/')
        self._diagnostics.publish(self._statistics.report(name, values, stamp))


def main(args: list[str] | None = None) -> int:
    """
    Run the node until it is told to stop.

    :param args: the command line with the program's name first, by default ``sys.argv``.
    :return: exit status: 0 after Ctrl-C, SIGTERM and a successful ``build_only``; 2 for impossible
        parameters and, with ``build_only`` or ``exit_on_failure``, where the start fails for a
        user's mistake, 1 where it fails otherwise.
    """
    return exit_on_user_error(lambda: _run(sys.argv if args is None else args))


def _run(args: list[str]) -> int:
    # rclpy ends the spin on SIGINT and SIGTERM; a KeyboardInterrupt besides would come anywhere,
    # also while the engine is being freed, for launch and a terminal both send the signal.
    signal.signal(signal.SIGINT, lambda number, frame: None)
    try:
        _parse(args)
        rclpy.init(args=args)
    except rclpy_implementation.RCLError as error:
        raise UserError(' '.join(str(error).split())) from error
    node: DepthNode | None = None
    try:
        node = DepthNode()
        status = _start(node)
        if status is not None:
            return status
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        executor.spin()
    except (ExternalShutdownException, rclpy_implementation.RCLError):
        if rclpy.ok():
            raise
        # Told to stop: while spinning, or while things were being made.
    finally:
        if node is not None:
            node.release()
            node.destroy_node()
        rclpy.try_shutdown()
    return 0


def _start(node: DepthNode) -> int | None:
    """Do what happens without being asked; return the exit status where the process shall end."""
    settings, success = node.settings.current, TransitionCallbackReturn.SUCCESS
    if settings.build_only:
        if node.trigger_configure() == success:
            node.get_logger().info('build_only: the engine is there and tested')
            return 0
    elif not settings.autostart or (
        node.trigger_configure() == success and node.trigger_activate() == success
    ):
        return None
    if not rclpy.ok():  # told to stop meanwhile
        return 0
    if settings.build_only or settings.exit_on_failure:
        return USER_ERROR_EXIT_STATUS if isinstance(node.failure, UserError) else 1
    name = node.get_fully_qualified_name()
    node.get_logger().info(
        f'waiting to be configured again: set what is wrong (ros2 param set {name} ...), then '
        f'ros2 lifecycle set {name} configure, and activate'
    )
    return None


def _parse(args: list[str]) -> None:
    """Answer --help, and refuse what ROS does not know."""
    parser = argparse.ArgumentParser(
        prog='depth_node',
        usage='depth_node --ros-args -p model:=model.onnx [-p NAME:=VALUE ...] '
        '[-r ~/image:=TOPIC] [-r ~/camera_info:=TOPIC] [--params-file FILE]',
        description='Metric depth, a coloured cloud and semantic labels from a camera.',
        epilog=parameter_help(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args(rclpy.utilities.remove_ros_args(args)[1:])


if __name__ == '__main__':
    sys.exit(main())
