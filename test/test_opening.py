"""Engines are tried in order, tested before anyone gets them, and refused with a reason."""

import logging
import sys
import weakref
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from fake_engines import FakeEngine
from fake_engines import Machine
from fake_engines import write_model
from tensorrt_double import Gpu
from tensorrt_double import World
from tensorrt_double import installed_double
from tiny_model import write_tiny_model

from sg_depth_ros.engines import EngineOptions
from sg_depth_ros.engines import EngineUnavailableError
from sg_depth_ros.engines import OnnxRuntimeOptions
from sg_depth_ros.engines import TensorRTOptions
from sg_depth_ros.engines import choose_engine
from sg_depth_ros.engines import onnxruntime_engine
from sg_depth_ros.engines import open_engine
from sg_depth_ros.engines import opening
from sg_depth_ros.engines.engine import EngineFailedError
from sg_depth_ros.engines.engine import PlanMissingError
from sg_depth_ros.engines.self_test import TOLERANCES
from sg_depth_ros.engines.tensorrt.progress import BuildCancelledError
from sg_depth_ros.errors import UserError

NO_GPU = EngineUnavailableError('no CUDA device was found')
NO_CUDA = EngineUnavailableError('built without CUDA')


@pytest.fixture
def model(tmp_path):
    return write_model(tmp_path / 'model.onnx')


@pytest.fixture
def pair(tmp_path):
    """Return an fp16 file with its fp32 sibling beside it."""
    write_model(tmp_path / 'model.onnx')
    return write_model(tmp_path / 'model.fp16.onnx', 'fp16')


@pytest.fixture
def machine(monkeypatch):
    """Return a function that makes a machine's engines the ones that are opened."""

    def make(**behaviour):
        made = Machine(**behaviour)
        tensorrt = SimpleNamespace(open_tensorrt_engine=partial(made.open, 'tensorrt'))
        monkeypatch.setitem(sys.modules, 'sg_depth_ros.engines.tensorrt.opening', tensorrt)
        monkeypatch.setattr(
            onnxruntime_engine,
            'OnnxRuntimeEngine',
            lambda model, device, threads, tf32: made.open(device, model, threads, tf32),
        )
        return made

    return make


def names(opened):
    return [refusal.name for refusal in opened.refusals]


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
    assert names(opened) == ['TensorRT']
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


def test_what_is_missing_for_both_files_is_told_once(pair, machine, caplog):
    machine(tensorrt=NO_GPU, cuda=NO_CUDA)
    with caplog.at_level(logging.DEBUG, opening.LOGGER.name):
        opened = choose_engine(pair)
    assert names(opened) == ['TensorRT', 'ONNX Runtime on CUDA']
    assert caplog.text.count('no CUDA device was found') == 1


def test_what_is_missing_is_no_warning_but_what_is_wrong_is(model, machine, caplog):
    machine(tensorrt=NO_GPU, cuda=1.5)
    with caplog.at_level(logging.INFO, opening.LOGGER.name):
        choose_engine(model)
    levels = {record.args[0]: record.levelno for record in caplog.records if record.args}
    assert levels['TensorRT'] == logging.INFO
    assert levels['ONNX Runtime on CUDA'] == logging.WARNING


def test_errors_of_a_library_are_refusals_with_their_kind(model, machine):
    made = machine(tensorrt=RuntimeError('cudaErrorLaunchFailure\nin stream 3'), cuda=OSError('x'))
    opened = choose_engine(model)
    assert opened.refusals == (
        ('TensorRT', 'RuntimeError: cudaErrorLaunchFailure in stream 3'),
        ('ONNX Runtime on CUDA', 'OSError: x'),
    )
    assert made.engines == [opened.engine]


def test_an_engine_that_fails_in_its_self_test_is_closed(model, machine):
    made = machine(tensorrt=(RuntimeError('device lost'),))
    opened = choose_engine(model)
    assert opened.refusals == (('TensorRT', 'RuntimeError: device lost'),)
    failing, good = made.engines
    assert (failing.closed, good.closed) == (1, 0)


def test_an_interruption_closes_the_engine_and_is_no_refusal(model, machine, monkeypatch):
    made = machine()

    def interrupt(engine, tolerance):
        raise KeyboardInterrupt

    monkeypatch.setattr(opening, 'run_self_test', interrupt)
    with pytest.raises(KeyboardInterrupt):
        choose_engine(model)
    assert [engine.closed for engine in made.engines] == [1]


def test_a_close_that_fails_does_not_hide_the_reason(model, machine, monkeypatch):
    def close(engine):
        raise RuntimeError('cannot close')

    monkeypatch.setattr(FakeEngine, 'close', close)
    machine(tensorrt=0.5)
    opened = choose_engine(model)
    assert 'FAILED' in opened.refusals[0].reason


