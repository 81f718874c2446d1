"""Running one benchmark in a process of its own."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.figures import Figure
from benchmarks.figures import read_figures
from benchmarks.suite import Benchmark

ROOT = Path(__file__).resolve().parents[1]
TIME_LIMIT_S = 300.0


class Round(NamedTuple):
    """One run of a benchmark."""

    figures: tuple[Figure, ...]
    seconds: float
    load: float  # of the machine, before
    failure: str | None


def run_once(
    benchmark: Benchmark, log: Path, root: Path = ROOT, limit_s: float = TIME_LIMIT_S
) -> Round:
    """
    Run a benchmark.

    :param log: what it prints is appended to this file.
    :param root: the checkout.
    """
    load, started_s = os.getloadavg()[0], time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / 'figures.json'
        words = ['-m', f'benchmarks.{benchmark.name}', *benchmark.arguments, '--figures', file]
        failure = _run([sys.executable, *map(str, words)], log, root, limit_s)
        if failure is None and not file.is_file():
            failure = 'it wrote no figures'
        figures = read_figures(file) if failure is None else ()
    return Round(figures, time.monotonic() - started_s, load, failure)


def _run(command: list[str], log: Path, root: Path, limit_s: float) -> str | None:
    """Run a command and return, in a few words, why it failed."""
    environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONWARNINGS': 'ignore'}
    with log.open('a+b') as output:
        start = output.seek(0, os.SEEK_END)
        # A session of its own: benchmarks start processes, which must not outlive them.
        process = subprocess.Popen(
            command,
            cwd=root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            return f'it took more than {limit_s:g} s'
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if status == 0:
            return None
        output.seek(start)
        said = output.read().decode(errors='replace').strip().splitlines()
    return f'exit status {status}: {said[-1] if said else "it said nothing"}'
