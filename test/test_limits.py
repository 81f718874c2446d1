"""Which limits hold a replay, and what is said where one is exceeded."""

import argparse
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest

from sg_depth_ros.errors import UserError
from sg_depth_ros.metrics import DepthMetrics
from sg_depth_ros.replay.live.junit import write_junit
from sg_depth_ros.replay.live.limit_arguments import add_limit_arguments
from sg_depth_ros.replay.live.limit_arguments import chosen_limits
from sg_depth_ros.replay.live.limit_arguments import read_limits
from sg_depth_ros.replay.live.limits import LIMIT_KINDS
from sg_depth_ros.replay.live.limits import Limit
from sg_depth_ros.replay.live.limits import check_limits
from sg_depth_ros.replay.live.modes import MODES
from sg_depth_ros.replay.live.timing import Jitter
from sg_depth_ros.replay.live.timing import Timing
from sg_depth_ros.replay.live.usage import Usage
from sg_depth_ros.replay.live.verdict import Check

KINDS = {kind.option: kind for kind in LIMIT_KINDS}
ERRORS = DepthMetrics(0.12, 1.0, 5.0, 0.2, 0.1, 0.85, 0.95, 0.98)


def run(mode, latencies_ms=(100.0, 200.0), judged=True, measured=True):
    timing = Timing(
        latencies_ms=latencies_ms,
        sent_s=(0.0, 0.1),
        jitter=Jitter(3.0, 9.0),
        missed_frames=sum(v != v for v in latencies_ms),
        stale_after_ms=150.0,
        stale_frames=1,
        input_rate_hz=10.0,
        output_rate_hz=9.0,
        player_late_ms=0.0,
    )
    findings = SimpleNamespace(
        summary=SimpleNamespace(scale_ratio_median=0.9 if judged else None),
        infinite_depth=lambda: SimpleNamespace(frames=2),
        standing=lambda: SimpleNamespace(total=SimpleNamespace(missing_share=0.25)),
    )
    return SimpleNamespace(
        mode=mode,
        timing=timing,
        usage=Usage(1.5, 500.0, 600.0, 4.0) if measured else None,
        errors=ERRORS if judged else None,
        findings=findings,
    )


MEASURED = {
    'max-latency-p50-ms': 150.0,
    'max-latency-p95-ms': 195.0,
    'max-latency-p99-ms': 199.0,
    'max-jitter-ms': 9.0,
    'max-missed': 0.0,
    'max-stale': 0.5,
    'min-rate-hz': 9.0,
    'max-cpu': 1.5,
    'max-memory-mb': 600.0,
    'max-memory-growth-mb': 4.0,
    'max-abs-rel': 0.12,
    'max-rmse': 5.0,
    'min-a1': 0.85,
    'max-scale-error': 0.1,
    'max-infinite-frames': 2.0,
    'max-missing-vehicles': 0.25,
}


@pytest.mark.parametrize('option', KINDS)
def test_a_value_within_a_limit_passes_and_one_beyond_fails(option):
    kind, value = KINDS[option], MEASURED[option]
    margin = -0.01 if kind.is_least else 0.01
    [within] = check_limits([Limit(kind, value + margin)], [run('recorded speed')])
    [beyond] = check_limits([Limit(kind, value - margin)], [run('recorded speed')])
    assert within.measured == beyond.measured == pytest.approx(value)
    assert within.passed
    assert not beyond.passed
    assert kind.what in beyond.sentence()
    assert f'(--{option})' in beyond.sentence()


def modes_of(option, mode):
    runs = [run(m) for m in MODES[mode]]
    return [check.mode for check in check_limits([Limit(KINDS[option], 1.0)], runs)]


def test_latency_counts_at_recorded_speed_where_that_is_run():
    assert modes_of('max-latency-p95-ms', 'all') == ['recorded speed']
    assert modes_of('max-latency-p95-ms', 'lockstep') == ['lock step']


