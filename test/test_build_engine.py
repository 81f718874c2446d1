"""build_engine as it is called: what it opens, tests, times, prints and ends with."""

import json
import logging
import re
from pathlib import Path

import pytest
from fake_engines import write_model
from tensorrt_double import installed_double
from tiny_model import write_tiny_model

from sg_depth_ros.engines import build_engine
from sg_depth_ros.engines import timing
from sg_depth_ros.engines.build_engine import main

CPU = ('--device', 'cpu', '--threads', '1', '--runs', '3')


@pytest.fixture
def model(tmp_path, monkeypatch):
    """Return a model; nothing is kept where the user's plans are."""
    monkeypatch.setenv('SG_DEPTH_ROS_CACHE', str(tmp_path / 'cache'))
    return write_model(tmp_path / 'model.onnx')


@pytest.fixture(autouse=True)
def no_warm_up(monkeypatch):
    """No time is looked at here."""
    monkeypatch.setattr(timing, 'WARM_UP_S', 0)


@pytest.fixture
def no_gpu(monkeypatch):
    """Hide a GPU where this machine has one."""
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '-1')


@pytest.fixture
def gpu(monkeypatch):
    """Give a machine with a GPU and TensorRT."""
    with installed_double(monkeypatch) as world:
        yield world


def run(capfd, *arguments):
    """Run the command; return its status, stdout and stderr."""
    status = main([str(argument) for argument in arguments])
    return status, *capfd.readouterr()


def document(capfd, *arguments):
    """Run the command with --json; return what it says."""
    status, out, _ = run(capfd, *arguments, '--json')
    assert status == 0
    return json.loads(out)


class TestWithoutAGpu:
    @pytest.fixture(autouse=True)
    def hide(self, no_gpu):
        pass

    def test_onnx_runtime_is_tested_and_timed_and_the_reason_told(self, model, capfd):
        status, out, err = run(capfd, model, *CPU)
        assert status == 0 and err == ''
        assert 'tiny, guided by none, 64x32' in out
        assert re.search(r'engine +[│┃] ONNX Runtime .*, CPU, 1 thread, fp32', out)
        assert 'passed: 100.00 % of pixels within 1 %' in out
        assert len(re.findall(r'(network only|with copies) +│( \d+\.\d\d /?){3}', out)) == 2
        assert 'No TensorRT plan came out' in out
        assert re.search(r'not taken: TensorRT: .*(CUDA|driver|GPU|TensorRT)', out)

    def test_slow_timing_tells_how_far_it_is(self, model, capfd, monkeypatch):
        monkeypatch.setattr(build_engine, 'LINE_EVERY_S', 0)
        _, _, err = run(capfd, model, *CPU, '--runs', '20', '--json')
        assert err.splitlines() == ['timing: 50 %', 'timing: 100 %']

    def test_json_is_all_there_is_on_stdout(self, model, capfd):
        said = document(capfd, model, *CPU)
        assert said['usable'] and said['model'] == str(model)
        (engine,) = said['engines']
        assert engine['precision'] == 'fp32' and engine['plan'] is None
        assert engine['self_test']['passed']
        assert engine['self_test']['share_within_1_percent'] == 1
        assert engine['self_test']['tolerance']['max_relative_error'] > 0
        assert engine['runs'] == 3
        for name in ('network_ms', 'with_copies_ms'):
            times = engine[name]
            assert 0 < times['p50'] <= times['p95'] <= times['p99']
        assert engine['ratio_to_first'] == 1
        assert [refusal['name'] for refusal in said['refused']] == ['TensorRT']
        assert said['refused'][0]['reason']

    def test_an_explicit_tensorrt_ends_with_the_reason(self, model, capfd):
        status, out, err = run(capfd, model, '--engine', 'tensorrt', *CPU)
        assert (status, out) == (2, '')
        assert err.startswith('error: ') and len(err.splitlines()) == 1
        assert re.search('CUDA|driver|GPU|TensorRT', err)

    def test_two_precisions_are_compared(self, model, capfd):
        write_model(model.with_name('model.fp16.onnx'), 'fp16')
        write_model(model.with_name('model.fp32.onnx'), weights_sha256='1' * 64)
        status, out, _ = run(capfd, model, '--all-precisions', *CPU)
        assert status == 0
        assert re.search(r'file +│ model\.onnx +│ model\.fp16\.onnx +│', out)
        assert re.search(r'precision +│ fp32 +│ fp16 +│', out)
        assert re.search(r'time / first +│ 1\.00 +│ \d+\.\d\d +│', out)
        assert out.count('not taken: TensorRT') == 1
        said = document(capfd, model, '--all-precisions', *CPU)
        first, second = said['engines']
        assert second['ratio_to_first'] == pytest.approx(
            second['with_copies_ms']['p50'] / first['with_copies_ms']['p50']
        )

    def test_one_precision_of_two_may_fail(self, model, capfd):
        write_model(model.with_name('model.fp16.onnx'), 'fp16', factor=1.1)
        status, out, _ = run(capfd, model, '--all-precisions', *CPU)
        assert status == 0
        assert re.search(r'file +│ model\.onnx +│\n', out)
        assert re.search(r'not taken: model\.fp16\.onnx: .*self-test FAILED: depth within', out)

    def test_a_failing_self_test_says_how_far_off_it_is(self, tmp_path, capfd):
        path = write_model(tmp_path / 'wrong.onnx', factor=1.25)
        status, out, err = run(capfd, path, '--engine', 'onnxruntime', *CPU)
        assert (status, out) == (2, '')
        assert 'within 1 % on 0.00 % of pixels, worst relative error 0.2' in err
        status, out, err = run(capfd, path, *CPU, '--json')
        assert status == 2
        said = json.loads(out)
        assert not said['usable'] and said['engines'] == []
        assert 'self-test FAILED' in said['refused'][-1]['reason']

    def test_a_file_without_a_self_test_is_timed_and_told_of(self, tmp_path, capfd):
        path = tmp_path / 'untested.onnx'
        write_tiny_model(path)
        status, out, _ = run(capfd, path, *CPU)
        assert status == 0
        assert 'none in the file' in out and 'untested.onnx carries no self-test' in out
        assert document(capfd, path, *CPU)['engines'][0]['self_test'] is None

    @pytest.mark.parametrize(
        ('name', 'content', 'reason'),
        [
            ('missing.onnx', None, 'no such model file'),
            ('folder', 'folder', 'folder'),
            ('empty.onnx', b'', 'empty'),
            ('text.onnx', b'no model', 'no ONNX model'),
        ],
    )
    def test_a_bad_model_is_told_in_one_line(self, name, content, reason, tmp_path, capfd):
        path = tmp_path / name
        if content == 'folder':
            path.mkdir()
        elif content is not None:
            path.write_bytes(content)
        status, out, err = run(capfd, path, '--json')
        assert (status, out) == (2, '')
        assert len(err.splitlines()) == 1 and str(path) in err and reason in err

    @pytest.mark.parametrize(
        'arguments',
        [
            ('--runs', '0'),
            ('--optimization-level', '6'),
            ('--workspace-mb', '-1'),
            ('--engine', 'other'),
            ('--device', 'tpu'),
            ('--threads', 'many'),
        ],
    )
    def test_a_bad_option_is_refused(self, arguments, model, capfd):
        with pytest.raises(SystemExit) as exit_:
            main([str(model), *arguments])
        assert exit_.value.code == 2
        assert arguments[0] in capfd.readouterr().err

    def test_the_log_is_as_before_and_shown_where_asked(self, model, capfd):
        logger = logging.getLogger('sg_depth_ros')
        before = (logger.level, list(logger.handlers))
        assert 'TensorRT is not used' in run(capfd, model, *CPU, '--verbose')[2]
        assert (logger.level, list(logger.handlers)) == before


