"""TensorRT is found after the GPU, and what is missing is said in one line."""

import sys

import pytest
from tensorrt_double import Gpu
from tensorrt_double import World
from tensorrt_double import installed_double
from tiny_model import write_tiny_model

from sg_depth_ros.engines.engine import EngineUnavailableError
from sg_depth_ros.engines.options import TensorRTOptions
from sg_depth_ros.engines.tensorrt.library import load_tensorrt
from sg_depth_ros.engines.tensorrt.library import tensorrt_log
from sg_depth_ros.engines.tensorrt.opening import open_tensorrt_engine
from sg_depth_ros.model_file import read_model_file


def refusal(monkeypatch, world):
    with (
        installed_double(monkeypatch, world),
        pytest.raises(EngineUnavailableError) as refused,
    ):
        load_tensorrt()
    assert 'Builder' not in world.calls
    message = str(refused.value)
    assert '\n' not in message
    return message


def test_without_a_device_tensorrt_is_not_even_looked_for(monkeypatch):
    looked_for = []

    class Watch:
        def find_spec(self, name, path=None, target=None):
            looked_for.append(name)

    with installed_double(monkeypatch, World(gpu=Gpu(driver_version=0))):
        for name in ('tensorrt', 'tensorrt_rtx'):
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setattr(sys, 'meta_path', [Watch(), *sys.meta_path])
        with pytest.raises(EngineUnavailableError, match='no NVIDIA driver'):
            load_tensorrt()
    assert not [name for name in looked_for if name.startswith('tensorrt')]


def test_an_old_tensorrt_is_refused_by_its_version(monkeypatch):
    assert 'TensorRT 8.6.2.3 is too old' in refusal(monkeypatch, World(version='8.6.2.3'))


def test_without_tensorrt_it_says_how_to_install_it(monkeypatch):
    world = World()
    with installed_double(monkeypatch, world):
        monkeypatch.setitem(sys.modules, 'tensorrt', None)
        with pytest.raises(EngineUnavailableError, match='pip install tensorrt'):
            load_tensorrt()
    # It does not occupy the GPU to find that out.
    assert 'cudaSetDevice' not in world.calls


def test_a_tensorrt_that_cannot_be_imported_says_why(monkeypatch, tmp_path):
    (tmp_path / 'tensorrt.py').write_text('raise OSError("libnvinfer.so.10:\\nnot found")\n')
    with installed_double(monkeypatch):
        monkeypatch.delitem(sys.modules, 'tensorrt')
        monkeypatch.syspath_prepend(str(tmp_path))
        with pytest.raises(EngineUnavailableError, match=r'libnvinfer\.so\.10: not found'):
            load_tensorrt()


def test_tensorrt_rtx_does_as_well(monkeypatch, tmp_path):
    write_tiny_model(tmp_path / 'model.onnx')
    model = read_model_file(tmp_path / 'model.onnx')
    options = TensorRTOptions(cache_folder=tmp_path)
    with installed_double(monkeypatch, World('1.7.1', 'tensorrt_rtx')):
        engine = open_tensorrt_engine(model, options)
        assert engine.description.startswith('TensorRT-RTX 1.7.1, ')
        engine.close()


def test_a_device_that_is_taken_is_named_before_tensorrt_starts(monkeypatch):
    world = World()
    world.fail('cudaSetDevice')
    assert 'NVIDIA Double cannot be used: cudaSetDevice failed' in refusal(monkeypatch, world)


def test_what_tensorrt_says_goes_to_the_log_of_python(monkeypatch, caplog):
    caplog.set_level('DEBUG', 'sg_depth_ros.engines.tensorrt')
    with installed_double(monkeypatch):
        log = tensorrt_log(load_tensorrt().trt)
    log.clear()
    log.log(log.Severity.VERBOSE, 'tactic 0x1')
    log.log(log.Severity.INFO, 'built')
    log.log(log.Severity.WARNING, 'slow')
    log.log(log.Severity.ERROR, 'wrong\nshape')
    log.log(log.Severity.INTERNAL_ERROR, 'assertion')
    levels = [(record.levelname, record.message) for record in caplog.records]
    assert levels == [
        ('DEBUG', 'built'),
        ('WARNING', 'slow'),
        ('ERROR', 'wrong shape'),
        ('ERROR', 'assertion'),
    ]
    assert log.errors() == ('wrong shape', 'assertion')
    log.clear()
    assert log.errors() == ()


def test_a_log_never_raises_into_tensorrt(monkeypatch):
    with installed_double(monkeypatch):
        log = tensorrt_log(load_tensorrt().trt)
    log.log(None, None)


def test_one_process_has_one_log_for_tensorrt(monkeypatch):
    with installed_double(monkeypatch):
        trt = load_tensorrt().trt
        assert tensorrt_log(trt) is tensorrt_log(load_tensorrt().trt)