def test_rate_counts_where_the_node_is_to_be_fast():
    assert modes_of('min-rate-hz', 'all') == ['recorded speed', 'full speed']
    assert modes_of('min-rate-hz', 'lockstep') == ['lock step']


def test_depth_and_memory_count_in_every_run():
    every = ['lock step', 'recorded speed', 'full speed']
    assert modes_of('max-abs-rel', 'all') == modes_of('max-memory-mb', 'all') == every


@pytest.mark.parametrize(
    ('option', 'words'),
    [
        ('max-abs-rel', 'AbsRel is not known, no image has ground truth; limit 0.5'),
        ('max-scale-error', 'no image has ground truth'),
        ('max-cpu', 'there is no /proc'),
        ('max-latency-p95-ms', 'no depth image came; limit 0.5 ms'),
    ],
)
def test_what_could_not_be_measured_fails(option, words):
    nothing = run('lock step', (float('nan'),) * 2, judged=False, measured=False)
    [check] = check_limits([Limit(KINDS[option], 0.5)], [nothing])
    assert not check.passed
    assert words in check.sentence()


def chosen(words, mode='both'):
    parser = argparse.ArgumentParser()
    add_limit_arguments(parser)
    limits = chosen_limits(parser.parse_args(words), MODES[mode])
    return {limit.kind.option: limit.value for limit in limits}


def test_limits_of_the_command_line_go_before_those_of_the_file(tmp_path):
    path = tmp_path / 'limits.yaml'
    path.write_text('max-cpu: 2\nmax-missed: 0.1\n')
    assert chosen(['--limits', str(path), '--max-cpu', '1.5']) == {
        'max-cpu': 1.5,
        'max-missed': 0.1,
    }
    assert chosen([]) == {}


@pytest.mark.parametrize(
    'words',
    [('--max-missed', '3'), ('--max-cpu', '-1'), ('--max-rmse', 'inf'), ('--min-a1', 'much')],
)
def test_what_is_no_limit_is_refused(words, capsys):
    with pytest.raises(SystemExit):
        chosen(list(words))
    assert words[0] in capsys.readouterr().err


def test_a_limit_that_no_run_measures_is_refused():
    with pytest.raises(UserError, match='--max-stale is measured at recorded speed only'):
        chosen(['--max-stale', '0.1'], 'fast')


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('max-cpus: 2', "'max-cpus' is no limit; those known: max-latency-p50-ms"),
        ('max-missed: 3', 'max-missed: 3 is not a share, 0 to 1'),
        ('max-cpu: true', 'max-cpu: True is not finite'),
        ('max-cpu: [1]', r'max-cpu: \[1\] is no number'),
        ('- max-cpu', 'no mapping of limits'),
        ('max-cpu: [', 'no YAML'),
    ],
)
def test_a_file_that_holds_no_limits_is_refused_in_one_line(tmp_path, text, words):
    path = tmp_path / 'limits.yaml'
    path.write_text(text)
    with pytest.raises(UserError, match=words) as refusal:
        read_limits(path)
    assert '\n' not in str(refusal.value)


def test_failures_reach_junit_whatever_letters_they_hold(tmp_path):
    checks = (
        Check('lock step', 'depth <1 & "right">', '3', ()),
        Check('lock step', 'the node runs to the end', 'it died', ('\x1b[31mred\x00\n', 'too')),
    )
    write_junit(checks, tmp_path / 'junit.xml')
    [suite] = ElementTree.parse(tmp_path / 'junit.xml').getroot()
    assert (suite.get('tests'), suite.get('failures')) == ('2', '1')
    assert [case.get('name') for case in suite] == [check.promise for check in checks]
    [failure] = suite.iter('failure')
    assert failure.text.split('\n')[-1] == 'too'


def test_the_documentation_names_every_limit():
    page = (Path(__file__).resolve().parents[1] / 'docs' / 'evaluation.md').read_text()
    assert [option for option in KINDS if f'`--{option}`' not in page] == []
