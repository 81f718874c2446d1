"""Puts the worker together: engine, outputs and what is done with a frame."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.node import Node

from sg_depth_ros.contract import ModelContract
from sg_depth_ros.engines.opening import OpenedEngine
from sg_depth_ros.node.engine_keeper import EngineKeeper
from sg_depth_ros.node.engine_opening import OpenNodeEngine
from sg_depth_ros.node.engine_opening import engine_values
from sg_depth_ros.node.engine_opening import open_node_engine
from sg_depth_ros.node.monitoring.monitor import Monitor
from sg_depth_ros.node.monitoring.statistics import Level
from sg_depth_ros.node.parameters import NodeParameters
from sg_depth_ros.node.processing import FrameProcessor
from sg_depth_ros.node.topics.frames import Frame
from sg_depth_ros.node.topics.inputs import Inputs
from sg_depth_ros.node.topics.outputs import Outputs
from sg_depth_ros.node.worker import Worker

if TYPE_CHECKING:
    from sg_depth_ros.engines.tensorrt.progress import BuildProgress
    from sg_depth_ros.engines.tensorrt.progress import OnProgress


def make_worker(
    node: Node,
    settings: Callable[[], NodeParameters],
    inputs: Inputs,
    monitor: Monitor,
    make_outputs: Callable[[ModelContract], Outputs],
    open_engine: OpenNodeEngine = open_node_engine,
) -> Worker[Frame, FrameProcessor]:
    """
    Return the worker whose thread opens the engine, runs it and frees it; ``start`` starts it.

    :param settings: the parameters that hold now.
    :param make_outputs: announces the outputs; called in the worker's thread while it starts.
    """

    def on_progress(progress: 'BuildProgress') -> bool:
        monitor.building(progress)
        return node.context.ok() and not worker.frames.closed

    def create() -> FrameProcessor:
        return make_processor(
            node, settings, inputs, monitor, outputs_while_wanted, open_engine, on_progress
        )

    def outputs_while_wanted(contract: ModelContract) -> Outputs:
        if worker.frames.closed:  # nobody would withdraw what is announced now
            raise InterruptedError('told to stop while the engine was being opened')
        return make_outputs(contract)

    def on_error(error: Exception) -> None:
        if node.context.ok():  # else shutting down: publishing fails, and nobody listens
            monitor.frame_failed(error)

    worker: Worker[Frame, FrameProcessor] = Worker(
        create, settings().every_frame, on_error, monitor.statistics.dropped
    )
    monitor.watch(worker.frames)
    return worker


def make_processor(
    node: Node,
    settings: Callable[[], NodeParameters],
    inputs: Inputs,
    monitor: Monitor,
    make_outputs: Callable[[ModelContract], Outputs],
    open_engine: OpenNodeEngine,
    on_progress: 'OnProgress',
) -> FrameProcessor:
    """Open the engine and all that goes with it, in the thread that is to own it."""
    logger = node.get_logger()

    def open_it() -> OpenedEngine:
        monitor.engine_opening()
        return open_engine(settings(), logger, on_progress)

    keeper = EngineKeeper(
        open_it,
        lambda: settings().max_failures_in_a_row,
        on_change=lambda text: _engine_changed(node, monitor, text),
        on_open=lambda opened: monitor.engine_opened(engine_values(opened)),
    )
    try:
        _announce(keeper.contract, settings(), logger)
        outputs = make_outputs(keeper.contract)
        monitor.outputs_made(outputs)
        return FrameProcessor(node, keeper, outputs, inputs, monitor, settings)
    except BaseException:
        keeper.close()
        raise


def _engine_changed(node: Node, monitor: Monitor, text: str) -> None:
    monitor.engine_is(Level.ERROR, text)
    node.get_logger().error(text)


def _announce(contract: ModelContract, p: NodeParameters, logger: RcutilsLogger) -> None:
    # Library, device and self-test were told when the engine was chosen.
    logger.info(
        f'{Path(p.model).name}: {contract.network}, guided by {contract.guidance}, '
        f'{contract.width}x{contract.height}'
    )
    if contract.metric or p.camera_height:
        return
    logger.warning(
        'the model is not metric: depth is published up to an unknown scale'
        if p.allow_unscaled_depth
        else 'the model is not metric: no depth and no cloud are published, unless camera_height '
        'or allow_unscaled_depth is set'
    )
