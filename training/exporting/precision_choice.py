"""
Which operators of a graph compute in half precision.

Half precision has eleven bits and ends at 65504. That is enough for what a convolution multiplies,
and too little for sums of squares, for exponents and for depth. What stays in float32 is found by
what operators do and how they hang together, so that it holds for semantic networks that we have
never seen, too:

* the input's normalisation: all that the image goes through before the first learnt layer;
* the heads: all between the last learnt layer and an output, that layer included;
* PAC's distances: all that leads to an exponential, back to the activation that gave the guidance;
* statistics: normalisation, means, sums, softmax, and divisions by what was computed;
* layers whose constants half precision would spoil;
* the first and last layers of the depth network, where asked to: what the first lose, all others
  pass on; what the last lose, nothing mends.

Convolutions and matrix products that are left compute in half precision. What remains (additions,
activations, resizing, moving) takes the type that needs fewer casts.
"""

from collections.abc import Iterable
from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto

from training.exporting.graph_values import GraphValues
from training.exporting.half_constants import fits_half

PRODUCTS = frozenset({'Conv', 'ConvTranspose', 'Gemm', 'MatMul', 'Einsum'})
FLOAT32_OPERATORS = frozenset(
    """
    ArgMax ArgMin AveragePool BatchNormalization Cast ConstantOfShape Cos CumSum Exp EyeLike
    GlobalAveragePool GridSample GroupNormalization InstanceNormalization LRN
    LayerNormalization Log LogSoftmax LpNormalization MeanVarianceNormalization Pow Range
    Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMean ReduceProd ReduceSum
    ReduceSumSquare Round Sin Softmax Sqrt
    """.split()  # noqa: SIM905
)
# What lies between an activation and an exponential may be made of these.
ARITHMETIC = frozenset({'Abs', 'Add', 'Div', 'Mul', 'Neg', 'Pow', 'Sub', 'Sum'})
MOVING = frozenset(
    """
    Concat Expand Flatten Gather Identity Pad Reshape Slice Split Squeeze Tile Transpose Unsqueeze
    """.split()  # noqa: SIM905
)


def half_nodes(values: GraphValues, end_layers: int = 0) -> set[int]:
    """
    Choose the operators that compute in half precision.

    :param end_layers: this many learnt layers after the image, and before the head of depth, stay
        in float32, except those that classes are read from: depth hardly feels them.
    :return: their positions in the graph.
    """
    single = (
        _whole_operators(values)
        | _input_side(values)
        | _output_side(values)
        | _exponents(values)
        | _spoilt_by_half(values)
        | _end_layers(values, end_layers)
    )
    nodes = values.graph.node
    half = {i for i, node in enumerate(nodes) if node.op_type in PRODUCTS} - single
    free = {i for i in range(len(nodes)) if values.has_floats(i)} - single - half
    for island in _islands(values, free):
        around = [
            values.cast_count(single_nodes=single | island, half_nodes=half, island=island),
            values.cast_count(single_nodes=single, half_nodes=half | island, island=island),
        ]
        (single if around[0] < around[1] else half).update(island)
    return half


def _whole_operators(values: GraphValues) -> set[int]:
    """Return the operators that are float32 whatever their place."""
    return {
        i
        for i, node in enumerate(values.graph.node)
        if node.op_type in FLOAT32_OPERATORS
        or not _takes_half(node, values.opset)
        or (node.op_type == 'Div' and node.input[1] not in values.constants)
    }


def _takes_half(node: NodeProto, opset: int) -> bool:
    schema = onnx.defs.get_schema(node.op_type, opset, node.domain)
    float_types = [
        constraint.allowed_type_strs
        for constraint in schema.type_constraints
        if 'tensor(float)' in constraint.allowed_type_strs
    ]
    return all('tensor(float16)' in types for types in float_types)


def _input_side(values: GraphValues) -> set[int]:
    """Return what depends on the image and on no learnt layer."""
    raw = {value.name for value in values.graph.input}
    found = set()
    for i, node in enumerate(values.graph.node):
        computed = [name for name in node.input if name and name not in values.constants]
        if not _is_learnt(node, values.constants) and raw.issuperset(computed):
            raw.update(node.output)
            found.add(i)
    return found


def _output_side(values: GraphValues) -> set[int]:
    """Return what lies between an output and the last learnt layers, which belong to it."""
    ends = [value.name for value in values.graph.output]
    found: set[int] = set()
    while ends:
        at = values.producer.get(ends.pop())
        if at is None or at in found:
            continue
        found.add(at)
        node = values.graph.node[at]
        if not _is_learnt(node, values.constants):
            ends.extend(node.input)
    return found


def _exponents(values: GraphValues) -> set[int]:
    """Return what computes the arguments of exponentials: differences, squares, their sums."""
    nodes = values.graph.node
    ends = [node.input[0] for node in nodes if node.op_type == 'Exp']
    found: set[int] = set()
    while ends:
        at = values.producer.get(ends.pop())
        if at is None or at in found:
            continue
        node = nodes[at]
        plain = node.op_type in PRODUCTS and not _is_learnt(node, values.constants)
        if plain or node.op_type in FLOAT32_OPERATORS | ARITHMETIC:
            found.add(at)
        if plain or node.op_type in FLOAT32_OPERATORS | ARITHMETIC | MOVING:
            ends.extend(node.input)
    return found


def _end_layers(values: GraphValues, count: int) -> set[int]:
    """Return the layers for depth alone within ``count`` learnt layers of either end."""
    nodes = values.graph.node
    semantic = values.ancestors([v.name for v in values.graph.output if v.name != 'depth'])
    learnt = [_is_learnt(node, values.constants) for node in nodes]
    before: dict[str, int] = {}  # learnt layers between the image and a value, itself included
    for node, own in zip(nodes, learnt):
        most = max((before.get(name, 0) for name in node.input), default=0) + own
        before.update(dict.fromkeys(node.output, most))
    after: dict[str, int] = {}  # learnt layers between a value and the depth
    for node, own in zip(reversed(nodes), reversed(learnt)):
        most = max((after.get(name, 0) for name in node.output), default=0) + own
        for name in node.input:
            after[name] = max(after.get(name, 0), most)
    return {
        i
        for i, node in enumerate(nodes)
        if learnt[i]
        and i not in semantic
        # The last of all, the head, is float32 anyway and does not count.
        and (before[node.output[0]] <= count or after.get(node.output[0], 0) <= count)
    }


def _is_learnt(node: NodeProto, constants: Mapping[str, NDArray[np.generic]]) -> bool:
    """
    Say whether a layer's weights were learnt.

    Sums and differences can be written as convolutions, too: of one number, its negative and zero.
    """
    if node.op_type not in PRODUCTS:
        return False
    weights = [constants[name] for name in node.input[:2] if name in constants]
    return any(len(np.unique(np.abs(w[w != 0]))) > 1 for w in weights)


def _spoilt_by_half(values: GraphValues) -> set[int]:
    """Return the operators with a constant that half precision cannot hold."""
    held = {name: fits_half(value) for name, value in values.constants.items()}
    return {
        i
        for i, node in enumerate(values.graph.node)
        if not all(held.get(node.input[k], True) for k in values.float_inputs(i))
    }


def _islands(values: GraphValues, free: set[int]) -> Iterable[set[int]]:
    """Group the operators that are free to choose by what they hand to one another."""
    left = set(free)
    while left:
        island, border = set(), [left.pop()]
        while border:
            at = border.pop()
            island.add(at)
            near = values.neighbours(at) & left
            left -= near
            border.extend(near)
        yield island
