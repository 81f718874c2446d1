import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import __main__ as bench
from benchmarks.comparison import change_of
from benchmarks.figures import Figure
from benchmarks.figures import less_is_better
from benchmarks.figures import more_is_better
from benchmarks.machine import Machine
from benchmarks.machine import this_machine
from benchmarks.results import Measured
from benchmarks.results import Result
from benchmarks.results import Results
from benchmarks.results import merged
from benchmarks.results import over_rounds
from benchmarks.results import parse_results
from benchmarks.results import results_text
from benchmarks.results_page import changed_lines
from benchmarks.results_page import results_page
from benchmarks.running import run_once
from benchmarks.suite import SUITE
from benchmarks.suite import Benchmark

ROOT = Path(__file__).resolve().parents[1]
MACHINE = Machine('a processor', 8, 32, 'Linux x86_64')


def measured(ratio, spread=0.0, name='plane'):
    low, high = ratio * (1 - spread), ratio * (1 + spread)
    return Measured(name, 1.5, 'ms', 'loop', ratio, low, high)


def result(*figures, benchmark='ground', **changes):
    made = Result(
        benchmark,
        subject='The ground plane',
        command=f'python -m benchmarks.{benchmark}',
        date='2026-01-02',
        commit='abc1234',
        rounds=3,
        seconds=2.0,
        load=0.1,
        figures=figures,
    )
    return replace(made, **changes)


def results_of(*entries, machine=MACHINE, **versions):
    return Results(machine, {'python': '3.11', **versions}, entries)


def test_a_ratio_says_how_many_times_better_a_figure_is():
    assert less_is_better('time', 2.0, 'ms', 'loop', 6.0).ratio == 3.0
    assert more_is_better('rate', 6.0, '1/s', 'loop', 2.0).ratio == 3.0


def test_a_count_is_shown_without_digits():
    figures = over_rounds([[more_is_better('arrived', 75, 'images', 'sent', 80)]])
    assert '| 75 images | sent | 0.938 |' in results_page(results_of(result(*figures)), None)


def test_rounds_become_medians_with_the_range_of_the_ratio():
    rounds = [[less_is_better('time', ms, 'ms', 'loop', 12.0)] for ms in (2.0, 4.0, 3.0)]
    rounds[0].append(Figure('only once', 7.0, 'MB', 'loop', 1.0))
    for figures in rounds:
        figures.append(less_is_better('time', 2.0, 'ms', 'other', 2.0))
    time, once, other = over_rounds(rounds)
    assert (time.value, time.ratio, time.lowest_ratio, time.highest_ratio) == (3.0, 4.0, 3.0, 6.0)
    assert (once.name, once.value) == ('only once', 7.0)
    assert (other.baseline, other.ratio) == ('other', 1.0)


@pytest.mark.parametrize(
    ('now', 'before', 'change'),
    [
        (measured(3.0), None, 'new'),
        (measured(3.0, 0.05), measured(2.0, 0.05), 'better'),
        (measured(2.0, 0.05), measured(3.0, 0.05), 'worse'),
        (measured(2.0, 0.3), measured(3.0, 0.3), 'same'),  # rounds differ as much
        (measured(2.0, 0.01), measured(2.1, 0.01), 'same'),  # days differ as much
    ],
)
def test_a_change_is_told_beyond_what_rounds_and_days_differ(now, before, change):
    assert change_of(now, before) == change


def test_results_read_back():
    results = results_of(result(measured(2.0), failure='exit status 1: "x"'), torch='2.13')
    assert parse_results(results_text(results)) == results


@pytest.mark.parametrize('text', ['', '{}', '{"format_version": 99}', '[1]'])
def test_results_of_another_form_are_none(text):
    assert parse_results(text) is None


def test_what_was_not_measured_again_stays_only_on_the_same_machine_with_the_same_packages():
    last = results_of(result(measured(1.0)), result(measured(2.0), benchmark='pac'))
    new = results_of(result(measured(5.0), benchmark='pac'))
    order = ['ground', 'pac']
    kept = merged(new, last, order)
    assert [(r.benchmark, r.figures[0].ratio) for r in kept.results] == [
        ('ground', 1.0),
        ('pac', 5.0),
    ]
    other = Machine('another', 2, 4, 'Linux aarch64')
    assert merged(replace(new, machine=other), last, order).results == new.results
    assert merged(replace(new, versions={'python': '3.12'}), last, order).results == new.results


