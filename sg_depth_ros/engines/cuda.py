"""
What engines need of CUDA: a device, memory on it, pinned arrays, one stream, a graph of work.

Thin and checked: every call's answer is looked at, and whatever is allocated has a ``close``.
Everything belongs to the thread that made it. The bindings are NVIDIA's own, ``cuda-bindings``;
each of their functions returns a tuple whose first item is the status.
"""

import ctypes
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike
from numpy.typing import NDArray

from sg_depth_ros.engines.engine import EngineUnavailableError

INSTALL = (
    'install them with "python3 -m pip install cuda-bindings", of a major version that the '
    'driver supports (nvidia-smi names it)'
)


class CudaError(RuntimeError):
    """A call of CUDA that failed, with its name and CUDA's text."""


@dataclass(frozen=True)
class CudaDevice:
    """A GPU."""

    index: int
    name: str
    compute_capability: tuple[int, int]
    memory_bytes: int
    is_integrated: bool  # shares the CPU's memory, as on a Jetson
    driver_version: str  # the newest CUDA that the driver supports, such as 13.0
    runtime_version: str  # the CUDA of the bindings


def find_cuda_device(index: int = 0) -> CudaDevice:
    """
    Ask for a device without using it yet, so that nothing is allocated on it.

    :raises EngineUnavailableError: saying what is missing: bindings, driver or device.
    """
    runtime = cuda_runtime()
    try:
        status, count = runtime.cudaGetDeviceCount()
        if status != runtime.cudaError_t.cudaSuccess:
            raise EngineUnavailableError(_why_no_device(runtime, status))
        if not 0 <= index < count:
            raise EngineUnavailableError(
                f'there is no CUDA device {index}; this machine has {count}, counted from 0'
            )
        properties = _call(runtime.cudaGetDeviceProperties, index)
        return CudaDevice(
            index=index,
            name=properties.name.split(b'\0')[0].decode(errors='replace').strip(),
            compute_capability=(int(properties.major), int(properties.minor)),
            memory_bytes=int(properties.totalGlobalMem),
            is_integrated=bool(properties.integrated),
            driver_version=_version(_call(runtime.cudaDriverGetVersion)),
            runtime_version=_version(_call(runtime.cudaRuntimeGetVersion)),
        )
    except EngineUnavailableError:
        raise
    except Exception as error:
        # The bindings raise where a library that they load on first use is missing or too old.
        raise EngineUnavailableError(f'CUDA does not answer ({_line(error)})') from error


def use_cuda_device(device: CudaDevice) -> None:
    """
    Make a device the calling thread's own and start CUDA on it.

    :raises EngineUnavailableError: where it is there but cannot be used, such as for want of
        memory or because another process has it to itself.
    """
    runtime = cuda_runtime()
    try:
        _call(runtime.cudaSetDevice, device.index)
        _call(runtime.cudaFree, 0)  # before CUDA 12 it is the first such call that starts it
    except CudaError as error:
        raise EngineUnavailableError(f'{device.name} cannot be used: {error}') from error


def cuda_runtime() -> Any:
    """
    Return the module of CUDA's runtime API.

    :raises EngineUnavailableError: where the bindings are not installed.
    """
    try:
        try:
            from cuda.bindings import runtime
        except ImportError:
            from cuda import cudart as runtime  # cuda-python before 12.6, as on JetPack
    except ImportError as error:
        raise EngineUnavailableError(
            f'the CUDA bindings for Python cannot be imported ({_line(error)}); {INSTALL}'
        ) from error
    return runtime


class DeviceMemory:
    """Memory on the current device."""

    def __init__(self, size_bytes: int) -> None:
        self._runtime = cuda_runtime()
        self.size_bytes = size_bytes
        self.address: int = int(_call(self._runtime.cudaMalloc, size_bytes))

    def close(self) -> None:
        """Free it; closing twice does no harm."""
        address, self.address = self.address, 0
        if address:
            _call(self._runtime.cudaFree, address)


class PinnedArray:
    """
    An array in memory of the host that the device can reach by itself.

    Only such memory is copied without the CPU's help, and while the program goes on. ``array``
    must not be used after ``close``.
    """

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self._runtime = cuda_runtime()
        kind = np.dtype(dtype)
        self.size_bytes = int(np.prod(shape)) * kind.itemsize
        self.address: int = int(
            _call(self._runtime.cudaHostAlloc, self.size_bytes, self._runtime.cudaHostAllocDefault)
        )
        content = (ctypes.c_uint8 * self.size_bytes).from_address(self.address)
        self.array: NDArray[Any] = np.frombuffer(memoryview(content), kind).reshape(shape)

    def close(self) -> None:
        """Free it; closing twice does no harm."""
        address, self.address = self.address, 0
        self.array = np.empty(0, self.array.dtype)
        if address:
            _call(self._runtime.cudaFreeHost, address)


class CudaGraph:
    """Work that was recorded from a stream, to be repeated with one call."""

    def __init__(self, stream: 'CudaStream', executable: Any) -> None:
        self._runtime = cuda_runtime()
        self._stream = stream
        self._executable = executable

    def launch(self) -> None:
        """Queue the work on its stream."""
        _call(self._runtime.cudaGraphLaunch, self._executable, self._stream.raw)

    def close(self) -> None:
        """Free it; closing twice does no harm."""
        executable, self._executable = self._executable, None
        if executable is not None:
            _call(self._runtime.cudaGraphExecDestroy, executable)


