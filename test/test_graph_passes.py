"""Rewritten graphs say the same, in the operators that a rule wants, and are left alone else."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto
from onnx.helper import make_node

from training.exporting.graph_passes import LANES
from training.exporting.graph_passes import RULES
from training.exporting.graph_passes import channel_sum_as_convolution
from training.exporting.graph_passes import rewrite
from training.exporting.graph_passes import scale_within_convolution
from training.exporting.graph_passes import split_uneven_convolution
from training.exporting.graph_passes import unshuffle_by_space_to_depth

HEIGHT, WIDTH = 5, 7
RANDOM = np.random.default_rng(11)


def stored(*shape):
    return RANDOM.standard_normal(shape).astype(np.float32)


def graph_of(nodes, widths, constants, outputs=('y',)):
    """Return a graph whose inputs are maps of so many channels, by name."""
    graph = onnx.helper.make_graph(
        nodes,
        'test',
        [
            onnx.helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, c, HEIGHT, WIDTH])
            for n, c in widths.items()
        ],
        [onnx.helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs],
        [onnx.numpy_helper.from_array(v, n) for n, v in constants.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid('', 18)])
    model.ir_version = 8
    return onnx.shape_inference.infer_shapes(model)  # of the outputs


def operators(model):
    return [node.op_type for node in model.graph.node]


def rewritten(model, rule):
    """Rewrite by one rule, and check that all that the graph says stays."""
    before = model.SerializeToString()
    result = rewrite(model, (rule,))
    assert model.SerializeToString() == before
    onnx.checker.check_model(result, full_check=True)
    feed = {
        value.name: stored(*(d.dim_value for d in value.type.tensor_type.shape.dim))
        for value in model.graph.input
    }
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    # As they stand: what a session would do to them by itself is not asked.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    expected, got = (
        onnxruntime.InferenceSession(m.SerializeToString(), options).run(None, feed)
        for m in (model, result)
    )
    for e, g in zip(expected, got):
        np.testing.assert_allclose(g, e, rtol=1e-5, atol=1e-5)
    return result


def test_a_factor_goes_into_the_weights_and_the_bias():
    nodes = [make_node('Conv', ['x', 'w', 'b'], ['c']), make_node('Mul', ['f', 'c'], ['y'])]
    constants = {'w': stored(3, 4, 1, 1), 'b': stored(3), 'f': np.float32(-0.5)}
    result = rewritten(graph_of(nodes, {'x': 4}, constants), scale_within_convolution)
    assert operators(result) == ['Conv']
    assert len(result.graph.initializer) == 2


@pytest.mark.parametrize(
    ('nodes', 'outputs'),
    [
        # Asked for elsewhere; by a number per channel; behind another operator.
        ([make_node('Conv', ['x', 'w'], ['c']), make_node('Mul', ['c', 'f'], ['y'])], ('y', 'c')),
        ([make_node('Conv', ['x', 'w'], ['c']), make_node('Mul', ['c', 's'], ['y'])], ('y',)),
        ([make_node('Elu', ['x'], ['c']), make_node('Mul', ['c', 'f'], ['y'])], ('y',)),
    ],
)
def test_a_factor_that_is_no_convolutions_own_stays(nodes, outputs):
    used = {name for node in nodes for name in node.input}
    constants = {'w': stored(4, 4, 1, 1), 'f': np.float32(3), 's': stored(1, 4, 1, 1)}
    constants = {name: value for name, value in constants.items() if name in used}
    model = graph_of(nodes, {'x': 4}, constants, outputs)
    assert operators(rewritten(model, scale_within_convolution)) == operators(model)


def concatenation(widths, **attributes):
    nodes = [
        make_node('Concat', list(widths), ['all'], axis=1),
        make_node('Conv', ['all', 'w', 'b'], ['y'], pads=[1, 1, 1, 1], **attributes),
    ]
    group = attributes.get('group', 1)
    return graph_of(
        nodes, widths, {'w': stored(4, sum(widths.values()) // group, 3, 3), 'b': stored(4)}
    )


@pytest.mark.parametrize(
    ('widths', 'expected'),
    [
        ({'p': LANES, 'q': 2 * LANES, 'r': 1}, ['Concat', 'Conv', 'Conv', 'Add']),
        ({'r': 1, 'p': LANES}, ['Conv', 'Conv', 'Add']),
        ({'r': 3, 'p': LANES, 's': 2}, ['Conv', 'Concat', 'Conv', 'Add']),
    ],
)
def test_a_convolution_of_uneven_channels_is_split(widths, expected):
    result = rewritten(concatenation(widths, strides=[2, 1]), split_uneven_convolution)
    assert operators(result) == expected
    even = sum(width for width in widths.values() if width % LANES == 0)
    weights = {w.name: w.dims[1] for w in result.graph.initializer if len(w.dims) == 4}
    assert sorted(weights.values()) == sorted([even, sum(widths.values()) - even])


@pytest.mark.parametrize(
    'model',
    [
        concatenation({'p': LANES, 'q': LANES}),
        concatenation({'p': 3, 'q': 1}),
        concatenation({'p': LANES, 'q': 2}, group=2),
    ],
    ids=['even', 'nothing even', 'groups'],
)
def test_other_convolutions_of_a_concatenation_stay(model):
    assert operators(rewritten(model, split_uneven_convolution)) == ['Concat', 'Conv']


def unshuffle(order, step, outputs=('y',)):
    """Return a convolution of 2 channels' pixels that were moved into channels."""
    rows, columns = HEIGHT * 6 // step, WIDTH * 6 // step
    packed = [1, 2 * step**2, rows, columns]
    nodes = [
        make_node('Resize', ['x', '', 'scales'], ['large'], mode='nearest'),
        make_node('Reshape', ['large', 'blocks'], ['b']),
        make_node('Transpose', ['b'], ['t'], perm=order),
        make_node('Reshape', ['t', 'packed'], ['p']),
        make_node('Conv', ['p', 'w', 'bias'], ['y'], pads=[1, 1, 1, 1]),
        make_node('Exp', ['p'], ['z']),
    ]
    constants = {
        'scales': np.array([1, 1, 6, 6], np.float32),
        'blocks': np.array([1, 2, rows, step, columns, step]),
        'packed': np.array(packed),
        'w': stored(5, packed[1], 3, 3),
        'bias': stored(5),
    }
    return graph_of(nodes[: 4 + len(outputs)], {'x': 2}, constants, outputs)


