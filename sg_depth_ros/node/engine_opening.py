"""How the node opens its engine: from parameters to options, and what it says meanwhile."""

import logging
import time
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rclpy.impl.rcutils_logger import RcutilsLogger

from sg_depth_ros.engines.opening import OpenedEngine
from sg_depth_ros.engines.opening import choose_engine
from sg_depth_ros.engines.options import EngineOptions
from sg_depth_ros.engines.options import OnnxRuntimeOptions
from sg_depth_ros.engines.options import TensorRTOptions
from sg_depth_ros.engines.self_test import SelfTestResult
from sg_depth_ros.node.parameters import NodeParameters

if TYPE_CHECKING:
    from sg_depth_ros.engines.tensorrt.progress import BuildProgress
    from sg_depth_ros.engines.tensorrt.progress import OnProgress

# A build takes minutes: it says so now and then, without flooding the log.
BUILD_LOG_EVERY_SHARE = 0.1
BUILD_LOG_EVERY_S = 10.0

# Opens an engine in the calling thread: by which parameters, where to log, told of a build.
OpenNodeEngine = Callable[[NodeParameters, RcutilsLogger, 'OnProgress'], OpenedEngine]


def open_node_engine(
    settings: NodeParameters, logger: RcutilsLogger, on_progress: 'OnProgress'
) -> OpenedEngine:
    """
    Open the engine that the parameters ask for, tested, in the thread that is to own it.

    :param logger: is told why another engine was not taken, and how far a build is.
    :param on_progress: told while a plan is built; the build ends when it returns False.
    :raises UserError: where no engine can run the model.
    """
    with _engine_log(logger):
        opened = choose_engine(
            settings.model_path,
            settings.engine,
            engine_options(settings),
            BuildLog(settings.model_path.name, logger.info, on_progress),
        )
    if opened.refusals:
        # A vehicle that was meant to use its GPU should not be slow without a word.
        reasons = '; '.join(f'{name} cannot be used: {reason}' for name, reason in opened.refusals)
        logger.warning(f'{opened.engine.description} runs the model, for {reasons}')
    return opened


def engine_options(settings: NodeParameters) -> EngineOptions:
    """Return what the parameters say about engines."""
    return EngineOptions(
        onnxruntime=OnnxRuntimeOptions(
            threads=settings.engine_threads or None,
            device=settings.engine_device,
            tf32=settings.engine_tf32,
        ),
        tensorrt=TensorRTOptions(
            cache_folder=Path(settings.engine_cache).expanduser()
            if settings.engine_cache
            else None,
            allow_build=settings.allow_engine_build,
            workspace_mb=settings.engine_workspace_mb or None,
            optimization_level=settings.engine_optimization_level,
            tf32=settings.engine_tf32,
            hardware_compatible=settings.engine_hardware_compatible,
            version_compatible=settings.engine_version_compatible,
        ),
        allow_fallback=settings.allow_engine_fallback,
    )


def engine_values(opened: OpenedEngine) -> list[tuple[str, str]]:
    """Return what the diagnostics say of an engine: keys and values."""
    contract, result = opened.engine.contract, opened.self_test
    refused = '; '.join(f'{refusal.name}: {refusal.reason}' for refusal in opened.refusals)
    values = [
        ('engine', opened.engine.description),
        ('tensorrt_version', _tensorrt_version(opened.engine.description)),
        ('engine_refused', refused or 'none'),
        ('model', str(opened.path)),
        ('model_precision', contract.precision),
        ('model_size', f'{contract.width}x{contract.height}'),
        ('model_weights_sha256', contract.weights_sha256),
    ]
    return values + self_test_values(result)


def self_test_values(result: SelfTestResult | None) -> list[tuple[str, str]]:
    """Return what the diagnostics say of a self-test: keys and values."""
    if result is None:
        return [('self_test', 'the file carries none')]
    return [
        ('self_test', result.summary()),
        ('self_test_deviation', f'{result.max_relative_error:.3g}'),
        ('self_test_scale', f'{result.scale_ratio:.5f}'),
    ]


def _tensorrt_version(description: str) -> str:
    """Return the version of the TensorRT that runs, else that none does."""
    name, _, version = description.split(',')[0].partition(' ')
    return version if name.startswith('TensorRT') else 'not used'


class BuildLog:
    """
    Logs how far a build is: a line for every tenth of it, or every ten seconds.

    :param name: what is built.
    :param log: takes a line.
    :param on_progress: told of each step; returns whether to go on.
    """

    def __init__(self, name: str, log: Callable[[str], object], on_progress: 'OnProgress') -> None:
        self._name = name
        self._log = log
        self._on_progress = on_progress
        self._logged_share = -1.0
        self._logged_s = 0.0

    def __call__(self, progress: 'BuildProgress') -> bool:
        """Take progress and return whether to go on."""
        now_s = time.monotonic()
        if (
            progress.share >= self._logged_share + BUILD_LOG_EVERY_SHARE
            or now_s - self._logged_s >= BUILD_LOG_EVERY_S
        ):
            self._logged_share, self._logged_s = progress.share, now_s
            self._log(
                f'building the plan of {self._name}: {100 * progress.share:.0f} % after '
                f'{progress.elapsed_s:.0f} s ({progress.phase})'
            )
        return self._on_progress(progress)


class _RosLog(logging.Handler):
    """Hands what the engines log to the node's log."""

    def __init__(self, logger: RcutilsLogger) -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        # rcutils keeps one severity for each line of code that logs.
        if record.levelno >= logging.ERROR:
            self._logger.error(text)
        elif record.levelno >= logging.WARNING:
            self._logger.warning(text)
        else:
            self._logger.info(text)


@contextmanager
def _engine_log(logger: RcutilsLogger) -> Iterator[None]:
    engines = logging.getLogger('sg_depth_ros.engines')
    handler, level = _RosLog(logger), engines.level
    engines.addHandler(handler)
    engines.setLevel(logging.INFO)
    try:
        yield
    finally:
        engines.removeHandler(handler)
        engines.setLevel(level)