class CudaStream:
    """
    A queue of work on the current device, which does not wait for other queues.

    ``raw`` is what the bindings made, ``handle`` the same as a number, for other libraries.
    """

    def __init__(self) -> None:
        runtime = self._runtime = cuda_runtime()
        self.raw: Any = _call(runtime.cudaStreamCreateWithFlags, runtime.cudaStreamNonBlocking)
        self.handle = int(self.raw)

    def synchronize(self) -> None:
        """Wait for everything queued; errors of that work are raised here."""
        _call(self._runtime.cudaStreamSynchronize, self.raw)

    def copy_to_device(self, target: DeviceMemory, source: PinnedArray) -> None:
        """Queue a copy of a whole array."""
        self._copy(target, source, self._runtime.cudaMemcpyKind.cudaMemcpyHostToDevice)

    def copy_to_host(self, target: PinnedArray, source: DeviceMemory) -> None:
        """Queue a copy of a whole array, which is there after ``synchronize``."""
        self._copy(target, source, self._runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost)

    def _copy(
        self, target: DeviceMemory | PinnedArray, source: DeviceMemory | PinnedArray, kind: Any
    ) -> None:
        if target.size_bytes != source.size_bytes:
            raise ValueError(f'a copy of {source.size_bytes} to {target.size_bytes} bytes')
        _call(
            self._runtime.cudaMemcpyAsync,
            target.address,
            source.address,
            source.size_bytes,
            kind,
            self.raw,
        )

    def record(self, queue_work: Callable[[], None]) -> CudaGraph:
        """
        Record what ``queue_work`` queues on this stream, without doing it.

        :raises CudaError: where something in it cannot be recorded; the stream is as before.
        """
        runtime = self._runtime
        # Other threads may allocate meanwhile: they have nothing to do with this stream.
        mode = runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        _call(runtime.cudaStreamBeginCapture, self.raw, mode)
        try:
            queue_work()
        except BaseException:
            # A capture that went wrong ends with an error and no graph: the first error counts.
            status, graph = runtime.cudaStreamEndCapture(self.raw)
            if int(status) == 0:
                _call(runtime.cudaGraphDestroy, graph)
            else:
                runtime.cudaGetLastError()
            raise
        graph = _call(runtime.cudaStreamEndCapture, self.raw)
        with ExitStack() as on_failure:
            try:
                # Of this name since CUDA 11.4, with the same arguments in all of them.
                executable = _call(runtime.cudaGraphInstantiateWithFlags, graph, 0)
                recorded = CudaGraph(self, executable)
                on_failure.callback(recorded.close)
            finally:
                _call(runtime.cudaGraphDestroy, graph)
            on_failure.pop_all()
        return recorded

    def close(self) -> None:
        """Free it; closing twice does no harm."""
        raw, self.raw = self.raw, None
        self.handle = 0
        if raw is not None:
            _call(self._runtime.cudaStreamDestroy, raw)


def _call(function: Callable[..., tuple[Any, ...]], *arguments: Any) -> Any:
    """
    Call a function of CUDA's runtime.

    :return: what it returns besides its status, None where that is nothing.
    :raises CudaError: with the function's name and the status.
    """
    status, *results = function(*arguments)
    if int(status) != 0:
        runtime = cuda_runtime()
        # CUDA keeps the error, too, for whoever asks next in this thread.
        runtime.cudaGetLastError()
        raise CudaError(f'{function.__name__} failed: {_status_text(runtime, status)}')
    return results[0] if results else None


def _status_text(runtime: Any, status: Any) -> str:
    texts = (runtime.cudaGetErrorName(status)[-1], runtime.cudaGetErrorString(status)[-1])
    name, text = (t.decode(errors='replace') if isinstance(t, bytes) else str(t) for t in texts)
    return f'{name} ({text})'


def _why_no_device(runtime: Any, status: Any) -> str:
    codes = runtime.cudaError_t
    runtime.cudaGetLastError()
    if status == codes.cudaErrorInsufficientDriver:
        driver, bindings = (
            runtime.cudaDriverGetVersion()[-1],
            runtime.cudaRuntimeGetVersion()[-1],
        )
        if not driver:
            return (
                'no NVIDIA driver is to be found; install one, or start the container with '
                '"--gpus all" (on a Jetson "--runtime nvidia")'
            )
        return (
            f'the NVIDIA driver supports CUDA {_version(driver)}, the bindings for Python need '
            f'{_version(bindings)}; update the driver or install '
            f'"cuda-bindings<{driver // 1000 + 1}"'
        )
    if status == codes.cudaErrorNoDevice:
        visible = os.environ.get('CUDA_VISIBLE_DEVICES')
        hint = '' if visible is None else f'; CUDA_VISIBLE_DEVICES is {visible!r}'
        return f'the NVIDIA driver finds no GPU{hint}'
    return f'CUDA finds no device: cudaGetDeviceCount failed: {_status_text(runtime, status)}'


def _version(number: int) -> str:
    """Return CUDA's version as people write it; 12080 is 12.8."""
    return f'{number // 1000}.{number % 1000 // 10}'


def _line(error: BaseException) -> str:
    return ' '.join(str(error).split()) or type(error).__name__
