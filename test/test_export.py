"""The exported file says what the network says, in operators that TensorRT takes."""

import json
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto
from tensorrt_operators import TENSORRT_OPERATORS
from tensorrt_operators import TENSORRT_OPSETS
from tensorrt_operators import tensorrt_problems
from torch.nn import functional

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.classes import CLASS_NAMES
from sg_depth_ros.contract import contract_from_metadata
from sg_depth_ros.engines import Prediction
from sg_depth_ros.engines import open_engine
from sg_depth_ros.engines.self_test import run_self_test
from sg_depth_ros.errors import UserError
from sg_depth_ros.model_file import CONTRACT_KEY
from sg_depth_ros.model_file import DIGEST_KEY
from training import export
from training.__main__ import main
from training.checkpoint import checkpoint_entries
from training.checkpoint import load_depth_checkpoint
from training.data import drive as drives
from training.data.drive import Drive
from training.data.drive import Frame
from training.exporting import parity
from training.exporting.onnx_graph import OPSETS
from training.exporting.onnx_graph import summarize_graph
from training.networks.depth import DepthNetworkConfig
from training.networks.guided import GuidedDepthNetwork
from training.networks.segmentation import SegmentationConfig
from training.networks.segmentation import SegmentationNetwork
from training.networks.segmentation import segmentation_checkpoint
from training.provenance import Provenance
from training.torch_engine import TorchEngine

WIDTH, HEIGHT = 96, 64
PROVENANCE = Provenance(
    intrinsics=Intrinsics(70.0, 71.0, 47.0, 31.0, WIDTH, HEIGHT),
    scale_source='speed',
    stage=2,
    dataset_sha256='a' * 64,
    config_sha256='b' * 64,
    git_commit='c' * 40,
    data_licence='CC0',
    weights_licence='CC BY 4.0',
    validation={'abs_rel': 0.125},
)


class Exported(NamedTuple):
    checkpoint: Path
    model: Path
    graph: onnx.ModelProto


def write_checkpoint(path, guidance='pac', class_count=19):
    torch.manual_seed(7)
    segmentation = SegmentationNetwork(
        SegmentationConfig(width=8, pyramid_channels=16, class_count=class_count)
    )
    config = DepthNetworkConfig(
        encoder_width=8,
        decoder_channels=(16, 16, 8, 8, 8),
        guidance=guidance,
        guided_strides=(16, 2),
        guidance_channels=16,
    )
    write_network(path, GuidedDepthNetwork(config, segmentation))


def write_packnet(path):
    torch.manual_seed(7)
    config = DepthNetworkConfig('packnet01_slim', 16, pack_padding='each', guidance='none')
    write_network(path, GuidedDepthNetwork(config, None))


def write_network(path, network):
    # Values as training leaves them: many start as equal ones and zeros, which fold into nothing.
    for parameter in network.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    # Heads that say more than one depth.
    for head in network.depth.decoder.heads:
        head.conv.weight.data *= 20
    state = {f'network.{key}': value for key, value in network.state_dict().items()}
    torch.save({**checkpoint_entries(network, None, PROVENANCE), 'state_dict': state}, path)


@pytest.fixture(scope='module')
def export_of(tmp_path_factory):
    """Return the export of a guidance operator, made once: it takes seconds."""

    @cache
    def make(guidance):
        folder = tmp_path_factory.mktemp(guidance)
        checkpoint, model = folder / 'depth.ckpt', folder / 'out' / 'model.onnx'
        write_checkpoint(checkpoint, guidance)
        assert main(['export', str(checkpoint), '--out', str(model)]) == 0
        assert [p.name for p in model.parent.iterdir()] == ['model.onnx']
        return Exported(checkpoint, model, onnx.load(str(model)))

    return make


@pytest.fixture(scope='module', params=['pac', 'spade', 'none'])
def exported(request, export_of):
    return export_of(request.param)


@pytest.fixture(scope='module')
def unguided(export_of):
    return export_of('none')


def pictures():
    random = np.random.default_rng(3)
    yield random.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    yield parity.artificial_image(WIDTH, HEIGHT, 99)
    yield np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    yield np.full((HEIGHT, WIDTH, 3), 255, np.uint8)


