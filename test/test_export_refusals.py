"""What cannot be exported is refused in one line, and nothing is written."""

import onnx
import pytest
import torch
from exported_models import write_checkpoint

from sg_depth_ros.errors import UserError
from training.__main__ import main
from training.exporting import export_model as exporting
from training.exporting.export_model import export_model
from training.exporting.export_model import write_atomically
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
