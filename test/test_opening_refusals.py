"""Engines that are not taken: closed, refused with a reason, and told to the log."""

import logging
import sys
import weakref
from functools import partial

import pytest
from fake_engines import NO_CUDA
from fake_engines import NO_GPU
from fake_engines import FakeEngine
from fake_engines import installed_machine
from fake_engines import refused_names
from fake_engines import write_model
from fake_engines import write_pair
from tiny_model import write_tiny_model

from sg_depth_ros.engines import EngineOptions
from sg_depth_ros.engines import OnnxRuntimeOptions
from sg_depth_ros.engines import choose_engine
from sg_depth_ros.engines import open_engine
from sg_depth_ros.engines import opening
from sg_depth_ros.engines.engine import EngineFailedError
from sg_depth_ros.engines.engine import PlanMissingError
from sg_depth_ros.engines.tensorrt.progress import BuildCancelledError
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


def test_what_is_missing_for_both_files_is_told_once(pair, machine, caplog):
    machine(tensorrt=NO_GPU, cuda=NO_CUDA)
    with caplog.at_level(logging.DEBUG, opening.LOGGER.name):
        opened = choose_engine(pair)
    assert refused_names(opened) == ['TensorRT', 'ONNX Runtime on CUDA']
    assert caplog.text.count('no CUDA device was found') == 1


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


@pytest.mark.parametrize(
    ('behaviour', 'level'),
    [
        (NO_GPU, logging.INFO),
        (EngineFailedError('does not take node "x"'), logging.WARNING),
        (RuntimeError('out of order'), logging.WARNING),
        (1.5, logging.WARNING),  # depth so many times too large
    ],
)
def test_what_should_work_is_warned_of_and_what_is_missing_is_not(
    model, machine, caplog, behaviour, level
):
    machine(tensorrt=behaviour)
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
    assert refused_names(choose_engine(model)) == ['TensorRT', 'ONNX Runtime on CUDA']
