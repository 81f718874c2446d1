"""How the node opens its engine: from parameters to options, and what it says meanwhile."""

import logging
import time
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from rclpy.impl.rcutils_logger import RcutilsLogger

from sg_depth_ros.engines.opening import OpenedEngine
from sg_depth_ros.engines.opening import choose_engine
from sg_depth_ros.engines.options import EngineOptions
from sg_depth_ros.engines.options import OnnxRuntimeOptions
from sg_depth_ros.engines.options import TensorRTOptions
from sg_depth_ros.node.parameters import NodeParameters

if TYPE_CHECKING:
    from sg_depth_ros.engines.tensorrt.progress import BuildProgress

# A build takes minutes: it says so now and then, without flooding the log.
BUILD_LOG_EVERY_SHARE = 0.1
BUILD_LOG_EVERY_S = 10.0


def open_node_engine(
    settings: NodeParameters, logger: RcutilsLogger, keep_building: Callable[[], bool]
) -> OpenedEngine:
    """
    Open the engine that the parameters ask for, tested, in the thread that is to own it.

    :param logger: is told why another engine was not taken, and how far a build is.
    :param keep_building: asked while a plan is built; the build ends when it says no.
    :raises UserError: where no engine can run the model.
    """
    kind: Any = settings.engine  # checked to be one of the choices
    with _engine_log(logger):
        return choose_engine(
            Path(settings.model),
            kind,
            engine_options(settings),
            BuildLog(Path(settings.model).name, logger.info, keep_building),
        )


def engine_options(settings: NodeParameters) -> EngineOptions:
    """Return what the parameters say about engines."""
    device: Any = settings.engine_device  # checked to be one of the choices
    return EngineOptions(
        onnxruntime=OnnxRuntimeOptions(
            threads=settings.engine_threads or None, device=device, tf32=settings.engine_tf32
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
    return [
        ('engine', opened.engine.description),
        ('engine_refused', refused or 'none'),
        ('self_test', 'the file carries none' if result is None else result.summary()),
        ('model', str(opened.path)),
        ('model_precision', contract.precision),
    ]


class BuildLog:
    """
    Logs how far a build is: a line for every tenth of it, or every ten seconds.

    :param name: what is built.
    :param log: takes a line.
    :param keep_building: whether to go on.
    """

    def __init__(
        self, name: str, log: Callable[[str], object], keep_building: Callable[[], bool]
    ) -> None:
        self._name = name
        self._log = log
        self._keep_building = keep_building
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
        return self._keep_building()


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
