"""Opens an ONNX Runtime session on the CPU or on CUDA, and on nothing else than what was asked."""

import contextlib
import ctypes
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from typing import Literal

from sg_depth_ros.contract import ModelContract
from sg_depth_ros.contract import Precision
from sg_depth_ros.engines.cuda import cuda_runtime
from sg_depth_ros.engines.cuda import find_cuda_device
from sg_depth_ros.engines.engine import EngineFailedError
from sg_depth_ros.engines.engine import EngineUnavailableError
from sg_depth_ros.errors import UserError
from sg_depth_ros.model_file import ModelFile

CUDA_PROVIDER, CPU_PROVIDER = 'CUDAExecutionProvider', 'CPUExecutionProvider'
_ERRORS_ONLY = 3  # one of ONNX Runtime's severities


def load_onnxruntime() -> Any:
    """
    Import ONNX Runtime.

    :raises EngineUnavailableError: where it is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise EngineUnavailableError(
            f'ONNX Runtime cannot be imported ({error}); '
            'install it with "python3 -m pip install onnxruntime"'
        ) from error
    return onnxruntime


def open_cpu_session(model: ModelFile, threads: int) -> Any:
    """
    Open a session on the CPU.

    :param threads: that share the work on one image.
    :raises EngineUnavailableError: where ONNX Runtime is not installed.
    :raises UserError: where it cannot run the file, or the file breaks its contract.
    """
    onnxruntime = load_onnxruntime()
    options = _session_options(onnxruntime)
    options.intra_op_num_threads = threads
    # Idle threads must sleep: spinning takes cores from the vehicle's other nodes, and where they
    # are busy its own time too (two threads on two busy cores: 413 ms an image instead of 290).
    options.add_session_config_entry('session.intra_op.allow_spinning', '0')
    try:
        return _open(onnxruntime, model, options, [CPU_PROVIDER])
    except _SessionError as error:
        raise UserError(
            f'{model.path}: ONNX Runtime cannot open it ({error}); export it again'
        ) from error


def open_cuda_session(model: ModelFile, *, tf32: bool = False, cuda_graph: bool = False) -> Any:
    """
    Open a session on the first CUDA device.

    :param tf32: multiply float32 with 10 bits of mantissa; else with all of them.
    :param cuda_graph: record the work in the second run and replay it from then on: only for who
        binds the same memory in every run.
    :raises EngineUnavailableError: where ONNX Runtime has no CUDA or cannot use it.
    :raises UserError: where the file breaks its contract.
    """
    onnxruntime = load_onnxruntime()
    version = onnxruntime.__version__
    if CUDA_PROVIDER not in onnxruntime.get_available_providers():
        raise EngineUnavailableError(
            f'the installed ONNX Runtime {version} is built without CUDA; where there is an '
            'NVIDIA GPU, replace the package onnxruntime by onnxruntime-gpu'
        )
    _preload_libraries(onnxruntime)
    # Of the whole process, but only that it may be warned of what is none of its concern: each
    # session on CUDA has ONNX Runtime 1.31 warn of a plugin that nobody asked for.
    onnxruntime.set_default_logger_severity(_ERRORS_ONLY)
    options = _cuda_options(version, model.contract.precision, tf32)
    if cuda_graph:
        options['enable_cuda_graph'] = '1'
    provider = (CUDA_PROVIDER, options)
    try:
        session = _open(
            onnxruntime, model, _session_options(onnxruntime), [provider, CPU_PROVIDER]
        )
    except _SessionError as error:
        _check_device()
        raise EngineFailedError(
            f'ONNX Runtime {version} cannot run it with CUDA ({error})'
        ) from error
    if CUDA_PROVIDER not in session.get_providers():
        raise EngineUnavailableError(
            f'ONNX Runtime {version} fell back to the CPU: {_why_no_cuda(onnxruntime)}'
        )
    return session


def _session_options(onnxruntime: Any) -> Any:
    # Numbers too small for float32's exponent are not flushed to zero
    # (session.set_denormal_as_zero): trained networks met next to none and ran no faster with it,
    # while the calling thread, and all it starts, would keep flushing after the engine is closed.
    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = 1  # the network is one chain, nothing runs beside it
    options.log_severity_level = _ERRORS_ONLY
    return options


def _cuda_options(version: str, precision: Precision, tf32: bool) -> dict[str, str]:
    options = {
        'device_id': '0',
        # Trying everything out in the first run finds the fastest for float32 (5.9 ms, 6.1 by rule
        # of thumb), but for half precision something slow: 10.3 ms instead of 5.4 (docs/results).
        'cudnn_conv_algo_search': 'EXHAUSTIVE' if precision == 'fp32' else 'HEURISTIC',
        # Another engine or node may need the memory that doubling would reserve.
        'arena_extend_strategy': 'kSameAsRequested',
    }
    # Older ones refuse the name. Source: github.com/microsoft/onnxruntime/pull/19357.
    if tuple(int(part) for part in version.split('.')[:2]) >= (1, 18):
        options['use_tf32'] = '1' if tf32 else '0'
    return options


def _preload_libraries(onnxruntime: Any) -> None:
    """Load CUDA and cuDNN where pip installed them; ``preload_dlls`` came with 1.21."""
    if hasattr(onnxruntime, 'preload_dlls'):
        # It prints what it does not find; whether that matters, the session tells.
        with contextlib.redirect_stdout(io.StringIO()):
            onnxruntime.preload_dlls(msvc=False)


def _check_device() -> None:
    """
    Ask for a device: where there is none, ONNX Runtime speaks of options that it cannot parse.

    :raises EngineUnavailableError: saying what is missing.
    """
    try:
        cuda_runtime()
    except EngineUnavailableError:
        return  # without bindings, which ONNX Runtime does not need, nobody can be asked
    find_cuda_device()


def _why_no_cuda(onnxruntime: Any) -> str:
    """
    Name the library that CUDA's provider lacks, which ONNX Runtime only prints.

    To be called after a session was refused CUDA, not before: the provider takes its host from
    ONNX Runtime when it is loaded, and would find none.
    """
    provider = Path(onnxruntime.__file__).parent / 'capi' / 'libonnxruntime_providers_cuda.so'
    if provider.is_file():
        try:
            ctypes.CDLL(str(provider))
        except OSError as error:
            return f'{error}; "python3 -m pip install onnxruntime-gpu[cuda,cudnn]" brings all'
    return 'it found no GPU that it can use; nvidia-smi tells whether the driver works'


class _SessionError(Exception):
    """ONNX Runtime opened no session."""


def _open(onnxruntime: Any, model: ModelFile, options: Any, providers: list[Any]) -> Any:
    try:
        # Without the fallback, which would print, and hide why CUDA failed.
        session = onnxruntime.InferenceSession(
            model.content, options, providers=providers, enable_fallback=0
        )
    except Exception as error:
        # ONNX Runtime raises one class of its own per status code, with no common base.
        raise _SessionError(' '.join(str(error).split())[:300]) from error
    session.disable_fallback()
    # What the fallback would need; else the file stays in memory as long as the session.
    session._model_bytes = None
    check_signature(session, model.contract, str(model.path))
    return session


def check_signature(session: Any, contract: ModelContract, where: str) -> None:
    """
    Compare a session's inputs and outputs with the contract.

    :param where: the file, for the message.
    :raises UserError: naming what differs.
    """
    height, width = contract.height, contract.width
    expected_inputs = {'image': ('tensor(uint8)', [1, height, width, 3])}
    expected_outputs = {
        'depth': ('tensor(float)', [1, height, width]),
        'labels': ('tensor(uint8)', [1, height, width]),
        'confidence': ('tensor(uint8)', [1, height, width]),
    }
    _check_values('input', session.get_inputs(), expected_inputs, where)
    _check_values('output', session.get_outputs(), expected_outputs, where)


def _check_values(
    kind: Literal['input', 'output'],
    values: Sequence[Any],
    expected: dict[str, tuple[str, list[int]]],
    where: str,
) -> None:
    found = {value.name: (value.type, list(value.shape)) for value in values}
    if set(found) != set(expected):
        raise UserError(
            f'{where}: {kind}s are {", ".join(sorted(found)) or "none"}, the contract wants '
            f'{", ".join(sorted(expected))}; export the model again'
        )
    for name, wanted in expected.items():
        if found[name] != wanted:
            raise UserError(
                f'{where}: {kind} "{name}" is {found[name][0]} {found[name][1]}, the contract '
                f'wants {wanted[0]} {wanted[1]}; export the model again'
            )
