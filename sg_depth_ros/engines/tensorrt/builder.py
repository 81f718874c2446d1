"""
Builds a TensorRT plan from a model file.

Always strongly typed: the types in the ONNX file are the types that the plan computes in, which is
the only way of TensorRT 11 and possible since 10.0.
"""

import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple
from typing import TypeVar

from sg_depth_ros.engines.engine import EngineFailedError
from sg_depth_ros.engines.options import TensorRTOptions
from sg_depth_ros.engines.tensorrt.api import IBuilderConfig
from sg_depth_ros.engines.tensorrt.api import IHostMemory
from sg_depth_ros.engines.tensorrt.api import INetworkDefinition
from sg_depth_ros.engines.tensorrt.api import ITimingCache
from sg_depth_ros.engines.tensorrt.api import OnnxParser
from sg_depth_ros.engines.tensorrt.api import ParserError
from sg_depth_ros.engines.tensorrt.library import Library
from sg_depth_ros.engines.tensorrt.library import LogCollector
from sg_depth_ros.engines.tensorrt.library import tensorrt_log
from sg_depth_ros.engines.tensorrt.progress import BuildTracker
from sg_depth_ros.engines.tensorrt.progress import OnProgress
from sg_depth_ros.engines.tensorrt.progress import progress_monitor
from sg_depth_ros.errors import UserError
from sg_depth_ros.model_file import ModelFile

MOST_OPTIMIZATION = 5
_SHOWN_NODES = 10  # of those that a parser refuses; all are in the log
_MB = 1 << 20

PrepareConfig = Callable[[IBuilderConfig], None]
Made = TypeVar('Made')


class BuiltPlan(NamedTuple):
    """A plan as TensorRT wrote it."""

    plan: bytes
    timing_cache: bytes | None  # what was measured, for the next build on this machine
    build_s: float


class _Build(NamedTuple):
    """What one build is made with."""

    library: Library
    log: LogCollector
    model: ModelFile
    options: TensorRTOptions
    tracker: BuildTracker

    def refusal(self, what: str) -> EngineFailedError:
        """Return an error that ends with TensorRT's own words."""
        reasons = '; '.join(self.log.errors()) or 'it gives no reason'
        return EngineFailedError(
            f'{self.model.path}: {self.library.name} {self.library.version} {what}: {reasons}'
        )


def build_plan(
    library: Library,
    model: ModelFile,
    options: TensorRTOptions,
    timing_cache: bytes | None = None,
    on_progress: OnProgress | None = None,
    prepare_config: PrepareConfig | None = None,
) -> BuiltPlan:
    """
    Build a plan; takes seconds to many minutes.

    :param timing_cache: what an earlier build measured on this machine. One of another TensorRT
        or GPU does no harm.
    :param on_progress: told how far it is, from a thread of the build; False cancels. What it
        raises cancels too, and comes out here.
    :param prepare_config: sees TensorRT's configuration last before the build.
    :raises EngineFailedError: where TensorRT refuses the model, the options or the machine;
        with every node that it does not take.
    :raises BuildCancelledError: where ``on_progress`` cancelled.
    """
    _check_options(options)
    tracker = BuildTracker(on_progress)
    build = _Build(library, tensorrt_log(library.trt), model, options, tracker)
    start_s = time.monotonic()
    # A thread of its own, for Ctrl-C: Python raises KeyboardInterrupt in the main thread alone,
    # where it would otherwise meet TensorRT's C++, or nobody until the build is over.
    with ThreadPoolExecutor(1, 'build_plan') as pool:
        future = pool.submit(_build, build, timing_cache, prepare_config)
        try:
            plan, measured = future.result()
        except BaseException:
            tracker.cancel()
            raise
    tracker.finish()
    return BuiltPlan(plan, measured, time.monotonic() - start_s)


def _check_options(options: TensorRTOptions) -> None:
    if not 0 <= options.optimization_level <= MOST_OPTIMIZATION:
        raise UserError(
            f'optimization_level is {options.optimization_level}, must be 0 to {MOST_OPTIMIZATION}'
        )
    if options.workspace_mb is not None and options.workspace_mb < 1:
        raise UserError(f'workspace_mb is {options.workspace_mb}, must be at least 1')


