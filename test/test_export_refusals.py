"""What cannot be exported is refused in one line, and nothing is written."""

import onnx
import pytest
import torch
from exported_models import write_checkpoint

from sg_depth_ros.engines.variants import variant_paths
from sg_depth_ros.errors import UserError
from sg_depth_ros.model_file import read_model_file
from training.__main__ import main
from training.exporting import export_model as exporting
from training.exporting import exported_file
from training.exporting.export_model import ExportOptions
from training.exporting.export_model import export_model
from training.exporting.export_model import output_paths
from training.exporting.export_model import write_atomically
from training.exporting.parity import LIMITS
from training.networks.segmentation import SegmentationConfig
from training.networks.segmentation import SegmentationNetwork
from training.networks.segmentation import segmentation_checkpoint


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
        write_atomically({tmp_path / 'file' / 'model.onnx': b'content'})
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
    monkeypatch.setattr(exporting, 'build_graph', lambda *_: graph)
    model = tmp_path / 'model.onnx'
    model.write_bytes(b'an earlier one')
    with pytest.raises(UserError, match='disagrees with the network'):
        export_model(unguided.checkpoint, model)
    assert model.read_bytes() == b'an earlier one'
    assert list(tmp_path.iterdir()) == [model]


@pytest.fixture
def traced(unguided, monkeypatch):
    """Return the unguided export; take its graph again instead of tracing, which takes seconds."""
    graph = onnx.ModelProto()
    graph.CopyFrom(unguided.graph)
    del graph.metadata_props[:]
    monkeypatch.setattr(exporting, 'build_graph', lambda *_: graph)
    return unguided


@pytest.fixture
def disagreeing(traced, monkeypatch):
    """Let half precision say another depth than the network, 2 % away."""
    real = exported_file.to_half_precision

    def off(graph, end_layers=0):
        half = real(graph, end_layers)
        (scale,) = (n for n in half.graph.node if n.op_type == 'Sigmoid')
        (product,) = (n for n in half.graph.node if scale.output[0] in n.input)
        name = next(n for n in product.input if n != scale.output[0])
        (span,) = (w for w in half.graph.initializer if w.name == name)
        span.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(span) * 1.03, name))
        return half

    monkeypatch.setattr(exported_file, 'to_half_precision', off)
    return traced


def test_half_precision_that_disagrees_is_refused_with_its_numbers(disagreeing, capsys, tmp_path):
    error = run(
        capsys, disagreeing.checkpoint, '--out', tmp_path / 'm.onnx', '--precision', 'both'
    )
    assert 'depth is within 1 % on ' in error
    assert '--force' in error
    assert list(tmp_path.iterdir()) == []


def test_half_precision_that_disagrees_is_written_by_force_and_says_so(
    disagreeing, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv('COLUMNS', '200')
    out = tmp_path / 'm.onnx'
    arguments = ['--out', str(out), '--precision', 'fp16', '--force']
    assert main(['export', str(disagreeing.checkpoint), *arguments]) == 0
    assert 'written by --force although depth is within 1 %' in capsys.readouterr().out
    validation = read_model_file(out).contract.validation
    assert validation[exporting.FORCED_KEY] < 0.9
    assert exporting.FORCED_KEY not in read_model_file(disagreeing.model).contract.validation


def test_force_does_not_write_an_fp32_file_that_disagrees(traced, tmp_path, monkeypatch):
    """Only half precision may cost anything: a defect of the exporter stays a defect."""
    monkeypatch.setitem(LIMITS, 'fp32', LIMITS['fp32']._replace(max_relative_error=0))
    with pytest.raises(UserError, match='disagrees with the network'):
        export_model(traced.checkpoint, tmp_path / 'm.onnx', ExportOptions(force=True))
    assert list(tmp_path.iterdir()) == []


def test_layers_stay_in_float32_until_half_precision_agrees(traced, tmp_path, monkeypatch):
    tried = []
    real = exported_file.to_half_precision

    def counted(graph, end_layers=0):
        tried.append(end_layers)
        return real(graph, end_layers)

    def failures(file):
        return () if file.end_layers >= 5 else ('not yet',)

    monkeypatch.setattr(exported_file, 'to_half_precision', counted)
    monkeypatch.setattr(exported_file.ExportedFile, 'failures', property(failures))
    options = ExportOptions(precision='fp16')
    export = export_model(traced.checkpoint, tmp_path / 'm.onnx', options)
    assert tried == [0, 1, 5]
    assert export.files[0].end_layers == 5


def test_layers_stay_in_float32_until_half_precision_agrees_well(traced, tmp_path, monkeypatch):
    shares = {0: 0.9991, 1: 0.9998, 5: 0.99995, 9: 1.0}
    real = exported_file.to_half_precision
    tried = []

    def counted(graph, end_layers=0):
        tried.append(end_layers)
        return real(graph, end_layers)

    monkeypatch.setattr(exported_file, 'to_half_precision', counted)
    monkeypatch.setattr(exported_file, '_share', lambda file: shares[file.end_layers])
    options = ExportOptions(precision='fp16')
    export = export_model(traced.checkpoint, tmp_path / 'm.onnx', options)
    assert tried == [0, 1, 5]
    assert export.files[0].end_layers == 5
    tried.clear()
    shares.update({5: 0.9995, 9: 0.9996})  # well nowhere: the best there is
    export = export_model(traced.checkpoint, tmp_path / 'm.onnx', options)
    assert tried == [0, 1, 5, 9]
    assert export.files[0].end_layers == 1


@pytest.mark.parametrize(
    ('name', 'half'),
    [('model.onnx', 'model.fp16.onnx'), ('model.fp32.onnx', 'model.fp16.onnx')],
)
def test_the_half_precision_file_of_two_is_named_after_the_other(tmp_path, name, half):
    assert output_paths(tmp_path / name, 'both') == (tmp_path / name, tmp_path / half)
    assert output_paths(tmp_path / name, 'fp16') == (tmp_path / name,)
    assert tmp_path / half in variant_paths(tmp_path / name)


def test_two_files_cannot_be_named_after_the_half_precision_one(tmp_path):
    with pytest.raises(UserError, match='name the fp32 file'):
        output_paths(tmp_path / 'model.fp16.onnx', 'both')


def test_of_two_files_none_is_changed_where_one_cannot_be_written(tmp_path):
    first, second = tmp_path / 'model.onnx', tmp_path / 'file' / 'model.fp16.onnx'
    first.write_bytes(b'an earlier one')
    (tmp_path / 'file').write_text('kept')
    with pytest.raises(UserError, match='cannot be written'):
        write_atomically({first: b'new', second: b'new'})
    assert first.read_bytes() == b'an earlier one'
    assert sorted(p.name for p in tmp_path.iterdir()) == ['file', 'model.onnx']
