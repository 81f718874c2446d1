"""
An exported model with ONNX Runtime, raw and through our engine, against PyTorch and OpenVINO.

    python -m benchmarks.engines [--device cpu|cuda] [--architecture NAME ...]
        [--guidance none|pac|spade ...] [--size WIDTHxHEIGHT ...] [--precision fp32|tf32|fp16 ...]
        [--end-layers N] [--threads N ...] [--runs N] [--ways NAME ...] [--json FILE]
        [--figures FILE]

By default the networks of config/training/small.yaml (ResNet-18 with PAC, 320x96) and
kitti_resnet18.yaml (640x192), with random weights. Every way has a process of its own, which holds
no other library; they take turns in blocks of runs, so that what else the machine does meets all
alike. Ways: session (onnxruntime's session.run), engine (ours), eager, compile and graphs
(PyTorch; by inductor; with CUDA graphs), openvino. What is not installed, or does not work here,
is left out with a sentence.

Times are from a numpy image to numpy arrays, on a CPU with one thread CPU time; "network" is
without the copies. Memory is that of the whole process: its peak, as a rule while it opens, and
what it holds while it runs; on CUDA also what nvidia-smi counts for it. "differs" is the largest
relative difference in depth from the first way. In fp16 PyTorch computes with autocast, ONNX
Runtime and OpenVINO run our fp16 file; the export keeps more of its layers in float32 where the
depth asks for it (--end-layers, at either end of the depth network). The last line of each table
compares our engine with the raw session call by call in one process.
"""

import argparse
import json
import multiprocessing
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.engine_ways import DEVICE_WAYS
from benchmarks.engine_ways import WAYS
from benchmarks.engine_ways import Job
from benchmarks.engine_ways import Memory
from benchmarks.engine_ways import Opened
from benchmarks.engine_ways import Unavailable
from benchmarks.engine_ways import engine_against_session
from benchmarks.engine_ways import export
from benchmarks.engine_ways import serve
from benchmarks.figures import Figure
from benchmarks.figures import add_figures_option
from benchmarks.figures import less_is_better
from benchmarks.figures import write_figures
from benchmarks.machine import processor

SPAWN = multiprocessing.get_context('spawn')
BLOCK_RUNS = 5
DEFAULT_RUNS = {'cpu': 15, 'cuda': 200}


class Result(NamedTuple):
    """One row of a table."""

    way: str
    description: str
    p50_ms: float
    p99_ms: float
    best_ms: float
    network_ms: float | None  # median, without copies
    peak_mib: float  # of the process, libraries included
    running_mib: float  # likewise, after the last run
    device_mib: int | None  # of the GPU
    open_s: float  # to the first result
    differs: float  # depth from the first way's, largest relative difference


class Overhead(NamedTuple):
    """What our engine adds to the raw session, relative."""

    median: float  # of pairs of calls
    best: float  # between the fastest calls


class Table(NamedTuple):
    """One network on one device."""

    job: Job
    gmac: float
    results: list[Result]
    left_out: dict[str, str]  # reason by way
    overhead: Overhead | None


class Process:
    """A way that runs in its own process."""

    def __init__(self, name: str, job: Job, model: Path) -> None:
        self.name = name
        self.times_ms: list[float] = []
        self.network_ms: list[float] = []
        before_mib = device_mib() if job.device == 'cuda' else None
        self._connection, theirs = SPAWN.Pipe()
        self._process = SPAWN.Process(target=serve, args=(theirs, name, job, model), daemon=True)
        self._process.start()
        theirs.close()
        try:
            self.opened: Opened | Unavailable = self._connection.recv()
        except EOFError:
            self.opened = Unavailable('its process died')
        after_mib = None if before_mib is None else device_mib()
        self.device_mib = None
        if before_mib is not None and after_mib is not None:
            self.device_mib = after_mib - before_mib

    def ask(self, runs: int) -> Any:
        """Send a number of runs and return the answer; see ``serve``."""
        self._connection.send(runs)
        return self._connection.recv()

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.join(10)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join()


def device_mib() -> int | None:
    """Return the memory in use on the first GPU, or None where nvidia-smi cannot tell."""
    query = ['nvidia-smi', '--query-gpu=memory.used', '--format=csv,noheader,nounits', '-i', '0']
    try:
        run = subprocess.run(query, capture_output=True, text=True, check=True)
        return int(run.stdout)
    except (OSError, subprocess.CalledProcessError, ValueError):
        return None


def measure(job: Job, names: list[str], runs: int) -> Table:
    """Measure all ways by turns."""
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / 'model.onnx'
        with ProcessPoolExecutor(1, mp_context=SPAWN) as executor:
            gmac = executor.submit(export, job, model).result()
        processes = [Process(name, job, model) for name in names]
        try:
            ready = [p for p in processes if isinstance(p.opened, Opened)]
            take_turns(ready, runs)
            results = list(results_of(ready))
        finally:
            for process in processes:
                process.close()
        left_out = {
            p.name: p.opened.reason for p in processes if isinstance(p.opened, Unavailable)
        }
        overhead = None
        if {'session', 'engine'} <= {p.name for p in ready}:
            with ProcessPoolExecutor(1, mp_context=SPAWN) as executor:
                times = executor.submit(engine_against_session, job, model, 2 * runs).result()
            overhead = overhead_of(*times)
    return Table(job, gmac, results, left_out, overhead)


def take_turns(processes: list[Process], runs: int) -> None:
    for turn, done in enumerate(range(0, runs, BLOCK_RUNS)):
        block = min(BLOCK_RUNS, runs - done)
        for process in processes if turn % 2 else processes[::-1]:
            process.times_ms += process.ask(block)
            assert isinstance(process.opened, Opened)
            if process.opened.times_network:
                process.network_ms += process.ask(-block)


