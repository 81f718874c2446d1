"""The engine gives what the file computes, and refuses a file that is not what it promises."""

import gc
import sys
import threading
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from tiny_model import RED_STEP_M
from tiny_model import tiny_contract
from tiny_model import tiny_labels
from tiny_model import tiny_ramp_m
from tiny_model import write_tiny_model

from sg_depth_ros.classes import UNKNOWN_ID
from sg_depth_ros.contract import METADATA_KEY
from sg_depth_ros.contract import SelfTest
from sg_depth_ros.contract import contract_to_json
from sg_depth_ros.engines import open_engine
from sg_depth_ros.engines.self_test import run_self_test
from sg_depth_ros.errors import UserError


@pytest.fixture
def model(tmp_path):
    path = tmp_path / 'model.onnx'
    write_tiny_model(path)
    return path


@pytest.fixture
def engine(model):
    engine = open_engine(model)
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
    engine = open_engine(model, 'onnxruntime', threads=1)
    assert engine.description.startswith('ONNX Runtime 1.')
    assert engine.description.endswith('CPU, 1 thread')
    engine.close()


def in_another_thread(action):
    raised = []

    def run():
        try:
            action()
        except RuntimeError as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return raised


def test_another_thread_may_not_use_or_close_it(engine):
    image = picture(engine.contract)
    assert in_another_thread(lambda: engine.infer(image))
    assert in_another_thread(engine.close)
    engine.infer(image)  # its own still may


def test_after_close_it_refuses_and_closing_twice_does_no_harm(model):
    engine = open_engine(model)
    engine.close()
    engine.close()
    with pytest.raises(RuntimeError, match='closed'):
        engine.infer(picture(engine.contract))


def test_close_frees_the_session(model):
    import weakref

    engine = open_engine(model)
    session = weakref.ref(engine._session)
    engine.close()
    gc.collect()
    assert session() is None


def refusal(path, kind='auto', threads=None):
    with pytest.raises(UserError) as refused:
        open_engine(path, kind, threads)
    message = str(refused.value)
    assert '\n' not in message
    return message


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    assert 'no such model file' in refusal(tmp_path / 'none.onnx')
    assert 'no such model file' in refusal(tmp_path)


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
    proto = onnx.load(str(model))
    edit(proto)
    onnx.save(proto, str(model))


def test_an_unknown_contract_version_is_refused(model):
    def edit(proto):
        (entry,) = (e for e in proto.metadata_props if e.key == METADATA_KEY)
        entry.value = entry.value.replace('"format_version":1', '"format_version":99')

    change(model, edit)
    assert '99' in refusal(model)


def test_a_contract_of_another_size_is_refused(tmp_path):
    path = tmp_path / 'model.onnx'
    write_tiny_model(path)
    other = contract_to_json(tiny_contract(96, 32))
    change(path, lambda proto: onnx.helper.set_model_props(proto, {METADATA_KEY: other}))
    message = refusal(path)
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


def test_unknown_kinds_and_thread_counts_are_refused(model):
    assert 'not built yet' in refusal(model, 'tensorrt')
    assert 'openvino' in refusal(model, 'openvino')
    assert 'threads' in refusal(model, threads=0)


def test_without_onnxruntime_it_says_how_to_install_it(model, monkeypatch):
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    assert 'pip install onnxruntime' in refusal(model)


def test_naming_engines_needs_no_library():
    """The package can be imported, and its types named, where ONNX Runtime is missing."""
    import subprocess

    code = (
        'import sys; from sg_depth_ros.engines import Engine, Prediction, open_engine; '
        'assert "onnxruntime" not in sys.modules'
    )
    subprocess.run([sys.executable, '-c', code], check=True)


def model_with_self_test(path, factor=1.0):
    contract = tiny_contract()
    image = picture(contract)
    depth_m = tiny_ramp_m(contract) + RED_STEP_M * image[..., 0].astype(np.float32)
    write_tiny_model(path, replace(contract, self_test=SelfTest(image, factor * depth_m)))
    return open_engine(path)


def test_a_right_engine_passes_its_self_test(tmp_path):
    result = run_self_test(model_with_self_test(tmp_path / 'model.onnx'))
    assert result is not None
    assert result.passed
    assert result.max_relative_error < 1e-3
    assert result.share_within_1_percent == 1.0
    assert 'passed' in result.summary()


def test_a_drift_of_scale_fails_the_self_test(tmp_path):
    result = run_self_test(model_with_self_test(tmp_path / 'model.onnx', factor=1.02))
    assert result is not None
    assert not result.passed
    assert result.max_relative_error == pytest.approx(0.02, rel=0.1)
    assert result.share_within_1_percent == 0.0
    assert 'FAILED' in result.summary()


class BrokenEngine:
    """Gives depth or labels that cannot be."""

    def __init__(self, engine, spoil):
        self.contract, self.description = engine.contract, 'broken'
        self._engine, self._spoil = engine, spoil

    def infer(self, image):
        prediction = self._engine.infer(image)
        self._spoil(prediction)
        return prediction

    def close(self):
        self._engine.close()


def test_one_pixel_that_is_not_finite_fails_the_self_test(tmp_path):
    def spoil(prediction):
        prediction.depth_m[3, 4] = np.nan

    engine = model_with_self_test(tmp_path / 'model.onnx')
    result = run_self_test(BrokenEngine(engine, spoil))
    assert result is not None
    assert not result.passed
    assert result.max_relative_error == float('inf')


def test_a_label_without_a_name_fails_the_self_test(tmp_path):
    def spoil(prediction):
        prediction.labels[3, 4:6] = 19

    engine = model_with_self_test(tmp_path / 'model.onnx')
    result = run_self_test(BrokenEngine(engine, spoil))
    assert result is not None
    assert not result.passed
    assert result.unknown_label_count == 2
    assert 'no name' in result.summary()


@pytest.mark.parametrize(('confidence', 'passed'), [(0, True), (9, False)])
def test_a_model_that_knows_no_classes_passes_the_self_test(tmp_path, confidence, passed):
    def forget(prediction):
        prediction.labels[:] = UNKNOWN_ID
        prediction.confidence[:] = confidence

    engine = model_with_self_test(tmp_path / 'model.onnx')
    result = run_self_test(BrokenEngine(engine, forget))
    assert result is not None
    assert result.passed == passed


def test_a_contract_without_self_test_gives_no_result(engine):
    assert run_self_test(engine) is None
