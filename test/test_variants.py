"""The other precisions of a network are found beside a file, and nothing else is taken for one."""

import pytest
from fake_engines import write_model

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.engines.variants import find_variant
from sg_depth_ros.engines.variants import variant_paths
from sg_depth_ros.model_file import read_model_file


@pytest.fixture
def pair(tmp_path):
    """Return an fp16 file with its fp32 sibling beside it."""
    write_model(tmp_path / 'model.onnx')
    return write_model(tmp_path / 'model.fp16.onnx', 'fp16')


def test_variants_are_looked_for_under_related_names(tmp_path):
    found = [path.name for path in variant_paths(tmp_path / 'street.v2.onnx')]
    assert found == ['street.v2.fp32.onnx', 'street.v2.fp16.onnx']
    found = [path.name for path in variant_paths(tmp_path / 'street.fp16.onnx')]
    assert found == ['street.onnx', 'street.fp32.onnx']


def test_a_sibling_of_either_precision_is_found(pair):
    half, full = read_model_file(pair), read_model_file(pair.with_name('model.onnx'))
    assert find_variant(half, 'fp32').path == full.path
    assert find_variant(full, 'fp16').path == half.path


def other_size():
    return {'intrinsics': Intrinsics(48.0, 48.0, 47.5, 15.5, 96, 32)}


@pytest.mark.parametrize(
    'changes',
    [{'weights_sha256': '1' * 64}, {'precision': 'fp16'}, {'max_depth_m': 80.0}, other_size()],
)
def test_a_file_of_another_network_size_or_precision_is_no_sibling(pair, changes):
    write_model(pair.with_name('model.onnx'), **changes)
    assert find_variant(read_model_file(pair), 'fp32') is None


@pytest.mark.parametrize('content', [b'', b'text'])
def test_a_sibling_that_cannot_be_read_is_none(pair, content):
    pair.with_name('model.onnx').write_bytes(content)
    assert find_variant(read_model_file(pair), 'fp32') is None
    write_model(pair.with_name('model.fp32.onnx'))
    assert find_variant(read_model_file(pair), 'fp32').path.name == 'model.fp32.onnx'