@pytest.mark.parametrize('step', [2, 3])
def test_pixels_go_into_channels_by_one_operator(step):
    model = unshuffle([0, 1, 3, 5, 2, 4], step)
    result = rewritten(model, unshuffle_by_space_to_depth)
    assert operators(result) == ['Resize', 'SpaceToDepth', 'Conv']


@pytest.mark.parametrize(
    ('order', 'outputs'),
    [([0, 1, 5, 3, 2, 4], ('y',)), ([0, 1, 3, 5, 2, 4], ('y', 'z'))],
    ids=['another order', 'asked for elsewhere'],
)
def test_other_transpositions_stay(order, outputs):
    model = unshuffle(order, 2, outputs)
    assert operators(rewritten(model, unshuffle_by_space_to_depth)) == operators(model)


@pytest.mark.parametrize(('axis', 'keeps'), [(1, 1), (-3, 0)])
def test_a_sum_over_channels_becomes_a_convolution(axis, keeps):
    nodes = [make_node('ReduceSum', ['x', 'a'], ['y'], keepdims=keeps)]
    model = graph_of(nodes, {'x': 19}, {'a': np.array([axis])})
    result = rewritten(model, channel_sum_as_convolution)
    assert operators(result) == (['Conv'] if keeps else ['Conv', 'Squeeze'])


@pytest.mark.parametrize('axes', [[2], [1, 2], [3]])
def test_sums_over_other_axes_stay(axes):
    model = graph_of([make_node('ReduceSum', ['x', 'a'], ['y'])], {'x': 3}, {'a': np.array(axes)})
    assert operators(rewritten(model, channel_sum_as_convolution)) == ['ReduceSum']


def test_all_rules_work_on_one_graph_and_nothing_unused_is_left():
    nodes = [
        make_node('Concat', ['p', 'r'], ['all'], axis=1),
        make_node('Conv', ['all', 'w'], ['c']),
        make_node('Elu', ['c'], ['e']),
        make_node('ReduceSum', ['e', 'a'], ['z']),
        make_node('Conv', ['z', 'v'], ['d']),
        make_node('Mul', ['d', 'f'], ['y']),
    ]
    constants = {
        'w': stored(4, LANES + 1, 1, 1),
        'a': np.array([1]),
        'v': stored(2, 1, 1, 1),
        'f': np.float32(0.3),
    }
    model = graph_of(nodes, {'p': LANES, 'r': 1}, constants)
    result = rewrite(model)
    expected = ['Conv', 'Conv', 'Add', 'Elu', 'Conv', 'Conv']
    assert operators(result) == expected
    used = {name for node in result.graph.node for name in node.input}
    assert {w.name for w in result.graph.initializer} <= used
    for rule in RULES:
        rewritten(model, rule)


def test_a_graph_with_graphs_inside_is_left_as_it_is():
    inner = onnx.helper.make_graph(
        [make_node('Identity', ['m'], ['i'])],
        'inner',
        [],
        [onnx.helper.make_tensor_value_info('i', TensorProto.FLOAT, None)],
    )
    nodes = [
        make_node('Conv', ['x', 'w'], ['m']),
        make_node('Mul', ['m', 'f'], ['n']),
        make_node('If', ['c'], ['o'], then_branch=inner, else_branch=inner),
        make_node('Add', ['n', 'o'], ['y']),
    ]
    constants = {'w': stored(6, 6, 1, 1), 'f': np.float32(2), 'c': np.array(True)}
    model = graph_of(nodes, {'x': 6}, constants)
    assert operators(rewrite(model)) == operators(model)
