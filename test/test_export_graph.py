"""What is exported are graphs that TensorRT takes, small and with nothing in them for naught."""

import re

import numpy as np
import onnx
import pytest
import torch
from exported_models import HEIGHT
from exported_models import WIDTH
from onnx import TensorProto
from tensorrt_operators import TENSORRT_OPERATORS
from tensorrt_operators import TENSORRT_OPSETS
from tensorrt_operators import tensorrt_problems

from training.checkpoint import load_depth_checkpoint
from training.exporting.graph_summary import summarize_graph
from training.exporting.onnx_graph import OPSETS


def test_one_input_and_three_outputs_of_fixed_size(exported):
    graph = exported.graph.graph
    values = {
        value.name: (
            value.type.tensor_type.elem_type,
            [d.dim_value for d in value.type.tensor_type.shape.dim],
        )
        for value in (*graph.input, *graph.output)
    }
    assert values == {
        'image': (TensorProto.UINT8, [1, HEIGHT, WIDTH, 3]),
        'depth': (TensorProto.FLOAT, [1, HEIGHT, WIDTH]),
        'labels': (TensorProto.UINT8, [1, HEIGHT, WIDTH]),
        'confidence': (TensorProto.UINT8, [1, HEIGHT, WIDTH]),
    }


def test_tensorrt_takes_every_operator(exported):
    onnx.checker.check_model(exported.graph, full_check=True)
    assert tensorrt_problems(exported.graph) == []


def node_graph(node, kind, *stored):
    """Return a graph of one node that maps (1, 4, 8, 8) to something of its type."""
    graph = onnx.helper.make_graph(
        [node],
        'one',
        [onnx.helper.make_tensor_value_info('x', kind, [1, 4, 8, 8])],
        [onnx.helper.make_tensor_value_info('y', kind, None)],
        [onnx.numpy_helper.from_array(value, name) for name, value in stored],
    )
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid('', 18)])


@pytest.mark.parametrize('operator', ['Col2Im', 'Optional', 'Bernoulli', 'BitShift'])
def test_the_tensorrt_check_notices_an_operator_that_it_lacks(operator):
    assert operator not in TENSORRT_OPERATORS
    node = onnx.helper.make_node(operator, ['x'], ['y'])
    assert any('no such operator' in p for p in tensorrt_problems(node_graph(node, 1)))


@pytest.mark.parametrize(
    ('node', 'kind', 'problem'),
    [
        (onnx.helper.make_node('Exp', ['x'], ['y']), TensorProto.DOUBLE, 'not of DOUBLE'),
        (onnx.helper.make_node('Mul', ['x', 'x'], ['y']), TensorProto.UINT8, 'not of UINT8'),
        (onnx.helper.make_node('Add', ['x', 'x'], ['y']), TensorProto.DOUBLE, 'not of DOUBLE'),
        (onnx.helper.make_node('Not', ['x'], ['y']), TensorProto.UINT8, 'not of UINT8'),
        (onnx.helper.make_node('Conv', ['x', 'x'], ['y']), TensorProto.FLOAT, 'must be stored'),
        (
            onnx.helper.make_node('MaxPool', ['x'], ['y', 'i'], kernel_shape=[2, 2]),
            TensorProto.FLOAT16,
            'no indices',
        ),
        (
            onnx.helper.make_node('Resize', ['x', '', 's'], ['y'], mode='cubic'),
            TensorProto.FLOAT,
            "mode b'cubic'",
        ),
    ],
)
def test_the_tensorrt_check_notices_a_node_that_it_refuses(node, kind, problem):
    scales = np.array([1, 1, 2, 2], np.float32)
    problems = tensorrt_problems(node_graph(node, kind, ('s', scales)))
    assert any(problem in p for p in problems)


