"""Frames with infinite depth leave the split, others stay, and everything is reported."""

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_dataset import CAR_PIXELS
from tiny_dataset import road_depth_m
from tiny_dataset import write_dataset
from tiny_dataset import write_road_model
from tiny_model import RED_STEP_M

from sg_depth_ros.classes import UNKNOWN_ID
from sg_depth_ros.evaluation.frame_key import FrameKey
from sg_depth_ros.evaluation.holes import FrameScore
from sg_depth_ros.evaluation.holes import find_holes
from sg_depth_ros.evaluation.holes import refuse_outliers
from sg_depth_ros.ground import GroundPlane
from sg_depth_ros.ground import GroundPlaneRefusal
from sg_depth_ros.infinite_depth import HoleCriterion
from training.__main__ import main as run_verb
from training.data.drive import frame_path
from training.data.drive import write_frame
from training.data.drive import write_labels
from training.data.splits import read_split_lines
from training.data.triplets import list_targets
from training.resample import resample
from training.resampling.decisions import decide


def score(frame: int, pixels: int):
    plane = GroundPlane(None, 1.65, 1.0, 0.0)
    return FrameScore(FrameKey('a', frame), pixels, plane)


def interrupt_after(count: int, patch: pytest.MonkeyPatch) -> list[FrameKey]:
    """Stop scoring like Ctrl-C after so many frames; return where scored frames are listed."""
    scored: list[FrameKey] = []

    def scores_or_stops(prediction, criterion, metric):
        if len(scored) == count:
            raise KeyboardInterrupt
        scored.append(prediction.entry)
        return find_holes(prediction, criterion, metric)

    patch.setattr('training.resampling.scoring.find_holes', scores_or_stops)
    return scored


@pytest.mark.parametrize('metric', [True, False])
def test_frames_with_a_car_at_infinity_are_dropped(tmp_path: Path, metric: bool):
    write_road_model(tmp_path / 'model.onnx', metric=metric)
    first = write_dataset(
        tmp_path / 'data', drive='a', frames=10, cars_at=(3, 4), with_labels=True
    )
    second = write_dataset(tmp_path / 'data', drive='b', frames=6, with_labels=True)
    split = tmp_path / 'out' / 'split.txt'
    outcome = resample(tmp_path / 'model.onnx', tmp_path / 'data', split)
    first_targets = [FrameKey('a', t) for t in list_targets(first)]
    targets = first_targets + [FrameKey('b', t) for t in list_targets(second)]
    expected = tuple(t for t in targets if t not in {('a', 3), ('a', 4)})
    assert outcome.dropped == (('a', 3), ('a', 4))
    lines = [(line.camera.recording, line.frame) for line in read_split_lines(split)]
    assert tuple(lines) == expected
    document = json.loads((split.parent / 'resample.json').read_text())
    assert (document['targets'], document['dropped']) == (len(targets), 2)
    frames = {(f['drive'], f['frame']): f for f in document['frames']}
    assert frames['a', 3]['decision'] == 'dropped'
    assert frames['a', 3]['hole_pixels'] == pytest.approx(CAR_PIXELS, abs=20)
    assert frames['a', 5] == {**frames['a', 5], 'decision': 'kept', 'hole_pixels': 0}
    assert frames['a', 5]['plane']['camera_height'] == pytest.approx(1.65, rel=0.02)
    (drive_a, drive_b) = document['drives']
    assert (drive_a['drive'], drive_a['targets'], drive_a['dropped']) == (
        'a',
        len(first_targets),
        2,
    )
    assert (drive_b['drive'], drive_b['dropped'], drive_b['dropped_share']) == ('b', 0, 0.0)
    assert drive_a['camera_height_median'] == pytest.approx(1.65, rel=0.02)


def test_running_again_gives_the_same_bytes_interrupted_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    write_road_model(tmp_path / 'model.onnx')
    write_dataset(tmp_path / 'data', frames=30, cars_at=(3, 17, 26), with_labels=True)

    def run(folder: str) -> None:
        resample(tmp_path / 'model.onnx', tmp_path / 'data', tmp_path / folder / 'split.txt')

    run('one')
    run('one')
    with monkeypatch.context() as interrupted, pytest.raises(KeyboardInterrupt):
        scored = interrupt_after(21, interrupted)
        run('two')
    assert [p.name for p in (tmp_path / 'two').iterdir()] == ['split.txt.journal.jsonl']
    with monkeypatch.context() as counted:
        scored = interrupt_after(1000, counted)
        run('two')
    # Two batches of eight were complete, of 28 targets.
    assert len(scored) == 12
    assert 'going on after 16 of 28 frames' in capsys.readouterr().err
    names = sorted(p.name for p in (tmp_path / 'one').iterdir())
    assert names == ['resample.html', 'resample.json', 'resample.png', 'split.txt']
    assert sorted(p.name for p in (tmp_path / 'two').iterdir()) == names
    for name in names:
        assert (tmp_path / 'one' / name).read_bytes() == (tmp_path / 'two' / name).read_bytes()


