"""
The ROS 2 node: images and camera_info in; metric depth, a cloud and labels out.

The executor's thread receives (``Inputs``) and hands on; the worker's thread (``Worker``) owns the
engine, does all the work on a frame (``FrameProcessor``) and publishes (``Outputs``). ``Monitor``
hears of everything and reports it.
"""

import sys
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import LifecycleNode
from rclpy.lifecycle import LifecycleState
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter

from sg_depth_ros.contract import ModelContract
from sg_depth_ros.engines.self_test import SelfTestResult
from sg_depth_ros.errors import UserError
from sg_depth_ros.errors import exit_on_user_error
from sg_depth_ros.errors import one_line
from sg_depth_ros.node.engine_opening import OpenNodeEngine
from sg_depth_ros.node.engine_opening import open_node_engine
from sg_depth_ros.node.impossible_transitions import refuse_impossible_transitions
from sg_depth_ros.node.monitoring.monitor import Monitor
from sg_depth_ros.node.parameter_server import SettingsBox
from sg_depth_ros.node.parameter_server import changed_parameters
from sg_depth_ros.node.parameter_server import check_model
from sg_depth_ros.node.parameter_server import declare_parameters
from sg_depth_ros.node.parameter_server import unknown_parameters
from sg_depth_ros.node.processing import FrameProcessor
from sg_depth_ros.node.running import run
from sg_depth_ros.node.services import Services
from sg_depth_ros.node.snapshot import Snapshot
from sg_depth_ros.node.snapshot import snapshot_folder
from sg_depth_ros.node.topics.frames import Frame
from sg_depth_ros.node.topics.inputs import Inputs
from sg_depth_ros.node.topics.outputs import Outputs
from sg_depth_ros.node.worker import Worker
from sg_depth_ros.node.worker_making import make_worker

