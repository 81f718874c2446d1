import math

import pytest

from sg_depth_ros.node.monitoring.statistics import FrameContent
from sg_depth_ros.node.monitoring.statistics import FrameTimes
from sg_depth_ros.node.monitoring.statistics import Level
from sg_depth_ros.node.monitoring.statistics import Statistics

LIMIT_MS = 100.0
CONTENT = FrameContent(0.9, 12.0, 1.5, 0.0)


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def statistics(clock: Clock) -> Statistics:
    return Statistics(clock)


def times(processing_ms: float = 30.0, age_ms: float = 5.0) -> FrameTimes:
    return FrameTimes(age_ms, 2.0, 0.1 * processing_ms, 0.7 * processing_ms, 0.2 * processing_ms)


def work(statistics: Statistics, clock: Clock, processing_ms: float, **details: float) -> None:
    statistics.received()
    statistics.began()
    clock.now_s += 1e-3 * processing_ms
    statistics.processed(times(processing_ms, **details), CONTENT, LIMIT_MS)
    statistics.ended()


def test_rates_are_counted_over_the_last_seconds_and_fall_to_zero(statistics, clock):
    for _ in range(200):
        clock.now_s += 0.02
        work(statistics, clock, 30.0)
    summary = statistics.summary(LIMIT_MS)
    assert summary.input_rate_hz == pytest.approx(20, abs=0.5)
    assert summary.output_rate_hz == pytest.approx(20, abs=0.5)
    assert (summary.frames_received, summary.frames_processed) == (200, 200)
    clock.now_s += 4
    assert statistics.summary(LIMIT_MS).input_rate_hz == 0
    assert statistics.summary(LIMIT_MS).since_received_s == pytest.approx(4.03)


def test_a_rate_is_right_before_the_window_is_full(statistics, clock):
    for _ in range(10):
        clock.now_s += 0.1
        statistics.received()
    assert statistics.summary(LIMIT_MS).input_rate_hz == pytest.approx(10, rel=0.01)


def test_times_are_medians_and_95th_percentiles_and_those_of_the_newest_frame(statistics, clock):
    for i in range(101):
        work(statistics, clock, 50.0 + i, age_ms=float(i))
    summary = statistics.summary(LIMIT_MS)
    # All in the last 10 s, of which the first fell out: 10.1 s of work in all.
    assert summary.age_ms.p50 == pytest.approx(50, abs=1.5)
    assert summary.age_ms.p95 == pytest.approx(95, abs=1.5)
    assert summary.processing_ms.p50 == pytest.approx(100, abs=1.5)
    assert summary.last == times(150.0, 100.0)
    assert summary.content == CONTENT


def test_times_of_long_ago_are_forgotten_but_for_the_newest(statistics, clock):
    work(statistics, clock, 10.0)
    work(statistics, clock, 20.0)
    clock.now_s += 60
    assert statistics.summary(LIMIT_MS).processing_ms.p50 == pytest.approx(20)


def test_ages_that_are_not_known_are_left_out(statistics, clock):
    work(statistics, clock, 10.0, age_ms=math.nan)
    assert math.isnan(statistics.summary(LIMIT_MS).age_ms.p50)
    work(statistics, clock, 10.0, age_ms=7.0)
    assert statistics.summary(LIMIT_MS).age_ms.p50 == 7


def test_the_worst_of_the_last_seconds_is_not_missed(statistics, clock):
    statistics.processed(times(), CONTENT._replace(network_invalid_ratio=0.25), LIMIT_MS)
    work(statistics, clock, 10.0)
    summary = statistics.summary(LIMIT_MS)
    assert summary.content.network_invalid_ratio == 0
    assert summary.worst_invalid_ratio == 0.25


def test_a_delay_lasts_from_the_first_late_frame_to_the_next_in_time(statistics, clock):
    work(statistics, clock, 50.0)
    assert statistics.summary(LIMIT_MS).delay_ms == 0
    for _ in range(3):
        work(statistics, clock, 150.0)
    assert statistics.summary(LIMIT_MS).delay_ms == pytest.approx(450)
    work(statistics, clock, 50.0)
    assert statistics.summary(LIMIT_MS).delay_ms == 0


def test_a_delay_does_not_grow_while_no_images_come_and_is_forgotten(statistics, clock):
    work(statistics, clock, 50.0)
    work(statistics, clock, 150.0)
    clock.now_s += 5
    assert statistics.summary(LIMIT_MS).delay_ms == pytest.approx(150)
    clock.now_s += 6
    assert statistics.summary(LIMIT_MS).delay_ms == 0


def test_a_pause_of_the_camera_is_no_delay(statistics, clock):
    work(statistics, clock, 50.0)
    clock.now_s += 60
    work(statistics, clock, 150.0)
    assert statistics.summary(LIMIT_MS).delay_ms == pytest.approx(150)
    work(statistics, clock, 50.0)
    assert statistics.summary(LIMIT_MS).delay_ms == 0


def test_a_first_frame_that_is_late_counts_from_its_start(statistics, clock):
    work(statistics, clock, 250.0)
    assert statistics.summary(LIMIT_MS).delay_ms == pytest.approx(250)