def test_the_page_marks_changes_and_tells_failures_and_what_else_differs():
    last = results_of(result(measured(4.0), measured(9.0, name='image')), torch='2.4')
    failed = result(benchmark='node', rounds=0, failure='exit status 3: no ROS')
    now = results_of(
        result(measured(2.0), measured(9.0, name='image'), load=9.0),
        failed,
        machine=replace(MACHINE, cores=2),
        torch='2.13',
    )
    page = results_page(now, last)
    assert '| plane | 1.500 ms | loop | 2 |  | 4 | **worse** |' in page.replace('1.50 ', '1.500 ')
    assert '| image | 1.50 ms | loop | 9 |  | 9 |  |' in page
    assert '**Failed**: exit status 3: no ROS' in page
    assert 'another machine: a processor, 8 cores' in page
    assert 'torch 2.4 then, 2.13 now' in page
    assert 'load 9.0' in page
    assert changed_lines(now.results, last) == ['worse: ground, plane: 2 times loop, was 4']


def test_what_was_not_measured_again_is_not_compared_with_itself():
    kept, new = result(measured(4.0)), result(measured(2.0), benchmark='pac')
    last = results_of(kept, result(measured(3.0), benchmark='pac'))
    page = results_page(results_of(kept, new), last)
    assert '| plane | 1.50 ms | loop | 4 |  |  |  |' in page
    assert '| plane | 1.50 ms | loop | 2 |  | 3 | **worse** |' in page


def test_a_figure_with_other_settings_is_new():
    last = results_of(result(measured(4.0), command='python -m benchmarks.ground --other'))
    assert changed_lines([result(measured(2.0))], last) == []


@pytest.fixture
def checkout(tmp_path):
    """Benchmarks that end well, badly, and not at all."""
    folder = tmp_path / 'benchmarks'
    folder.mkdir()
    figure = {'name': 'x', 'value': 1.0, 'unit': 's', 'baseline': 'y', 'ratio': 2.0}
    good = 'import sys, pathlib\nassert sys.argv[1:3] == ["--size", "3"]\n'
    good += f'pathlib.Path(sys.argv[4]).write_text({json.dumps([figure])!r})\n'
    (folder / 'good.py').write_text(good)
    (folder / 'bad.py').write_text('raise SystemExit("no such drive")\n')
    (folder / 'silent.py').write_text('')
    (folder / 'slow.py').write_text('import time\ntime.sleep(60)\n')
    return tmp_path


@pytest.mark.parametrize(
    ('name', 'failure'),
    [
        ('good', None),
        ('bad', 'exit status 1: no such drive'),
        ('silent', 'it wrote no figures'),
        ('slow', 'it took more than 0.5 s'),
    ],
)
def test_a_benchmark_hands_over_its_figures_or_says_why_not(checkout, tmp_path, name, failure):
    benchmark = Benchmark(name, 'for a test', ('--size', '3'))
    limit_s = 0.5 if name == 'slow' else 60.0
    run = run_once(benchmark, tmp_path / 'log', checkout, limit_s)
    assert run.failure == failure
    assert run.figures == (() if failure else (Figure('x', 1.0, 's', 'y', 2.0),))


def test_every_benchmark_of_the_suite_hands_over_figures():
    for benchmark in SUITE:
        source = (ROOT / 'benchmarks' / f'{benchmark.name}.py').read_text()
        assert 'add_figures_option(parser)' in source
        assert 'write_figures(' in source


def test_one_that_fails_does_not_keep_the_others(tmp_path, monkeypatch, capsys):
    suite = (Benchmark('missing', 'Missing'), Benchmark('ground', 'The ground plane'))
    monkeypatch.setattr(bench, 'SUITE', suite)
    monkeypatch.setattr(bench, 'committed_results', lambda: None)
    out = tmp_path / 'out'
    assert bench.main(['--rounds', '1', '--out', str(out), '--log', str(tmp_path / 'log')]) == 1
    results = parse_results((out / 'results.json').read_text())
    assert results.machine == this_machine()
    assert [bool(r.failure) for r in results.results] == [True, False]
    assert all(figure.ratio > 0 for figure in results.results[1].figures)
    assert 'failed: missing: exit status 1' in capsys.readouterr().out
    assert '## The ground plane' in (out / 'results.md').read_text()


def test_an_unknown_name_is_refused(capsys):
    with pytest.raises(SystemExit):
        bench.main(['ground', 'grund'])
    assert 'no benchmark grund' in capsys.readouterr().err
