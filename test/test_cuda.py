"""CUDA through the checked wrappers: on the double, and on a real device where there is one."""

import ctypes
import sys
import threading
import types

import numpy as np
import pytest
from real_device import why_no_device
from tensorrt_double import Gpu
from tensorrt_double import World
from tensorrt_double import installed_double

from sg_depth_ros.engines.cuda import CudaError
from sg_depth_ros.engines.cuda import CudaStream
from sg_depth_ros.engines.cuda import DeviceMemory
from sg_depth_ros.engines.cuda import PinnedArray
from sg_depth_ros.engines.cuda import cuda_runtime
from sg_depth_ros.engines.cuda import find_cuda_device
from sg_depth_ros.engines.cuda import use_cuda_device
from sg_depth_ros.engines.engine import EngineUnavailableError

SHAPE = (48, 100)


WHY_NO_DEVICE = why_no_device()


@pytest.fixture(params=['double'] if WHY_NO_DEVICE else ['double', 'real'])
def cuda(request, monkeypatch):
    if request.param == 'real':
        yield None
    else:
        with installed_double(monkeypatch) as world:
            yield world


@pytest.fixture
def real_cuda():
    if WHY_NO_DEVICE:
        pytest.skip('no CUDA device')
    return cuda_runtime()


@pytest.fixture
def closing():
    """Closes what it is given, last first."""
    kept = []

    def keep(resource):
        kept.append(resource)
        return resource

    yield keep
    for resource in reversed(kept):
        resource.close()


def noise(seed):
    return np.random.default_rng(seed).random(SHAPE).astype(np.float32)


def test_an_array_comes_back_from_the_device(cuda, closing):
    stream = closing(CudaStream())
    there, back = closing(PinnedArray(SHAPE, np.float32)), closing(PinnedArray(SHAPE, np.float32))
    memory = closing(DeviceMemory(there.size_bytes))
    assert there.size_bytes == there.array.nbytes == 4 * 48 * 100
    for seed in range(3):
        there.array[:] = noise(seed)
        stream.copy_to_device(memory, there)
        stream.copy_to_host(back, memory)
        stream.synchronize()
        np.testing.assert_array_equal(back.array, noise(seed))


def test_a_graph_repeats_copies_with_what_is_there_then(cuda, closing):
    stream = closing(CudaStream())
    there, back = closing(PinnedArray(SHAPE, np.float32)), closing(PinnedArray(SHAPE, np.float32))
    memory = closing(DeviceMemory(there.size_bytes))
    back.array[:] = -1

    def copy():
        stream.copy_to_device(memory, there)
        stream.copy_to_host(back, memory)

    graph = closing(stream.record(copy))
    stream.synchronize()
    assert (back.array == -1).all()  # recorded, not done
    for seed in range(3):
        there.array[:] = noise(seed)
        graph.launch()
        stream.synchronize()
        np.testing.assert_array_equal(back.array, noise(seed))


def test_copies_of_different_sizes_are_refused(cuda, closing):
    stream = closing(CudaStream())
    array, memory = closing(PinnedArray((10,), np.uint8)), closing(DeviceMemory(11))
    with pytest.raises(ValueError, match='10 to 11 bytes'):
        stream.copy_to_device(memory, array)
    with pytest.raises(ValueError, match='11 to 10 bytes'):
        stream.copy_to_host(array, memory)


def test_closing_twice_does_no_harm(cuda):
    stream, array, memory = CudaStream(), PinnedArray((8,), np.uint8), DeviceMemory(8)
    graph = stream.record(lambda: stream.copy_to_device(memory, array))
    for resource in (graph, memory, array, stream) * 2:
        resource.close()
    assert array.array.size == 0
    assert memory.address == array.address == stream.handle == 0


def test_work_that_raises_while_recorded_leaves_the_stream_as_it_was(cuda, closing):
    stream = closing(CudaStream())
    there, back = closing(PinnedArray((8,), np.uint8)), closing(PinnedArray((8,), np.uint8))
    memory = closing(DeviceMemory(8))

    def fail():
        stream.copy_to_device(memory, there)
        raise KeyError('mine')

    with pytest.raises(KeyError, match='mine'):
        stream.record(fail)
    there.array[:] = 7
    stream.copy_to_device(memory, there)
    stream.copy_to_host(back, memory)
    stream.synchronize()
    assert (back.array == 7).all()


def test_a_device_tells_of_itself(cuda):
    device = find_cuda_device()
    use_cuda_device(device)
    assert device.name.startswith('NVIDIA')
    assert device.compute_capability >= (5, 0)
    assert device.memory_bytes > 1 << 30
    assert device.driver_version.count('.') == device.runtime_version.count('.') == 1


