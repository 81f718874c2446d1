import math

import pytest

from sg_depth_ros.node.monitoring.health import Situation
from sg_depth_ros.node.monitoring.health import input_values
from sg_depth_ros.node.monitoring.health import output_values
from sg_depth_ros.node.monitoring.health import part_health
from sg_depth_ros.node.monitoring.health import processing_values
from sg_depth_ros.node.monitoring.statistics import PARTS
from sg_depth_ros.node.monitoring.statistics import FrameContent
from sg_depth_ros.node.monitoring.statistics import FrameTimes
from sg_depth_ros.node.monitoring.statistics import Level
from sg_depth_ros.node.monitoring.statistics import Problem
from sg_depth_ros.node.monitoring.statistics import Spread
from sg_depth_ros.node.monitoring.statistics import Statistics
from sg_depth_ros.node.parameters import NodeParameters

PARAMETERS = NodeParameters()  # stalled after 5 s, too slow from 200 ms, an error after 1 s
FINE = Situation(
    phase='active',
    failure='',
    engine=(Level.OK, 'ok'),
    enabled=True,
    clock='system',
    active_s=100.0,
    image_missing=lambda: 'nothing comes on /image (publishers: none)',
    clock_missing=lambda: 'nothing comes on /clock (publishers: none)',
    unknown_scale=False,
)
RUNNING = (
    Statistics()
    .summary(1.0)
    ._replace(since_received_s=0.03, since_settled_s=0.04, age_ms=Spread(20.0, 40.0))
)


def health(part, situation=FINE, summary=RUNNING, problem=None):
    return part_health(part, situation, summary, problem, PARAMETERS)


def test_when_all_is_well_every_part_is():
    assert {health(part) for part in PARTS} == {(Level.OK, 'ok')}


@pytest.mark.parametrize(
    ('situation', 'summary', 'part', 'level', 'text'),
    [
        # The engine, in every phase.
        (
            FINE._replace(phase='unconfigured'),
            RUNNING,
            'engine',
            Level.WARN,
            'not configured',
        ),
        (
            FINE._replace(phase='unconfigured', failure='no such file'),
            RUNNING,
            'engine',
            Level.ERROR,
            'cannot configure: no such file',
        ),
        (
            FINE._replace(phase='configuring', engine=(Level.WARN, 'building: 30 %')),
            RUNNING,
            'engine',
            Level.WARN,
            'building: 30 %',
        ),
        (FINE._replace(phase='inactive'), RUNNING, 'engine', Level.OK, 'ok'),
        # Nothing is expected of a node that is not asked to work.
        (FINE._replace(phase='inactive'), RUNNING, 'input', Level.OK, 'inactive'),
        (FINE._replace(phase='configuring'), RUNNING, 'output', Level.OK, 'configuring'),
        (FINE._replace(enabled=False), RUNNING, 'processing', Level.WARN, 'disabled'),
        (FINE._replace(enabled=False), RUNNING, 'input', Level.OK, 'disabled'),
        # Input: none yet, none at all, none any longer.
        (
            FINE._replace(active_s=1.4),
            RUNNING._replace(since_received_s=math.inf),
            'input',
            Level.OK,
            'waiting',
        ),
        (
            FINE._replace(active_s=1.6),
            RUNNING._replace(since_received_s=math.inf),
            'input',
            Level.WARN,
            'nothing comes on /image',
        ),
        (
            FINE,
            RUNNING._replace(since_received_s=5.2),
            'input',
            Level.ERROR,
            'no image for 5.2 s; nothing comes on /image',
        ),
        # Simulated time: not there, there, or paused with the bag.
        (
            FINE._replace(clock='missing'),
            RUNNING,
            'input',
            Level.WARN,
            'use_sim_time is set, and nothing comes on /clock',
        ),
        (FINE._replace(clock='simulated'), RUNNING, 'input', Level.OK, 'ok'),
        (
            FINE._replace(clock='still'),
            RUNNING._replace(since_received_s=60),
            'input',
            Level.WARN,
            'stands still',
        ),
        # Clocks that disagree; a recording is no wrong clock.
        (
            FINE,
            RUNNING._replace(age_ms=Spread(37000.0, 37000.0)),
            'input',
            Level.WARN,
            '37.0 s behind',
        ),
        (
            FINE,
            RUNNING._replace(age_ms=Spread(-12000.0, 0.0)),
            'input',
            Level.WARN,
            '12.0 s ahead of',
        ),
        (FINE, RUNNING._replace(age_ms=Spread(1e12, 1e12)), 'input', Level.OK, 'ok'),
        (FINE, RUNNING._replace(age_ms=Spread(math.nan, math.nan)), 'input', Level.OK, 'ok'),
        # A stalled pipeline.
        (FINE, RUNNING._replace(in_work_s=4.9), 'processing', Level.OK, 'ok'),
        (FINE, RUNNING._replace(in_work_s=5.1), 'processing', Level.ERROR, 'stalled'),
        (FINE, RUNNING._replace(since_settled_s=5.1), 'output', Level.ERROR, 'none is'),
        # What comes in stands still, so that nothing can come out.
        (
            FINE,
            RUNNING._replace(since_settled_s=60, since_received_s=60),
            'output',
            Level.OK,
            'ok',
        ),
        # Just begun: nothing could come out yet.
        (
            FINE._replace(active_s=2.0),
            RUNNING._replace(since_settled_s=math.inf),
            'output',
            Level.OK,
            'ok',
        ),
        (FINE._replace(unknown_scale=True), RUNNING, 'output', Level.WARN, 'unknown scale'),
        # Slow: at first a warning.
        (FINE, RUNNING._replace(delay_ms=400.0), 'processing', Level.WARN, '200'),
        (FINE, RUNNING._replace(delay_ms=1400.0), 'processing', Level.ERROR, '1400 ms'),
    ],
)
def test_what_is_said_of_a_part(situation, summary, part, level, text):
    said = health(part, situation, summary)
    assert said.level == level
    assert text in said.message


