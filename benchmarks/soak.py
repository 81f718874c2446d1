"""
The node for a long time at a camera's rate: flat memory, and every output in order.

    python -m benchmarks.soak [--minutes M] [--model MODEL] [--network WIDTHxHEIGHT]
        [--camera WIDTHxHEIGHT] [--rate HZ] [--warm-up-s S] [--default-dds]

The real node runs an engine that does nothing, or a model, and every output has a listener in a
second process. A line per block of ten seconds; the last one is the verdict: resident memory after
the warm-up and at the end within 1 % of each other (means of six blocks), never more than 1 %
above, and no output older than one before it. Exit status 1 where not so.

It begins with stops: now the node, now its listener is held up while images come, so that every
queue has been full once. DDS keeps what a full queue needed; on a busy machine that would come any
time, and look like a leak.

Judged is the process's own memory. The segments that Fast DDS shares between processes are told
beside it: of fixed size, 64 MiB each with our profile, they become resident page by page as they
are first used.
"""

import argparse
import os
import signal
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.node import size
from benchmarks.node_camera import TYPES
from benchmarks.node_camera import CameraJob
from benchmarks.node_camera import Shots
from benchmarks.node_camera import Shown
from benchmarks.node_setting import Setting
from benchmarks.node_setting import environment
from benchmarks.node_ways import NodeJob

BLOCK_S = 10.0
COMPARED_BLOCKS = 6
STOPS = 10
STOP_S = 0.5
TOLERANCE = 0.01


class Block(NamedTuple):
    """What was seen in ten seconds."""

    elapsed_s: float
    sent: int
    fewest: int  # messages of the output that came least often
    most: int
    out_of_order: int
    resident_mib: float  # the process's own
    shared_mib: float


class Verdict(NamedTuple):
    """Of a whole run."""

    growth: float  # relative, from after the warm-up to the end
    largest: float  # relative, of the largest block over the first ones
    out_of_order: int
    delivered: float  # share of the images that every output has come for

    @property
    def good(self) -> bool:
        """Whether memory is flat and all in order."""
        return (
            abs(self.growth) <= TOLERANCE and self.largest <= TOLERANCE and not self.out_of_order
        )


def resident_mib(pid: int) -> tuple[float, float]:
    """Return the memory that a process has resident: its own, and shared with others."""
    lines = Path(f'/proc/{pid}/status').read_text().splitlines()
    kib = {line.split(':')[0]: line.split()[1] for line in lines if line.startswith(('Vm', 'Rss'))}
    shared_kib = int(kib['RssShmem'])
    return (int(kib['VmRSS']) - shared_kib) / 1024, shared_kib / 1024


def run(options: argparse.Namespace) -> Verdict:
    """Run, print a line per block, and judge."""
    camera = CameraJob(options.camera, ('ours',), topics=tuple(TYPES))
    job = NodeJob(options.network, model=str(options.model or ''))
    blocks: list[Block] = []
    with environment(not options.default_dds), Setting(camera, job) as setting:
        node = setting.nodes['ours'].process
        assert node.pid is not None
        fill_queues(setting)
        start_s = time.monotonic()
        while time.monotonic() - start_s < 60 * options.minutes:
            shots = Shots('ours', round(BLOCK_S * options.rate), options.rate, drain=False)
            shown: Shown = setting.camera.ask(shots)
            setting.nodes['ours'].ask('measure')  # forgets the records, which would be growth
            counts = shown.received.values()
            blocks.append(
                Block(
                    time.monotonic() - start_s,
                    shots.count,
                    min(counts),
                    max(counts),
                    shown.out_of_order,
                    *resident_mib(node.pid),
                )
            )
            print_block(blocks[-1])
    return judge(blocks, options.warm_up_s)


def fill_queues(setting: Setting) -> None:
    """Hold up the node, then its listener, while images come."""
    node, camera = setting.nodes['ours'].process, setting.camera
    shots = Shots('ours', 20, 100.0, drain=False)
    for _ in range(STOPS):
        with held_up(node.pid):
            camera.ask(shots)
        camera.ask(shots)
        with held_up(camera.process.pid):
            time.sleep(STOP_S)


@contextmanager
def held_up(pid: int | None) -> Iterator[None]:
    """Let a process stand still."""
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def judge(blocks: list[Block], warm_up_s: float) -> Verdict:
    """Compare the blocks after the warm-up with the last ones."""
    warm = [block for block in blocks if block.elapsed_s > warm_up_s]
    if len(warm) < 2 * COMPARED_BLOCKS:
        raise SystemExit('too short to judge: the warm-up and two minutes at least')
    first_mib = statistics.fmean(b.resident_mib for b in warm[:COMPARED_BLOCKS])
    last_mib = statistics.fmean(b.resident_mib for b in warm[-COMPARED_BLOCKS:])
    return Verdict(
        last_mib / first_mib - 1,
        max(b.resident_mib for b in warm) / first_mib - 1,
        sum(b.out_of_order for b in blocks),
        sum(b.fewest for b in warm) / sum(b.sent for b in warm),
    )


def print_block(block: Block) -> None:
    print(
        f'{block.elapsed_s:7.0f} s  sent {block.sent}, outputs {block.fewest} to {block.most}, '
        f'out of order {block.out_of_order}, resident {block.resident_mib:.1f} MiB '
        f'+ {block.shared_mib:.1f} shared, load {os.getloadavg()[0]:.1f}',
        flush=True,
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--minutes', type=float, default=20.0)
    parser.add_argument('--model', type=Path, help='default: an engine that does nothing')
    parser.add_argument('--network', type=size, default=(640, 192), help='without a model')
    parser.add_argument('--camera', type=size, default=(1242, 375))
    parser.add_argument('--rate', type=float, default=30.0, help='in Hz')
    parser.add_argument('--warm-up-s', type=float, default=60.0)
    parser.add_argument('--default-dds', action='store_true', help='without the DDS profile')
    return parser.parse_args()


def main() -> int:
    """Run and say whether all was well."""
    verdict = run(parse())
    print(
        f'{"good" if verdict.good else "NOT GOOD"}: memory {100 * verdict.growth:+.2f} % from '
        f'after the warm-up to the end, at most {100 * verdict.largest:+.2f} %; '
        f'{verdict.out_of_order} out of order; every output came for '
        f'{100 * verdict.delivered:.1f} % of the images'
    )
    return 0 if verdict.good else 1


if __name__ == '__main__':
    sys.exit(main())