def test_memory_is_of_its_kind(real_cuda, closing):
    array, memory = closing(PinnedArray((8,), np.uint8)), closing(DeviceMemory(8))
    kinds = real_cuda.cudaMemoryType
    for address, kind in (
        (array.address, kinds.cudaMemoryTypeHost),
        (memory.address, kinds.cudaMemoryTypeDevice),
    ):
        status, attributes = real_cuda.cudaPointerGetAttributes(address)
        assert int(status) == 0
        assert attributes.type == kind


def test_too_much_memory_is_an_error_that_leaves_no_trace(real_cuda, closing):
    with pytest.raises(CudaError, match=r'cudaMalloc failed: cudaErrorMemoryAllocation \('):
        DeviceMemory(1 << 50)
    assert int(real_cuda.cudaGetLastError()[0]) == 0
    closing(DeviceMemory(1 << 20))


def test_what_cannot_be_recorded_is_an_error_and_the_stream_goes_on(real_cuda, closing):
    stream = closing(CudaStream())
    there, back = closing(PinnedArray((8,), np.uint8)), closing(PinnedArray((8,), np.uint8))
    memory = closing(DeviceMemory(8))
    with pytest.raises(CudaError, match='cudaStreamSynchronize failed: cudaErrorStreamCapture'):
        stream.record(stream.synchronize)
    there.array[:] = 7
    stream.copy_to_device(memory, there)
    stream.copy_to_host(back, memory)
    stream.synchronize()
    assert (back.array == 7).all()


def test_what_is_closed_is_free_again(real_cuda):
    size = 1 << 30
    free = [int(real_cuda.cudaMemGetInfo()[1])]
    for _ in range(5):
        memory = DeviceMemory(size)
        assert int(real_cuda.cudaMemGetInfo()[1]) <= free[0] - size
        memory.close()
        free.append(int(real_cuda.cudaMemGetInfo()[1]))
    assert min(free) > free[0] - size // 2


def test_waiting_lets_other_threads_run(real_cuda, closing):
    """The stream waits for a function of Python's, which needs the lock that waiting gives up."""
    stream, ran = closing(CudaStream()), threading.Event()
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: ran.set())
    pointer = real_cuda.cudaHostFn_t(ctypes.cast(function, ctypes.c_void_p).value)
    assert int(real_cuda.cudaLaunchHostFunc(stream.raw, pointer, 0)[0]) == 0
    stream.synchronize()
    assert ran.is_set()


def refusal(index=0):
    with pytest.raises(EngineUnavailableError) as refused:
        find_cuda_device(index)
    message = str(refused.value)
    assert '\n' not in message
    return message


@pytest.mark.parametrize(
    ('gpu', 'index', 'reason'),
    [
        (Gpu(driver_version=0), 0, 'no NVIDIA driver is to be found'),
        (Gpu(driver_version=12080), 0, 'supports CUDA 12.8, the bindings for Python need 13.3'),
        (Gpu(driver_version=12080), 0, '"cuda-bindings<13"'),
        (Gpu(count=0), 0, 'the NVIDIA driver finds no GPU'),
        (Gpu(), 1, 'no CUDA device 1; this machine has 1'),
        (Gpu(), -1, 'no CUDA device -1'),
    ],
)
def test_what_is_missing_is_said(monkeypatch, gpu, index, reason):
    with installed_double(monkeypatch, World(gpu=gpu)):
        assert reason in refusal(index)


def test_a_device_that_is_hidden_is_told(monkeypatch):
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
    with installed_double(monkeypatch, World(gpu=Gpu(count=0))):
        assert "CUDA_VISIBLE_DEVICES is ''" in refusal()


def hide_bindings(monkeypatch):
    for name in ('cuda', 'cuda.bindings', 'cuda.bindings.runtime'):
        monkeypatch.setitem(sys.modules, name, None)


def test_without_bindings_it_says_how_to_install_them(monkeypatch):
    hide_bindings(monkeypatch)
    assert 'pip install cuda-bindings' in refusal()


def test_bindings_that_raise_are_told(monkeypatch):
    with installed_double(monkeypatch) as world:

        def raise_it():
            raise RuntimeError('Failed to dlopen\nlibcudart')

        runtime = sys.modules['cuda.bindings.runtime']
        monkeypatch.setattr(runtime, 'cudaGetDeviceCount', raise_it)
        assert 'CUDA does not answer (Failed to dlopen libcudart)' in refusal()
    assert not world.calls


def test_the_older_name_of_the_bindings_does_as_well(monkeypatch):
    with installed_double(monkeypatch):
        package = types.ModuleType('cuda')
        package.cudart = sys.modules['cuda.bindings.runtime']
        hide_bindings(monkeypatch)
        monkeypatch.setitem(sys.modules, 'cuda', package)
        assert find_cuda_device().name == 'NVIDIA Double'


def test_an_error_names_the_call_and_what_cuda_says(monkeypatch):
    with installed_double(monkeypatch) as world:
        world.fail('cudaMalloc')
        with pytest.raises(CudaError) as failed:
            DeviceMemory(8)
    assert str(failed.value) == 'cudaMalloc failed: cudaErrorMemoryAllocation (out of memory)'