def test_the_file_says_what_the_network_says(exported):
    """Against the network's own outputs, mapped here again by the contract's definition."""
    network = load_depth_checkpoint(exported.checkpoint).network
    engine = open_engine(exported.model)
    depths = []
    for image in pictures():
        with torch.no_grad():
            output = network(torch.from_numpy(image / np.float32(255)).permute(2, 0, 1)[None])
            logits = functional.interpolate(
                output.logits, (HEIGHT, WIDTH), mode='bilinear', align_corners=False
            )
        prediction = engine.infer(image)
        expected_m = np.clip(1 / output.inverse_depth[0][0, 0].numpy(), 0.5, 100)
        np.testing.assert_allclose(prediction.depth_m, expected_m, rtol=1e-3)
        assert np.mean(prediction.labels == logits[0].argmax(0).numpy()) >= 0.999
        certainty = 255 * logits.softmax(1)[0].amax(0).numpy()
        assert np.abs(prediction.confidence - certainty).max() <= 1
        depths.append(prediction.depth_m)
    # The comparison is worth something: the depth depends on the image.
    assert np.abs(depths[0] / depths[2] - 1).max() > 0.05
    engine.close()


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


@pytest.mark.parametrize('operator', ['Col2Im', 'Optional', 'QLinearConv', 'BitShift'])
def test_the_tensorrt_check_notices_an_operator_that_it_lacks(operator):
    assert not any(operator in names for names in TENSORRT_OPERATORS.values())


