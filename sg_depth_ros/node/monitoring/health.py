"""From what is measured to what the diagnostics say of each part of the node; no ROS."""

import math
from collections.abc import Callable
from typing import Literal
from typing import NamedTuple

from sg_depth_ros.node.monitoring.statistics import Level
from sg_depth_ros.node.monitoring.statistics import Part
from sg_depth_ros.node.monitoring.statistics import Problem
from sg_depth_ros.node.monitoring.statistics import Summary
from sg_depth_ros.node.parameters import NodeParameters

# Whether the node has an engine, and whether images are wanted.
Phase = Literal['unconfigured', 'configuring', 'inactive', 'active']
# The node's clock: the system's; simulated and running; standing still; or not yet come.
ClockState = Literal['system', 'simulated', 'still', 'missing']
KeyValues = list[tuple[str, str]]

MISSING_AFTER_S = 1.5  # without an image from the start, before that is said
CLOCK_TOLERANCE_S = 10.0  # how far stamps may be from the node's clock
RECORDED_AFTER_S = 86400.0  # stamps further off are of a recording, not of a wrong clock


class Situation(NamedTuple):
    """What the node knows besides its measurements."""

    phase: Phase
    failure: str  # why the last configuring failed, else empty
    engine: tuple[Level, str]  # its state and what is said of it
    enabled: bool
    clock: ClockState
    active_s: float  # for how long it has been active and enabled
    # One line on a topic on which nothing comes, with its publishers; asked for where needed.
    image_missing: Callable[[], str]
    clock_missing: Callable[[], str]
    unknown_scale: bool  # the depth that is published is not metric


class Health(NamedTuple):
    """State of one part."""

    level: Level
    message: str


def part_health(
    part: Part, situation: Situation, summary: Summary, problem: Problem | None, p: NodeParameters
) -> Health:
    """
    Return what to say of a part.

    :param problem: seen lately.
    :param p: the parameters, for the limits.
    """
    if part == 'engine':
        own = _engine(situation)
    elif situation.phase != 'active':
        return Health(Level.OK, situation.phase)
    elif not situation.enabled:
        level = Level.WARN if part == 'processing' else Level.OK
        return Health(level, 'disabled by ~/enable')
    elif part == 'input':
        own = _input(situation, summary, p)
    elif part == 'processing':
        own = _processing(summary, p)
    elif part == 'output':
        own = _output(situation, summary, p)
    else:
        own = Health(Level.OK, 'ok')
    # Where both are bad, what was seen with an image says more than what follows from it.
    if problem is not None and problem.level >= own.level:
        return Health(problem.level, problem.text)
    return own


def _engine(situation: Situation) -> Health:
    if situation.phase == 'unconfigured':
        if situation.failure:
            return Health(Level.ERROR, f'cannot configure: {situation.failure}')
        return Health(Level.WARN, 'not configured')
    return Health(*situation.engine)


def _input(situation: Situation, summary: Summary, p: NodeParameters) -> Health:
    since_s = summary.since_received_s
    if situation.clock == 'missing':
        return Health(Level.WARN, f'use_sim_time is set, and {situation.clock_missing()}')
    if math.isinf(since_s):
        if situation.active_s > MISSING_AFTER_S:
            return Health(Level.WARN, situation.image_missing())
        return Health(Level.OK, 'waiting for the first image')
    if since_s > p.stall_timeout_s:
        if situation.clock == 'still':
            return Health(Level.WARN, 'simulated time stands still, as where a bag is paused')
        return Health(Level.ERROR, f'no image for {since_s:.1f} s; {situation.image_missing()}')
    age_s = 1e-3 * summary.age_ms.p50
    if CLOCK_TOLERANCE_S < abs(age_s) < RECORDED_AFTER_S:
        side = 'behind' if age_s > 0 else 'ahead of'
        return Health(
            Level.WARN,
            f"stamps of the images are {abs(age_s):.1f} s {side} this node's clock: "
            'synchronise the clocks, or set use_sim_time for a recording',
        )
    return Health(Level.OK, 'ok')


