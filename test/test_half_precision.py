"""Half precision is written where it does no harm, with no more casts than that takes."""

import numpy as np
import onnx
import pytest
from exported_models import HEIGHT
from exported_models import WIDTH
from onnx import TensorProto
from onnx import helper
from onnx import numpy_helper

from sg_depth_ros.engines import EngineOptions
from sg_depth_ros.engines import OnnxRuntimeOptions
from sg_depth_ros.engines import open_engine
from sg_depth_ros.errors import UserError
from sg_depth_ros.model_file import read_model_file
from training.checkpoint import load_depth_checkpoint
from training.exporting.graph_summary import summarize_graph
from training.exporting.graph_values import GraphValues
from training.exporting.half_constants import fits_half
from training.exporting.half_constants import to_half
from training.exporting.half_precision import rounded_twin
from training.exporting.half_precision import to_half_precision
from training.exporting.trial_images import artificial_image
from training.torch_engine import TorchEngine

FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16
SHAPE = [1, 4, 8, 8]


def small_graph(nodes, **stored):
    """Return a graph from x to y, both float32 (1, 4, 8, 8), that begins and ends by a layer."""
    random = np.random.default_rng(0)
    stored = {name: np.asarray(value) for name, value in stored.items()}
    stored |= {name: random.normal(size=(4, 4, 3, 3)).astype('f') for name in ('w1', 'w2')}
    ends = (
        helper.make_node('Conv', ['x', 'w1'], ['a'], pads=[1] * 4),
        *nodes,
        helper.make_node('Conv', ['b', 'w2'], ['y'], pads=[1] * 4),
    )
    graph = helper.make_graph(
        ends,
        'small',
        [helper.make_tensor_value_info('x', FLOAT, SHAPE)],
        [helper.make_tensor_value_info('y', FLOAT, SHAPE)],
        [numpy_helper.from_array(value, name) for name, value in stored.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', 18)], ir_version=8)


def computed_in(graph):
    """Return the type of each value that an operator, not a cast, gives."""
    kinds = GraphValues(graph).kinds
    return {n.output[0]: kinds[n.output[0]] for n in graph.graph.node if n.op_type != 'Cast'}


def parents(graph, name):
    """Return the operators that lead to a value, nearest first, casts left out."""
    values, ends, found = GraphValues(graph), [name], []
    while ends:
        at = values.producer.get(ends.pop(0))
        if at is None:
            continue
        node = values.graph.node[at]
        if node.op_type != 'Cast':
            found.append((node.op_type, values.kinds[node.output[0]]))
        ends.extend(node.input)
    return found


def test_convolutions_are_half_and_what_they_would_spoil_is_not(exported):
    graph = exported.half_graph
    values = GraphValues(graph)
    for node in graph.graph.node:
        given = values.kinds.get(node.input[0])
        if node.op_type in {
            'InstanceNormalization', 'Exp', 'Reciprocal', 'Sigmoid', 'ArgMax', 'ReduceMax', 'Clip',
        }:  # fmt: skip
            assert given == FLOAT, node.name
    summary = summarize_graph(graph)
    assert summary.half_gmac > 0.9 * summary.gmac
    assert summary.half_parameter_count > 0.95 * summary.parameter_count
    # The same network: nothing but casts was added.
    single = summarize_graph(exported.graph)
    assert summary.node_count - summary.cast_count == single.node_count
    assert (summary.gmac, summary.parameter_count) == (single.gmac, single.parameter_count)


@pytest.mark.parametrize('output', ['depth', 'confidence'])
def test_a_head_is_float32_from_its_last_layer_on(exported, output):
    chain = parents(exported.half_graph, output)
    first_half = next(i for i, (_, kind) in enumerate(chain) if kind == HALF)
    before = [operator for operator, _ in chain[:first_half]]
    assert 'Conv' in before
    assert {'Sigmoid' if output == 'depth' else 'Exp', 'Reciprocal'} <= set(before)


def test_the_image_is_normalised_in_float32(exported):
    graph = exported.half_graph
    consumers = GraphValues(graph).consumers
    at, chain = 'image', []
    while True:
        following = [graph.graph.node[i] for i in consumers[at]]
        if any(node.op_type == 'Conv' for node in following):
            break
        chain += [node.op_type for node in following]
        at = following[0].output[0]
    assert 'Div' in chain
    assert GraphValues(graph).kinds[at] == HALF


def test_pac_measures_distances_in_float32_and_weighs_in_half(export_of):
    graph = export_of('pac').half_graph
    values = GraphValues(graph)
    kernels = [n for n in graph.graph.node if n.op_type == 'Exp']
    assert len(kernels) > 4
    squares = 0
    for kernel in kernels:
        near = parents(graph, kernel.input[0])[:4]
        assert {kind for _, kind in near} == {FLOAT}
        squares += [operator for operator, _ in near].count('Mul') > 0
    assert squares >= len(kernels) - 1  # the last one is the softmax
    weighed = [
        n for n in graph.graph.node
        if n.op_type == 'Mul' and values.kinds[n.output[0]] == HALF and len(set(n.input)) == 2
    ]  # fmt: skip
    assert len(weighed) >= len(kernels) - 1


def test_no_value_is_cast_twice_or_back(exported):
    values = GraphValues(exported.half_graph)
    casts = [
        n for n in exported.half_graph.graph.node
        if n.op_type == 'Cast' and {values.kinds[n.input[0]], values.kinds[n.output[0]]}
        == {FLOAT, HALF}
    ]  # fmt: skip
    sources = [n.input[0] for n in casts]
    assert len(sources) == len(set(sources))
    assert not {n.output[0] for n in casts} & set(sources)
    assert not set(sources) & set(values.constants)


def test_every_constant_is_stored_once_and_in_the_type_it_is_used_in(exported):
    graph = exported.half_graph.graph
    taken = [name for node in graph.node for name in node.input]
    assert [w.name for w in graph.initializer if w.name not in taken] == []
    for stored in graph.initializer:
        if stored.data_type == HALF:
            value = numpy_helper.to_array(stored)
            assert np.isfinite(value).all()
            assert (
                value.any()
                or not numpy_helper.to_array(
                    next(
                        w
                        for w in exported.graph.graph.initializer
                        if f'{w.name}_fp16' == stored.name
                    )
                ).any()
            )


def test_an_island_between_float32_operators_stays_float32():
    """Two casts would not pay for an addition."""
    nodes = [
        helper.make_node('Exp', ['a'], ['e']),
        helper.make_node('Relu', ['e'], ['r']),
        helper.make_node('Add', ['r', 'r'], ['s']),
        helper.make_node('Exp', ['s'], ['t']),
        helper.make_node('Conv', ['t', 'w3'], ['u'], pads=[1] * 4),
        helper.make_node('Relu', ['u'], ['b']),
    ]
    weight = np.random.default_rng(1).normal(size=(4, 4, 3, 3)).astype(np.float32)
    half = to_half_precision(small_graph(nodes, w3=weight))
    kinds = computed_in(half)
    assert {name for name, kind in kinds.items() if kind == HALF} == {'a', 'u', 'b'}
    # x and t to half, a and b to float32.
    assert summarize_graph(half).cast_count == 4


def test_a_convolution_that_only_subtracts_is_found_before_an_exponential():
    """PAC's differences are convolutions, too, but of ones and minus ones."""
    difference = np.zeros((4, 1, 1, 1), np.float32)
    difference[:] = -1
    nodes = [
        helper.make_node('Relu', ['a'], ['r']),
        helper.make_node('Conv', ['r', 'd'], ['c'], group=4),
        helper.make_node('Mul', ['c', 'c'], ['m']),
        helper.make_node('Exp', ['m'], ['e']),
        helper.make_node('Mul', ['e', 'r'], ['b']),
    ]
    kinds = computed_in(to_half_precision(small_graph(nodes, d=difference)))
    assert (kinds['c'], kinds['m'], kinds['e']) == (FLOAT, FLOAT, FLOAT)
    assert kinds['a'] == HALF


@pytest.mark.parametrize(
    ('constant', 'kind'), [(2.0, HALF), (7e4, FLOAT), (1e-7, FLOAT), (0.0, HALF)]
)
def test_a_constant_that_half_precision_cannot_hold_keeps_its_operator_in_float32(constant, kind):
    nodes = [helper.make_node('Mul', ['a', 'c'], ['b'])]
    graph = to_half_precision(small_graph(nodes, c=np.float32(constant)))
    assert computed_in(graph)['b'] == kind
    (stored,) = (w for w in graph.graph.initializer if w.name.startswith('c'))
    assert stored.data_type == kind
    assert float(numpy_helper.to_array(stored)) == np.float32(constant)


def test_a_filter_is_judged_by_all_its_weights_together():
    weight = np.random.default_rng(0).normal(size=(8, 4, 3, 3)).astype(np.float32)
    weight[:, 0] = 1e-9
    assert fits_half(weight)
    assert fits_half(np.concatenate([weight, 1e-12 * weight[:1]]))  # a filter that never learnt
    assert not fits_half(1e-7 * weight)
    assert not fits_half(np.float32([np.nan]))
    assert not fits_half(np.float32([65520.0]))
    assert fits_half(np.zeros((0,), np.float32))


def test_kernels_keep_their_sums():
    """An even image is answered with the sum of the weights."""
    weight = np.random.default_rng(0).normal(size=(16, 8, 3, 3)).astype(np.float32)
    careful, plain = to_half(weight), weight.astype(np.float16)

    def error(rounded):
        return np.abs((rounded.astype(np.float64) - weight).sum((2, 3))).mean()

    assert error(careful) < 0.1 * error(plain)
    # No weight is moved further than the largest of its kernel is rounded, twice.
    step = np.spacing(np.abs(plain).max((2, 3), keepdims=True)).astype(np.float64)
    assert np.all(np.abs(careful.astype(np.float64) - weight) <= step)
    other = np.float32([1 / 3, 2.0])
    np.testing.assert_array_equal(to_half(other), other.astype(np.float16))


def test_a_division_by_what_is_computed_stays_float32():
    by_constant = small_graph([helper.make_node('Div', ['a', 'c'], ['b'])], c=np.float32(3))
    assert computed_in(to_half_precision(by_constant))['b'] == HALF
    by_value = small_graph([helper.make_node('Div', ['c', 'a'], ['b'])], c=np.float32(3))
    assert computed_in(to_half_precision(by_value))['b'] == FLOAT


def test_a_graph_with_branches_is_refused():
    graph = small_graph([helper.make_node('Relu', ['a'], ['b'])])
    body = helper.make_graph([], 'body', [], [])
    graph.graph.node[1].attribute.append(helper.make_attribute('then_branch', body))
    with pytest.raises(UserError, match='branches or loops'):
        to_half_precision(graph)


def test_the_twin_rounds_where_onnx_runtime_does_not():
    """65520 is no half: the twin says so, the CPU's ONNX Runtime computes on."""
    import onnxruntime

    nodes = [
        helper.make_node('Conv', ['a', 'c'], ['m'], pads=[1] * 4),
        helper.make_node('Conv', ['m', 'd'], ['b'], pads=[1] * 4),
    ]
    weight = np.random.default_rng(1).normal(size=(4, 4, 3, 3)).astype(np.float32)
    half = to_half_precision(small_graph(nodes, c=5000 * weight, d=weight))
    x = np.full(SHAPE, 10.0, np.float32)

    def run(graph):
        session = onnxruntime.InferenceSession(
            graph.SerializeToString(), providers=['CPUExecutionProvider']
        )
        return session.run(None, {'x': x})[0]

    assert np.isfinite(run(half)).all()
    assert not np.isfinite(run(rounded_twin(half))).all()


def test_the_first_and_last_layers_can_stay_in_float32(export_of):
    graph = export_of('pac').graph
    counts = [
        sum(w.data_type == HALF for w in to_half_precision(graph, n).graph.initializer)
        for n in (0, 1, 3)
    ]
    assert counts[0] > counts[1] > counts[2]
    # Not those of the semantic network, from which classes are read.
    kept = {w.name for w in to_half_precision(graph, 1).graph.initializer if w.data_type == FLOAT}
    assert 'network.depth.encoder.conv1.weight' in kept
    assert 'network.depth.decoder.levels.4.conv_out.0.weight' in kept
    assert 'network.depth.decoder.levels.4.conv_in.0.weight' not in kept
    assert 'network.depth.encoder.layer1.0.conv1.weight' not in kept
    assert 'network.segmentation.encoder.conv1.weight' not in kept


def test_the_half_file_says_what_the_network_says(exported):
    trained = TorchEngine(load_depth_checkpoint(exported.checkpoint))
    options = EngineOptions(OnnxRuntimeOptions(device='cpu'), allow_fallback=False)
    engine = open_engine(exported.half_model, 'onnxruntime', options)
    assert engine.contract.precision == 'fp16'
    image = artificial_image(WIDTH, HEIGHT, 11)
    truth, said = trained.infer(image), engine.infer(image)
    error = np.abs(said.depth_m / truth.depth_m - 1)
    assert np.mean(error <= 0.01) >= 0.999
    assert np.mean(said.labels == truth.labels) > 0.99
    assert error.max() > 1e-5  # it is another file
    engine.close()


def test_both_files_tell_the_same_origin_and_the_same_self_test(exported):
    single = read_model_file(exported.model).contract
    half = read_model_file(exported.half_model).contract
    assert (single.precision, half.precision) == ('fp32', 'fp16')
    assert single.weights_sha256 == half.weights_sha256
    assert single.intrinsics == half.intrinsics
    # The network's own depth, not what the file makes of it.
    np.testing.assert_array_equal(single.self_test.depth_m, half.self_test.depth_m)
    assert exported.half_model.stat().st_size < 0.75 * exported.model.stat().st_size


def test_inputs_and_outputs_keep_their_types(exported):
    for one, other in zip(
        (*exported.graph.graph.input, *exported.graph.graph.output),
        (*exported.half_graph.graph.input, *exported.half_graph.graph.output),
    ):
        assert one == other
    onnx.checker.check_model(exported.half_graph, full_check=True)