def test_a_problem_of_an_image_says_more_than_what_follows_from_it():
    bad = Problem('image dropped: encoding', Level.ERROR, 0.0)
    assert health('input', problem=bad) == (Level.ERROR, 'image dropped: encoding')
    silent = RUNNING._replace(since_received_s=9.0)
    assert health('input', summary=silent, problem=bad).message == bad.text
    mild = Problem('one image was dropped', Level.WARN, 0.0)
    assert 'no image for 9.0 s' in health('input', summary=silent, problem=mild).message
    # What happened while it was active is over.
    assert health('input', FINE._replace(phase='inactive'), problem=bad).level == Level.OK


def test_the_keys_are_those_that_others_read():
    summary = RUNNING._replace(
        delay_ms=400.0,
        last=FrameTimes(20.0, 3.0, 1.0, 250.0, 4.0),
        content=FrameContent(0.75, 11.5, 1.25, 0.01),
    )
    processing = dict(processing_values(summary, PARAMETERS))
    assert processing['processing_time_ms'] == '255.00'
    assert processing['preprocess_time_ms'] == '1.00'
    assert processing['inference_time_ms'] == '250.00'
    assert processing['postprocess_time_ms'] == '4.00'
    assert processing['is_processing_time_ms_in_expected_range'] == 'False'
    assert processing['consecutive_processing_delay_ms'] == '400.00'
    assert processing['is_consecutive_processing_delay_in_range'] == 'True'
    received = dict(input_values(summary, 'system'))
    assert received['input_age_ms_p50'] == '20.00' and received['input_age_ms_p95'] == '40.00'
    assert {'rate_hz', 'frames_dropped', 'waiting_ms_p50', 'waiting_ms_p95'} <= set(received)
    output = dict(output_values(summary))
    assert output['valid_depth_ratio'] == '0.750'
    assert output['median_depth_m'] == '11.50'
    assert output['depth_scale'] == '1.2500'
    assert output['network_invalid_ratio'] == '0.0100'
    assert 'rate_hz' in output


@pytest.mark.parametrize(
    ('delay_ms', 'in_time', 'tolerable'),
    [
        (0.0, 'True', 'True'),
        (0.1, 'False', 'True'),
        (1000.0, 'False', 'True'),
        (1000.1, 'False', 'False'),
    ],
)
def test_ranges_end_where_the_parameters_say(delay_ms, in_time, tolerable):
    values = dict(processing_values(RUNNING._replace(delay_ms=delay_ms), PARAMETERS))
    assert values['is_processing_time_ms_in_expected_range'] == in_time
    assert values['is_consecutive_processing_delay_in_range'] == tolerable


def test_a_frame_in_work_is_shown_in_milliseconds():
    values = dict(processing_values(RUNNING._replace(in_work_s=0.25), PARAMETERS))
    assert values['in_work_ms'] == '250'
