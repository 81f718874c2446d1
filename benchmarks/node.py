"""
The node around an engine that does nothing: its overhead, its allocations, and the age of frames.

    python -m benchmarks.node [--only overhead|memory|age ...] [--network WIDTHxHEIGHT ...]
        [--camera WIDTHxHEIGHT ...] [--encoding rgb8|bgr8] [--distorted] [--best-effort]
        [--rate HZ] [--frames N] [--turns N] [--engine-ms MS] [--figures FILE]

Camera and listener are one process, every node another; all stand by while one at a time is fed
in blocks, by turns, so that what else the machine does meets all alike. The DDS profile of
config/ is set unless a table says otherwise.

overhead: from the image's callback to the last of depth, camera_info and cloud published, without
    the engine; its median and where it goes: each stage since the one before it, in whatever order
    a node publishes. "quiet" is the median of the block that others on the machine disturbed
    least, "CPU" what the publishing thread takes per frame, all included. The other node does
    everything in the callback, makes messages anew (``msg.data = x.tobytes()``) and fills a
    structured cloud.
memory: what a frame allocates at once beyond the received message, by tracemalloc, which numpy and
    OpenCV's results report to; in blocks of their own, since that is slow.
age: how old an image is when the engine starts on it, at 30 Hz with an engine of 100 ms, and how
    many are done of those that could be.
"""

import argparse
import os
import statistics
from itertools import chain

from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figure
from benchmarks.figures import add_figures_option
from benchmarks.figures import less_is_better
from benchmarks.figures import write_figures
from benchmarks.node_camera import CameraJob
from benchmarks.node_camera import Shown
from benchmarks.node_setting import Seen
from benchmarks.node_setting import Setting
from benchmarks.node_setting import environment
from benchmarks.node_watch import FrameRecord
from benchmarks.node_ways import TITLES
from benchmarks.node_ways import NodeJob

GOALS_MS = {(640, 192): 3.0, (1280, 384): 8.0}
SMALL_KIB = 16.0  # counts as this much: it is Python's own, and changes by chance


def measure_overhead(options: argparse.Namespace) -> list[Figure]:
    """Print a table of what the nodes add to the engine."""
    table = Table(title='overhead per frame, medians in ms')
    for column in ('network', 'camera', 'node', 'frames', 'overhead', '95 %', 'quiet', 'ratio'):
        table.add_column(column, justify='left' if column == 'node' else 'right')
    for column in ('to engine', 'depth', 'info', 'cloud', 'CPU', 'goal'):
        table.add_column(column, justify='right')
    figures = []
    for network in options.network:
        for size in options.camera:
            seen = _feed(options, network, size, ('ours', 'inline10'), 'measure')
            ours_ms = _median_ms(seen['ours'].blocks)
            for way, (blocks, _) in seen.items():
                goal = GOALS_MS.get(network) if way == 'ours' else None
                row = _overhead_row(blocks, ours_ms)
                table.add_row(
                    _size(network), _size(size), TITLES[way], *row, f'{goal:.0f}' if goal else ''
                )
            name = f'overhead at {_size(network)}, camera {_size(size)}'
            base_ms = _median_ms(seen['inline10'].blocks)
            figures.append(less_is_better(name, ours_ms, 'ms', 'all in the callback', base_ms))
    Console(width=150).print(table)
    return figures


def _overhead_row(blocks: list[list[FrameRecord]], ours_ms: float) -> list[str]:
    records = list(chain.from_iterable(blocks))
    all_ms = sorted(r.overhead_ms for r in records)
    stages = [
        statistics.median((r.engine_started_ns - r.received_ns) / 1e6 for r in records),
        *(statistics.median(_step_ms(r, index) for r in records) for index in range(3)),
        statistics.median(r.cpu_ns / 1e6 for r in records),
    ]
    return [
        str(len(records)),
        f'{_median_ms(blocks):.2f}',
        f'{all_ms[int(0.95 * len(all_ms))]:.2f}',
        f'{min(_median_ms([block]) for block in blocks if block):.2f}',
        f'{_median_ms(blocks) / ours_ms:.2f}',
        *(f'{ms:.2f}' for ms in stages),
    ]


def _median_ms(blocks: list[list[FrameRecord]]) -> float:
    return statistics.median(r.overhead_ms for r in chain.from_iterable(blocks))


def _step_ms(record: FrameRecord, index: int) -> float:
    """Return how long a topic took since the one before it, in the order of publishing."""
    published_ns = record.published_ns[index]
    earlier = [t for t in (record.engine_ended_ns, *record.published_ns) if t < published_ns]
    return (published_ns - max(earlier)) / 1e6


def measure_memory(options: argparse.Namespace) -> list[Figure]:
    """Print a table of what a frame allocates."""
    table = Table(title='allocated at once by a frame, beyond the received message')
    for column in ('network', 'camera', 'node', 'frames', 'median KiB', 'most KiB', 'ratio'):
        table.add_column(column, justify='left' if column == 'node' else 'right')
    figures = []
    for network in options.network:
        for size in options.camera:
            seen = _feed(options, network, size, ('ours', 'inline10'), 'trace')
            all_kib = {
                way: [r.peak_bytes / 1024 for r in chain.from_iterable(blocks)]
                for way, (blocks, _) in seen.items()
            }
            for way, kib in all_kib.items():
                table.add_row(
                    _size(network),
                    _size(size),
                    TITLES[way],
                    str(len(kib)),
                    f'{statistics.median(kib):.0f}',
                    f'{max(kib):.0f}',
                    f'{statistics.median(kib) / statistics.median(all_kib["ours"]):.0f}',
                )
            name = f'allocated by a frame at {_size(network)}, camera {_size(size)}'
            ours_kib, base_kib = (statistics.median(all_kib[w]) for w in ('ours', 'inline10'))
            ours_kib = max(ours_kib, SMALL_KIB)
            figures.append(less_is_better(name, ours_kib, 'KiB', 'all in the callback', base_kib))
    Console(width=150).print(table)
    return figures