def test_a_frame_in_work_is_late_before_it_is_done(statistics, clock):
    work(statistics, clock, 50.0)
    clock.now_s += 2
    statistics.began()
    assert statistics.summary(LIMIT_MS).delay_ms == 0
    clock.now_s += 0.3
    summary = statistics.summary(LIMIT_MS)
    assert summary.in_work_s == pytest.approx(0.3)
    assert summary.delay_ms == pytest.approx(300)
    statistics.ended()
    assert statistics.summary(LIMIT_MS).in_work_s == 0


def test_a_frame_in_work_that_is_late_prolongs_the_delay_of_those_before(statistics, clock):
    work(statistics, clock, 150.0)
    statistics.began()
    clock.now_s += 0.09
    assert statistics.summary(LIMIT_MS).delay_ms == pytest.approx(150)
    clock.now_s += 0.03
    assert statistics.summary(LIMIT_MS).delay_ms == pytest.approx(270)


def test_every_image_is_counted_by_what_became_of_it(statistics, clock):
    for _ in range(2):
        work(statistics, clock, 10.0)
    for count, note in (
        (3, statistics.dropped),
        (4, statistics.unwanted),
        (5, statistics.rejected),
        (6, statistics.failed),
        (7, statistics.out_of_order),
    ):
        for _ in range(count):
            note()
    summary = statistics.summary(LIMIT_MS)
    assert (summary.frames_received, summary.frames_processed) == (2, 2)
    assert summary.frames_dropped == 3 + 4
    assert (summary.frames_rejected, summary.frames_failed) == (5, 6)
    assert summary.frames_out_of_order == 7


def test_problems_are_logged_once_a_second_for_each_part_unless_they_get_worse(statistics, clock):
    assert statistics.problem('input', 'a', Level.WARN)
    assert not statistics.problem('input', 'b', Level.WARN)
    assert statistics.problem('output', 'c', Level.WARN)
    assert statistics.problem('input', 'd', Level.ERROR)
    assert not statistics.problem('input', 'e', Level.WARN)
    assert statistics.problems()['input'].text == 'd'
    clock.now_s += 1.1
    assert statistics.problem('input', 'f', Level.ERROR)


def test_a_thousand_problems_are_logged_once_a_second(statistics, clock):
    logged = 0
    for _ in range(1000):
        clock.now_s += 0.01
        logged += statistics.problem('input', 'bad')
    assert 9 <= logged <= 11
    assert statistics.problems()['input'].text == 'bad'


def test_a_problem_is_forgotten_when_it_is_over(statistics, clock):
    statistics.problem('input', 'bad')
    clock.now_s += 2.4
    assert 'input' in statistics.problems()
    clock.now_s += 0.2
    assert statistics.problems() == {}
    assert statistics.problem('input', 'less bad', Level.WARN)


def test_a_reset_forgets_counts_and_times_but_not_what_is_going_on(statistics, clock):
    work(statistics, clock, 10.0)
    statistics.dropped()
    statistics.rejected()
    statistics.failed()
    statistics.out_of_order()
    statistics.problem('input', 'bad')
    statistics.began()
    clock.now_s += 1
    statistics.reset()
    summary = statistics.summary(LIMIT_MS)
    counts = summary[2:9]
    assert counts == (0, 0, 0, 0, 0, 0, 0)
    assert math.isnan(summary.processing_ms.p50)
    assert statistics.problems() == {}
    assert summary.in_work_s == pytest.approx(1)
    assert summary.since_received_s == pytest.approx(1.01)


def test_a_jump_of_the_stamps_resets_and_is_counted(statistics, clock):
    work(statistics, clock, 10.0)
    for _ in range(2):
        statistics.jumped()
    summary = statistics.summary(LIMIT_MS)
    assert (summary.stamp_jumps, summary.frames_processed) == (2, 0)
    statistics.reset()
    assert statistics.summary(LIMIT_MS).stamp_jumps == 0


def test_bad_images_with_jumping_stamps_do_not_flood_the_log(statistics, clock):
    logged = 0
    for _ in range(90):
        clock.now_s += 0.01
        statistics.jumped()
        logged += statistics.problem('input', 'bad')
    assert logged == 1


def test_an_image_that_nobody_wanted_is_nothing_that_is_missing(statistics, clock):
    work(statistics, clock, 10.0)
    clock.now_s += 60
    assert statistics.summary(LIMIT_MS).since_settled_s == pytest.approx(60)
    statistics.unwanted()
    clock.now_s += 1
    summary = statistics.summary(LIMIT_MS)
    assert summary.since_settled_s == pytest.approx(1)
    assert (summary.frames_dropped, summary.frames_processed) == (1, 1)


def test_at_a_beginning_no_image_has_come(statistics, clock):
    work(statistics, clock, 10.0)
    statistics.begin()
    assert statistics.summary(LIMIT_MS).since_received_s == math.inf
    assert statistics.summary(LIMIT_MS).since_settled_s == math.inf