class TestWithTensorRT:
    """Against the double: see test/tensorrt_double for what it punishes."""

    def test_a_plan_is_built_once_and_then_found(self, model, gpu, capfd):
        status, out, err = run(capfd, model, '--runs', '3')
        assert status == 0
        assert re.search(r'engine +[│┃] TensorRT 10\.13', out)
        assert re.search(r'plan +│ \d+\.\d MB, built in \d+\.\d s', out)
        assert 'building model.onnx: 0 %' in err and '99 %' in err
        path = Path(re.search(r'^plan of model.onnx: (\S+)$', out, re.MULTILINE)[1])
        assert path.is_file() and path.parent == model.parent / 'cache'
        assert 'the node finds it with' not in out  # it does by itself
        written_ns = path.stat().st_mtime_ns

        status, out, err = run(capfd, model, '--runs', '3')
        assert status == 0 and err == ''
        assert re.search(r'from the\s+cache', out) and str(path) in out
        assert path.stat().st_mtime_ns == written_ns

        (engine,) = document(capfd, model, '--runs', '3', '--rebuild')['engines']
        assert engine['plan']['was_built']
        assert path.stat().st_mtime_ns > written_ns

    def test_json_tells_of_the_plan(self, model, gpu, capfd, tmp_path):
        options = ('--cache', tmp_path / 'elsewhere', '--workspace-mb', '64', '--runs', '3')
        (engine,) = document(capfd, model, *options)['engines']
        plan = engine['plan']
        assert Path(plan['path']).parent == tmp_path / 'elsewhere'
        assert plan['size_bytes'] == Path(plan['path']).stat().st_size
        assert plan['was_built'] and plan['build_s'] > 0
        assert engine['node_parameters'] == [
            f'engine_cache:={tmp_path / "elsewhere"}',
            'engine_workspace_mb:=64',
        ]

    def test_neither_a_graph_nor_a_timing_cache_where_none_is_wanted(self, model, gpu, capfd):
        options = ('--no-cuda-graph', '--no-timing-cache', '--runs', '3')
        (engine,) = document(capfd, model, *options)['engines']
        assert engine['engine'].endswith('fp32')
        assert not list((model.parent / 'cache').glob('*.timing'))
        (engine,) = document(capfd, model, '--rebuild', '--runs', '3')['engines']
        assert engine['engine'].endswith('fp32, CUDA graph')
        assert list((model.parent / 'cache').glob('*.timing'))

    def test_all_precisions_have_tf32_too(self, model, gpu, capfd):
        write_model(model.with_name('model.fp16.onnx'), 'fp16')
        said = document(capfd, model, '--all-precisions', '--runs', '3')
        tried = [(Path(e['file']).name, e['precision'], e['tf32']) for e in said['engines']]
        assert tried == [
            ('model.onnx', 'fp32', False),
            ('model.onnx', 'fp32', True),
            ('model.fp16.onnx', 'fp16', False),
        ]
        assert len({engine['plan']['path'] for engine in said['engines']}) == 3

    def test_half_precision_that_fails_gives_way_to_single_unless_told_not_to(
        self, model, gpu, capfd
    ):
        half = write_model(model.with_name('model.fp16.onnx'), 'fp16', factor=1.1)
        said = document(capfd, half, '--engine', 'tensorrt', '--runs', '3')
        assert [Path(engine['file']).name for engine in said['engines']] == ['model.onnx']
        assert 'self-test FAILED' in said['refused'][0]['reason']
        status, out, err = run(capfd, half, '--engine', 'tensorrt', '--no-fallback')
        assert (status, out) == (2, '')
        assert 'self-test FAILED' in err.splitlines()[-1]