def _feed(
    options: argparse.Namespace,
    network: tuple[int, int],
    size: tuple[int, int],
    ways: tuple[str, ...],
    command: str,
) -> dict[str, Seen]:
    camera = CameraJob(
        size, ways, options.encoding, options.distorted, reliable=not options.best_effort
    )
    # Traced, the naive node takes too long for a camera's rate.
    rate_hz = 5.0 if command == 'trace' else options.rate
    turns, frames = (1, 15) if command == 'trace' else (options.turns, options.frames)
    with environment(with_profile=True), Setting(camera, NodeJob(network)) as setting:
        return setting.take_turns(turns, frames, rate_hz, command)


def measure_age(options: argparse.Namespace) -> list[Figure]:
    """Print a table of how old frames are when their work starts."""
    title = f'age when the engine starts, {options.rate:g} Hz, engine of {options.engine_ms:g} ms'
    table = Table(title=title)
    for column in ('DDS', 'camera', 'node', 'done', 'of possible', 'age ms', '95 %', 'ratio'):
        table.add_column(column, justify='left' if column in ('DDS', 'node') else 'right')
    network, size = options.network[0], options.camera[0]
    turns = (options.turns + 1) // 2  # of longer blocks: a frame takes several periods
    figures = []
    for with_profile in (False, True):
        camera = CameraJob(size, tuple(TITLES), options.encoding, reliable=not options.best_effort)
        job = NodeJob(network, engine_ms=options.engine_ms)
        with environment(with_profile), Setting(camera, job) as setting:
            seen = setting.take_turns(turns, options.frames * 4, options.rate)
        ages = {way: _ages_ms(*seen[way]) for way in TITLES}
        possible = turns * options.frames * 4 / options.rate * 1e3 / options.engine_ms
        for way, ages_ms in ages.items():
            if not ages_ms:
                table.add_row(_dds(with_profile), _size(size), TITLES[way], '0', '0 %')
                continue
            median_ms = statistics.median(ages_ms)
            first_ms = statistics.median(ages['ours']) if ages['ours'] else float('nan')
            table.add_row(
                _dds(with_profile),
                _size(size),
                TITLES[way],
                str(len(ages_ms)),
                f'{100 * len(ages_ms) / possible:.0f} %',
                f'{median_ms:.1f}',
                f'{ages_ms[int(0.95 * len(ages_ms))]:.1f}',
                f'{median_ms / first_ms:.1f}',
            )
        if ages['ours'] and ages['inline10']:
            ours_ms, base_ms = (statistics.median(ages[w]) for w in ('ours', 'inline10'))
            name = f'age of a frame, {_dds(with_profile)}'
            figures.append(less_is_better(name, ours_ms, 'ms', 'all in the callback', base_ms))
    Console(width=150).print(table)
    return figures


def _ages_ms(blocks: list[list[FrameRecord]], shown: list[Shown]) -> list[float]:
    ages_ms = []
    for records, sent_ns in zip(blocks, (block.sent_ns for block in shown)):
        # What a queue still holds when the camera has stopped is no frame more per second.
        last_ns = max(sent_ns.values())
        ages_ms += [
            (r.engine_started_ns - sent_ns[r.stamp_ns]) / 1e6
            for r in records
            if r.stamp_ns in sent_ns and r.engine_started_ns <= last_ns
        ]
    return sorted(ages_ms)


def _dds(with_profile: bool) -> str:
    return 'our profile' if with_profile else 'default'


def _size(size: tuple[int, int]) -> str:
    return f'{size[0]}x{size[1]}'


def size(text: str) -> tuple[int, int]:
    """Read WIDTHxHEIGHT."""
    width, height = map(int, text.split('x'))
    return width, height


MEASUREMENTS = {'overhead': measure_overhead, 'memory': measure_memory, 'age': measure_age}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--only', nargs='+', choices=MEASUREMENTS, default=list(MEASUREMENTS))
    parser.add_argument('--network', nargs='+', type=size, default=[(640, 192), (1280, 384)])
    parser.add_argument('--camera', nargs='+', type=size, default=[(1242, 375), (1280, 720)])
    parser.add_argument('--encoding', choices=('rgb8', 'bgr8'), default='rgb8')
    parser.add_argument('--distorted', action='store_true', help='images have to be undistorted')
    parser.add_argument('--best-effort', action='store_true', help='images; default: reliable')
    parser.add_argument('--rate', type=float, default=30.0, help='of the camera, in Hz')
    parser.add_argument('--frames', type=int, default=30, help='in a block')
    parser.add_argument('--turns', type=int, default=6, help='blocks for each node')
    parser.add_argument('--engine-ms', type=float, default=100.0, help='for the age')
    add_figures_option(parser)
    return parser.parse_args()


def main() -> None:
    """Print the tables."""
    options = parse()
    print(f'load of {os.cpu_count()} cores: {os.getloadavg()[0]:.2f} at the beginning', flush=True)
    figures = []
    for name in options.only:
        figures += MEASUREMENTS[name](options)
        print(f'load: {os.getloadavg()[0]:.2f}', flush=True)
    write_figures(figures, options.figures)


if __name__ == '__main__':
    main()
