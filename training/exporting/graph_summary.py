"""What a graph is made of: operators, parameters, work, and how much of them is half precision."""

from collections import Counter
from math import prod
from typing import NamedTuple

from onnx import ModelProto
from onnx import NodeProto
from onnx import TensorProto

from training.exporting.graph_values import GraphValues


class GraphSummary(NamedTuple):
    """What a graph is made of."""

    operators: tuple[tuple[str, int], ...]  # name and number, most frequent first
    parameter_count: int
    half_parameter_count: int  # of them in half precision
    gmac: float  # multiply-adds of convolutions and matrix products for one image, in billions
    half_gmac: float  # of them in half precision
    cast_count: int  # between float32 and half precision

    @property
    def node_count(self) -> int:
        """Return the number of operators in the graph."""
        return sum(number for _, number in self.operators)


def summarize_graph(model: ModelProto) -> GraphSummary:
    """
    Count operators, parameters and multiply-adds.

    :param model: of fixed sizes.
    """
    values = GraphValues(model)
    work, casts = Counter[int](), 0
    for node in model.graph.node:
        given, made = values.kinds.get(node.input[0], 0), values.kinds.get(node.output[0], 0)
        work[given] += _multiply_adds(node, values.shapes)
        casts += node.op_type == 'Cast' and {given, made} == {
            TensorProto.FLOAT,
            TensorProto.FLOAT16,
        }
    weights = Counter[int]()
    for stored in model.graph.initializer:
        weights[stored.data_type] += prod(stored.dims)
    half, single = TensorProto.FLOAT16, TensorProto.FLOAT
    return GraphSummary(
        operators=tuple(Counter(node.op_type for node in model.graph.node).most_common()),
        parameter_count=weights[single] + weights[half],
        half_parameter_count=weights[half],
        gmac=(work[single] + work[half]) / 1e9,
        half_gmac=work[half] / 1e9,
        cast_count=casts,
    )


def _multiply_adds(node: NodeProto, shapes: dict[str, tuple[int, ...]]) -> int:
    if node.op_type == 'Conv':
        return prod(shapes[node.output[0]]) * prod(shapes[node.input[1]][1:])
    if node.op_type == 'ConvTranspose':
        return prod(shapes[node.input[0]]) * prod(shapes[node.input[1]][1:])
    if node.op_type == 'MatMul':
        return prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]
    if node.op_type == 'Gemm':
        transposed = any(a.name == 'transA' and a.i for a in node.attribute)
        return prod(shapes[node.output[0]]) * shapes[node.input[0]][0 if transposed else 1]
    return 0
