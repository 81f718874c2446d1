"""A model file is read as an ONNX library reads it, and only what was exported is read."""

import hashlib
from dataclasses import replace

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from onnx import TensorProto
from onnx import helper
from onnx import numpy_helper
from random_contracts import contracts
from small_model_files import CONTENT
from small_model_files import GRAPH
from small_model_files import entry
from small_model_files import graph_of
from small_model_files import read
from small_model_files import refusal
from small_model_files import without_metadata
from tiny_model import tiny_contract
from tiny_model import write_tiny_model

from sg_depth_ros.contract import SelfTest
from sg_depth_ros.contract import contract_to_json
from sg_depth_ros.errors import UserError
from sg_depth_ros.model_file import CONTRACT_KEY
from sg_depth_ros.model_file import DIGEST_KEY
from sg_depth_ros.model_file import read_model_file
from sg_depth_ros.model_file import with_contract_added

NAMES = st.text(max_size=12)
METADATA = st.dictionaries(NAMES, st.text(max_size=30), max_size=3)


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    return tmp_path_factory.mktemp('model') / 'model.onnx'


@settings(max_examples=60, deadline=None)
@given(
    contracts(),
    st.lists(st.floats(width=32, allow_subnormal=False), min_size=1, max_size=20),
    NAMES,
    METADATA,
)
def test_every_contract_comes_back_from_a_file_with_any_graph(
    model, contract, weights, name, metadata
):
    proto = graph_of(weights, name, producer_name=name, doc_string=name, model_version=-1)
    helper.set_model_props(proto, metadata)
    graph = proto.SerializeToString()
    content = with_contract_added(graph, contract)
    file = read(model, content)
    assert contract_to_json(file.contract) == contract_to_json(contract)
    assert file.content == content
    assert file.content.startswith(graph)
    assert file.sha256 == hashlib.sha256(content).hexdigest()
    # What an ONNX library reads is the same.
    loaded = onnx.load(model)
    read_by_onnx = {p.key: p.value for p in loaded.metadata_props}
    assert read_by_onnx.pop(CONTRACT_KEY) == contract_to_json(contract)
    assert len(read_by_onnx.pop(DIGEST_KEY)) == 64
    assert read_by_onnx == metadata
    assert without_metadata(content) == without_metadata(graph)


@settings(max_examples=40, deadline=None)
@given(METADATA, st.randoms(use_true_random=False))
def test_a_tool_may_write_the_file_anew_with_other_metadata(model, metadata, random):
    proto = onnx.load_model_from_string(CONTENT)
    entries = [(p.key, p.value) for p in proto.metadata_props] + list(metadata.items())
    random.shuffle(entries)
    helper.set_model_props(proto, dict(entries))
    content = proto.SerializeToString()  # metadata before the functions, ours among the tool's
    file = read(model, content)
    assert contract_to_json(file.contract) == contract_to_json(tiny_contract())
    assert file.sha256 == hashlib.sha256(content).hexdigest()


def test_metadata_may_lie_before_the_graph(model):
    metadata = CONTENT[len(GRAPH) :]
    file = read(model, metadata + GRAPH)
    assert file.contract.network == 'tiny'
    assert file.sha256 == hashlib.sha256(metadata + GRAPH).hexdigest()


@pytest.mark.parametrize('change', ['weight', 'name', 'opset', 'function', 'node'])
def test_a_changed_graph_is_refused(model, change):
    proto = onnx.load_model_from_string(CONTENT)
    if change == 'weight':
        tensor = numpy_helper.from_array(np.array([1.0, 2.5], np.float32), 'w')
        proto.graph.initializer[0].CopyFrom(tensor)
    elif change == 'name':
        proto.graph.name = 'h'
    elif change == 'opset':
        proto.opset_import[0].version = 18
    elif change == 'function':
        del proto.functions[:]
    else:
        proto.graph.node[0].op_type = 'Mul'
    assert 'digest is wrong' in refusal(model, proto.SerializeToString())


def test_weights_moved_to_another_file_are_refused(tmp_path):
    path = tmp_path / 'model.onnx'
    proto = onnx.load_model_from_string(CONTENT)
    onnx.save(proto, path, save_as_external_data=True, location='weights', size_threshold=0)
    assert (tmp_path / 'weights').stat().st_size > 0
    with pytest.raises(UserError, match='digest is wrong'):
        read_model_file(path)


