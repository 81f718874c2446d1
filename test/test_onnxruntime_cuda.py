"""ONNX Runtime on CUDA: what it does there, and that it never quietly becomes the CPU."""

from dataclasses import replace

import numpy as np
import pytest
from tiny_model import RED_STEP_M
from tiny_model import tiny_contract
from tiny_model import tiny_labels
from tiny_model import tiny_ramp_m
from tiny_model import write_tiny_model

from sg_depth_ros.engines import EngineOptions
from sg_depth_ros.engines import EngineUnavailableError
from sg_depth_ros.engines import OnnxRuntimeOptions
from sg_depth_ros.engines import choose_engine
from sg_depth_ros.engines import open_engine
from sg_depth_ros.engines.onnxruntime_engine import OnnxRuntimeEngine
from sg_depth_ros.errors import UserError
from sg_depth_ros.model_file import read_model_file

CUDA, CPU = 'CUDAExecutionProvider', 'CPUExecutionProvider'


@pytest.fixture
def model(tmp_path):
    return write_tiny_model(tmp_path / 'model.onnx')


class FakeCudaSession:
    """A session of the CPU that was asked for CUDA."""

    def __init__(self, session, providers):
        self._session, self._providers = session, providers

    def __getattr__(self, name):
        return getattr(self._session, name)

    def get_providers(self):
        return self._providers


def fake_cuda(monkeypatch, got_providers):
    """Let ONNX Runtime claim CUDA, and its sessions that they got these providers."""
    import onnxruntime

    real, asked = onnxruntime.InferenceSession, []

    def session(content, options, providers, **further):
        asked.append(providers)
        opened = real(content, options, providers=[CPU], **further)
        return FakeCudaSession(opened, got_providers)

    monkeypatch.setattr(onnxruntime, 'InferenceSession', session)
    monkeypatch.setattr(onnxruntime, 'get_available_providers', lambda: [CUDA, CPU])
    return asked


@pytest.fixture
def onnxruntime_that_claims_cuda(monkeypatch):
    """ONNX Runtime built with CUDA, on a machine without: as its real wheel behaves."""
    return fake_cuda(monkeypatch, [CPU])


class Device:
    """Makes ONNX Runtime's values of a device, and counts the copies to it and from it."""

    def __init__(self, monkeypatch):
        from onnxruntime import OrtValue

        make, to_device, to_host = (
            OrtValue.ortvalue_from_shape_and_type,
            OrtValue.update_inplace,
            OrtValue.numpy,
        )
        self.made, self.copies = [], []

        def made(shape, dtype, device, index):
            self.made.append((device, index))
            return make(shape, dtype, 'cpu', 0)

        def copied_to_device(value, array):
            self.copies.append('in')
            to_device(value, array)

        def copied_to_host(value):
            self.copies.append('out')
            return to_host(value).copy()  # as from a device; of the CPU it is a view

        monkeypatch.setattr(OrtValue, 'ortvalue_from_shape_and_type', made)
        monkeypatch.setattr(OrtValue, 'update_inplace', copied_to_device)
        monkeypatch.setattr(OrtValue, 'numpy', copied_to_host)


def test_on_cuda_an_image_goes_in_and_a_prediction_comes_out_once(model, monkeypatch):
    asked = fake_cuda(monkeypatch, [CUDA, CPU])
    device = Device(monkeypatch)
    engine = OnnxRuntimeEngine(read_model_file(model), 'cuda')
    assert engine.description.endswith(', CUDA, fp32, CUDA graph')
    (((name, options), _),) = asked
    assert name == CUDA
    assert options['enable_cuda_graph'] == '1'
    assert device.made == [('cuda', 0)] * 4
    shape = (engine.contract.height, engine.contract.width, 3)
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, shape, np.uint8) for _ in range(2)]
    device.copies.clear()
    predictions = [engine.infer(image) for image in images]
    engine.run_network()
    assert device.copies == ['in', 'out', 'out', 'out'] * 2
    for image, prediction in zip(images, predictions):
        expected_m = tiny_ramp_m(engine.contract) + RED_STEP_M * image[..., 0]
        np.testing.assert_allclose(prediction.depth_m, expected_m, rtol=1e-5)
        np.testing.assert_array_equal(prediction.labels, tiny_labels(engine.contract))
        np.testing.assert_array_equal(prediction.confidence, image[..., 1])
    assert len(device.made) == 4  # nothing is allocated for an image
    engine.close()


