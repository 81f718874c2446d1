"""Runs ``model.onnx`` on the CPU with ONNX Runtime."""

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.contract import ModelContract
from sg_depth_ros.engines.engine import Prediction
from sg_depth_ros.errors import UserError
from sg_depth_ros.model_file import ModelFile
from sg_depth_ros.model_file import read_model_file

OUTPUT_NAMES = ('depth', 'labels', 'confidence')


class OnnxRuntimeEngine:
    """
    An exported model on the CPU.

    :param model: the model file.
    :param threads: CPU threads for one image; None: one per core this process may use.
    :raises UserError: where the file cannot be opened, is no ONNX file, has no contract or one
        that its inputs and outputs do not keep, or where ONNX Runtime is not installed.
    """

    def __init__(self, model: Path, threads: int | None = None) -> None:
        if threads is not None and threads < 1:
            raise UserError(f'threads is {threads}, must be at least 1')
        count = usable_cores() if threads is None else threads
        self._owner = threading.get_ident()
        file = read_model_file(model)
        self.contract: ModelContract = file.contract
        self._session: Any = _open_session(file, count)
        _check_signature(self._session, self.contract, str(model))
        self.description = (
            f'ONNX Runtime {_onnxruntime().__version__}, CPU, '
            f'{count} thread{"" if count == 1 else "s"}'
        )
        self._shape = (self.contract.height, self.contract.width, 3)
        # The first run allocates its buffers; nobody should wait for that while driving.
        self.infer(np.zeros(self._shape, np.uint8))

    def infer(self, image: NDArray[np.uint8]) -> Prediction:
        """
        Predict depth and labels.

        :param image: RGB (H, W, 3), of exactly the contract's size.
        :return: arrays that the caller owns.
        :raises ValueError: for another shape or type.
        :raises RuntimeError: from another thread than the one that opened it, or after close.
        """
        self._check_owner()
        if self._session is None:
            raise RuntimeError('the engine is closed')
        if image.shape != self._shape or image.dtype != np.uint8:
            raise ValueError(
                f'the engine takes a uint8 image of {self._shape}, not {image.dtype} '
                f'of {tuple(image.shape)}; resize it with camera.resize_image'
            )
        batch = np.ascontiguousarray(image)[None]
        depth, labels, confidence = self._session.run(OUTPUT_NAMES, {'image': batch})
        return Prediction(depth[0], labels[0], confidence[0])

    def close(self) -> None:
        """Free the session; closing twice does no harm."""
        self._check_owner()
        self._session = None

    def _check_owner(self) -> None:
        if threading.get_ident() != self._owner:
            raise RuntimeError(
                'the engine belongs to the thread that opened it; use and close it there'
            )


def usable_cores() -> int:
    """Return the number of CPU cores that this process may use."""
    if hasattr(os, 'sched_getaffinity'):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError(
            f'ONNX Runtime cannot be imported ({error}); '
            'install it with "python3 -m pip install onnxruntime"'
        ) from error
    return onnxruntime


def _open_session(model: ModelFile, threads: int) -> Any:
    onnxruntime = _onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1  # the network is one chain, nothing runs beside it
    options.log_severity_level = 3
    # Idle threads must sleep: spinning would take cores from the vehicle's other nodes.
    options.add_session_config_entry('session.intra_op.allow_spinning', '0')
    # Numbers below 1e-38 cost a hundredfold on x86 and mean nothing here.
    options.add_session_config_entry('session.set_denormal_as_zero', '1')
    try:
        return onnxruntime.InferenceSession(
            model.content, options, providers=['CPUExecutionProvider']
        )
    except Exception as error:
        # ONNX Runtime raises one class of its own per status code, with no common base.
        reason = ' '.join(str(error).split())
        raise UserError(
            f'{model.path}: ONNX Runtime cannot open it, the file is damaged or no ONNX model '
            f'({reason[:200]}); export it again'
        ) from error


def _check_signature(session: Any, contract: ModelContract, where: str) -> None:
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
    kind: str, values: Sequence[Any], expected: dict[str, tuple[str, list[int]]], where: str
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
