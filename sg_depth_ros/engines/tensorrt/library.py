"""Finds TensorRT on this machine, and takes its messages."""

import functools
import importlib
import importlib.util
import logging
import re
import threading
from collections import deque
from typing import Any
from typing import NamedTuple
from typing import Protocol
from typing import cast

from sg_depth_ros.engines.cuda import find_cuda_device
from sg_depth_ros.engines.cuda import use_cuda_device
from sg_depth_ros.engines.engine import EngineUnavailableError
from sg_depth_ros.engines.tensorrt.api import EnumMember
from sg_depth_ros.engines.tensorrt.api import ILogger
from sg_depth_ros.engines.tensorrt.api import TensorRT

# Import name and title. TensorRT-RTX is the same API for GeForce and RTX cards.
MODULES = (('tensorrt', 'TensorRT'), ('tensorrt_rtx', 'TensorRT-RTX'))
OLDEST_MAJOR = 10  # earlier ones have no strongly typed networks with uint8 inputs
KEPT_ERRORS = 20

LOGGER = logging.getLogger('sg_depth_ros.engines.tensorrt')


class Library(NamedTuple):
    """TensorRT as it is installed here."""

    trt: TensorRT
    name: str  # TensorRT or TensorRT-RTX
    version: str  # such as 10.3.0


def load_tensorrt() -> Library:
    """
    Find TensorRT, after asking CUDA for a device: TensorRT crashes where there is none.

    :raises EngineUnavailableError: where a device, its driver or TensorRT itself is missing, or
        too old.
    """
    device = find_cuda_device()
    found = [(name, title) for name, title in MODULES if importlib.util.find_spec(name)]
    if not found:
        raise EngineUnavailableError(
            'TensorRT for Python is not installed; it comes with JetPack, elsewhere install it '
            'with "python3 -m pip install tensorrt"'
        )
    use_cuda_device(device)
    failures = []
    for name, title in found:
        try:
            module = importlib.import_module(name)
        except Exception as error:  # whatever a half-installed binding raises
            failures.append(f'{title} cannot be imported ({" ".join(str(error).split())})')
            continue
        version = str(module.__version__)
        if title == 'TensorRT' and _major(version) < OLDEST_MAJOR:
            failures.append(f'TensorRT {version} is too old, at least {OLDEST_MAJOR}.0 is needed')
            continue
        return Library(cast(TensorRT, module), title, version)
    raise EngineUnavailableError('; '.join(failures))


class LogCollector(ILogger, Protocol):
    """Passes TensorRT's messages on to Python's logging and keeps the last errors."""

    def errors(self) -> tuple[str, ...]:
        """Return the last errors since ``clear``, oldest first, one line each."""
        ...

    def clear(self) -> None:
        """Forget the errors."""
        ...


@functools.cache
def tensorrt_log(trt: TensorRT) -> LogCollector:
    """
    Return the one logger of this process for a TensorRT.

    One, because TensorRT keeps the first that it is given for its own global use, as long as
    anything of it lives; messages of others go there too.
    """
    base: Any = trt.ILogger
    levels = {
        int(trt.ILogger.Severity.INTERNAL_ERROR): logging.ERROR,
        int(trt.ILogger.Severity.ERROR): logging.ERROR,
        int(trt.ILogger.Severity.WARNING): logging.WARNING,
        # Hundreds of lines per build: for who asks for them.
        int(trt.ILogger.Severity.INFO): logging.DEBUG,
    }

    class Collector(base):
        """See LogCollector."""

        def __init__(self) -> None:
            super().__init__()
            self._lock = threading.Lock()
            self._errors: deque[str] = deque(maxlen=KEPT_ERRORS)

        def log(self, severity: EnumMember, msg: str) -> None:
            # TensorRT calls this from its own threads, where an exception ends the process.
            try:
                level = levels.get(int(severity))
                if level is None:
                    return
                line = ' '.join(msg.split())
                if level == logging.ERROR:
                    with self._lock:
                        self._errors.append(line)
                LOGGER.log(level, '%s', line)
            except Exception:  # pragma: no cover
                pass

        def errors(self) -> tuple[str, ...]:
            with self._lock:
                return tuple(self._errors)

        def clear(self) -> None:
            with self._lock:
                self._errors.clear()

    return cast(LogCollector, Collector())


def _major(version: str) -> int:
    match = re.match(r'\d+', version)
    return int(match.group()) if match else 0
