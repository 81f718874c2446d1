"""Which engine is taken: they are tried in order, and tested before anyone gets them."""

import logging
from functools import partial

import numpy as np
import pytest
from fake_engines import NO_CUDA
from fake_engines import NO_GPU
from fake_engines import installed_machine
from fake_engines import refused_names
from fake_engines import write_model
from fake_engines import write_pair
from tensorrt_double import Gpu
from tensorrt_double import World
from tensorrt_double import installed_double

from sg_depth_ros.engines import EngineOptions
from sg_depth_ros.engines import OnnxRuntimeOptions
from sg_depth_ros.engines import TensorRTOptions
from sg_depth_ros.engines import choose_engine
from sg_depth_ros.engines import opening
from sg_depth_ros.engines.self_test import TOLERANCES
from sg_depth_ros.errors import UserError


@pytest.fixture
def model(tmp_path):
    return write_model(tmp_path / 'model.onnx')


@pytest.fixture
def pair(tmp_path):
    return write_pair(tmp_path)


@pytest.fixture
def machine(monkeypatch):
    """Return a function that makes a machine's engines the ones that are opened."""
    return partial(installed_machine, monkeypatch)


def test_auto_prefers_tensorrt_and_opens_nothing_else(model, machine):
    made = machine()
    opened = choose_engine(model)
    assert opened.engine.description == 'tensorrt'
    assert opened.path == model
    assert opened.self_test.passed
    assert opened.refusals == ()
    assert made.tried == [('tensorrt', 'model.onnx')]
    assert not opened.engine.closed


def test_auto_takes_cuda_then_the_cpu(model, machine):
    made = machine(tensorrt=NO_GPU)
    opened = choose_engine(model)
    assert opened.engine.description == 'cuda'
    assert refused_names(opened) == ['TensorRT']
    made = machine(tensorrt=NO_GPU, cuda=NO_CUDA)
    opened = choose_engine(model)
    assert opened.engine.description == 'cpu'
    assert [library for library, _ in made.tried] == ['tensorrt', 'cuda', 'cpu']
    assert opened.refusals == (
        ('TensorRT', 'no CUDA device was found'),
        ('ONNX Runtime on CUDA', 'built without CUDA'),
    )


@pytest.mark.parametrize(
    ('kind', 'device', 'expected'),
    [
        ('tensorrt', 'auto', ['tensorrt']),
        ('tensorrt', 'cpu', ['tensorrt']),
        ('onnxruntime', 'auto', ['cuda', 'cpu']),
        ('onnxruntime', 'cuda', ['cuda']),
        ('onnxruntime', 'cpu', ['cpu']),
        ('auto', 'cpu', ['tensorrt', 'cpu']),
    ],
)
def test_kind_and_device_say_what_is_tried(model, machine, kind, device, expected):
    made = machine(tensorrt=NO_GPU, cuda=NO_CUDA, cpu=RuntimeError('out of order'))
    with pytest.raises(UserError):
        choose_engine(model, kind, EngineOptions(OnnxRuntimeOptions(device=device)))
    assert [library for library, _ in made.tried] == expected


def test_options_and_progress_reach_the_engines(model, machine):
    made = machine(tensorrt=NO_GPU, cuda=NO_CUDA)
    options = EngineOptions(
        OnnxRuntimeOptions(threads=3, tf32=True), TensorRTOptions(optimization_level=5)
    )

    def on_progress(progress):
        return True

    choose_engine(model, 'auto', options, on_progress)
    assert made.arguments == [(options.tensorrt, on_progress), (3, True), (3, True)]


def test_half_precision_falls_back_to_the_sibling_of_the_same_library(pair, machine):
    made = machine(tensorrt_fp16=0.9)
    opened = choose_engine(pair)
    assert opened.engine.description == 'tensorrt'
    assert opened.path.name == 'model.onnx'
    assert opened.engine.contract.precision == 'fp32'
    failing, good = made.engines
    assert (failing.closed, good.closed) == (1, 0)
    (refusal,) = opened.refusals
    assert refusal.name == 'TensorRT'
    assert 'scale 0.90' in refusal.reason  # how far off


def test_all_libraries_are_tried_with_both_files(pair, machine):
    made = machine(tensorrt=RuntimeError('a'), cuda=RuntimeError('b'), cpu=RuntimeError('c'))
    with pytest.raises(UserError):
        choose_engine(pair)
    half, full = 'model.fp16.onnx', 'model.onnx'
    assert made.tried == [
        ('tensorrt', half),
        ('tensorrt', full),
        ('cuda', half),
        ('cuda', full),
        ('cpu', full),  # half precision is slower there
        ('cpu', half),
    ]