def _processing(summary: Summary, p: NodeParameters) -> Health:
    if summary.in_work_s > p.stall_timeout_s:
        return Health(Level.ERROR, f'stalled: a frame is in work for {summary.in_work_s:.1f} s')
    if summary.delay_ms <= 0:
        return Health(Level.OK, 'ok')
    text = (
        f'slower than max_processing_time_ms {p.max_processing_time_ms:g} '
        f'for {summary.delay_ms:.0f} ms'
    )
    late = summary.delay_ms > p.max_consecutive_delay_ms
    return Health(Level.ERROR if late else Level.WARN, text)


def _output(situation: Situation, summary: Summary, p: NodeParameters) -> Health:
    # Nothing can come out while nothing comes in, which is said there.
    coming = summary.since_received_s <= p.stall_timeout_s
    waited_s = min(summary.since_settled_s, situation.active_s)
    if coming and waited_s > p.stall_timeout_s:
        return Health(Level.ERROR, f'images come, and none is published for {waited_s:.1f} s')
    if situation.unknown_scale:
        return Health(Level.WARN, 'depth is up to an unknown scale; camera_height would give it')
    return Health(Level.OK, 'ok')


def input_values(summary: Summary, clock: ClockState) -> KeyValues:
    """Return what is measured of the input: keys and values."""
    return [
        ('rate_hz', f'{summary.input_rate_hz:.1f}'),
        ('frames_received', str(summary.frames_received)),
        ('frames_dropped', str(summary.frames_dropped)),
        ('frames_rejected', str(summary.frames_rejected)),
        ('frames_out_of_order', str(summary.frames_out_of_order)),
        ('stamp_jumps', str(summary.stamp_jumps)),
        ('input_age_ms_p50', f'{summary.age_ms.p50:.2f}'),
        ('input_age_ms_p95', f'{summary.age_ms.p95:.2f}'),
        ('waiting_ms_p50', f'{summary.waiting_ms.p50:.2f}'),
        ('waiting_ms_p95', f'{summary.waiting_ms.p95:.2f}'),
        ('clock', clock),
    ]


def processing_values(summary: Summary, p: NodeParameters) -> KeyValues:
    """
    Return the durations: of the newest frame under Autoware's keys, and over the last seconds.

    The keys and their meaning are those of Autoware's perception nodes, such as
    autoware_lidar_transfusion and autoware_camera_streampetr (``diagnose_processing_time``);
    booleans are written as diagnostic_updater writes them.
    """
    last = summary.last
    return [
        ('processing_time_ms', f'{last.processing_ms:.2f}'),
        ('is_processing_time_ms_in_expected_range', str(summary.delay_ms <= 0)),
        ('consecutive_processing_delay_ms', f'{summary.delay_ms:.2f}'),
        (
            'is_consecutive_processing_delay_in_range',
            str(summary.delay_ms <= p.max_consecutive_delay_ms),
        ),
        ('preprocess_time_ms', f'{last.preprocess_ms:.2f}'),
        ('inference_time_ms', f'{last.inference_ms:.2f}'),
        ('postprocess_time_ms', f'{last.postprocess_ms:.2f}'),
        ('processing_time_ms_p50', f'{summary.processing_ms.p50:.2f}'),
        ('processing_time_ms_p95', f'{summary.processing_ms.p95:.2f}'),
        ('inference_time_ms_p50', f'{summary.inference_ms.p50:.2f}'),
        ('inference_time_ms_p95', f'{summary.inference_ms.p95:.2f}'),
        ('in_work_ms', f'{1e3 * summary.in_work_s:.0f}'),
        ('frames_processed', str(summary.frames_processed)),
        ('frames_failed', str(summary.frames_failed)),
    ]


def output_values(summary: Summary) -> KeyValues:
    """Return what is measured of the output: keys and values."""
    content = summary.content
    return [
        ('rate_hz', f'{summary.output_rate_hz:.1f}'),
        ('valid_depth_ratio', f'{content.valid_depth_ratio:.3f}'),
        ('median_depth_m', f'{content.median_depth_m:.2f}'),
        ('depth_scale', f'{content.scale:.4f}'),
        ('network_invalid_ratio', f'{content.network_invalid_ratio:.4f}'),
        ('network_invalid_ratio_worst', f'{summary.worst_invalid_ratio:.4f}'),
    ]
