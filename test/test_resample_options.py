"""Each option of resample acts, and wrong ones are refused."""

from pathlib import Path

import pytest
from tiny_dataset import write_dataset
from tiny_dataset import write_road_model

from sg_depth_ros.errors import UserError
from sg_depth_ros.evaluation.frame_key import FrameKey
from sg_depth_ros.evaluation.holes import find_holes
from sg_depth_ros.evaluation.holes import score_frame
from sg_depth_ros.evaluation.prediction import FramePrediction
from sg_depth_ros.ground import GroundPlane
from sg_depth_ros.infinite_depth import PAPER_CRITERION
from sg_depth_ros.infinite_depth import HoleCriterion
from training.evaluation.frames import DatasetFrames
from training.evaluation.predictions import predict_frame
from training.resampling.arguments import Options
from training.resampling.arguments import parse_arguments
from training.resampling.decisions import decide
from training.torch_engine import open_model

ENTRY = FrameKey('road', 2)


def options(*words: str) -> Options:
    return parse_arguments(['--checkpoint', 'm.onnx', '--data', 'd', '--out', 's.txt', *words])


@pytest.fixture(scope='module')
def prediction(tmp_path_factory: pytest.TempPathFactory) -> FramePrediction:
    """Return a labelled frame with a car of 48 pixels at infinity."""
    folder = tmp_path_factory.mktemp('options')
    write_road_model(folder / 'model.onnx')
    write_dataset(folder / 'data', frames=4, cars_at=(2,), with_labels=True)
    engine = open_model(folder / 'model.onnx')
    found = predict_frame(engine, DatasetFrames(folder / 'data'), ENTRY)
    engine.close()
    return found


def is_dropped(prediction: FramePrediction, *words: str) -> bool:
    chosen = options(*words)
    score = score_frame(ENTRY, find_holes(prediction, chosen.criterion, metric=True))
    (decision,) = decide((score,), chosen.criterion.threshold_at(64, 32), chosen.cap)
    return decision.dropped


@pytest.mark.parametrize(
    ('words', 'dropped'),
    [
        ((), True),
        (('--threshold', '40'), True),
        (('--threshold', '60'), False),
        (('--margin', '1'), True),
        (('--margin', '100'), False),
        (('--angle', '0'), True),
        (('--angle', '60'), False),
        (('--near', '4', '--far', '9'), True),
        (('--near', '400', '--far', '500'), False),
        (('--cap', '0.5'), False),
        (('--movable-only', '--road-only'), True),
        (('--all-classes', '--all-pixels'), True),
    ],
)
def test_each_option_decides(prediction: FramePrediction, words, dropped: bool):
    assert is_dropped(prediction, '--cap', '1', *words) == dropped


def test_the_seed_and_the_range_reach_the_plane(prediction: FramePrediction):
    def plane(*words: str) -> GroundPlane:
        found = find_holes(prediction, options(*words).criterion, metric=True).plane
        assert isinstance(found, GroundPlane)
        return found

    assert plane('--near', '4', '--far', '9').offset_m != plane().offset_m
    assert options('--seed', '3').criterion.seed == 3


def test_the_papers_plain_form_is_what_the_help_says():
    plain = options('--all-pixels', '--all-classes', '--below-only', '--angle', '0')
    assert plain.criterion == PAPER_CRITERION
    assert options().criterion == HoleCriterion()
    assert options('--movable-only', '--road-only').criterion == HoleCriterion(
        plane_from='road', counted='movable'
    )


@pytest.mark.parametrize(
    ('words', 'named'),
    [
        (('--cap', '2'), '--cap'),
        (('--cap', 'half'), '--cap'),
        (('--margin', 'nan'), '--margin'),
        (('--threshold', '-1'), '--threshold'),
        (('--threshold', 'inf'), '--threshold'),
        (('--angle', '90'), '--angle'),
        (('--seed', '-1'), '--seed'),
        (('--road-only', '--all-pixels'), '--all-pixels'),
        (('--movable-only', '--all-classes'), '--all-classes'),
    ],
)
def test_a_wrong_value_is_refused_by_its_option(
    words, named: str, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit):
        options(*words)
    assert f'error: argument {named}: ' in capsys.readouterr().err


def test_an_empty_range_is_refused():
    with pytest.raises(UserError, match='--near 30 is not less than --far 3'):
        options('--near', '30', '--far', '3')


def test_paths_are_what_was_said():
    chosen = options('--split', 'first.txt')
    assert chosen[:4] == (Path('m.onnx'), Path('d'), Path('s.txt'), Path('first.txt'))
