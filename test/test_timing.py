"""What timing.py counts, whom it lets run when, and which percentile it means."""

import gc

import numpy as np
import pytest

from sg_depth_ros.engines import timing
from sg_depth_ros.engines.timing import nearest_rank
from sg_depth_ros.engines.timing import time_engines

IMAGE = np.zeros((4, 8, 3), np.uint8)


class CountedClock:
    """Time that passes only while an engine works."""

    def __init__(self, monkeypatch):
        self.now_ns = 0
        monkeypatch.setattr(timing.time, 'perf_counter_ns', lambda: self.now_ns)
        monkeypatch.setattr(timing.time, 'perf_counter', lambda: self.now_ns / 1e9)


class FakeEngine:
    """Takes a time of its own for the network and one more millisecond for the copies."""

    def __init__(self, name, clock, network_ms, log):
        self.name, self.clock, self.network_ms, self.log = name, clock, network_ms, log
        self.collector_was_on = []

    def infer(self, image):
        assert image is IMAGE
        self.clock.now_ns += int((self.network_ms + 1) * 1e6)
        self.log.append((self.name, 'infer'))

    def run_network(self):
        self.clock.now_ns += int(self.network_ms * 1e6)
        self.log.append((self.name, 'network'))
        self.collector_was_on.append(gc.isenabled())


@pytest.fixture
def clock(monkeypatch):
    return CountedClock(monkeypatch)


@pytest.mark.parametrize('count', [1, 2, 3, 10, 19, 20, 21, 99, 100, 101, 200])
@pytest.mark.parametrize('percent', [1, 50, 95, 99, 100])
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(count, percent):
    values = np.random.default_rng(count).permutation(count) + 0.5
    found = nearest_rank(list(values), percent)
    assert found in values
    assert 100 * np.count_nonzero(values <= found) >= percent * count
    assert 100 * np.count_nonzero(values < found) < percent * count


def test_percentiles_of_200_and_of_few():
    values = list(range(1, 201))
    assert [nearest_rank(values, p) for p in (50, 95, 99)] == [100, 190, 198]
    assert [nearest_rank([7.0], p) for p in (50, 95, 99)] == [7.0, 7.0, 7.0]
    assert nearest_rank([3.0, 1.0, 2.0], 50) == 2.0
    assert nearest_rank([float(n) for n in range(10)], 99) == 9.0


def test_the_network_and_the_copies_are_timed_apart(clock):
    (times,) = time_engines([FakeEngine('a', clock, 4, [])], [IMAGE], 25)
    assert times.runs == 25
    assert times.network_ms == (4, 4, 4)
    assert times.with_copies_ms == (5, 5, 5)


def test_engines_take_turns_and_what_opens_a_turn_is_not_counted(clock):
    log = []
    engines = [FakeEngine('a', clock, 1, log), FakeEngine('b', clock, 9, log)]
    shares = []
    a, b = time_engines(engines, [IMAGE, IMAGE], 25, shares.append)
    assert (a.with_copies_ms.p99, b.with_copies_ms.p99) == (2, 10)
    assert shares == [0.4, 0.8, 1.0]
    counted = log[-(2 * 3 + 2 * 2 * 25) :]
    turns = [name for i, (name, _) in enumerate(counted) if i == 0 or counted[i - 1][0] != name]
    assert turns == ['a', 'b'] * 3
    for turn in (counted[:21], counted[21:42]):
        assert [what for _, what in turn] == ['infer'] + ['infer', 'network'] * 10


def test_slow_engines_take_turns_after_every_run(clock):
    log = []
    engines = [FakeEngine('a', clock, 5, log), FakeEngine('b', clock, 600, log)]
    a, b = time_engines(engines, [IMAGE, IMAGE], 3)
    assert (a.network_ms.p50, b.network_ms.p50) == (5, 600)
    turns = [('a', 'infer'), ('a', 'network'), ('b', 'infer'), ('b', 'network')]
    assert log[-12:] == turns * 3


def test_engines_are_warmed_up_for_long_enough(clock):
    log = []
    time_engines([FakeEngine('a', clock, 10, log)], [IMAGE], 1)
    warm_up = log[: -3 or None]
    assert len(warm_up) >= 2 * 0.3 / (11e-3 + 10e-3)


def test_garbage_is_collected_before_and_not_meanwhile(clock):
    engine = FakeEngine('a', clock, 1, [])
    assert gc.isenabled()
    time_engines([engine], [IMAGE], 5)
    assert gc.isenabled()
    assert not any(engine.collector_was_on[-5:])

    def fails(share):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        time_engines([engine], [IMAGE], 5, fails)
    assert gc.isenabled()


def test_no_runs_are_refused(clock):
    with pytest.raises(ValueError, match='at least 1'):
        time_engines([FakeEngine('a', clock, 1, [])], [IMAGE], 0)
