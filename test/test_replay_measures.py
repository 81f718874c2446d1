"""What a replay measures, of recordings and processes made by hand."""

import os
from types import SimpleNamespace

import numpy as np
import pytest
from rosbags.typesys import Stores
from rosbags.typesys import get_typestore

from sg_depth_ros.replay.live.node_numbers import NodeNumbers
from sg_depth_ros.replay.live.node_numbers import read_node_numbers
from sg_depth_ros.replay.live.recording import Recording
from sg_depth_ros.replay.live.recording import Sent
from sg_depth_ros.replay.live.tables import run_cautions
from sg_depth_ros.replay.live.timing import Jitter
from sg_depth_ros.replay.live.timing import Latency
from sg_depth_ros.replay.live.timing import measure_timing
from sg_depth_ros.replay.live.usage import UsageMeter
from sg_depth_ros.replay.live.usage import UsageSample
from sg_depth_ros.replay.live.usage import summarize_usage

STORE = get_typestore(Stores.ROS2_JAZZY)
MS = 1_000_000


def depth_message(stamp_ns):
    types = STORE.types
    seconds, nanoseconds = divmod(stamp_ns, 10**9)
    stamp = types['builtin_interfaces/msg/Time'](sec=seconds, nanosec=nanoseconds)
    header = types['std_msgs/msg/Header'](stamp=stamp, frame_id='camera')
    return bytes(STORE.serialize_cdr(header, 'std_msgs/msg/Header'))


def timing_of(folder, latencies_ms, stamps_ns=None, stale_periods=None, late_ms=0):
    """Measure images sent every 100 ms whose depth came after so long; None: it did not come."""
    with Recording(folder) as recording:
        arrivals = []
        for number, latency_ms in enumerate(latencies_ms):
            stamp_ns = number * 100 * MS if stamps_ns is None else stamps_ns[number]
            sent_ns = number * 100 * MS
            recording.send(Sent(stamp_ns, 'camera', sent_ns, late_ms * MS))
            if latency_ms is not None:
                arrivals.append((sent_ns + latency_ms * MS, stamp_ns))
        for received_ns, stamp_ns in arrivals:
            recording.add('depth', depth_message(stamp_ns), received_ns)
        return measure_timing(recording, stale_periods)


def test_even_latency_has_no_jitter(tmp_path):
    timing = timing_of(tmp_path, [20, 20, 20])
    assert timing.latency == Latency(20.0, 20.0, 20.0, 20.0)
    assert timing.jitter == Jitter(0.0, 0.0)
    assert timing.input_rate_hz == pytest.approx(10.0)
    assert timing.output_rate_hz == pytest.approx(10.0)
    assert timing.sent_s == pytest.approx((0.0, 0.1, 0.2))


def test_jitter_is_the_change_of_the_interval(tmp_path):
    timing = timing_of(tmp_path, [20, 30, 20, 30])
    # Intervals of 110, 90 and 110 ms for images 100 ms apart.
    assert timing.jitter == Jitter(
        pytest.approx(float(np.std([10, -10, 10]))), pytest.approx(10.0)
    )


def test_images_without_depth_are_missed_and_no_jitter(tmp_path):
    timing = timing_of(tmp_path, [20, None, 20, 20])
    assert timing.missed_frames == 1
    assert timing.missed_share == 0.25
    assert np.isnan(timing.latencies_ms[1])
    assert timing.jitter == Jitter(0.0, 0.0)


def test_depth_that_comes_after_the_next_images_is_stale(tmp_path):
    timing = timing_of(tmp_path, [90, 150, 210, None], stale_periods=1.5)
    assert timing.stale_after_ms == pytest.approx(150.0)
    assert timing.stale_frames == 1  # neither those in time nor the missed one
    assert timing.stale_share == pytest.approx(1 / 3)


def test_without_a_rhythm_nothing_is_stale(tmp_path):
    timing = timing_of(tmp_path, [900, 900])
    assert timing.stale_after_ms is None
    assert timing.stale_frames is None


def test_images_of_one_stamp_have_their_own_depth_images(tmp_path):
    timing = timing_of(tmp_path, [20, 30, 40], stamps_ns=[0, 0, 100 * MS])
    assert timing.latencies_ms == pytest.approx((20.0, 30.0, 40.0))


def test_of_two_depth_images_there_is_no_jitter(tmp_path):
    assert timing_of(tmp_path, [20, 90]).jitter is None


def test_of_a_single_image_there_is_no_rate(tmp_path):
    timing = timing_of(tmp_path, [20], stale_periods=2)
    assert timing.input_rate_hz is timing.output_rate_hz is timing.jitter is None
    assert timing.stale_after_ms is None


def test_a_player_that_was_late_is_told(tmp_path):
    assert timing_of(tmp_path, [20, 20], late_ms=7).player_late_ms == pytest.approx(7.0)


def test_usage_is_that_between_the_first_and_the_last_sample():
    samples = [UsageSample(10 + t, 5 + 1.5 * t, 100 + 10 * t) for t in range(9)]
    usage = summarize_usage(samples)
    assert usage.cpu_cores == pytest.approx(1.5)
    assert usage.memory_mb == 140
    assert usage.memory_peak_mb == 180
    assert usage.memory_growth_mb == pytest.approx(175 - 125)


def test_too_short_a_run_has_no_growth():
    usage = summarize_usage([UsageSample(0, 0, 100), UsageSample(1, 1, 200)])
    assert usage.memory_growth_mb is None
    assert summarize_usage([UsageSample(0, 0, 100)]) is None


def test_a_process_is_looked_at():
    meter = UsageMeter(os.getpid())
    meter.sample()
    meter.sample()  # too soon
    wasted = sum(number * number for number in range(300_000))
    meter.sample(again_after_s=0)
    usage = meter.result()
    assert wasted
    assert usage.cpu_cores > 0
    assert usage.memory_peak_mb > 10
    assert len(meter._samples) == 2


def test_without_proc_nothing_is_measured(tmp_path):
    meter = UsageMeter(1, proc=tmp_path)
    meter.sample()
    meter.sample(again_after_s=0)
    assert meter.result() is None


class Status:
    def __init__(self, part, **values):
        self.name = f'depth_node: {part}'
        self.values = [Pair(key, value) for key, value in values.items()]


class Pair:
    def __init__(self, key, value):
        self.key, self.value = key, value


def test_the_nodes_numbers_are_read_from_its_diagnostics():
    numbers = read_node_numbers(
        [
            Status('input', frames_received='12', frames_dropped='3', rate_hz='9.9'),
            Status('processing', processing_time_ms_p50='45.25', inference_time_ms_p50='nan'),
        ]
    )
    assert numbers == NodeNumbers(frames_received=12, frames_dropped=3, processing_p50_ms=45.25)


@pytest.mark.parametrize(
    ('received', 'said'),
    [(None, 'longer than the camera'), (10, 'longer than the camera'), (4, '6 did not reach')],
)
def test_images_that_the_node_never_had_are_not_put_down_to_its_speed(received, said):
    run = SimpleNamespace(
        mode='recorded speed',
        frames_in=10,
        broken_off='',
        node=NodeNumbers(frames_received=received, frames_dropped=1),
        timing=SimpleNamespace(
            missed_frames=7, stale_after_ms=200.0, input_rate_hz=10.0, player_late_ms=0.0
        ),
    )
    [caution] = run_cautions([run])
    assert '7 of 10 images gave no depth' in caution
    assert said in caution