@pytest.mark.parametrize('kind', [TensorProto.FLOAT, TensorProto.FLOAT16])
def test_the_tensorrt_check_takes_what_it_takes(kind):
    resize = onnx.helper.make_node('Resize', ['x', '', 's'], ['y'], mode='nearest')
    scales = np.array([1, 1, 2, 2], np.float32)
    assert tensorrt_problems(node_graph(resize, kind, ('s', scales))) == []
    where = onnx.helper.make_node('Where', ['c', 'x', 'x'], ['y'])
    assert tensorrt_problems(node_graph(where, kind, ('c', np.array(True)))) == []


def test_every_opset_that_can_be_chosen_is_one_of_tensorrt():
    assert set(OPSETS) <= set(TENSORRT_OPSETS)


def test_no_convolution_has_three_dimensions(exported):
    weights = {w.name: len(w.dims) for w in exported.graph.graph.initializer}
    convolutions = [n for n in exported.graph.graph.node if n.op_type == 'Conv']
    assert convolutions
    assert {weights[node.input[1]] for node in convolutions} == {4}


def test_bytes_stand_only_at_the_ends_and_meet_only_floats(exported):
    """TensorRT converts UINT8 from and to floats only, at the network's ends only."""
    inferred = onnx.shape_inference.infer_shapes(exported.graph).graph
    kinds = {
        v.name: v.type.tensor_type.elem_type
        for v in (*inferred.value_info, *inferred.output, *inferred.input)
    }
    ends = {'image', 'labels', 'confidence'}
    assert {name for name, kind in kinds.items() if kind == TensorProto.UINT8} == ends
    touching = [n for n in exported.graph.graph.node if ends & {*n.input, *n.output}]
    assert len(touching) == 3
    for node in touching:
        assert node.op_type == 'Cast'
        (other,) = {*node.input, *node.output} - ends
        assert kinds[other] == TensorProto.FLOAT


def test_nothing_is_computed_that_no_output_needs(exported):
    graph = exported.graph.graph
    used = {name for node in graph.node for name in node.input}
    used |= {value.name for value in graph.output}
    assert [n.name for n in graph.node if not used & set(n.output)] == []
    assert [w.name for w in graph.initializer if w.name not in used] == []
    # Of the four heads only the finest.
    heads = {w.name for w in graph.initializer if 'heads' in w.name}
    assert {re.sub(r'\.conv.*', '', name) for name in heads} == {'network.depth.decoder.heads.3'}


def test_nothing_is_left_to_compute_from_constants(exported):
    graph = exported.graph.graph
    constants = {w.name for w in graph.initializer}
    assert [n.name for n in graph.node if set(n.input) <= constants] == []
    operators = {node.op_type for node in graph.node}
    assert not operators & {'Constant', 'Shape', 'Identity', 'BatchNormalization', 'Dropout'}


def test_the_graph_is_small(exported):
    summary = summarize_graph(exported.graph)
    assert summary.node_count == len(exported.graph.graph.node) < 650
    assert dict(summary.operators)['Conv'] > 60


def test_the_summary_counts_parameters_and_work(unguided):
    network = load_depth_checkpoint(unguided.checkpoint).network
    heads = sum(p.numel() for p in network.depth.decoder.heads[:3].parameters())
    # Batch norms fold into convolutions, whose bias takes the place of theirs.
    norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    count = sum(p.numel() for p in network.parameters()) - heads
    count -= sum(norm.weight.numel() for norm in norms)
    summary = summarize_graph(unguided.graph)
    # Besides: scalars, scales of resizing, per-group ones and zeros of the norms.
    assert count <= summary.parameter_count < count + 1000
    work = []
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d) and module not in [
            h.conv for h in network.depth.decoder.heads[:3]
        ]:
            module.register_forward_hook(
                lambda m, _, out: work.append(out[0].numel() * m.weight[0].numel())
            )
    with torch.no_grad():
        network(torch.zeros(1, 3, HEIGHT, WIDTH))
    work.append(19 * HEIGHT * WIDTH)  # the classes' exponentials, summed by a convolution
    assert summary.gmac == pytest.approx(sum(work) / 1e9, rel=1e-6)
    assert (summary.half_gmac, summary.half_parameter_count, summary.cast_count) == (0, 0, 0)
