"""
A model whose network does on cue what networks should not, through the real engine.

The cue is the red of a pixel, so that a picture says what happens where.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto
from onnx import helper
from tiny_model import tiny_contract
from tiny_model import tiny_labels
from tiny_model import tiny_ramp_m
from tiny_model import write_graph

from sg_depth_ros.contract import ModelContract

LARGEST_RED = 99  # up to here depth is the tiny model's ramp times FACTORS[red]
NAN_RED = 100
INFINITE_RED = 101
ZERO_RED = 102
NEGATIVE_RED = 103
RAISING_RED = 200  # beyond the table: ONNX Runtime raises

FACTORS: NDArray[np.float32] = np.array(
    [1 + red / 100 for red in range(LARGEST_RED + 1)] + [np.nan, np.inf, 0, -1], np.float32
)


def write_fragile_model(
    path: Path,
    contract: ModelContract | None = None,
    ramp_m: NDArray[np.float32] | None = None,
) -> ModelContract:
    """
    Write a model whose depth is a ramp times what ``FACTORS`` has for red.

    :param ramp_m: (H, W), by default the tiny model's.
    """
    contract = contract or tiny_contract()
    constants = {
        'ramp': (tiny_ramp_m(contract) if ramp_m is None else ramp_m)[None],
        'label_map': tiny_labels(contract)[None].astype(np.float32),
        'red_index': np.array(0, np.int64),
        'green_index': np.array(1, np.int64),
        'factors': FACTORS,
    }
    nodes = [
        helper.make_node('Cast', ['image'], ['image_int'], to=TensorProto.INT64),
        helper.make_node('Gather', ['image_int', 'red_index'], ['red'], axis=3),
        helper.make_node('Gather', ['factors', 'red'], ['factor'], axis=0),
        helper.make_node('Mul', ['ramp', 'factor'], ['depth']),
        helper.make_node('Gather', ['image_int', 'green_index'], ['green'], axis=3),
        helper.make_node('Cast', ['green'], ['confidence'], to=TensorProto.UINT8),
        helper.make_node('Cast', ['label_map'], ['labels'], to=TensorProto.UINT8),
    ]
    write_graph(path, nodes, constants, contract)
    return contract