@pytest.mark.parametrize(('precision', 'search'), [('fp32', 'EXHAUSTIVE'), ('fp16', 'HEURISTIC')])
def test_the_search_for_algorithms_is_the_one_that_was_faster(
    tmp_path, monkeypatch, precision, search
):
    asked = fake_cuda(monkeypatch, [CUDA, CPU])
    Device(monkeypatch)
    path = tmp_path / 'model.onnx'
    write_tiny_model(path, replace(tiny_contract(), precision=precision))
    OnnxRuntimeEngine(read_model_file(path), 'cuda').close()
    assert asked[0][0][1]['cudnn_conv_algo_search'] == search


@pytest.mark.parametrize(
    ('tf32', 'told'), [(True, ', CUDA, fp32, TF32, '), (False, ', CUDA, fp32, ')]
)
def test_tf32_is_used_where_it_is_asked_for(model, monkeypatch, tf32, told):
    asked = fake_cuda(monkeypatch, [CUDA, CPU])
    Device(monkeypatch)
    engine = OnnxRuntimeEngine(read_model_file(model), 'cuda', tf32=tf32)
    assert asked[0][0][1]['use_tf32'] == str(int(tf32))
    assert told in engine.description
    engine.close()


@pytest.mark.parametrize('fails', ['opening', 'running'])
def test_where_the_work_cannot_be_recorded_it_is_done_without(model, monkeypatch, caplog, fails):
    import onnxruntime

    asked = fake_cuda(monkeypatch, [CUDA, CPU])
    Device(monkeypatch)
    faked = onnxruntime.InferenceSession

    def session(content, options, providers, **further):
        opened = faked(content, options, providers=providers, **further)
        if 'enable_cuda_graph' in providers[0][1]:
            if fails == 'opening':
                raise RuntimeError('not all nodes are on CUDA')
            opened.run_with_iobinding = lambda binding: 1 / 0
        return opened

    monkeypatch.setattr(onnxruntime, 'InferenceSession', session)
    with caplog.at_level('INFO', logger='sg_depth_ros.engines'):
        engine = OnnxRuntimeEngine(read_model_file(model), 'cuda')
    assert len(asked) == 2
    assert engine.description.endswith(', CUDA, fp32')
    assert 'records no CUDA graph' in caplog.text
    image = np.zeros((engine.contract.height, engine.contract.width, 3), np.uint8)
    np.testing.assert_allclose(engine.infer(image).depth_m, tiny_ramp_m(engine.contract))
    engine.close()


def test_onnxruntime_without_cuda_says_which_package_has_it(model):
    with pytest.raises(EngineUnavailableError, match='onnxruntime-gpu'):
        OnnxRuntimeEngine(read_model_file(model), 'cuda')


def test_a_quiet_fall_to_the_cpu_is_refused(model, onnxruntime_that_claims_cuda):
    with pytest.raises(EngineUnavailableError, match='fell back to the CPU'):
        OnnxRuntimeEngine(read_model_file(model), 'cuda')
    ((name, options), _) = onnxruntime_that_claims_cuda[0]
    assert name == CUDA
    assert options['use_tf32'] == '0'  # float32 is what the contract promises
    with pytest.raises(UserError, match='fell back'):
        open_engine(model, 'onnxruntime', EngineOptions(OnnxRuntimeOptions(device='cuda')))


def test_auto_takes_the_cpu_where_cuda_falls_back(model, onnxruntime_that_claims_cuda):
    opened = choose_engine(model, 'onnxruntime')
    assert ', CPU, ' in opened.engine.description
    (refused,) = opened.refusals
    assert 'CUDA' in refused.name
    assert 'fell back' in refused.reason
    opened.engine.close()


def test_a_cuda_library_that_is_missing_is_named(
    model, monkeypatch, tmp_path, onnxruntime_that_claims_cuda
):
    import onnxruntime

    provider = tmp_path / 'capi' / 'libonnxruntime_providers_cuda.so'
    provider.parent.mkdir()
    provider.write_bytes(b'no library')
    monkeypatch.setattr(onnxruntime, '__file__', str(tmp_path / '__init__.py'))
    with pytest.raises(EngineUnavailableError, match=r'providers_cuda\.so.*onnxruntime-gpu'):
        OnnxRuntimeEngine(read_model_file(model), 'cuda')


def test_an_error_of_cuda_is_a_reason_to_take_the_cpu(model, monkeypatch):
    import onnxruntime

    real = onnxruntime.InferenceSession

    def session(content, options, providers, **further):
        if providers != [CPU]:
            raise RuntimeError('CUDA failure 100: no CUDA-capable device is detected\n; GPU=0')
        return real(content, options, providers=providers, **further)

    fake_cuda(monkeypatch, [CUDA, CPU])
    monkeypatch.setattr(onnxruntime, 'InferenceSession', session)
    opened = choose_engine(model, 'onnxruntime')
    assert ', CPU, ' in opened.engine.description
    assert 'no CUDA-capable device is detected ; GPU=0' in opened.refusals[0].reason
    opened.engine.close()
