"""Runs ``model.onnx`` with ONNX Runtime, on the CPU or on a CUDA device."""

import logging
from typing import Any
from typing import Literal
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.contract import ModelContract
from sg_depth_ros.engines.checks import OwnerThread
from sg_depth_ros.engines.checks import check_image
from sg_depth_ros.engines.cores import usable_cores
from sg_depth_ros.engines.engine import EngineFailedError
from sg_depth_ros.engines.engine import EngineUnavailableError
from sg_depth_ros.engines.engine import Prediction
from sg_depth_ros.engines.onnxruntime_session import load_onnxruntime
from sg_depth_ros.engines.onnxruntime_session import open_cpu_session
from sg_depth_ros.engines.onnxruntime_session import open_cuda_session
from sg_depth_ros.errors import UserError
from sg_depth_ros.model_file import ModelFile

OUTPUT_TYPES = {'depth': np.float32, 'labels': np.uint8, 'confidence': np.uint8}
# The first run allocates and tries algorithms; on CUDA the second may record a graph.
WARM_UP_RUNS = {'cpu': 2, 'cuda': 3}

LOGGER = logging.getLogger('sg_depth_ros.engines')


class OnnxRuntimeEngine:
    """
    An exported model with ONNX Runtime; implements TimedEngine.

    :param model: the model file.
    :param device: where it runs; nothing else is fallen back to.
    :param threads: CPU threads for one image; None: one per core this process may use.
    :param tf32: on CUDA, multiply float32 with 10 bits of mantissa.
    :raises EngineUnavailableError: where ONNX Runtime is not installed, or has no CUDA here.
    :raises UserError: where it cannot run the file, or the file breaks its contract.
    """

    def __init__(
        self,
        model: ModelFile,
        device: Literal['cpu', 'cuda'] = 'cpu',
        threads: int | None = None,
        *,
        tf32: bool = False,
    ) -> None:
        if threads is not None and threads < 1:
            raise UserError(f'threads is {threads}, must be at least 1')
        self.device = device
        self._owner = OwnerThread()
        self.contract: ModelContract = model.contract
        shape = (self.contract.height, self.contract.width, 3)
        version, precision = load_onnxruntime().__version__, self.contract.precision
        self._memory: _Memory | None
        if device == 'cuda':
            self._memory, graph = _cuda_memory(model, shape, tf32)
            how = f'{precision}{", TF32" * (tf32 and precision == "fp32")}{graph}'
            self.description = f'ONNX Runtime {version}, CUDA, {how}'
        else:
            count = usable_cores() if threads is None else threads
            self._memory = _HostMemory(open_cpu_session(model, count), shape)
            threads_text = f'{count} thread{"" if count == 1 else "s"}'
            self.description = f'ONNX Runtime {version}, CPU, {threads_text}, {precision}'
            _warm_up(self._memory, shape, WARM_UP_RUNS['cpu'])

    def infer(self, image: NDArray[np.uint8]) -> Prediction:
        """
        Predict depth and labels.

        :param image: RGB (H, W, 3), of exactly the contract's size.
        :return: arrays that the caller owns.
        :raises ValueError: for another shape or type.
        :raises RuntimeError: from another thread than the one that opened it, or after close.
        """
        memory = self._usable_memory()
        check_image(image, self.contract)
        return memory.infer(np.ascontiguousarray(image))

    def run_network(self) -> None:
        """Run the network on the last image once more, where it lies, and wait for it."""
        self._usable_memory().run_again()

    def close(self) -> None:
        """Free the session; closing twice does no harm."""
        self._owner.check()
        self._memory = None

    def _usable_memory(self) -> '_Memory':
        self._owner.check()
        if self._memory is None:
            raise RuntimeError('the engine is closed')
        return self._memory


class _Memory(Protocol):
    """Where a session finds its input and leaves its outputs."""

    def infer(self, image: NDArray[np.uint8]) -> Prediction: ...

    def run_again(self) -> None: ...


class _HostMemory:
    """The network reads the caller's image and writes arrays made for the caller: no copies."""

    def __init__(self, session: Any, shape: tuple[int, int, int]) -> None:
        self._session, self._binding = session, session.io_binding()
        self._shape = (1, *shape)
        self._image = np.zeros(shape, np.uint8)

    def infer(self, image: NDArray[np.uint8]) -> Prediction:
        # Kept: run_again reads it.
        self._image = image
        return self._run(image)

    def run_again(self) -> None:
        # Into new arrays: those of the last prediction belong to its caller.
        self._run(self._image)

    def _run(self, image: NDArray[np.uint8]) -> Prediction:
        binding = self._binding
        binding.bind_input('image', 'cpu', 0, np.uint8, self._shape, image.ctypes.data)
        outputs = {}
        for name, dtype in OUTPUT_TYPES.items():
            array = outputs[name] = np.empty(self._shape[:3], dtype)
            binding.bind_output(name, 'cpu', 0, dtype, array.shape, array.ctypes.data)
        self._session.run_with_iobinding(binding)
        return Prediction(outputs['depth'][0], outputs['labels'][0], outputs['confidence'][0])


def _cuda_memory(
    model: ModelFile, shape: tuple[int, int, int], tf32: bool
) -> tuple['_CudaMemory', str]:
    """Return a warm session on CUDA, its work recorded where that can be, and the word for it."""
    try:
        recorded = _CudaMemory(open_cuda_session(model, tf32=tf32, cuda_graph=True), shape)
        _warm_up(recorded, shape, WARM_UP_RUNS['cuda'])
    except Exception as error:
        if isinstance(error, EngineUnavailableError) and not isinstance(error, EngineFailedError):
            raise  # there is no CUDA, recorded or not
        LOGGER.info('%s: ONNX Runtime records no CUDA graph: %s', model.path, error)
    else:
        return recorded, ', CUDA graph'
    plain = _CudaMemory(open_cuda_session(model, tf32=tf32), shape)
    _warm_up(plain, shape, WARM_UP_RUNS['cuda'])
    return plain, ''


def _warm_up(memory: _Memory, shape: tuple[int, int, int], runs: int) -> None:
    """Do what the first runs do besides: nobody should wait for it while driving."""
    for _ in range(runs):
        memory.infer(np.zeros(shape, np.uint8))


class _CudaMemory:
    """Input and outputs stay on the device; an image goes in and a prediction comes out once."""

    def __init__(self, session: Any, shape: tuple[int, int, int]) -> None:
        make = load_onnxruntime().OrtValue.ortvalue_from_shape_and_type
        self._session, self._binding = session, session.io_binding()
        self._image = make((1, *shape), np.uint8, 'cuda', 0)
        self._binding.bind_ortvalue_input('image', self._image)
        self._outputs = {}
        for name, dtype in OUTPUT_TYPES.items():
            value = self._outputs[name] = make((1, *shape[:2]), dtype, 'cuda', 0)
            self._binding.bind_ortvalue_output(name, value)

    def infer(self, image: NDArray[np.uint8]) -> Prediction:
        self._image.update_inplace(image[None])
        self._session.run_with_iobinding(self._binding)
        depth, labels, confidence = (value.numpy() for value in self._outputs.values())
        return Prediction(depth[0], labels[0], confidence[0])

    def run_again(self) -> None:
        # Returns when the device is done, unless a run is configured otherwise.
        self._session.run_with_iobinding(self._binding)
