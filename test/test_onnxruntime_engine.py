"""The engine gives what the file computes, and refuses a file that is not what it promises."""

import gc
import subprocess
import sys
import tracemalloc
import weakref

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from other_thread import raised_in_another_thread
from tiny_model import RED_STEP_M
from tiny_model import tiny_contract
from tiny_model import tiny_labels
from tiny_model import tiny_ramp_m
from tiny_model import write_tiny_model

from sg_depth_ros.contract import contract_to_json
from sg_depth_ros.engines import EngineOptions
from sg_depth_ros.engines import OnnxRuntimeOptions
from sg_depth_ros.engines import open_engine
from sg_depth_ros.errors import UserError
from sg_depth_ros.model_file import CONTRACT_KEY
from sg_depth_ros.model_file import read_model_file
from sg_depth_ros.model_file import with_contract_added

ON_THE_CPU = EngineOptions(OnnxRuntimeOptions(device='cpu'))


@pytest.fixture
def model(tmp_path):
    return write_tiny_model(tmp_path / 'model.onnx')


@pytest.fixture
def engine(model):
    engine = open_engine(model, 'onnxruntime', ON_THE_CPU)
    yield engine
    engine.close()


def picture(contract, seed=0):
    shape = (contract.height, contract.width, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def test_it_computes_what_the_file_says(engine):
    image = picture(engine.contract)
    prediction = engine.infer(image)
    expected_m = tiny_ramp_m(engine.contract) + RED_STEP_M * image[..., 0]
    np.testing.assert_allclose(prediction.depth_m, expected_m, rtol=1e-5)
    np.testing.assert_array_equal(prediction.labels, tiny_labels(engine.contract))
    np.testing.assert_array_equal(prediction.confidence, image[..., 1])
    assert prediction.depth_m.dtype == np.float32
    assert prediction.labels.dtype == prediction.confidence.dtype == np.uint8


def test_the_caller_owns_what_it_gives(engine):
    first = engine.infer(picture(engine.contract, 1))
    kept = first.depth_m.copy()
    engine.infer(picture(engine.contract, 2))
    np.testing.assert_array_equal(first.depth_m, kept)
    first.depth_m[:] = 0  # and may write


def test_it_takes_views_with_any_strides(engine):
    image = picture(engine.contract)
    mirrored = np.ascontiguousarray(image[:, ::-1])[:, ::-1]
    assert not mirrored.flags.c_contiguous
    np.testing.assert_array_equal(engine.infer(mirrored).depth_m, engine.infer(image).depth_m)


def test_it_leaves_the_image_alone(engine):
    image = picture(engine.contract)
    before = image.copy()
    image.flags.writeable = False
    engine.infer(image)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize(
    'shape, dtype',
    [
        ((32, 65, 3), np.uint8),
        ((64, 32, 3), np.uint8),
        ((32, 64), np.uint8),
        ((32, 64, 4), np.uint8),
        ((1, 32, 64, 3), np.uint8),
        ((32, 64, 3), np.float32),
        ((32, 64, 3), np.int8),
    ],
)
def test_another_shape_or_type_is_refused(engine, shape, dtype):
    with pytest.raises(ValueError, match='uint8 image'):
        engine.infer(np.zeros(shape, dtype))


def test_it_says_what_it_is(model):
    options = EngineOptions(OnnxRuntimeOptions(threads=1))
    engine = open_engine(model, 'onnxruntime', options)
    assert engine.description.startswith('ONNX Runtime 1.')
    assert engine.description.endswith('CPU, 1 thread, fp32')
    engine.close()


def test_another_thread_may_not_use_or_close_it(engine):
    image = picture(engine.contract)
    for action in (lambda: engine.infer(image), engine.run_network, engine.close):
        (error,) = raised_in_another_thread(action)
        assert 'thread' in str(error)
    engine.infer(image)  # its own still may


def test_after_close_it_refuses_and_closing_twice_does_no_harm(model):
    engine = open_engine(model, 'onnxruntime', ON_THE_CPU)
    engine.close()
    engine.close()
    with pytest.raises(RuntimeError, match='closed'):
        engine.infer(picture(engine.contract))


def test_close_frees_the_session(model):
    engine = open_engine(model, 'onnxruntime', ON_THE_CPU)
    session = weakref.ref(engine._memory._session)
    engine.close()
    gc.collect()
    assert session() is None


def test_an_open_engine_does_not_keep_the_file_in_memory(tmp_path):
    path = tmp_path / 'model.onnx'
    write_tiny_model(path)
    size = 64 << 20
    with path.open('ab') as file:  # metadata of a tool's own, which ONNX Runtime does not unpack
        entry = b'\x0a\x01x\x12' + as_varint(size) + bytes(size)
        file.write(b'\x72' + as_varint(len(entry)) + entry)
    tracemalloc.start()
    try:
        engine = open_engine(path, 'onnxruntime', ON_THE_CPU)
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < size / 2
    engine.close()


def as_varint(value):
    low = [value >> shift & 0x7F for shift in range(0, value.bit_length(), 7)]
    return bytes([*(part | 0x80 for part in low[:-1]), low[-1]])


def refusal(path, kind='onnxruntime', **options):
    with pytest.raises(UserError) as refused:
        open_engine(path, kind, EngineOptions(OnnxRuntimeOptions(**{'device': 'cpu', **options})))
    message = str(refused.value)
    assert '\n' not in message
    return message


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    assert 'no such model file' in refusal(tmp_path / 'none.onnx')
    assert 'is a folder' in refusal(tmp_path)


@pytest.mark.parametrize('content', [b'', b'text\n', b'\x89PNG\r\n\x1a\n' * 100, bytes(5000)])
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    path = tmp_path / 'model.onnx'
    path.write_bytes(content)
    assert str(path) in refusal(path)


@pytest.mark.parametrize('share', [0.1, 0.5, 0.9, 0.99])
def test_a_truncated_file_is_refused(model, share):
    content = model.read_bytes()
    model.write_bytes(content[: int(share * len(content))])
    assert str(model) in refusal(model)


def test_a_file_without_contract_is_refused(model):
    write_tiny_model(model, with_contract=False)
    assert 'no sg_depth_ros contract' in refusal(model)


def change(model, edit):
    """Change the graph and sign the file again, as an exporter with a defect would."""
    contract = read_model_file(model).contract
    proto = onnx.load(str(model))
    edit(proto)
    del proto.metadata_props[:]
    model.write_bytes(with_contract_added(proto.SerializeToString(), contract))


def test_a_graph_changed_later_is_refused(model):
    proto = onnx.load(str(model))
    proto.graph.node[0].name = 'changed'
    onnx.save(proto, str(model))
    assert 'digest' in refusal(model)


def test_an_unknown_contract_version_is_refused(model):
    text = contract_to_json(tiny_contract()).replace('"format_version":2', '"format_version":99')
    proto = onnx.load(str(model))
    onnx.helper.set_model_props(proto, {CONTRACT_KEY: text})
    onnx.save(proto, str(model))
    assert '99' in refusal(model)


def test_a_contract_of_another_size_is_refused(model):
    proto = onnx.load(str(model))
    del proto.metadata_props[:]
    model.write_bytes(with_contract_added(proto.SerializeToString(), tiny_contract(96, 32)))
    message = refusal(model)
    assert '[1, 32, 64, 3]' in message
    assert '[1, 32, 96, 3]' in message


def test_a_missing_output_is_named(model):
    def edit(proto):
        del proto.graph.output[2]

    change(model, edit)
    assert 'confidence' in refusal(model)


def test_an_output_too_many_is_named(model):
    def edit(proto):
        proto.graph.output.append(
            onnx.helper.make_tensor_value_info('red_m', TensorProto.FLOAT, [1, 32, 64])
        )

    change(model, edit)
    assert 'red_m' in refusal(model)


def test_an_output_of_another_type_is_named(model):
    def edit(proto):
        (node,) = (n for n in proto.graph.node if n.output[0] == 'labels')
        node.output[0] = 'label_bytes'
        proto.graph.node.append(
            onnx.helper.make_node('Cast', ['label_bytes'], ['labels'], to=TensorProto.INT64)
        )
        proto.graph.output[1].type.tensor_type.elem_type = TensorProto.INT64

    change(model, edit)
    message = refusal(model)
    assert '"labels"' in message
    assert 'int64' in message


def test_a_size_left_open_is_refused(model):
    def edit(proto):
        proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param = 'batch'

    change(model, edit)
    assert '"image"' in refusal(model)


def test_an_operator_that_the_library_does_not_know_is_refused(model):
    def edit(proto):
        proto.graph.node[0].op_type = 'NoSuchOperator'

    change(model, edit)
    assert 'NoSuchOperator' in refusal(model)


def test_thread_counts_and_devices_that_cannot_be_are_refused(model):
    assert 'threads' in refusal(model, threads=0)
    assert 'vulkan' in refusal(model, device='vulkan')


def test_without_onnxruntime_it_says_how_to_install_it(model, monkeypatch):
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    assert 'pip install onnxruntime' in refusal(model)


def test_naming_engines_needs_no_library():
    """The package can be imported, and its types named, where ONNX Runtime is missing."""
    code = (
        'import sys; from sg_depth_ros.engines import Engine, Prediction, open_engine; '
        'assert not {"onnxruntime", "tensorrt", "cuda"} & set(sys.modules)'
    )
    subprocess.run([sys.executable, '-c', code], check=True)


def test_the_network_alone_runs_on_the_last_image(engine):
    image = picture(engine.contract)
    prediction = engine.infer(image)
    kept = [array.copy() for array in prediction]
    engine.run_network()
    for array, before in zip(prediction, kept):
        np.testing.assert_array_equal(array, before)  # still the caller's
    engine.close()
    with pytest.raises(RuntimeError, match='closed'):
        engine.run_network()


def test_predictions_share_no_memory(engine):
    first, second = (engine.infer(picture(engine.contract, seed)) for seed in (1, 2))
    arrays = [*first, *second]
    for i, one in enumerate(arrays):
        assert not any(np.shares_memory(one, other) for other in arrays[i + 1 :])
        assert one.flags.writeable


def test_it_leaves_the_arithmetic_of_the_calling_thread_alone(model):
    """ONNX Runtime can switch flushing to zero on for the thread that opens a session."""
    code = """
import sys
from pathlib import Path
import numpy as np
from sg_depth_ros.engines import open_engine
engine = open_engine(Path(sys.argv[1]), 'onnxruntime')
engine.infer(np.zeros((32, 64, 3), np.uint8))
assert np.float32(1e-38) * np.float32(0.01) > 0
"""
    # In a process of its own: only the first session there is can do that.
    subprocess.run([sys.executable, '-c', code, str(model)], check=True)
