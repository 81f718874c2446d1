"""
The engine that runs a TensorRT plan.

One image at a time: into pinned memory, to the device, through the network, back into pinned
memory. All memory is allocated when the engine is opened, and everything between the CPU's own
two copies is one CUDA graph, where TensorRT can be recorded.
"""

from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple
from typing import Protocol
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.contract import ModelContract
from sg_depth_ros.engines.checks import OwnerThread
from sg_depth_ros.engines.checks import check_image
from sg_depth_ros.engines.cuda import CudaDevice
from sg_depth_ros.engines.cuda import CudaError
from sg_depth_ros.engines.cuda import CudaGraph
from sg_depth_ros.engines.cuda import CudaStream
from sg_depth_ros.engines.cuda import DeviceMemory
from sg_depth_ros.engines.cuda import PinnedArray
from sg_depth_ros.engines.cuda import use_cuda_device
from sg_depth_ros.engines.engine import EngineFailedError
from sg_depth_ros.engines.engine import Prediction
from sg_depth_ros.engines.options import TensorRTOptions
from sg_depth_ros.engines.tensorrt.api import TensorRT
from sg_depth_ros.engines.tensorrt.library import LOGGER
from sg_depth_ros.engines.tensorrt.library import Library
from sg_depth_ros.engines.tensorrt.loaded_plan import LoadedPlan
from sg_depth_ros.engines.tensorrt.loaded_plan import PlanTensor
from sg_depth_ros.engines.tensorrt.loaded_plan import TensorRTError

INPUT_NAME = 'image'
OUTPUT_NAMES = ('depth', 'labels', 'confidence')


class _Closeable(Protocol):
    def close(self) -> None: ...


_Resource = TypeVar('_Resource', bound=_Closeable)


class PlanOrigin(NamedTuple):
    """Where an engine's plan came from."""

    path: Path | None  # in the cache; None: it could not be kept
    size_bytes: int
    was_built: bool  # just now; otherwise it was found in the cache
    build_s: float  # how long that took, whenever it was
    note: str | None  # what a user should know: why it was built again, or not kept


