"""The double of TensorRT and CUDA tells every misuse, also where its caller swallows it."""

import contextlib
import ctypes
import sys

import numpy as np
import pytest
from tensorrt_double import Gpu
from tensorrt_double import Misuse
from tensorrt_double import World
from tensorrt_double import installed_double
from tensorrt_misuses import EXPECTED
from tensorrt_misuses import SIZES
from tensorrt_misuses import TO_HOST
from tensorrt_misuses import Session
from tensorrt_misuses import value
from tiny_model import write_tiny_model


@pytest.fixture(scope='module')
def content(tmp_path_factory):
    path = tmp_path_factory.mktemp('model') / 'model.onnx'
    write_tiny_model(path)
    return path.read_bytes()


def host_bytes(session, name):
    return np.frombuffer((ctypes.c_uint8 * SIZES[name]).from_address(session.pinned[name]), 'u1')


def test_a_correct_program_is_let_through(monkeypatch, content):
    with installed_double(monkeypatch):
        session = Session(content).load()
        host_bytes(session, 'image')[:] = 9
        session.copy()
        session.execute()
        session.copy('confidence', TO_HOST)
        assert (host_bytes(session, 'confidence') != 9).all()  # nobody has waited yet
        session.wait()
        assert (host_bytes(session, 'confidence') == 9).all()
        session.free()


@pytest.mark.parametrize('misuse', EXPECTED, ids=lambda misuse: misuse.__name__[7:])
def test_a_misuse_is_told_even_where_it_is_swallowed(monkeypatch, content, misuse):
    told = ''
    try:
        with installed_double(monkeypatch):
            session = Session(content)
            with contextlib.suppress(Misuse):
                misuse(session)
    except Misuse as error:
        told = str(error)
    assert EXPECTED[misuse] in told


@pytest.mark.parametrize(
    ('forgotten', 'told'),
    [('memory', 'device memory of 6144 bytes'), ('pinned', 'pinned memory of 6144 bytes')],
)
def test_what_is_not_freed_is_told(monkeypatch, content, forgotten, told):
    with pytest.raises(Misuse, match=f'{told} was not freed'), installed_double(monkeypatch):
        session = Session(content)
        getattr(session, forgotten).pop('image')
        session.free()


def test_objects_of_tensorrt_that_stay_are_told(monkeypatch, content):
    with (
        pytest.raises(Misuse, match='IExecutionContext was not freed') as told,
        installed_double(monkeypatch),
    ):
        session = Session(content).load()
        context = session.context
        session.free()
    assert 'Runtime was not freed' in str(told.value)
    del context


def test_a_base_class_must_be_initialized(monkeypatch, content):
    with installed_double(monkeypatch):
        session = Session(content)

        class Log(session.trt.ILogger):
            def __init__(self):
                pass

        with pytest.raises(TypeError, match='must be called when overriding __init__'):
            session.trt.Runtime(Log())
        session.free()


def test_a_failure_on_demand_comes_once(monkeypatch):
    with installed_double(monkeypatch) as world:
        cuda = sys.modules['cuda.bindings.runtime']
        world.fail('cudaMalloc', 2)
        first = value(cuda.cudaMalloc(8))
        status, address = cuda.cudaMalloc(8)
        assert (int(status), address) == (2, None)
        world.forgive()
        second = value(cuda.cudaMalloc(8))
        for address in (first, second):
            value(cuda.cudaFree(address))
    assert world.calls == ['cudaMalloc'] * 3 + ['cudaFree'] * 2


def test_without_a_driver_tensorrt_would_crash(monkeypatch):
    world = World(gpu=Gpu(driver_version=0))
    with (
        pytest.raises(Misuse, match='Builder without a device'),
        installed_double(monkeypatch, world),
    ):
        trt = sys.modules['tensorrt']
        trt.Builder(trt.Logger())