@pytest.mark.parametrize(
    ('node', 'kind', 'problem'),
    [
        (onnx.helper.make_node('Exp', ['x'], ['y']), TensorProto.DOUBLE, 'not of DOUBLE'),
        (onnx.helper.make_node('Mul', ['x', 'x'], ['y']), TensorProto.UINT8, 'not of UINT8'),
        (onnx.helper.make_node('Conv', ['x', 'x'], ['y']), TensorProto.FLOAT, 'must be stored'),
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
    assert summary.gmac == pytest.approx(sum(work) / 1e9, rel=1e-6)


def test_the_contract_tells_where_the_network_comes_from(exported):
    metadata = {entry.key: entry.value for entry in exported.graph.metadata_props}
    assert list(metadata) == [CONTRACT_KEY, DIGEST_KEY]
    contract = contract_from_metadata(metadata, 'model.onnx')
    for name in (
        'intrinsics', 'scale_source', 'dataset_sha256', 'config_sha256', 'git_commit',
        'data_licence', 'weights_licence', 'validation',
    ):  # fmt: skip
        assert getattr(contract, name) == getattr(PROVENANCE, name), name
    assert contract.training_stage == 2
    assert contract.metric
    assert (contract.min_depth_m, contract.max_depth_m) == (0.5, 100.0)
    assert contract.class_names == CLASS_NAMES
    assert contract.precision == 'fp32'
    assert contract.network == 'resnet18-8'
    assert contract.guidance == load_depth_checkpoint(exported.checkpoint).guidance


def test_the_self_test_holds_the_depth_of_the_trained_network(exported):
    engine = open_engine(exported.model)
    result = run_self_test(engine)
    test = engine.contract.self_test
    assert result is not None
    assert test is not None
    assert result.passed
    trained = TorchEngine(load_depth_checkpoint(exported.checkpoint)).infer(test.image)
    np.testing.assert_allclose(test.depth_m, trained.depth_m, rtol=2**-11)
    engine.close()


def test_the_file_tells_nothing_of_the_machine_it_was_made_on(exported):
    content = exported.model.read_bytes()
    for word in (str(Path.cwd()), str(exported.model.parent), 'site-packages', '.py'):
        assert word.encode() not in content


def run(capsys, *arguments):
    """Run the verb on what is wrong; return what it says."""
    status = main(['export', *map(str, arguments)])
    error = capsys.readouterr().err
    assert status == 2
    assert error.startswith('error: ')
    assert error.count('\n') == 1
    return error


@pytest.fixture
def wrong(tmp_path):
    """Return files that are no depth checkpoint."""
    torch.manual_seed(0)
    small = SegmentationNetwork(SegmentationConfig(width=8, pyramid_channels=16))
    torch.save(segmentation_checkpoint(small), tmp_path / 'segmentation.ckpt')
    torch.save({'weights': torch.zeros(3)}, tmp_path / 'other.ckpt')
    (tmp_path / 'text.ckpt').write_text('no checkpoint\n')
    (tmp_path / 'empty.ckpt').write_bytes(b'')
    write_checkpoint(tmp_path / 'whole.ckpt', 'none')
    content = (tmp_path / 'whole.ckpt').read_bytes()
    (tmp_path / 'truncated.ckpt').write_bytes(content[: len(content) // 2])
    write_checkpoint(tmp_path / 'classes.ckpt', 'none', class_count=7)
    return tmp_path


@pytest.mark.parametrize(
    'name', ['segmentation', 'other', 'text', 'empty', 'truncated', 'classes', 'missing']
)
def test_what_is_no_depth_checkpoint_is_refused(wrong, capsys, name):
    before = sorted(wrong.iterdir())
    error = run(capsys, wrong / f'{name}.ckpt', '--out', wrong / 'out' / 'model.onnx')
    assert f'{name}.ckpt' in error
    assert sorted(wrong.iterdir()) == before


def test_a_missing_dataset_is_refused_before_the_work(unguided, capsys, tmp_path):
    error = run(
        capsys, unguided.checkpoint, '--out', tmp_path / 'm.onnx', '--data', tmp_path / 'none'
    )
    assert 'none' in error
    assert list(tmp_path.iterdir()) == []


def test_a_folder_as_output_is_refused(unguided, capsys, tmp_path):
    assert 'is a folder' in run(capsys, unguided.checkpoint, '--out', tmp_path)


def test_an_output_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / 'file').write_text('kept')
    with pytest.raises(UserError, match='cannot be written'):
        export.write_atomically(b'content', tmp_path / 'file' / 'model.onnx')
    assert [p.name for p in tmp_path.iterdir()] == ['file']


@pytest.mark.parametrize('part', ['depth', 'labels'])
def test_a_graph_that_disagrees_is_not_written(unguided, tmp_path, monkeypatch, part):
    """A defect of an exporter must end here, not on the road."""
    graph = onnx.ModelProto()
    graph.CopyFrom(unguided.graph)
    del graph.metadata_props[:]
    name = {
        'depth': 'network.depth.decoder.heads.3.conv.bias',
        'labels': 'network.segmentation.head.bias',
    }
    (bias,) = (w for w in graph.graph.initializer if w.name == name[part])
    values = onnx.numpy_helper.to_array(bias).copy()
    values[0] += 0.01 if part == 'depth' else 1.0
    bias.CopyFrom(onnx.numpy_helper.from_array(values, bias.name))
    monkeypatch.setattr(export, 'build_graph', lambda *_: graph)
    model = tmp_path / 'model.onnx'
    model.write_bytes(b'an earlier one')
    with pytest.raises(UserError, match='disagrees with the network'):
        export.export_model(unguided.checkpoint, model)
    assert model.read_bytes() == b'an earlier one'
    assert list(tmp_path.iterdir()) == [model]


class GivenEngine:
    """Gives one prediction whatever the image."""

    def __init__(self, depth_m, labels=0, confidence=0):
        self.contract, self.description = None, 'given'
        self._prediction = Prediction(
            np.array(depth_m, np.float32),
            np.array(labels, np.uint8),
            np.array(confidence, np.uint8),
        )

    def infer(self, image):
        return self._prediction

    def close(self):
        pass


def test_the_comparison_reports_the_worst_pixel():
    trained = GivenEngine([[10.0, 20.0]], [[1, 2]], [[0, 255]])
    judged = GivenEngine([[10.0, 20.01]], [[1, 3]], [[255, 255]])
    result = parity.compare_engines(trained, judged, [np.zeros((1, 2, 3), np.uint8)])
    assert result.max_relative_error == pytest.approx(5e-4, rel=1e-3)
    assert result.label_agreement == 0.5
    assert result.max_confidence_difference == 255
    assert not result.passed
    assert parity.compare_engines(trained, trained, [np.zeros((1, 2, 3), np.uint8)]).passed


@pytest.mark.parametrize('value', [np.nan, np.inf, 10.02])
def test_depth_that_is_not_finite_or_too_far_off_does_not_pass(value):
    trained, judged = GivenEngine([[10.0, 20.0]]), GivenEngine([[value, 20.0]])
    result = parity.compare_engines(trained, judged, [np.zeros((1, 2, 3), np.uint8)])
    assert not result.passed
    assert result.max_relative_error >= 1e-3


def write_dataset(folder, *frame_counts):
    camera = Intrinsics(70.0, 70.0, 47.5, 31.5, 96, 64)
    value = 0
    for number, count in enumerate(frame_counts):
        path = folder / f'drive{number}'
        (path / 'frames').mkdir(parents=True)
        frames = tuple(Frame(i, i * 10**8) for i in range(count))
        for frame in frames:
            image = np.full((64, 96, 3), value, np.uint8)
            drives.write_frame(image, drives.frame_path(path, frame.index))
            value += 10
        drives.write_drive(Drive(path.name, 'made up', camera, camera, frames), path)
    return folder


def test_frames_of_a_dataset_serve_as_test_images_the_middle_one_first(tmp_path):
    images = parity.trial_images(96, 64, write_dataset(tmp_path, 4, 5))
    assert [round(float(image.mean()), -1) for image in images] == [40, 10, 70]


def test_frames_of_another_size_are_resized(tmp_path):
    images = parity.trial_images(64, 32, write_dataset(tmp_path, 1))
    assert {image.shape for image in images} == {(32, 64, 3)}


def test_a_dataset_without_frames_is_refused(tmp_path):
    with pytest.raises(UserError, match='no frames'):
        parity.trial_images(96, 64, write_dataset(tmp_path, 0))


def test_artificial_pictures_differ_and_repeat():
    first, second = parity.artificial_image(96, 64, 0), parity.artificial_image(96, 64, 1)
    assert first.std() > 20
    assert (first != second).mean() > 0.5
    np.testing.assert_array_equal(first, parity.artificial_image(96, 64, 0))


def test_folding_that_changes_the_depth_is_measured_and_tested_as_folded(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv('COLUMNS', '200')
    checkpoint, model = tmp_path / 'packnet.ckpt', tmp_path / 'model.onnx'
    write_packnet(checkpoint)
    assert main(['export', str(checkpoint), '--out', str(model), '--fold-packing']) == 0
    printed = ' '.join(capsys.readouterr().out.replace('\u2502', ' ').split())
    assert '5 folded, 0.' in printed
    assert 'the depth changes by' in printed
    assert 'all unknown (255)' in printed
    engine = open_engine(model)
    assert run_self_test(engine).passed
    image = parity.artificial_image(WIDTH, HEIGHT, 0)
    trained = TorchEngine(load_depth_checkpoint(checkpoint)).infer(image)
    # It is not the trained network any more: compared with that, it would have been refused.
    difference = np.abs(engine.infer(image).depth_m / trained.depth_m - 1).max()
    assert difference > parity.MAX_RELATIVE_ERROR
    engine.close()


def test_the_contract_states_the_metrics_it_is_given(unguided, tmp_path):
    metrics = tmp_path / 'metrics.json'
    values = {'abs_rel': 0.1, 'rmse': 4.0, 'a1': 0.9}
    document = {'images': 7, 'ground_truth': 'x', 'unscaled': values, 'median_scaled': values}
    metrics.write_text(json.dumps(document))
    model = tmp_path / 'model.onnx'
    arguments = [str(unguided.checkpoint), '--out', str(model), '--metrics', str(metrics)]
    assert export.main(arguments) == 0
    stated = open_engine(model).contract.validation
    assert stated == {
        'images': 7.0,
        **values,
        **{f'median_scaled_{name}': value for name, value in values.items()},
    }


@pytest.mark.parametrize('content', [None, 'text', '{}', '{"ground_truth": 1, "images": "x"}'])
def test_metrics_that_are_none_are_refused(unguided, tmp_path, content):
    metrics, model = tmp_path / 'metrics.json', tmp_path / 'model.onnx'
    if content is not None:
        metrics.write_text(content)
    with pytest.raises(UserError, match=r'metrics\.json'):
        export.export_model(unguided.checkpoint, model, metrics=metrics)
    assert not model.exists()


def test_a_model_judged_without_ground_truth_states_no_metrics(tmp_path):
    metrics = tmp_path / 'metrics.json'
    metrics.write_text('{"images": 5, "ground_truth": null, "why": "no LiDAR"}')
    assert export.read_validation(metrics) == {}
