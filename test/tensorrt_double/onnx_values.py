"""Inputs and outputs of an ONNX file, and running it."""

import functools
from typing import NamedTuple

import numpy as np
import onnxruntime

from tensorrt_double.enums import DataType

TYPES = {
    'tensor(float)': (DataType.FLOAT, np.float32),
    'tensor(float16)': (DataType.HALF, np.float16),
    'tensor(uint8)': (DataType.UINT8, np.uint8),
    'tensor(int32)': (DataType.INT32, np.int32),
    'tensor(int64)': (DataType.INT64, np.int64),
}


class Value(NamedTuple):
    """A tensor that goes in or comes out."""

    name: str
    is_input: bool
    type: DataType
    dtype: np.dtype
    shape: tuple

    @property
    def size_bytes(self):
        return int(np.prod(self.shape)) * self.dtype.itemsize


@functools.lru_cache(8)
def onnx_model(content):
    """Return a model; several sessions of one test run the same file."""
    return OnnxModel(content)


class OnnxModel:
    """A session of ONNX Runtime that takes and gives bytes."""

    def __init__(self, content):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        self._session = onnxruntime.InferenceSession(
            content, options, providers=['CPUExecutionProvider']
        )
        self.values = [
            Value(
                value.name,
                is_input,
                TYPES[value.type][0],
                np.dtype(TYPES[value.type][1]),
                tuple(d if isinstance(d, int) else -1 for d in value.shape),
            )
            for is_input, values in (
                (True, self._session.get_inputs()),
                (False, self._session.get_outputs()),
            )
            for value in values
        ]

    def run(self, inputs):
        """Return the outputs' bytes, given the inputs', each in the order of ``values``."""
        given = [value for value in self.values if value.is_input]
        feeds = {
            value.name: np.frombuffer(content, value.dtype).reshape(value.shape)
            for value, content in zip(given, inputs)
        }
        outputs = self._session.run([v.name for v in self.values if not v.is_input], feeds)
        return [np.ascontiguousarray(output).tobytes() for output in outputs]
