"""How long engines take: the network alone, and with the copies to and from it."""

import gc
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.engines.engine import TimedEngine

# A GPU takes some tenths of a second to raise its clock, and a first run allocates.
WARM_UP_S = 0.3
WARM_UP_RUNS = 3
BLOCK_RUNS = 10  # of one engine before the next one's turn
BLOCK_S = 0.5  # or fewer runs, where they would take longer than this


class Percentiles(NamedTuple):
    """Times in milliseconds that 50, 95 and 99 % of the runs kept (nearest rank)."""

    p50: float
    p95: float
    p99: float


class EngineTimes(NamedTuple):
    """How long one engine takes for an image."""

    runs: int
    network_ms: Percentiles  # its input and outputs stay where they are
    with_copies_ms: Percentiles  # from a numpy image to numpy arrays


def nearest_rank(values: Sequence[float], percent: int) -> float:
    """
    Return the smallest of the values that at least so many percent of them do not exceed.

    Always a value that was measured, never one between two: of 200 runs p99 is the 198th, of ten
    the slowest. Source: the inverse of the empirical distribution, definition 1 of Hyndman and
    Fan, Sample quantiles in statistical packages (1996).

    :param values: at least one.
    :param percent: 1 to 100.
    """
    rank = -(-percent * len(values) // 100)  # rounded up, in integers
    return sorted(values)[rank - 1]


def time_engines(
    engines: Sequence[TimedEngine],
    images: Sequence[NDArray[np.uint8]],
    runs: int = 200,
    on_progress: Callable[[float], None] | None = None,
) -> list[EngineTimes]:
    """
    Time engines by turns, so that what else the machine does meets all of them alike.

    Each has short blocks of runs; what opens a block is not counted, for it finds the caches full
    of the other engine's weights. An engine so slow that a block is a single run does not mind
    them. Python's garbage collector rests meanwhile.

    :param engines: all owned by the calling thread.
    :param images: RGB (H, W, 3) of its contract's size for each.
    :param runs: how many of each kind, at least 1.
    :param on_progress: told the share that is done, 0 to 1, between blocks.
    """
    if runs < 1:
        raise ValueError(f'runs is {runs}, must be at least 1')
    network_ms: list[list[float]] = [[] for _ in engines]
    with_copies_ms: list[list[float]] = [[] for _ in engines]
    slowest_s = max(_warm_up(engine, image) for engine, image in zip(engines, images))
    block = max(1, min(BLOCK_RUNS, int(BLOCK_S / max(slowest_s, 1e-6))))
    with _no_garbage_collection():
        for done in range(0, runs, block):
            for i, (engine, image) in enumerate(zip(engines, images)):
                if block > 1:
                    engine.infer(image)
                for _ in range(min(block, runs - done)):
                    with_copies_ms[i].append(_milliseconds(engine.infer, image))
                    network_ms[i].append(_milliseconds(engine.run_network))
            if on_progress is not None:
                on_progress(min(done + block, runs) / runs)
    return [
        EngineTimes(runs, _percentiles(network), _percentiles(with_copies))
        for network, with_copies in zip(network_ms, with_copies_ms)
    ]


def _warm_up(engine: TimedEngine, image: NDArray[np.uint8]) -> float:
    """Run until the engine is at its speed; return how long it takes with copies and without."""
    started_s = time.perf_counter()
    runs = 0
    while runs < WARM_UP_RUNS or time.perf_counter() - started_s < WARM_UP_S:
        engine.infer(image)
        engine.run_network()
        runs += 1
    return (time.perf_counter() - started_s) / runs


def _milliseconds(work: Callable[..., object], *arguments: object) -> float:
    # perf_counter is monotonic (PEP 418) and the finest clock there is.
    started_ns = time.perf_counter_ns()
    work(*arguments)
    return (time.perf_counter_ns() - started_ns) / 1e6


def _percentiles(values_ms: Sequence[float]) -> Percentiles:
    return Percentiles(
        nearest_rank(values_ms, 50), nearest_rank(values_ms, 95), nearest_rank(values_ms, 99)
    )


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Keep the collector's pauses out of the tail; what is freed by counting still is."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