STOP_TIMEOUT_S = 5.0  # for the frame in work, when nothing is wanted of it any longer


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
        self._active = False
        # From configure to cleanup.
        self._worker: Worker[Frame, FrameProcessor] | None = None
        self._inputs: Inputs | None = None
        self._outputs: Outputs | None = None
        self._stuck: Worker[Frame, FrameProcessor] | None = None  # stopped, but not ended yet
        self._monitor = Monitor(self, self.settings)
        self._offered = Services(self, self)  # "_services" is rclpy's
        self.add_on_set_parameters_callback(self._may_set)
        refuse_impossible_transitions(self)
        for name, hint in unknown_parameters(self):
            self.get_logger().warning(f'parameter "{name}" is unknown and not used{hint}')

    # Transitions.

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Read the parameters, open the engine, announce the outputs."""
        result = self._attempt('configure', self._configure)
        if self.failure is not None and result != TransitionCallbackReturn.SUCCESS:
            self._monitor.configure_failed(one_line(self.failure))
        return result

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe."""
        return self._attempt('activate', self._activate)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Drop the subscriptions and what they brought; keep the engine."""
        return self._attempt('deactivate', self._deactivate)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the engine and withdraw the outputs."""
        return self._attempt('clean up', self.release, TransitionCallbackReturn.ERROR)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything."""
        return self._attempt('shut down', self.release, TransitionCallbackReturn.ERROR)

    def _attempt(
        self,
        name: str,
        work: Callable[[], None],
        failure: TransitionCallbackReturn = TransitionCallbackReturn.FAILURE,
    ) -> TransitionCallbackReturn:
        # rclpy drops an exception of a transition, so its reason must be logged here.
        try:
            work()
        except UserError as error:
            self.failure = error
            self.get_logger().error(f'cannot {name}: {error}')
            return failure
        except Exception as error:
            self.failure = error
            if self.context.ok():  # else told to stop: nothing ROS is valid any longer
                self.get_logger().error(f'cannot {name}: {error!r}\n{traceback.format_exc()}')
            return failure
        return TransitionCallbackReturn.SUCCESS

    def _configure(self) -> None:
        settings = self.settings.current
        check_model(settings, self.get_fully_qualified_name())
        self._check_that_nothing_is_stuck()
        self._inputs = Inputs(self, settings, self._receive)
        self._monitor.configuring(self._inputs)
        self._worker = make_worker(
            self, self.settings, self._inputs, self._monitor, self._make_outputs, self._open_engine
        )
        try:
            self._worker.start(self._monitor.keep_waiting)
        except BaseException:
            self.release()
            raise
        self._monitor.inactive()

    def _make_outputs(self, contract: ModelContract) -> Outputs:
        self._outputs = Outputs(self, self.settings.current, contract)
        return self._outputs

    def _activate(self) -> None:
        assert self._inputs is not None
        enabled = self._monitor.enabled
        if enabled:
            self._inputs.subscribe()
        self._active = True
        self._monitor.active()
        if not enabled:
            self.get_logger().info('active, but disabled by ~/enable')
            return
        mode = 'every image' if self.settings.current.every_frame else 'the newest image'
        self.get_logger().info(f'active: {self._inputs.describe()}, processing {mode}')

    def _receive(self, frame: Frame) -> None:
        """Hand an image to the worker; all that the executor's thread does with it."""
        if self._worker is not None:
            self._monitor.statistics.received()
            self._worker.frames.put(frame)

    def _deactivate(self) -> None:
        assert self._inputs is not None and self._worker is not None
        self._active = False
        self._inputs.unsubscribe()
        if not self._worker.discard(STOP_TIMEOUT_S):
            self.get_logger().error(f'a frame is still in work after {STOP_TIMEOUT_S:g} s')
        self._monitor.inactive()

    def release(self) -> None:
        """Drop the subscriptions, free the engine in its thread and withdraw the outputs."""
        self._active = False
        inputs, self._inputs = self._inputs, None
        worker, self._worker = self._worker, None
        outputs, self._outputs = self._outputs, None
        self._monitor.unconfigured()
        with ExitStack() as last_first:  # each is done whatever the others raise
            if outputs is not None:
                last_first.callback(outputs.destroy)
            if worker is not None:
                last_first.callback(self._stop, worker)
            if inputs is not None:
                last_first.callback(inputs.destroy)

    def _stop(self, worker: Worker[Frame, FrameProcessor]) -> None:
        if not worker.stop(STOP_TIMEOUT_S):
            self._stuck = worker
            self.get_logger().error(f'the engine is still busy after {STOP_TIMEOUT_S:g} s')

    def _check_that_nothing_is_stuck(self) -> None:
        # Two engines may not fit into the GPU's memory, and the old one would publish once more.
        if self._stuck is not None and not self._stuck.stop(0.0):
            raise UserError(
                'the engine of before still hangs in a frame: configure again when it is done, '
                'or end the process'
            )
        self._stuck = None

    # Parameters.

    def _may_set(self, parameters: 'list[Parameter[Any]]') -> SetParametersResult:
        configured = self._worker is not None
        try:
            settings = changed_parameters(self.settings.current, parameters, configured)
        except UserError as error:
            return SetParametersResult(successful=False, reason=str(error))
        self.settings.put(settings)
        return SetParametersResult(successful=True)

    # What the services ask, see ``Served``.

    def enable(self, enabled: bool) -> str:
        """Process images or not, in this and the next active state."""
        if enabled != self._monitor.enabled:
            self._monitor.enabled = enabled
            self.get_logger().info('enabled' if enabled else 'disabled')
        if not self._active:
            then = '' if enabled else ', and will not when it is'
            return f'no images are processed while the node is not active{then}'
        assert self._inputs is not None and self._worker is not None
        if not enabled:
            self._inputs.unsubscribe()
            self._worker.frames.clear()
            return 'images are not received any longer'
        if not self._inputs.active:
            self._inputs.subscribe()
        return f'images are received from {self._inputs.describe()}'

    def start_self_test(self) -> 'Future[SelfTestResult | None]':
        """Have the engine tested between two frames."""
        if self._worker is None:
            raise UserError('the node is not configured: there is no engine to test')
        return self._worker.ask(FrameProcessor.run_self_test)

    def start_snapshot(self) -> 'Future[Snapshot]':
        """Have the next good frame copied."""
        if self._worker is None or not self._active:
            raise UserError('the node is not active: no image comes')
        if not self._monitor.enabled:
            raise UserError('the node is disabled by ~/enable: no image comes')
        snapshot: Future[Snapshot] = Future()
        asked = self._worker.ask(lambda processor: processor.snapshot_of_next(snapshot))
        asked.add_done_callback(lambda done: _pass_failure_on(done, snapshot))
        return snapshot

    def snapshot_folder(self) -> Path:
        """Return where snapshots go."""
        return snapshot_folder(
            self.settings.current.snapshot_folder, self.get_fully_qualified_name()
        )

    def reset_statistics(self) -> None:
        """Forget what was counted and measured."""
        self._monitor.statistics.reset()


def _pass_failure_on(source: 'Future[None]', target: 'Future[Snapshot]') -> None:
    error = source.exception()
    if error is not None and target.set_running_or_notify_cancel():
        target.set_exception(error)


def main(args: list[str] | None = None) -> int:
    """
    Run the node until it is told to stop.

    :param args: the command line with the program's name first, by default ``sys.argv``.
    :return: exit status, see ``run``; 2 for a command line or parameters that cannot be.
    """
    return exit_on_user_error(lambda: run(DepthNode, sys.argv if args is None else args))


if __name__ == '__main__':
    sys.exit(main())