def test_labels_decide_what_is_counted_and_where_the_plane_is_fitted(tmp_path: Path):
    write_road_model(tmp_path / 'model.onnx')
    write_dataset(tmp_path / 'data', cars_at=(3, 5), with_labels=True)
    labels = tmp_path / 'data' / 'road' / 'labels'
    # Frame 5's red patch is no car: water on the road, say. Of frame 6 nothing is known.
    (labels / '000005.png').write_bytes((labels / '000001.png').read_bytes())
    write_labels(np.full((32, 64), UNKNOWN_ID, np.uint8), labels / '000006.png')

    def drops(**choice) -> list[int]:
        criterion = HoleCriterion(**choice)
        out = tmp_path / 'split.txt'
        outcome = resample(tmp_path / 'model.onnx', tmp_path / 'data', out, criterion, cap=0.5)
        return [e.frame for e in outcome.dropped]

    assert drops() == [3]
    document = json.loads((tmp_path / 'resample.json').read_text())
    choices = {f['frame']: (f['plane_from'], f['counted']) for f in document['frames']}
    assert choices[3] == ('road', 'movable')
    assert choices[6] == ('all', 'all')
    assert drops(counted='movable') == [3]
    assert drops(counted='all') == [3, 5]
    assert drops(counted='all', plane_from='all') == [3, 5]


def test_road_only_without_road_refuses_the_plane_and_keeps_the_frame(tmp_path: Path):
    write_road_model(tmp_path / 'model.onnx')
    drive = write_dataset(tmp_path / 'data', cars_at=(3,), with_labels=True)
    folder = tmp_path / 'data' / 'road' / 'labels'
    for index in range(len(drive.frames)):
        write_labels(np.full((32, 64), 8, np.uint8), folder / f'{index:06d}.png')
    split = tmp_path / 'split.txt'
    criterion = HoleCriterion(plane_from='road')
    outcome = resample(tmp_path / 'model.onnx', tmp_path / 'data', split, criterion)
    assert outcome.refused == len(list_targets(drive))
    assert outcome.dropped == ()
    assert 'no ground plane: only 0 points' in (tmp_path / 'resample.json').read_text()


def test_the_threshold_grows_with_the_area_and_does_not_shrink():
    criterion = HoleCriterion(threshold_px=10)
    assert criterion.threshold_at(640, 192) == 10
    assert criterion.threshold_at(1280, 384) == 40
    assert criterion.threshold_at(320, 96) == 10


def test_the_cap_drops_the_worst_and_says_which_it_kept():
    scores = tuple(score(i, pixels) for i, pixels in enumerate([0, 50, 11, 10, 90, 12, 0, 0]))
    decisions = decide(scores, 10, 0.25)
    assert [d.score.entry.frame for d in decisions if d.dropped] == [1, 4]
    assert 'cap of 25%' in decisions[5].reason
    assert 'not above' in decisions[3].reason
    everything = decide(scores, 10, 1.0)
    assert [d.score.entry.frame for d in everything if d.dropped] == [1, 2, 4, 5]
    assert not any(d.dropped for d in decide(scores, 10, 0.0))


def test_a_frame_without_plane_is_kept_with_its_reason():
    refused = FrameScore(FrameKey('a', 0), 0, GroundPlaneRefusal('too few points'))
    (decision,) = decide((refused,), 10, 1.0)
    assert not decision.dropped
    assert 'too few points' in decision.reason


def test_a_plane_unlike_the_drives_others_is_refused():
    level, tilted = np.array([0.0, -1.0, 0.0]), np.array([0.0, -0.99, 0.141])
    usual = [
        FrameScore(FrameKey('a', i), 0, GroundPlane(level, 1.6 + 0.01 * i, 0.8, 0.05))
        for i in range(12)
    ]
    high = FrameScore(FrameKey('a', 20), 900, GroundPlane(level, 2.6, 0.4, 0.1))
    steep = FrameScore(FrameKey('a', 21), 900, GroundPlane(tilted, 1.6, 0.4, 0.1))
    hole = FrameScore(FrameKey('a', 22), 50, GroundPlane(level, 1.7, 0.7, 0.05))
    elsewhere = FrameScore(FrameKey('b', 0), 900, GroundPlane(level, 2.6, 0.4, 0.1))
    checked = refuse_outliers([*usual, high, steep, hole, elsewhere])
    assert checked[:12] == tuple(usual)
    assert [isinstance(s.plane, GroundPlaneRefusal) for s in checked[12:]] == [1, 1, 0, 0]
    assert [s.hole_pixels for s in checked[12:]] == [0, 0, 50, 900]
    assert 'camera height 2.60' in checked[12].plane.reason


