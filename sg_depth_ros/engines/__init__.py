"""Running an exported model: the Engine protocol and its implementations."""

from pathlib import Path
from typing import Literal

from sg_depth_ros.engines.engine import Engine
from sg_depth_ros.engines.engine import Prediction
from sg_depth_ros.errors import UserError

__all__ = ['Engine', 'EngineKind', 'Prediction', 'open_engine']

EngineKind = Literal['auto', 'onnxruntime', 'tensorrt']


def open_engine(model: Path, kind: EngineKind = 'auto', threads: int | None = None) -> Engine:
    """
    Open a model file with the library of choice, ready to infer at full speed.

    :param model: the ``model.onnx`` that ``python -m training export`` wrote.
    :param kind: the library; ``auto`` takes ONNX Runtime.
    :param threads: CPU threads of ONNX Runtime; None: one per core this process may use.
    :return: an engine that belongs to the calling thread.
    :raises UserError: where the file is no model of ours or the library is missing.
    """
    if kind == 'tensorrt':
        raise UserError(
            'engine "tensorrt" is not built yet in this version; use "onnxruntime" or "auto"'
        )
    if kind not in ('auto', 'onnxruntime'):
        raise UserError(f'unknown engine {kind!r}; choose auto, onnxruntime or tensorrt')
    # Imported late: whoever only names types needs no inference library.
    from sg_depth_ros.engines.onnxruntime_engine import OnnxRuntimeEngine

    return OnnxRuntimeEngine(Path(model), threads)
