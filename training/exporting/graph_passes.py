"""
What is rewritten in a traced graph: the same function, up to rounding, in faster operators.

Each rule looks at one operator and gives what to put in its place: what neither the exporter's
optimiser nor ONNX Runtime does by itself.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any
from typing import TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto
from onnx import NodeProto

# Numbers that vector units take at once; convolutions of other channel counts run slower.
LANES = 16
RANK = 4  # of feature maps (B, C, H, W)


class GraphView:
    """
    A graph to be rewritten: who gives its values, how often they are used, what is stored.

    :param model: of fixed sizes; what rules store is added to it.
    """

    def __init__(self, model: ModelProto) -> None:
        self.graph = model.graph
        self.producers = {name: node for node in self.graph.node for name in node.output}
        self.stored: dict[str, NDArray[Any]] = {
            w.name: onnx.numpy_helper.to_array(w) for w in self.graph.initializer
        }
        self._uses = Counter(name for node in self.graph.node for name in node.input)
        self._uses.update(value.name for value in self.graph.output)
        inferred = onnx.shape_inference.infer_shapes(model).graph
        self.shapes: dict[str, tuple[int, ...]] = {
            value.name: tuple(d.dim_value for d in value.type.tensor_type.shape.dim)
            for value in (*inferred.value_info, *inferred.input, *inferred.output)
        }

    def store(self, name: str, value: NDArray[Any]) -> str:
        """Store a constant, and return the name it got."""
        while name in self.stored:
            name += '_'
        self.stored[name] = value
        stored = onnx.numpy_helper.from_array(np.ascontiguousarray(value), name)
        self.graph.initializer.append(stored)
        return name

    def inner(self, name: str, operator: str) -> NodeProto | None:
        """Return the operator that gives a value, if it is of a kind and no one else uses it."""
        node = self.producers.get(name)
        fits = node is not None and node.op_type == operator and self._uses[name] == 1
        return node if fits else None

    def operands(self, node: NodeProto) -> tuple[str, NDArray[Any]] | None:
        """Return what is computed and what is stored of an operator with one of each."""
        for computed, constant in (node.input, reversed(node.input)):
            if constant in self.stored and computed not in self.stored:
                return computed, self.stored[constant]
        return None


Rule: TypeAlias = Callable[[NodeProto, GraphView], list[NodeProto] | None]


def scale_within_convolution(node: NodeProto, view: GraphView) -> list[NodeProto] | None:
    """Take a factor behind a convolution into its weights: one operator less on a GPU."""
    operands = view.operands(node) if node.op_type == 'Mul' else None
    if operands is None or operands[1].size != 1 or operands[1].ndim > RANK:
        return None
    conv = view.inner(operands[0], 'Conv')
    if conv is None or any(name not in view.stored for name in conv.input[1:]):
        return None
    factor = operands[1].reshape(())
    scaled = [
        view.store(f'{node.output[0]}_{kind}', (view.stored[name] * factor).astype(factor.dtype))
        for name, kind in zip(conv.input[1:], ('weight', 'bias'))
    ]
    return [_like(conv, [conv.input[0], *scaled], node.output[0], node.name)]


def split_uneven_convolution(node: NodeProto, view: GraphView) -> list[NodeProto] | None:
    """
    Convolve what is a multiple of ``LANES`` wide apart from the rest of a concatenation.

    PackNet puts one channel, inverse depth, beside 128 of features: over 129 channels ONNX Runtime
    leaves its fastest convolution, and tensor cores fill up with zeros.
    """
    cat = view.inner(node.input[0], 'Concat') if node.op_type == 'Conv' else None
    if cat is None or node.input[1] not in view.stored or _integer(node, 'group', 1) != 1:
        return None
    if any(name not in view.shapes for name in cat.input):
        return None
    # Along another axis all are equally wide.
    widths = [view.shapes[name][1] for name in cat.input]
    even = [width % LANES == 0 for width in widths]
    if all(even) or not any(even):
        return None
    weight, out = view.stored[node.input[1]], node.output[0]
    columns = np.repeat(even, widths)
    nodes: list[NodeProto] = []
    sums: list[str] = []
    for kind, chosen in (('even', even), ('rest', [not e for e in even])):
        parts = [name for name, take in zip(cat.input, chosen) if take]
        if len(parts) > 1:
            parts = [_append(nodes, 'Concat', parts, f'{out}_{kind}', axis=1)]
        kept = weight[:, columns if kind == 'even' else ~columns]
        inputs = [parts[0], view.store(f'{node.input[1]}_{kind}', kept)]
        if kind == 'even':
            inputs += node.input[2:]
        sums.append(f'{out}_of_{kind}')
        nodes.append(_like(node, inputs, sums[-1], f'{node.name}_{kind}'))
    _append(nodes, 'Add', sums, out)
    return nodes


def unshuffle_by_space_to_depth(node: NodeProto, view: GraphView) -> list[NodeProto] | None:
    """
    Move pixels into channels in the order that ONNX's operator for it has.

    Torch's order takes a transposition of the map, which ONNX Runtime does slowly; here weights of
    the convolution behind it are transposed instead. A convolution in steps would need neither,
    but cuDNN takes 1.4 times as long for 10x10 in steps of 2 as for 5x5 behind a transposition.
    """
    last = view.inner(node.input[0], 'Reshape') if node.op_type == 'Conv' else None
    moved = None if last is None else view.inner(last.input[0], 'Transpose')
    first = None if moved is None else view.inner(moved.input[0], 'Reshape')
    if last is None or moved is None or first is None or node.input[1] not in view.stored:
        return None
    source, weight = first.input[0], view.stored[node.input[1]]
    shapes = [view.shapes.get(name) for name in (source, first.output[0], last.output[0])]
    order = next((list(a.ints) for a in moved.attribute if a.name == 'perm'), [])
    if None in shapes or order != [0, 1, 3, 5, 2, 4] or _integer(node, 'group', 1) != 1:
        return None
    (batch, channels, height, width), blocks, packed = (shape or () for shape in shapes)
    step = blocks[-1]
    rows, columns = height // step, width // step
    if (blocks, packed) != (
        (batch, channels, rows, step, columns, step),
        (batch, channels * step**2, rows, columns),
    ):
        return None
    filters, _, *kernel = weight.shape
    by_pixel = weight.reshape(filters, channels, step**2, *kernel).swapaxes(1, 2)
    stored = view.store(f'{node.input[1]}_by_pixel', by_pixel.reshape(weight.shape))
    nodes: list[NodeProto] = []
    depth = _append(nodes, 'SpaceToDepth', [source], f'{node.output[0]}_packed', blocksize=step)
    inputs = [depth, stored, *node.input[2:]]
    return [*nodes, _like(node, inputs, node.output[0], node.name)]


def channel_sum_as_convolution(node: NodeProto, view: GraphView) -> list[NodeProto] | None:
    """Sum over channels by a convolution of ones: ONNX Runtime is fast at the last axis only."""
    if node.op_type != 'ReduceSum' or len(node.input) < 2 or node.input[1] not in view.stored:
        return None
    shape = view.shapes.get(node.input[0], ())
    axes = view.stored[node.input[1]].ravel().tolist()
    if len(shape) != RANK or axes not in ([1], [1 - RANK]):
        return None
    out, keeps = node.output[0], _integer(node, 'keepdims', 1)
    ones = view.store(f'{out}_ones', np.ones((1, shape[1], 1, 1), np.float32))
    nodes: list[NodeProto] = []
    summed = _append(nodes, 'Conv', [node.input[0], ones], out if keeps else f'{out}_kept')
    if not keeps:
        axis = view.store(f'{out}_axis', np.array([1], np.int64))
        _append(nodes, 'Squeeze', [summed, axis], out)
    return nodes


RULES: tuple[Rule, ...] = (
    scale_within_convolution,
    split_uneven_convolution,
    unshuffle_by_space_to_depth,
    channel_sum_as_convolution,
)


def rewrite(model: ModelProto, rules: tuple[Rule, ...] = RULES) -> ModelProto:
    """
    Return a graph that says the same, up to rounding, in what the rules give.

    :param model: float32, of fixed sizes; stays as it is.
    """
    result = ModelProto()
    result.CopyFrom(model)
    # Inner graphs take outer values without naming them as inputs.
    if any(a.type == onnx.AttributeProto.GRAPH for n in model.graph.node for a in n.attribute):
        return result
    view = GraphView(result)
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        given = next((found for rule in rules if (found := rule(node, view)) is not None), [node])
        nodes.extend(given)
    _replace_nodes(result, nodes)
    return result


def _replace_nodes(model: ModelProto, nodes: list[NodeProto]) -> None:
    """Put operators into a graph, without those and without constants that no one uses."""
    used = {value.name for value in model.graph.output}
    kept = []
    for node in reversed(nodes):
        if used.intersection(node.output):
            used.update(node.input)
            kept.append(node)
    stored = [w for w in model.graph.initializer if w.name in used]
    del model.graph.node[:], model.graph.initializer[:], model.graph.value_info[:]
    model.graph.node.extend(reversed(kept))
    model.graph.initializer.extend(stored)


def _like(node: NodeProto, inputs: list[str], output: str, name: str) -> NodeProto:
    """Return an operator with the attributes of another one."""
    copy = onnx.helper.make_node(node.op_type, inputs, [output], name)
    copy.attribute.extend(node.attribute)
    return copy


def _append(
    nodes: list[NodeProto], operator: str, inputs: list[str], output: str, **attributes: Any
) -> str:
    name = f'node_{output}_{operator}'
    nodes.append(onnx.helper.make_node(operator, inputs, [output], name, **attributes))
    return output


def _integer(node: NodeProto, name: str, default: int) -> int:
    return next((int(a.i) for a in node.attribute if a.name == name), default)
