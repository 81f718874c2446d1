"""A plan that TensorRT has read: what goes in and out of it, and running it on a stream."""

from collections.abc import Callable
from typing import NamedTuple
from typing import TypeVar

from sg_depth_ros.engines.cuda import CudaStream
from sg_depth_ros.engines.engine import EngineFailedError
from sg_depth_ros.engines.tensorrt.api import ICudaEngine
from sg_depth_ros.engines.tensorrt.api import IExecutionContext
from sg_depth_ros.engines.tensorrt.api import Runtime
from sg_depth_ros.engines.tensorrt.library import Library
from sg_depth_ros.engines.tensorrt.library import tensorrt_log

Made = TypeVar('Made')


class PlanRefusedError(EngineFailedError):
    """TensorRT does not take a plan: damaged, or of another version or GPU. Build it again."""


class TensorRTError(RuntimeError):
    """A call of TensorRT that failed, with what it logged."""


class PlanTensor(NamedTuple):
    """An input or output, in TensorRT's words."""

    mode: str  # INPUT or OUTPUT
    dtype: str  # such as UINT8 or FLOAT
    shape: tuple[int, ...]  # -1 where it is open
    location: str  # DEVICE or HOST

    def __str__(self) -> str:
        where = 'the GPU' if self.location == 'DEVICE' else 'the host'
        return f'{self.mode.lower()} {self.dtype} {list(self.shape)} on {where}'


class LoadedPlan:
    """
    A plan in the GPU's memory, with memory for one run at a time.

    :param library: TensorRT.
    :param plan: what ``build_plan`` built.
    :param allow_host_code: take plans that bring code of TensorRT's along, as version-compatible
        ones do. Only for plans that were built here.
    :raises PlanRefusedError: where TensorRT does not take the plan.
    :raises EngineFailedError: where it cannot run it, such as for want of memory.
    """

    def __init__(self, library: Library, plan: bytes, allow_host_code: bool = False) -> None:
        self._library = library
        self._log = tensorrt_log(library.trt)
        # Kept nowhere else, not even in a local name, which a traceback would keep alive: close
        # is to free them, in this thread.
        self._runtime: Runtime | None = None
        self._engine: ICudaEngine | None = None
        self._context: IExecutionContext | None = None
        try:
            self._load(plan, allow_host_code)
        except BaseException:
            self.close()
            raise

    def tensors(self) -> dict[str, PlanTensor]:
        """Return all inputs and outputs by name."""
        assert self._engine is not None
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        return {
            name: PlanTensor(
                self._engine.get_tensor_mode(name).name,
                self._engine.get_tensor_dtype(name).name,
                tuple(self._engine.get_tensor_shape(name)),
                self._engine.get_tensor_location(name).name,
            )
            for name in names
        }

    def set_address(self, name: str, address: int) -> None:
        """
        Say where an input or output lies on the device.

        :raises TensorRTError: where TensorRT does not take it.
        """
        assert self._context is not None
        self._log.clear()
        if not self._context.set_tensor_address(name, address):
            raise TensorRTError(self._failure(f'does not take memory for "{name}"'))

    def queue(self, stream: CudaStream) -> None:
        """
        Queue a run; all addresses must be set.

        :raises TensorRTError: where TensorRT refuses. What goes wrong later, the stream tells.
        """
        assert self._context is not None
        self._log.clear()
        if not self._context.execute_async_v3(stream.handle):
            raise TensorRTError(self._failure('cannot run the plan'))

    def close(self) -> None:
        """Free it; closing twice does no harm. Its runs must be over."""
        self._context = None
        self._engine = None
        self._runtime = None

    def _load(self, plan: bytes, allow_host_code: bool) -> None:
        trt = self._library.trt
        self._runtime = self._made('start', lambda: trt.Runtime(self._log))
        self._runtime.engine_host_code_allowed = allow_host_code
        self._log.clear()
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise PlanRefusedError(self._failure('does not take the plan'))
        self._context = self._made('prepare the plan', self._engine.create_execution_context)

    def _made(self, what: str, make: Callable[[], Made | None]) -> Made:
        """Make one of TensorRT's objects; for want of one it returns None or raises TypeError."""
        self._log.clear()
        try:
            made = make()
        except (TypeError, RuntimeError):
            made = None
        if made is None:
            raise EngineFailedError(self._failure(f'cannot {what}'))
        return made

    def _failure(self, what: str) -> str:
        reasons = '; '.join(self._log.errors()) or 'it gives no reason'
        return f'{self._library.name} {self._library.version} {what}: {reasons}'