def test_on_the_cpu_the_sibling_is_taken_and_the_log_says_so(pair, machine, caplog):
    machine(tensorrt=NO_GPU, cuda=NO_CUDA)
    with caplog.at_level(logging.INFO, opening.LOGGER.name):
        opened = choose_engine(pair)
    assert opened.path.name == 'model.onnx'
    assert 'model.onnx is taken for model.fp16.onnx' in caplog.text


def test_on_the_cpu_half_precision_alone_is_taken_with_a_word(pair, machine, caplog):
    pair.with_name('model.onnx').unlink()
    machine(tensorrt=NO_GPU, cuda=NO_CUDA)
    with caplog.at_level(logging.INFO, opening.LOGGER.name):
        opened = choose_engine(pair)
    assert opened.path == pair
    assert 'no faster on a CPU' in caplog.text


def test_without_fallback_no_other_file_is_tried(pair, machine):
    made = machine(tensorrt=NO_GPU, cuda=NO_CUDA, cpu=RuntimeError('c'))
    with pytest.raises(UserError):
        choose_engine(pair, 'auto', EngineOptions(allow_fallback=False))
    assert {name for _, name in made.tried} == {'model.fp16.onnx'}


def test_full_precision_never_becomes_half(pair, machine):
    made = machine(tensorrt=NO_GPU, cuda=NO_CUDA, cpu=RuntimeError('c'))
    with pytest.raises(UserError):
        choose_engine(pair.with_name('model.onnx'))
    assert {name for _, name in made.tried} == {'model.onnx'}


def test_tf32_is_judged_by_its_own_tolerance(model, machine):
    machine()
    opened = choose_engine(model, 'auto', EngineOptions(tensorrt=TensorRTOptions(tf32=True)))
    assert opened.self_test.tolerance == TOLERANCES['tf32']
    opened = choose_engine(model)
    assert opened.self_test.tolerance == TOLERANCES['fp32']


@pytest.fixture
def double(monkeypatch):
    with installed_double(monkeypatch) as world:
        yield world


def with_cache(folder, **options):
    return EngineOptions(tensorrt=TensorRTOptions(cache_folder=folder, **options))


def test_auto_takes_tensorrt_where_there_is_a_gpu(double, pair, tmp_path):
    opened = choose_engine(pair, 'auto', with_cache(tmp_path / 'plans'))
    assert opened.engine.description.startswith('TensorRT 10.13.0')
    assert opened.path == pair
    assert opened.self_test.passed
    assert opened.refusals == ()
    opened.engine.close()


def test_a_gpu_that_fails_is_told_and_freed_and_the_cpu_taken(double, model, tmp_path):
    double.fail('IExecutionContext.execute_async_v3', 2)
    opened = choose_engine(model, 'auto', with_cache(tmp_path / 'plans', cuda_graph=False))
    double.forgive()
    assert ', CPU, ' in opened.engine.description
    assert refused_names(opened) == ['TensorRT', 'ONNX Runtime on CUDA']
    assert 'launch failed' in opened.refusals[0].reason
    assert not double.alive()
    opened.engine.close()


def test_without_a_gpu_tensorrt_says_so_and_the_cpu_is_taken(monkeypatch, model, tmp_path):
    with installed_double(monkeypatch, World(gpu=Gpu(count=0))):
        opened = choose_engine(model, 'auto', with_cache(tmp_path / 'plans'))
        assert ', CPU, ' in opened.engine.description
        assert 'finds no GPU' in opened.refusals[0].reason
        with pytest.raises(UserError, match='finds no GPU'):
            choose_engine(model, 'tensorrt', with_cache(tmp_path / 'plans'))
        opened.engine.close()


def test_auto_works_with_what_this_machine_has(model):
    opened = choose_engine(model)
    assert opened.self_test.passed
    assert opened.engine.infer(np.zeros((32, 64, 3), np.uint8)).depth_m.shape == (32, 64)
    opened.engine.close()


def test_a_sibling_that_is_not_needed_is_not_read(pair, machine, monkeypatch):
    machine()
    monkeypatch.setattr(opening, 'find_variant', lambda *arguments: pytest.fail('read'))
    assert choose_engine(pair).path == pair


@pytest.mark.parametrize(('tf32', 'tolerance'), [(True, 'tf32'), (False, 'fp32')])
def test_products_of_tf32_may_be_less_exact_on_cuda(model, machine, tf32, tolerance):
    machine(tensorrt=NO_GPU)
    opened = choose_engine(model, 'auto', EngineOptions(OnnxRuntimeOptions(tf32=tf32)))
    assert opened.self_test.tolerance == TOLERANCES[tolerance]


def test_tf32_makes_the_cpu_no_less_exact(model, machine):
    machine(tensorrt=NO_GPU, cuda=NO_CUDA)
    opened = choose_engine(model, 'auto', EngineOptions(OnnxRuntimeOptions(tf32=True)))
    assert opened.self_test.tolerance == TOLERANCES['fp32']