def test_a_frame_with_a_plane_unlike_its_drives_is_kept_and_says_so(tmp_path: Path):
    write_road_model(tmp_path / 'model.onnx')
    drive = write_dataset(tmp_path / 'data', frames=14, with_labels=True)
    # All of it 1.6 times too far: a road, but not under this vehicle.
    image = np.zeros((32, 64, 3), np.uint8)
    image[..., 0] = np.minimum(0.6 * road_depth_m(drive.intrinsics) / RED_STEP_M, 255)
    write_frame(image, frame_path(tmp_path / 'data' / 'road', 5))
    outcome = resample(tmp_path / 'model.onnx', tmp_path / 'data', tmp_path / 'split.txt')
    (refused,) = (d for d in outcome.decisions if isinstance(d.score.plane, GroundPlaneRefusal))
    assert (refused.score.entry.frame, refused.dropped) == (5, False)
    assert refused.reason.startswith("no ground plane: unlike the drive's other planes")
    assert (
        refused.score.plane.reason.replace("'", '&#x27;')
        in (tmp_path / 'resample.html').read_text()
    )


def test_the_command_warns_when_the_cap_is_reached(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    write_road_model(tmp_path / 'model.onnx')
    write_dataset(tmp_path / 'data', frames=10, cars_at=(2, 3, 4, 5, 6), with_labels=True)
    words = ['resample', '--checkpoint', f'{tmp_path}/model.onnx', '--data', f'{tmp_path}/data']
    words += ['--out', f'{tmp_path}/split.txt', '--cap', '0.3']
    assert run_verb(words) == 0
    output = capsys.readouterr().out
    assert '2 of 8 target frames dropped (25.0%)' in output
    assert 'warning: 5 frames (62.5%) are above' in output
    assert len(read_split_lines(tmp_path / 'split.txt')) == 6


@pytest.mark.parametrize('wrong', ['model', 'dataset', 'standing'])
def test_wrong_input_is_one_line_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: str
):
    if wrong != 'model':
        write_road_model(tmp_path / 'model.onnx')
    if wrong != 'dataset':
        write_dataset(tmp_path / 'data', frames=1 if wrong == 'standing' else 5)
    words = ['resample', '--checkpoint', f'{tmp_path}/model.onnx', '--data', f'{tmp_path}/data']
    assert run_verb([*words, '--out', f'{tmp_path}/out/split.txt']) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith('error: ')
    assert not (tmp_path / 'out').exists()


def test_frames_are_chosen_among_those_of_the_first_stage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    write_road_model(tmp_path / 'model.onnx')
    write_dataset(tmp_path / 'data', frames=8, cars_at=(2, 5), with_labels=True)
    first, split = tmp_path / 'first.txt', tmp_path / 'split.txt'
    first.write_text('road 000002\nroad 000003\nroad 000004\nelsewhere 000001\n')
    words = ['resample', '--checkpoint', f'{tmp_path}/model.onnx', '--data', f'{tmp_path}/data']
    words += ['--out', f'{split}', '--split', f'{first}', '--cap', '0.5']
    assert run_verb(words) == 0
    assert [line.frame for line in read_split_lines(split)] == [3, 4]
    assert '1 of 4 lines are of 1 drives that are not prepared' in capsys.readouterr().err
    first.write_text('road 000000\n')
    assert run_verb(words) == 2
    assert 'none of its frames is one that training could use' in capsys.readouterr().err


def test_the_page_shows_sheets_and_says_why(tmp_path: Path):
    write_road_model(tmp_path / 'model.onnx')
    write_dataset(tmp_path / 'data', frames=10, cars_at=(2, 3, 4), with_labels=True)
    resample(tmp_path / 'model.onnx', tmp_path / 'data', tmp_path / 'split.txt', cap=0.25)
    page = (tmp_path / 'resample.html').read_text()
    for words in (
        'From the worst to the mildest',
        'kept because of the cap: the worst',
        '<td>road</td>',
        '3 frames (37.5%) are above the threshold',
        'Every frame has a plane.',
    ):
        assert words in page
    assert page.count('data:image/jpeg') == 3
    assert str(tmp_path) not in page