def test_a_changed_contract_is_refused(model):
    changed = replace(tiny_contract(), max_depth_m=200.0)
    text = contract_to_json(changed).encode()
    (digest,) = (
        p.value for p in onnx.load_model_from_string(CONTENT).metadata_props if p.key == DIGEST_KEY
    )
    content = (
        GRAPH + entry(CONTRACT_KEY.encode(), text) + entry(DIGEST_KEY.encode(), digest.encode())
    )
    assert 'digest is wrong' in refusal(model, content)


def test_a_contract_without_digest_is_refused(model):
    text = contract_to_json(tiny_contract()).encode()
    assert 'digest is wrong' in refusal(model, GRAPH + entry(CONTRACT_KEY.encode(), text))


@pytest.mark.parametrize('version, advice', [(1, 'export it again'), (3, 'update')])
def test_another_version_says_what_to_do_whatever_its_digest(model, version, advice):
    text = f'{{"format_version":{version},"lens":"fisheye"}}'.encode()
    assert advice in refusal(model, GRAPH + entry(CONTRACT_KEY.encode(), text))


def test_a_file_without_contract_says_how_to_make_one(model):
    message = refusal(model, GRAPH)
    assert 'no sg_depth_ros contract' in message
    assert 'python -m training export' in message


def test_a_second_contract_is_our_own_mistake():
    with pytest.raises(ValueError, match='already'):
        with_contract_added(CONTENT, tiny_contract())


def test_a_contract_that_nobody_could_read_is_not_written():
    with pytest.raises(UserError, match='weights_sha256'):
        with_contract_added(GRAPH, replace(tiny_contract(), weights_sha256=''))


def external(tensor):
    tensor.data_location = TensorProto.EXTERNAL
    tensor.ClearField('raw_data')
    location = tensor.external_data.add()
    location.key, location.value = 'location', 'weights.bin'
    return tensor


def tensor_named(name):
    return external(numpy_helper.from_array(np.zeros(2, np.float32), name))


def hide_external_tensor(proto, place):
    """Put a tensor of another file where ONNX allows tensors."""
    tensor = tensor_named('far')
    sparse = helper.make_sparse_tensor(tensor, numpy_helper.from_array(np.zeros(2, np.int64)), [9])
    node = proto.graph.node[0]
    if place == 'initializer':
        proto.graph.initializer.append(tensor)
    elif place == 'sparse initializer':
        proto.graph.sparse_initializer.append(sparse)
    elif place == 'attribute':
        node.attribute.append(helper.make_attribute('value', tensor))
    elif place == 'attribute with several':
        node.attribute.append(helper.make_attribute('value', [tensor]))
    elif place == 'sparse attribute':
        node.attribute.append(helper.make_attribute('value', sparse))
    elif place in ('branch', 'branches'):
        branch = helper.make_graph([], 'branch', [], [], [tensor])
        value = branch if place == 'branch' else [branch]
        node.attribute.append(helper.make_attribute('then_branch', value))
    else:
        proto.functions[0].node[0].attribute.append(helper.make_attribute('value', tensor))


@pytest.mark.parametrize(
    'place',
    [
        *('initializer', 'sparse initializer', 'attribute', 'attribute with several'),
        *('sparse attribute', 'branch', 'branches', 'function'),
    ],
)
def test_weights_in_another_file_are_not_exported(place):
    """Engines would look for them in whatever folder they happen to run."""
    proto = graph_of()
    with_contract_added(proto.SerializeToString(), tiny_contract())
    hide_external_tensor(proto, place)
    with pytest.raises(ValueError, match='"far" lies in another file'):
        with_contract_added(proto.SerializeToString(), tiny_contract())


def test_the_tiny_model_of_the_tests_is_a_model_file(tmp_path):
    random = np.random.default_rng(0)
    base = tiny_contract()
    test = SelfTest(
        random.integers(0, 256, (base.height, base.width, 3), np.uint8),
        random.uniform(1, 80, (base.height, base.width)).astype(np.float32),
    )
    contract = replace(base, self_test=test)
    write_tiny_model(tmp_path / 'tiny.onnx', contract)
    back = read_model_file(tmp_path / 'tiny.onnx').contract
    assert contract_to_json(back) == contract_to_json(contract)
