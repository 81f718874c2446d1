"""TensorRT's engine computes what the file says, frees what it takes, tells what went wrong."""

import logging
from dataclasses import replace

import numpy as np
import pytest
from other_thread import raised_in_another_thread
from real_device import why_no_device
from tensorrt_double import World
from tensorrt_double import installed_double
from tensorrt_double.real_cuda import RealCuda
from tiny_model import RED_STEP_M
from tiny_model import tiny_labels
from tiny_model import tiny_ramp_m
from tiny_model import write_tiny_model

from sg_depth_ros.engines.engine import EngineUnavailableError
from sg_depth_ros.engines.options import TensorRTOptions
from sg_depth_ros.engines.tensorrt.loaded_plan import PlanRefusedError
from sg_depth_ros.engines.tensorrt.opening import open_tensorrt_engine
from sg_depth_ros.errors import UserError
from sg_depth_ros.model_file import read_model_file


@pytest.fixture
def world(monkeypatch):
    with installed_double(monkeypatch) as world:
        yield world


@pytest.fixture(params=['double'] if why_no_device() else ['double', 'real'])
def any_world(request, monkeypatch):
    """The double of TensorRT with that of CUDA, and with a real device where there is one."""
    world, device = World(), None
    if request.param == 'real':
        device = RealCuda(world)
    with installed_double(monkeypatch, world, device):
        yield world


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    return read_model_file(write_tiny_model(tmp_path_factory.mktemp('model') / 'model.onnx'))


@pytest.fixture
def options(tmp_path):
    return TensorRTOptions(cache_folder=tmp_path / 'plans')


@pytest.fixture
def engine(any_world, model, options):
    engine = open_tensorrt_engine(model, options)
    yield engine
    engine.close()