def test_if_all_fail_their_self_test_the_error_says_how_far_off_each_is(model, machine):
    made = machine(tensorrt=0.9, cuda=1.1, cpu=1.3)
    with pytest.raises(UserError) as refused:
        choose_engine(model)
    message = str(refused.value)
    assert message.startswith(f'{model}: TensorRT cannot be used: self-test FAILED')
    for name, scale in [('TensorRT', '0.9'), ('on CUDA', '1.1'), ('on CPU', '1.3')]:
        assert f'scale {scale}' in message.split(name)[1]
    assert '\n' not in message
    assert [engine.closed for engine in made.engines] == [1, 1, 1]


def test_a_wrong_self_test_in_the_file_is_refused_by_the_real_engine(tmp_path):
    path = write_model(tmp_path / 'model.onnx', factor=1.02)
    with pytest.raises(UserError, match=r'scale 0\.98'):
        open_engine(path, 'onnxruntime')
    engine = open_engine(path, 'onnxruntime', EngineOptions(self_test=False))
    engine.close()


def test_tf32_is_judged_by_its_own_tolerance(model, machine):
    machine()
    opened = choose_engine(model, 'auto', EngineOptions(tensorrt=TensorRTOptions(tf32=True)))
    assert opened.self_test.tolerance == TOLERANCES['tf32']
    opened = choose_engine(model)
    assert opened.self_test.tolerance == TOLERANCES['fp32']


def test_a_damaged_file_is_an_error_at_once(model, machine):
    made = machine()
    model.write_bytes(model.read_bytes()[:-7])
    with pytest.raises(UserError, match=r'model\.onnx'):
        choose_engine(model)
    assert not made.tried


def test_what_was_misspelt_is_an_error_at_once(model, machine):
    made = machine()
    for kind, options, word in [
        ('openvino', OnnxRuntimeOptions(), 'openvino'),
        ('auto', OnnxRuntimeOptions(device='gpu'), 'gpu'),
        ('auto', OnnxRuntimeOptions(threads=0), 'threads'),
    ]:
        with pytest.raises(UserError, match=word):
            choose_engine(model, kind, EngineOptions(options))
    assert not made.tried


@pytest.mark.parametrize(
    'error', [PlanMissingError('run "build_engine" first'), BuildCancelledError('given up')]
)
def test_a_missing_plan_and_a_build_given_up_end_the_search(model, machine, error):
    made = machine(tensorrt=error)
    with pytest.raises(type(error)) as raised:
        choose_engine(model)
    assert raised.value is error
    assert made.tried == [('tensorrt', 'model.onnx')]


def test_what_is_left_of_a_failed_engine_is_gone_when_the_next_is_opened(model, machine):
    """GPU memory is scarce: a traceback that is kept would keep it."""

    class HalfOpen:
        pass

    left, alive = [], []

    def fail(*_arguments):
        engine = HalfOpen()
        left.append(weakref.ref(engine))
        raise RuntimeError('no memory')

    made = machine()
    sys.modules['sg_depth_ros.engines.tensorrt.opening'].open_tensorrt_engine = fail
    made.on_open = lambda: alive.append(left[0]() is not None)
    choose_engine(model)
    assert alive == [False]


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
    assert names(opened) == ['TensorRT', 'ONNX Runtime on CUDA']
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


@pytest.mark.parametrize(
    ('error', 'level'),
    [
        (NO_GPU, logging.INFO),
        (EngineFailedError('does not take node "x"'), logging.WARNING),
        (RuntimeError('out of order'), logging.WARNING),
    ],
)
def test_what_should_work_and_does_not_is_warned_of(model, machine, caplog, error, level):
    machine(tensorrt=error)
    with caplog.at_level(logging.INFO, logger='sg_depth_ros.engines'):
        choose_engine(model)
    (record,) = (r for r in caplog.records if 'TensorRT is not used' in r.getMessage())
    assert record.levelno == level


def test_a_file_that_cannot_be_tested_is_warned_of(tmp_path, machine, caplog):
    machine()
    write_tiny_model(tmp_path / 'model.onnx')
    opened = choose_engine(tmp_path / 'model.onnx')
    assert opened.self_test is None
    assert 'carries no self-test' in caplog.text


def test_one_reason_is_told_of_every_library_that_has_it(model, machine):
    machine(tensorrt=NO_GPU, cuda=NO_GPU)
    assert names(choose_engine(model)) == ['TensorRT', 'ONNX Runtime on CUDA']


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
