"""
A model.onnx of a few operations that keeps the contract: for tests around the network.

TensorRT takes it too: uint8 is cast right behind the input and right before the outputs.
"""

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto
from onnx import helper
from onnx import numpy_helper

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.classes import CITYSCAPES
from sg_depth_ros.classes import CLASS_NAMES
from sg_depth_ros.classes import ROAD_ID
from sg_depth_ros.classes import SKY_ID
from sg_depth_ros.contract import ModelContract
from sg_depth_ros.model_file import with_contract_added

RED_STEP_M = 0.1  # depth added per unit of red, so that a depth image tells which frame it is of


def tiny_contract(width: int = 64, height: int = 32, *, metric: bool = True) -> ModelContract:
    """Return a contract of a camera with a field of view of 90 degrees and no self-test."""
    return ModelContract(
        intrinsics=Intrinsics(
            width / 2, width / 2, (width - 1) / 2, (height - 1) / 2, width, height
        ),
        min_depth_m=0.1,
        max_depth_m=100.0,
        metric=metric,
        scale_source='speed' if metric else 'none',
        class_names=CLASS_NAMES,
        palette=tuple(c.color for c in CITYSCAPES),
        network='tiny',
        guidance='none',
        precision='fp32',
        training_stage=1,
        weights_sha256='0' * 64,
        trained_width=width,
        trained_height=height,
        dataset_sha256='0' * 64,
        config_sha256='0' * 64,
        git_commit='unknown',
    )


def tiny_ramp_m(contract: ModelContract) -> NDArray[np.float32]:
    """Return the depth (H, W) that the tiny model gives for a black image: nearer further down."""
    rows = np.linspace(40.0, 5.0, contract.height, dtype=np.float32)
    return np.repeat(rows[:, None], contract.width, axis=1)


def tiny_labels(contract: ModelContract) -> NDArray[np.uint8]:
    """Return the labels (H, W) of the tiny model: a quarter of sky above road."""
    labels = np.full((contract.height, contract.width), ROAD_ID, np.uint8)
    labels[: contract.height // 4] = SKY_ID
    return labels


def write_tiny_model(
    path: Path,
    contract: ModelContract | None = None,
    *,
    ramp_m: NDArray[np.float32] | None = None,
    work: int = 0,
    with_contract: bool = True,
) -> Path:
    """
    Write a model whose depth is a ramp plus the image's red, whose confidence is its green.

    :param ramp_m: (H, W) depth of a black image, by default ``tiny_ramp_m``.
    :param work: products of 512 x 512 matrices per image, each some 3 ms of one core, to be slow.
    :param with_contract: False leaves the metadata out, as in a file of another origin.
    :return: ``path``.
    """
    contract = contract or tiny_contract()
    ramp = tiny_ramp_m(contract) if ramp_m is None else ramp_m.astype(np.float32)
    constants = {
        'ramp': ramp[None],
        'label_map': tiny_labels(contract)[None].astype(np.float32),
        'red_index': np.array(0, np.int64),
        'green_index': np.array(1, np.int64),
        'red_step': np.array(RED_STEP_M, np.float32),
        'zero': np.array(0.0, np.float32),
        'matrix': np.full((512, 512), 1 / 512, np.float32),
    }
    nodes = [
        helper.make_node('Cast', ['image'], ['image_float'], to=TensorProto.FLOAT),
        helper.make_node('Gather', ['image_float', 'red_index'], ['red'], axis=3),
        helper.make_node('Gather', ['image_float', 'green_index'], ['green'], axis=3),
        helper.make_node('Cast', ['green'], ['confidence'], to=TensorProto.UINT8),
        helper.make_node('Mul', ['red', 'red_step'], ['red_m']),
        helper.make_node('Add', ['ramp', 'red_m'], ['depth_0']),
        helper.make_node('ReduceMean', ['red_m'], ['mean'], keepdims=0),
        helper.make_node('Add', ['matrix', 'mean'], ['product_0']),
    ]
    nodes += [
        helper.make_node('MatMul', [f'product_{i}', 'matrix'], [f'product_{i + 1}'])
        for i in range(work)
    ]
    nodes += [
        helper.make_node('ReduceMean', [f'product_{work}'], ['work_mean'], keepdims=0),
        helper.make_node('Mul', ['work_mean', 'zero'], ['nothing']),
        helper.make_node('Add', ['depth_0', 'nothing'], ['depth']),
        helper.make_node('Cast', ['label_map'], ['labels'], to=TensorProto.UINT8),
    ]
    write_graph(path, nodes, constants, contract, with_contract=with_contract)
    return path


def write_graph(
    path: Path,
    nodes: list[onnx.NodeProto],
    constants: dict[str, NDArray[np.generic]],
    contract: ModelContract,
    *,
    with_contract: bool = True,
) -> None:
    """Write a graph from ``image`` to ``depth``, ``labels`` and ``confidence`` as a model file."""
    shape = [1, contract.height, contract.width]
    graph = helper.make_graph(
        nodes,
        'tiny',
        [helper.make_tensor_value_info('image', TensorProto.UINT8, [*shape, 3])],
        [
            helper.make_tensor_value_info('depth', TensorProto.FLOAT, shape),
            helper.make_tensor_value_info('labels', TensorProto.UINT8, shape),
            helper.make_tensor_value_info('confidence', TensorProto.UINT8, shape),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=9)
    onnx.checker.check_model(model)
    content = model.SerializeToString()
    path.write_bytes(with_contract_added(content, contract) if with_contract else content)
