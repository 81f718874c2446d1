"""
Half precision, written into a graph: strongly typed, as TensorRT takes it from 10 on.

Which operators it is written into, ``precision_choice`` says. Here their constants become half,
and casts stand where a value changes its type: one for each value, whoever takes it.
"""

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import ModelProto
from onnx import NodeProto
from onnx import TensorProto

from training.exporting.graph_values import GraphValues
from training.exporting.half_constants import to_half
from training.exporting.precision_choice import half_nodes

SUFFIXES: dict[int, str] = {TensorProto.FLOAT: '_fp32', TensorProto.FLOAT16: '_fp16'}


def to_half_precision(model: ModelProto, end_layers: int = 0) -> ModelProto:
    """
    Return a graph with its convolutions and matrix products in half precision.

    :param model: float32, of fixed sizes; stays as it is. Inputs and outputs keep their types.
    :param end_layers: as in ``half_nodes``.
    :raises UserError: where it cannot be written in half precision.
    """
    values = GraphValues(model)
    half = half_nodes(values, end_layers)
    result = ModelProto()
    result.CopyFrom(model)
    del result.graph.node[:], result.graph.initializer[:], result.graph.value_info[:]
    result.graph.node.extend(_typed_nodes(values, half))
    used = {name for node in result.graph.node for name in node.input}
    used |= {value.name for value in result.graph.output}
    for stored in model.graph.initializer:
        halved = stored.name + SUFFIXES[TensorProto.FLOAT16]
        if halved in used:
            array = to_half(onnx.numpy_helper.to_array(stored))
            result.graph.initializer.append(onnx.numpy_helper.from_array(array, halved))
        if stored.name in used:
            result.graph.initializer.append(stored)
    onnx.checker.check_model(result, full_check=True)
    return result


def rounded_twin(model: ModelProto) -> ModelProto:
    """
    Return a float32 graph that rounds wherever a graph in half precision does.

    ONNX Runtime's CPU has no half precision: it computes in float32 and drops the casts between
    operators, so that nothing is rounded, and nothing overflows, but constants. Here every value
    of half precision goes through it once, as on a GPU that adds up a layer in float32.

    :param model: of ``to_half_precision``; stays as it is.
    """
    values = GraphValues(model)
    twin = ModelProto()
    twin.CopyFrom(model)
    del twin.graph.node[:], twin.graph.initializer[:], twin.graph.value_info[:]
    for stored in model.graph.initializer:
        array = onnx.numpy_helper.to_array(stored)
        if array.dtype == np.float16:
            stored = onnx.numpy_helper.from_array(array.astype(np.float32), stored.name)
        twin.graph.initializer.append(stored)
    for node in model.graph.node:
        twin.graph.node.extend(_rounded(node, values))
    onnx.checker.check_model(twin, full_check=True)
    return twin


def _typed_nodes(values: GraphValues, half: set[int]) -> Iterator[NodeProto]:
    """Give the operators with inputs of their type, and the casts between them."""
    graph = values.graph
    for value in graph.input:
        if value.name in values.float_names:
            yield from _casts(value.name, TensorProto.FLOAT, values, half)
    for at, node in enumerate(graph.node):
        own = _type(at, half)
        typed = NodeProto()
        typed.CopyFrom(node)
        for k in values.float_inputs(at):
            name = node.input[k]
            source = values.producer.get(name)
            if own != (TensorProto.FLOAT if source is None else _type(source, half)):
                typed.input[k] = name + SUFFIXES[own]
        yield typed
        for name in values.float_outputs(at):
            yield from _casts(name, own, values, half)


def _casts(name: str, given: int, values: GraphValues, half: set[int]) -> Iterator[NodeProto]:
    """Give the cast of a value, where any operator takes it in the other type."""
    takers = [i for i in values.consumers[name] if name in values.computed_inputs(i)]
    for wanted in {_type(i, half) for i in takers} - {given}:
        cast = name + SUFFIXES[wanted]
        yield onnx.helper.make_node('Cast', [name], [cast], f'cast_{cast}', to=wanted)


def _type(at: int, half: set[int]) -> int:
    return int(TensorProto.FLOAT16 if at in half else TensorProto.FLOAT)


def _rounded(node: NodeProto, values: GraphValues) -> Iterator[NodeProto]:
    """Give a float32 operator, and after it the rounding of what was half precision."""
    single = NodeProto()
    single.CopyFrom(node)
    if node.op_type == 'Cast':
        for attribute in single.attribute:
            if attribute.name == 'to' and attribute.i == TensorProto.FLOAT16:
                attribute.i = TensorProto.FLOAT
    rounding = []
    for k, name in enumerate(node.output):
        if values.kinds.get(name) == TensorProto.FLOAT16:
            exact, half = f'{name}_exact', f'{name}_half'
            single.output[k] = exact
            rounding += [
                onnx.helper.make_node('Cast', [exact], [half], to=TensorProto.FLOAT16),
                onnx.helper.make_node('Cast', [half], [name], to=TensorProto.FLOAT),
            ]
    yield single
    yield from rounding