class TensorRTEngine:
    """
    A plan in a GPU's memory, with all it needs to run; belongs to the thread that made it.

    :param library: TensorRT, which built the plan or can read it.
    :param plan: what ``build_plan`` built.
    :param contract: of the model it was built from.
    :param device: the GPU.
    :param options: those it was built with.
    :raises PlanRefusedError: where TensorRT does not take the plan.
    :raises EngineFailedError: where the plan does not keep the contract, or memory is short.
    """

    def __init__(
        self,
        library: Library,
        plan: bytes,
        contract: ModelContract,
        device: CudaDevice,
        options: TensorRTOptions,
    ) -> None:
        self.contract = contract
        self.description = f'{library.name} {library.version}, {device.name}, {contract.precision}'
        self.plan: PlanOrigin | None = None  # for whoever knows it to tell
        self._owner = OwnerThread()
        self._resources = ExitStack()
        self._host: dict[str, PinnedArray] = {}
        self._memory: dict[str, DeviceMemory] = {}
        self._graph: CudaGraph | None = None  # of everything that an image needs
        self._network_graph: CudaGraph | None = None
        self._is_open = True
        try:
            use_cuda_device(device)
            self._open(library, plan, options)
        except (CudaError, TensorRTError) as error:
            self._give_up()
            raise EngineFailedError(f'{self.description}: {error}') from error
        except BaseException:
            self._give_up()
            raise

    def infer(self, image: NDArray[np.uint8]) -> Prediction:
        """
        Predict depth and labels.

        :param image: RGB (H, W, 3), of exactly the contract's size.
        :return: arrays that the caller owns.
        :raises ValueError: for another shape or type.
        :raises RuntimeError: where CUDA or TensorRT fails, from another thread than the one that
            opened it, or after close.
        """
        self._check_usable()
        check_image(image, self.contract)
        self._host[INPUT_NAME].array[0] = image
        if self._graph is not None:
            self._graph.launch()
        else:
            self._queue_image()
        self._stream.synchronize()
        depth, labels, confidence = (self._host[name].array[0].copy() for name in OUTPUT_NAMES)
        return Prediction(depth, labels, confidence)

    def run_network(self) -> None:
        """Run the network on the last image, which is still on the device, and wait for it."""
        self._check_usable()
        if self._graph is None:
            self._queue_network()
        else:
            if self._network_graph is None:
                self._network_graph = self._keep(self._stream.record(self._queue_network))
            self._network_graph.launch()
        self._stream.synchronize()

    def close(self) -> None:
        """
        Free everything; closing twice does no harm.

        :raises RuntimeError: where CUDA could not free something, after all was tried.
        """
        self._owner.check()
        if self._is_open:
            self._free()

    def _open(self, library: Library, plan: bytes, options: TensorRTOptions) -> None:
        # What is kept first is freed last.
        self._stream = self._keep(CudaStream())
        expected = _tensors_of(self.contract, library.trt)
        for name, tensor in expected.items():
            dtype = np.float32 if name == 'depth' else np.uint8
            self._host[name] = self._keep(PinnedArray(tensor.shape, dtype))
            self._memory[name] = self._keep(DeviceMemory(self._host[name].size_bytes))
        self._plan = self._keep(LoadedPlan(library, plan, options.version_compatible))
        _check_tensors(self._plan.tensors(), expected)
        for name, memory in self._memory.items():
            self._plan.set_address(name, memory.address)
        # The first run does work that cannot be recorded, nor should an image wait for it.
        self._host[INPUT_NAME].array[:] = 0
        self._queue_image()
        self._stream.synchronize()
        if options.cuda_graph:
            self._record()

    def _record(self) -> None:
        """Make the work one graph; without it, it is queued anew for each image."""
        try:
            self._graph = self._keep(self._stream.record(self._queue_image))
        except (CudaError, TensorRTError) as error:
            LOGGER.warning('no CUDA graph, so that images cost the CPU some more: %s', error)
            return
        self._graph.launch()  # the first launch of a graph is slow, too
        self._stream.synchronize()
        self.description += ', CUDA graph'

    def _queue_image(self) -> None:
        """Queue everything that an image needs, from pinned memory to pinned memory."""
        self._stream.copy_to_device(self._memory[INPUT_NAME], self._host[INPUT_NAME])
        self._queue_network()
        for name in OUTPUT_NAMES:
            self._stream.copy_to_host(self._host[name], self._memory[name])

    def _queue_network(self) -> None:
        self._plan.queue(self._stream)

    def _keep(self, resource: _Resource) -> _Resource:
        self._resources.callback(resource.close)
        return resource

    def _free(self) -> None:
        self._is_open = False
        if hasattr(self, '_stream'):
            # Run first: work that was queued when something failed uses what is freed next.
            self._resources.callback(self._stream.synchronize)
        self._resources.close()

    def _give_up(self) -> None:
        """Free what there is already; why it failed matters more than what fails here."""
        try:
            self._free()
        except (CudaError, TensorRTError) as error:
            LOGGER.warning('after a failure, not everything could be freed: %s', error)

    def _check_usable(self) -> None:
        self._owner.check()
        if not self._is_open:
            raise RuntimeError('the engine is closed')


def _tensors_of(contract: ModelContract, trt: TensorRT) -> dict[str, PlanTensor]:
    """Return what a contract promises, in TensorRT's words."""
    shape = (1, contract.height, contract.width)
    input_mode, output_mode = trt.TensorIOMode.INPUT.name, trt.TensorIOMode.OUTPUT.name
    uint8, float32 = trt.DataType.UINT8.name, trt.DataType.FLOAT.name
    device = trt.TensorLocation.DEVICE.name
    return {
        INPUT_NAME: PlanTensor(input_mode, uint8, (*shape, 3), device),
        'depth': PlanTensor(output_mode, float32, shape, device),
        'labels': PlanTensor(output_mode, uint8, shape, device),
        'confidence': PlanTensor(output_mode, uint8, shape, device),
    }


def _check_tensors(found: dict[str, PlanTensor], expected: dict[str, PlanTensor]) -> None:
    if set(found) != set(expected):
        raise EngineFailedError(
            f'the plan has inputs and outputs {", ".join(sorted(found))}, the contract wants '
            f'{", ".join(sorted(expected))}; export the model again'
        )
    for name, wanted in expected.items():
        if found[name] != wanted:
            raise EngineFailedError(
                f'the plan has "{name}" as {found[name]}, the contract wants {wanted}; '
                'export the model again'
            )
