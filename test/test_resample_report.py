"""What a person is shown of a resampling."""

import numpy as np
import pytest

from sg_depth_ros.evaluation.frame_key import FrameKey
from sg_depth_ros.evaluation.holes import FrameScore
from sg_depth_ros.ground import GroundPlane
from sg_depth_ros.ground import GroundPlaneRefusal
from sg_depth_ros.infinite_depth import DEFAULT_CRITERION
from sg_depth_ros.report.pictures import MARK_COLOR
from sg_depth_ros.report.pictures import marked_picture
from training.resampling.decisions import decide
from training.resampling.outcome import Resampling
from training.resampling.outcome import cautions
from training.resampling.outcome import summarize_drives
from training.resampling.score_figures import height_figure
from training.resampling.score_figures import score_figure
from training.resampling.sheets import TILE_WIDTH
from training.resampling.sheets import MarkedFrame
from training.resampling.sheets import sheet
from training.resampling.shown_frames import choose_shown

PLANE = GroundPlane(np.array([0.0, -1.0, 0.0]), 1.5, 0.8, 0.05, confidence=0.9)


def outcome_of(pixels, cap: float = 1.0, **score) -> Resampling:
    """Return the outcome for frames of drive a with so many pixels; None: without a plane."""
    chosen = {'plane_from': 'road', 'counted': 'movable', **score}
    scores = tuple(
        FrameScore(FrameKey('a', i), 0, GroundPlaneRefusal('no road'), **chosen)
        if count is None
        else FrameScore(FrameKey('a', i), count, PLANE, **chosen)
        for i, count in enumerate(pixels)
    )
    decisions = decide(scores, 10, cap)
    return Resampling(decisions, 10, DEFAULT_CRITERION, cap, metric=True, split=None)


def numbers(decisions) -> list[int]:
    return [d.score.entry.frame for d in decisions]


def test_borderline_frames_are_the_nearest_to_the_threshold_on_both_sides():
    pixels = [0, 3, 9, 10, 11, 12, 500, 90, 80, 70, 60, 50, 8, 7, 6, 5, 4]
    shown = choose_shown(outcome_of(pixels))
    assert numbers(shown.just_dropped) == [8, 9, 10, 11, 5, 4]
    assert numbers(shown.just_kept) == [3, 2, 12, 13, 14, 15]
    assert shown.capped == shown.refused == ()
    assert numbers(shown.dropped) == [6, 7, 8, 9, 10, 11, 5, 4]


def test_frames_kept_by_the_cap_and_without_a_plane_are_shown():
    shown = choose_shown(outcome_of([40, 30, 20, None, 0, 0, 0, 0], cap=0.125))
    assert numbers(shown.dropped) == [0]
    assert numbers(shown.capped) == [1, 2]
    assert numbers(shown.refused) == [3]
    assert shown.entries == tuple(FrameKey('a', i) for i in range(4))


def test_of_many_dropped_frames_the_worst_and_the_mildest_are_among_those_shown():
    shown = choose_shown(outcome_of(range(11, 1011)))
    assert len(shown.dropped) == 24
    assert [d.score.hole_pixels for d in shown.dropped][::23] == [1010, 11]


def test_a_single_marked_pixel_is_seen_on_a_sheet():
    below = np.zeros((32, 64), np.bool_)
    below[10, 20] = True
    marked = marked_picture(np.zeros((32, 64, 3), np.uint8), below)
    assert tuple(marked[10, 20]) == MARK_COLOR
    assert marked[8:13, 18:23].any(axis=2).all()
    (decision,) = outcome_of([40]).decisions
    depth_m = np.full((32, 64), 9.0, np.float32)
    frame = MarkedFrame(decision, np.zeros((32, 64, 3), np.uint8), depth_m, below)
    one, four = sheet([frame]), sheet([frame] * 4)
    assert one.shape[1] == TILE_WIDTH
    assert (four.shape[0] > 2 * one.shape[0]) and (four.shape[1] > 3 * one.shape[1])
    assert (one == MARK_COLOR).all(axis=2).sum() >= (TILE_WIDTH // 64) ** 2


def test_drives_are_counted_apart():
    outcome = outcome_of([40, 20, None, 0], cap=0.25)
    (drive,) = summarize_drives(outcome)
    assert (drive.targets, drive.above, drive.dropped, drive.without_plane) == (4, 2, 1, 1)
    assert (drive.dropped_share, drive.camera_height, drive.tilt_deg) == (0.25, 1.5, 0.0)
    (nothing,) = summarize_drives(outcome_of([None]))
    assert nothing.camera_height is None


@pytest.mark.parametrize(
    ('outcome', 'words'),
    [
        (outcome_of([0, 0, 0, 20]), []),
        (outcome_of([40, 20, 0, 0], cap=0.25), ['2 frames (50.0%) are above the threshold']),
        (outcome_of([None, None, 0]), ['most frames have no ground plane']),
        (outcome_of([0, 0], counted='all'), ['2 frames have no labels']),
        (outcome_of([0, 0], plane_from='all'), ['2 frames have no labels']),
    ],
)
def test_what_may_mislead_is_told(outcome: Resampling, words: list[str]):
    told = cautions(outcome)
    assert len(told) == len(words)
    for sentence, start in zip(told, words):
        assert sentence.startswith(start)


def test_figures_are_drawn_with_and_without_planes():
    for pixels in ([0, 5, 40], [None]):
        outcome = outcome_of(pixels)
        assert score_figure(outcome).startswith('<svg')
        assert ('without a plane' in height_figure(outcome)) == (pixels == [None])