def results_of(processes: list[Process]) -> Iterator[Result]:
    first: NDArray[np.float32] | None = None
    for process in processes:
        assert isinstance(process.opened, Opened)
        depth_m = process.opened.depth_m
        first = depth_m if first is None else first
        memory: Memory = process.ask(0)
        yield Result(
            process.name,
            process.opened.description,
            statistics.median(process.times_ms),
            sorted(process.times_ms)[-1 - len(process.times_ms) // 100],
            min(process.times_ms),
            statistics.median(process.network_ms) if process.network_ms else None,
            memory.peak_mib,
            memory.now_mib,
            process.device_mib,
            process.opened.open_s,
            float(np.abs(depth_m / first - 1).max()),
        )


def overhead_of(engine_ms: list[float], session_ms: list[float]) -> Overhead:
    pairs = [e / s for e, s in zip(engine_ms, session_ms)]
    return Overhead(statistics.median(pairs) - 1, min(engine_ms) / min(session_ms) - 1)


def print_table(table: Table) -> None:
    """Print a row per way with its ratios to the first, as a rule the raw session."""
    job, first = table.job, table.results[0] if table.results else None
    threads = f', {job.threads} thread{"" if job.threads == 1 else "s"}'
    print(f'\n{job.name}, {table.gmac:.1f} GMAC, {job.device}{threads}')
    cuda = job.device == 'cuda'
    print(
        f'{"":<10}{"p50 ms":>10}{"p99":>9}{"best":>9}{"ratio":>7}'
        + (f'{"network":>10}{"GPU MiB":>9}' if cuda else '')
        + f'{"peak MiB":>10}{"running":>9}{"opens s":>9}{"differs":>10}  '
    )
    for r in table.results:
        assert first is not None
        network = '' if r.network_ms is None else f'{r.network_ms:.2f}'
        device = '' if r.device_mib is None else f'{r.device_mib}'
        print(
            f'{r.way:<10}{r.p50_ms:>10.2f}{r.p99_ms:>9.2f}{r.best_ms:>9.2f}'
            f'{r.p50_ms / first.p50_ms:>7.2f}'
            + (f'{network:>10}{device:>9}' if cuda else '')
            + f'{r.peak_mib:>10.0f}{r.running_mib:>9.0f}{r.open_s:>9.1f}'
            f'{r.differs:>10.1e}  {r.description}'
        )
    for name, reason in table.left_out.items():
        print(f'{name:<10} left out: {reason[:160]}')
    if table.overhead is not None:
        print(
            f'engine over session, call by call: {100 * table.overhead.median:+.2f} % '
            f'(best calls {100 * table.overhead.best:+.2f} %)',
            flush=True,
        )


def figures_of(table: Table) -> list[Figure]:
    """Return our engine's time against that of every other way, for ``make bench``."""
    ours = next((r for r in table.results if r.way == 'engine'), None)
    if ours is None:
        return []
    name = table.job.name
    return [
        less_is_better(f'{name}, engine', ours.p50_ms, 'ms', r.way, r.p50_ms)
        for r in table.results
        if r is not ours
    ]


def write_json(path: Path, tables: list[Table]) -> None:
    """Write what was measured, for other programs."""
    document = [
        {
            **table._asdict(),
            'job': table.job._asdict(),
            'results': [result._asdict() for result in table.results],
            'overhead': None if table.overhead is None else table.overhead._asdict(),
        }
        for table in tables
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + '\n')


def size(text: str) -> tuple[int, int]:
    """Read WIDTHxHEIGHT."""
    width, height = map(int, text.split('x'))
    return width, height


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--device', choices=('cpu', 'cuda'), default='cpu')
    parser.add_argument('--architecture', nargs='+', default=['resnet18'])
    parser.add_argument('--guidance', nargs='+', default=['pac'])
    parser.add_argument('--size', nargs='+', type=size, default=[(320, 96), (640, 192)])
    parser.add_argument(
        '--precision', nargs='+', choices=('fp32', 'tf32', 'fp16'), default=['fp32']
    )
    parser.add_argument(
        '--end-layers', type=int, default=0, help='fp16: in float32 at either end (default: 0)'
    )
    parser.add_argument('--threads', nargs='+', type=int, default=[1], help='of the CPU')
    parser.add_argument('--runs', type=int, help='per way (default: 15, on CUDA 200)')
    parser.add_argument('--ways', nargs='+', choices=WAYS, help='default: all of the device')
    parser.add_argument('--json', type=Path, metavar='FILE', help='also write the tables there')
    add_figures_option(parser)
    return parser.parse_args()


def main() -> None:
    """Print a table per network, size, precision and number of threads."""
    options = parse()
    runs = options.runs or DEFAULT_RUNS[options.device]
    names = options.ways or list(DEVICE_WAYS[options.device])
    print(f'{processor()}; {runs} runs in turns of {BLOCK_RUNS}')
    tables = []
    for architecture, guidance, (width, height), precision, threads in product(
        options.architecture, options.guidance, options.size, options.precision, options.threads
    ):
        job = Job(
            architecture,
            guidance,
            width,
            height,
            precision,
            options.end_layers,
            options.device,
            threads,
        )
        tables.append(measure(job, names, runs))
        print_table(tables[-1])
        if options.json is not None:
            write_json(options.json, tables)
    write_figures([f for table in tables for f in figures_of(table)], options.figures)


if __name__ == '__main__':
    main()
