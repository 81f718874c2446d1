"""
``make bench``: the benchmarks that need no GPU, and what changed since their last results.

    python -m benchmarks [NAME ...] [--rounds N] [--out DIR] [--log FILE]

Every benchmark runs in a process of its own, all in turn and that several times, so that what else
the machine does meets all alike. One that fails does not keep the others. Writes results.md and
results.json, and compares with those committed last; of some benchmarks only, the committed
figures of the others stay, if they are of this machine.
"""

import argparse
import datetime
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.comparison import differences
from benchmarks.machine import this_machine
from benchmarks.machine import versions
from benchmarks.results import Result
from benchmarks.results import Results
from benchmarks.results import merged
from benchmarks.results import over_rounds
from benchmarks.results import parse_results
from benchmarks.results import write_results
from benchmarks.results_page import changed_lines
from benchmarks.results_page import results_page
from benchmarks.running import ROOT
from benchmarks.running import Round
from benchmarks.running import run_once
from benchmarks.suite import SUITE
from benchmarks.suite import Benchmark

RESULTS = 'benchmarks/results.json'
FAILURE_STATUS = 1
INTERRUPTED_STATUS = 130


def main(arguments: list[str]) -> int:
    """Run and compare; return 1 where a benchmark failed."""
    parser = _parser()
    options = parser.parse_args(arguments)
    unknown = set(options.names) - {b.name for b in SUITE}
    if unknown:
        parser.error(f'no benchmark {", ".join(sorted(unknown))}; see --help')
    if options.rounds < 1:
        parser.error(f'--rounds {options.rounds}: at least one is needed')
    chosen = [b for b in SUITE if not options.names or b.name in options.names]
    try:
        results = tuple(_run_all(chosen, options.rounds, options.log))
    except KeyboardInterrupt:
        print('\ninterrupted: nothing was written')
        return INTERRUPTED_STATUS
    last = committed_results()
    new = Results(this_machine(), versions(), results)
    options.out.mkdir(parents=True, exist_ok=True)
    shown = merged(new, last, [b.name for b in SUITE])
    write_results(shown, options.out / 'results.json')
    (options.out / 'results.md').write_text(results_page(shown, last))
    _print_end(new, last, options.out / 'results.md')
    return FAILURE_STATUS if any(r.failure is not None for r in results) else 0


def _run_all(chosen: Sequence[Benchmark], rounds: int, log: Path) -> list[Result]:
    done: dict[str, list[Round]] = {b.name: [] for b in chosen}
    for number in range(rounds):
        for benchmark in chosen:
            print(f'{benchmark.name}, round {number + 1} of {rounds}: ', end='', flush=True)
            run = run_once(benchmark, log)
            done[benchmark.name].append(run)
            print(f'{run.seconds:.0f} s' if run.failure is None else run.failure, flush=True)
    return [_result(benchmark, done[benchmark.name]) for benchmark in chosen]


def _result(benchmark: Benchmark, rounds: Sequence[Round]) -> Result:
    good = [r for r in rounds if r.failure is None]
    return Result(
        benchmark=benchmark.name,
        subject=benchmark.subject,
        command=benchmark.command,
        date=datetime.datetime.now(tz=datetime.timezone.utc).date().isoformat(),
        commit=_commit(),
        rounds=len(good),
        seconds=statistics.median(r.seconds for r in rounds),
        load=max(r.load for r in rounds),
        figures=over_rounds([r.figures for r in good]),
        failure=next((r.failure for r in rounds if r.failure is not None), None),
    )


def committed_results() -> Results | None:
    """Return the results of the last commit, None where there are none."""
    text = _git('show', f'HEAD:{RESULTS}')
    return None if text is None else parse_results(text)


def _commit() -> str:
    """Return the commit that is measured, with a plus where files of it were changed."""
    commit = _git('rev-parse', '--short', 'HEAD')
    if commit is None:
        return 'unknown'
    changed = _git('status', '--porcelain', '--untracked-files=no', '--', '*.py')
    return commit.strip() + ('+' if changed else '')


def _git(*words: str) -> str | None:
    try:
        run = subprocess.run(['git', *words], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return run.stdout


def _print_end(new: Results, last: Results | None, page: Path) -> None:
    print()
    if last is None:
        print('no results are committed to compare with')
    else:
        lines = [*differences(new, last), *changed_lines(new.results, last)]
        print('\n'.join(lines or ['nothing changed beyond what rounds differ']))
    for result in new.results:
        if result.failure is not None:
            print(f'failed: {result.benchmark}: {result.failure}')
    print(page)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [b.name for b in SUITE]
    parser.add_argument('names', nargs='*', metavar='NAME', help=f'of {", ".join(names)}')
    parser.add_argument('--rounds', type=int, default=3, help='of each (default: %(default)s)')
    parser.add_argument(
        '--out', type=Path, default=ROOT / 'benchmarks', help='folder of results.md, results.json'
    )
    parser.add_argument(
        '--log',
        type=Path,
        default=Path(tempfile.gettempdir()) / 'sg_depth_ros_benchmarks.log',
        help='what the benchmarks print (default: %(default)s)',
    )
    return parser


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