def _build(
    build: _Build, stored: bytes | None, prepare_config: PrepareConfig | None
) -> tuple[bytes, bytes | None]:
    build.log.clear()
    try:
        plan, measured = _serialized(build, stored, prepare_config)
    except BaseException as error:
        # Else all that TensorRT holds, on the GPU too, would live as long as the error.
        traceback.clear_frames(error.__traceback__)
        raise
    # By now the parser's copy of the weights is gone; the plan is as large.
    return bytes(plan), measured


def _serialized(
    build: _Build, stored: bytes | None, prepare_config: PrepareConfig | None
) -> tuple[IHostMemory, bytes | None]:
    trt = build.library.trt
    builder = _made(build, 'a builder', lambda: trt.Builder(build.log))
    strongly_typed = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = _made(build, 'a network', lambda: builder.create_network(strongly_typed))
    config = _made(build, 'a configuration', lambda: builder.create_builder_config())
    _configure(build, config)
    # The network refers to weights that the parser holds.
    parser = _parse(build, network)
    cache = _use_timing_cache(build, config, stored)
    monitor = progress_monitor(trt, build.tracker)
    config.progress_monitor = monitor
    if prepare_config is not None:
        prepare_config(config)
    plan = builder.build_serialized_network(network, config)
    del parser
    build.tracker.check()
    if plan is None:
        raise build.refusal('cannot build a plan of it')
    measured = None if cache is None else cache.serialize()
    return plan, None if measured is None else bytes(measured)


def _made(build: _Build, what: str, make: Callable[[], Made | None]) -> Made:
    """Make one of TensorRT's objects; it may return None or raise TypeError for want of one."""
    try:
        made = make()
    except (TypeError, RuntimeError):
        made = None
    if made is None:
        raise build.refusal(f'cannot make {what}')
    return made


def _configure(build: _Build, config: IBuilderConfig) -> None:
    trt, options = build.library.trt, build.options
    config.builder_optimization_level = options.optimization_level
    if options.workspace_mb is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mb * _MB)
    # TensorRT's own default is on.
    if options.tf32:
        config.set_flag(trt.BuilderFlag.TF32)
    else:
        config.clear_flag(trt.BuilderFlag.TF32)
    if options.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if options.hardware_compatible:
        level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
        config.hardware_compatibility_level = level
        # TensorRT-RTX says only in its log that it did not take it.
        if config.hardware_compatibility_level != level:
            raise EngineFailedError(
                f'{build.library.name} {build.library.version} cannot build plans for other GPUs '
                'than this one; leave hardware_compatible off'
            )


def _parse(build: _Build, network: INetworkDefinition) -> OnnxParser:
    parser = _made(build, 'a parser', lambda: build.library.trt.OnnxParser(network, build.log))
    if parser.parse(build.model.content):
        return parser
    nodes = [_node_error(parser.get_error(i)) for i in range(parser.num_errors)]
    if not nodes:
        raise build.refusal('cannot read it')
    more = len(nodes) - _SHOWN_NODES
    raise EngineFailedError(
        f'{build.model.path}: {build.library.name} {build.library.version} does not take it: '
        f'{"; ".join(nodes[:_SHOWN_NODES])}{f"; and {more} more, see the log" * (more > 0)}'
    )


def _node_error(error: ParserError) -> str:
    """Return 'node "/decoder/unique" (Unique): UNSUPPORTED_NODE' and what else is known."""
    code = str(error.code()).rpartition('.')[2]
    text = ' '.join(error.desc().split())
    # A bare condition of TensorRT's source says nothing.
    reason = code if text in ('', 'false') else f'{code}, {text}'
    if error.node() < 0:
        return reason
    name = f'"{error.node_name()}"' if error.node_name() else f'number {error.node()}'
    return f'node {name} ({error.node_operator()}): {reason}'


def _use_timing_cache(
    build: _Build, config: IBuilderConfig, stored: bytes | None
) -> ITimingCache | None:
    """Let the build use what was measured before, or else only remember what it measures."""
    # TensorRT-RTX measures nothing, and warns who would keep that.
    if not build.options.timing_cache or build.library.name == 'TensorRT-RTX':
        return None
    for content in [stored, b''] if stored else [b'']:
        cache = config.create_timing_cache(content)
        if cache is not None and config.set_timing_cache(cache, False):
            return cache
    return None