def picture(contract, seed=0):
    shape = (contract.height, contract.width, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def check_prediction(prediction, image, contract):
    expected_m = tiny_ramp_m(contract) + RED_STEP_M * image[..., 0]
    np.testing.assert_allclose(prediction.depth_m, expected_m, rtol=1e-5)
    np.testing.assert_array_equal(prediction.labels, tiny_labels(contract))
    np.testing.assert_array_equal(prediction.confidence, image[..., 1])
    assert prediction.depth_m.dtype == np.float32
    assert prediction.labels.dtype == prediction.confidence.dtype == np.uint8


@pytest.mark.parametrize('cuda_graph', [True, False])
def test_every_image_gives_its_own_depth(any_world, model, options, cuda_graph):
    engine = open_tensorrt_engine(model, replace(options, cuda_graph=cuda_graph))
    for seed in range(3):
        image = picture(engine.contract, seed)
        check_prediction(engine.infer(image), image, engine.contract)
    engine.run_network()
    check_prediction(engine.infer(image), image, engine.contract)
    engine.close()


def test_it_takes_views_with_any_strides_and_leaves_the_image_alone(engine):
    image = picture(engine.contract)
    mirrored = np.ascontiguousarray(image[:, ::-1])[:, ::-1]
    mirrored.flags.writeable = False
    assert not mirrored.flags.c_contiguous
    check_prediction(engine.infer(mirrored), image, engine.contract)


def test_the_caller_owns_what_it_gives(engine):
    first = engine.infer(picture(engine.contract, 1))
    kept = first.depth_m.copy()
    engine.infer(picture(engine.contract, 2))
    np.testing.assert_array_equal(first.depth_m, kept)
    first.depth_m[:] = 0  # and may write


@pytest.mark.parametrize(
    ('shape', 'dtype'),
    [
        ((32, 65, 3), np.uint8),
        ((32, 64), np.uint8),
        ((1, 32, 64, 3), np.uint8),
        ((32, 64, 3), np.int8),
    ],
)
def test_another_shape_or_type_is_refused(engine, shape, dtype):
    with pytest.raises(ValueError, match='uint8 image'):
        engine.infer(np.zeros(shape, dtype))


def test_an_image_allocates_nothing(world, model, options):
    engine = open_tensorrt_engine(model, options)
    before = len(world.calls)
    engine.infer(picture(engine.contract))
    assert world.calls[before:] == ['cudaGraphLaunch', 'cudaStreamSynchronize']
    engine.run_network()  # records its graph when it is first asked
    before = len(world.calls)
    engine.run_network()
    assert world.calls[before:] == ['cudaGraphLaunch', 'cudaStreamSynchronize']
    engine.close()


def test_without_a_graph_the_work_is_queued_anew(world, model, options):
    engine = open_tensorrt_engine(model, replace(options, cuda_graph=False))
    before = len(world.calls)
    engine.infer(picture(engine.contract))
    engine.run_network()
    execute = 'IExecutionContext.execute_async_v3'
    copy, wait = 'cudaMemcpyAsync', 'cudaStreamSynchronize'
    assert world.calls[before:] == [copy, execute, copy, copy, copy, wait, execute, wait]
    engine.close()


def test_it_says_what_it_is(world, model, options):
    engine = open_tensorrt_engine(model, options)
    assert engine.description == 'TensorRT 10.13.0, NVIDIA Double, fp32, CUDA graph'
    assert engine.plan.was_built
    assert engine.plan.path.stat().st_size == engine.plan.size_bytes
    again = open_tensorrt_engine(model, options)
    assert not again.plan.was_built
    again.close()
    engine.close()


@pytest.mark.parametrize('call', [None, 'cudaStreamBeginCapture', 'cudaStreamEndCapture'])
def test_where_it_cannot_be_recorded_it_does_without(world, model, options, caplog, call):
    if call is None:
        world.is_capturable = False
    else:
        world.fail(call)
    with caplog.at_level(logging.WARNING, 'sg_depth_ros.engines.tensorrt'):
        engine = open_tensorrt_engine(model, options)
    assert 'no CUDA graph' in caplog.text
    assert engine.description.endswith('fp32')
    image = picture(engine.contract)
    check_prediction(engine.infer(image), image, engine.contract)
    engine.run_network()
    engine.close()


def test_another_thread_may_not_use_or_close_it(engine):
    image = picture(engine.contract)
    for action in (lambda: engine.infer(image), engine.run_network, engine.close):
        (error,) = raised_in_another_thread(action)
        assert 'thread' in str(error)
    engine.infer(image)  # its own still may


def test_after_close_it_refuses_and_closing_twice_does_no_harm(any_world, model, options):
    engine = open_tensorrt_engine(model, options)
    engine.close()
    engine.close()
    with pytest.raises(RuntimeError, match='closed'):
        engine.infer(picture(engine.contract))
    with pytest.raises(RuntimeError, match='closed'):
        engine.run_network()


def session(model, options):
    """All that an engine does in its life."""
    engine = open_tensorrt_engine(model, options)
    try:
        for seed in range(2):
            image = picture(engine.contract, seed)
            check_prediction(engine.infer(image), image, engine.contract)
        engine.run_network()
    finally:
        engine.close()


# After these it goes on, with less: without the graph, or without what was measured before.
GOES_ON = (
    'cudaStreamBeginCapture',
    'cudaStreamEndCapture',
    'cudaGraphInstantiateWithFlags',
    'cudaGraphDestroy',
    'cudaMemcpyAsync',  # while recording
    'IExecutionContext.execute_async_v3',  # while recording
    'IBuilderConfig.create_timing_cache',
    'IBuilderConfig.set_timing_cache',
    'ITimingCache.serialize',
)


@pytest.mark.parametrize('cuda_graph', [True, False])
def test_whichever_call_fails_the_error_is_readable_and_nothing_leaks(
    monkeypatch, model, tmp_path, cuda_graph
):
    """The double tells, when it is left, of leaks, and of going on where a call had failed."""
    with installed_double(monkeypatch) as world:
        session(model, TensorRTOptions(cache_folder=tmp_path / 'all', cuda_graph=cuda_graph))
    calls = world.calls
    assert len(calls) > 40
    for index, call in enumerate(calls):
        options = TensorRTOptions(cache_folder=tmp_path / f'{index}', cuda_graph=cuda_graph)
        with installed_double(monkeypatch) as world:
            world.fail_at(index)
            try:
                session(model, options)
            except (UserError, RuntimeError) as error:
                text = str(error)
                assert '\n' not in text
                assert call in text or 'TensorRT 10.13.0' in text, text
            else:
                assert call in GOES_ON, f'{call} failed, and nobody said so'


def test_what_failed_keeps_nothing_alive(world, model, options):
    """Not even while its error, with all the frames it went through, is still looked at."""
    world.fail('IExecutionContext.set_tensor_address', 2)
    with pytest.raises(EngineUnavailableError, match='does not take memory') as refused:
        open_tensorrt_engine(model, options)
    assert refused.traceback
    assert not world.alive('Runtime', 'ICudaEngine', 'IExecutionContext')
    assert not world.device.leaks()


def test_an_image_that_failed_does_not_spoil_the_next(world, model, options):
    engine = open_tensorrt_engine(model, options)
    world.fail('cudaStreamSynchronize')
    with pytest.raises(RuntimeError, match='cudaStreamSynchronize failed: cudaErrorLaunchFailure'):
        engine.infer(picture(engine.contract))
    world.forgive()
    image = picture(engine.contract, 1)
    check_prediction(engine.infer(image), image, engine.contract)
    engine.close()


def test_a_plan_that_is_refused_is_built_again_once(any_world, model, options):
    open_tensorrt_engine(model, options).close()
    any_world.fail('Runtime.deserialize_cuda_engine')
    engine = open_tensorrt_engine(model, options)
    assert engine.plan.was_built
    assert 'could not be opened' in engine.plan.note
    assert any_world.calls.count('Builder.build_serialized_network') == 2
    engine.close()


def test_a_plan_that_is_refused_twice_is_given_up(world, model, options):
    world.fail('Runtime.deserialize_cuda_engine')
    with pytest.raises(PlanRefusedError, match=r'does not take the plan: .*Serialization'):
        open_tensorrt_engine(model, options)
    assert world.calls.count('Builder.build_serialized_network') == 1


def test_a_refused_plan_that_must_not_be_built_says_what_to_do(world, model, options):
    open_tensorrt_engine(model, options).close()
    world.fail('Runtime.deserialize_cuda_engine')
    with pytest.raises(UserError, match='build_engine'):
        open_tensorrt_engine(model, replace(options, allow_build=False))
