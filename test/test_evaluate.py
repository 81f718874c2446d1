"""Evaluation of a model on a dataset folder, with and without LiDAR."""

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_dataset import road_depth_m
from tiny_dataset import write_dataset
from tiny_dataset import write_road_model
from tiny_dataset import write_standing_car

from sg_depth_ros.engines import open_engine
from sg_depth_ros.evaluation.findings import Findings
from sg_depth_ros.evaluation.frame_key import FrameKey
from sg_depth_ros.evaluation.gallery import choose_frames
from sg_depth_ros.evaluation.judging import with_score
from sg_depth_ros.evaluation.models import NamedModel
from sg_depth_ros.ground import GroundPlaneRefusal
from training.__main__ import main as run_verb
from training.data.drive import read_lidar
from training.data.drive import write_drive
from training.data.drive import write_lidar
from training.evaluate import EvaluationOptions
from training.evaluate import evaluate
from training.evaluation.frames import DatasetFrames
from training.evaluation.predictions import predict_frame


@pytest.fixture
def model(tmp_path: Path):
    write_road_model(tmp_path / 'model.onnx')
    return tmp_path / 'model.onnx'


def judge(model: Path, dataset: Path, out: Path) -> Findings:
    (findings,) = evaluate([NamedModel(model.name, model)], DatasetFrames(dataset), out)
    return findings


def test_a_model_that_is_right_has_no_error(tmp_path: Path, model: Path):
    write_dataset(tmp_path / 'data', lidar_at=(0, 2, 4))
    summary = judge(model, tmp_path / 'data', tmp_path / 'out').summary
    assert (summary.images, summary.images_without_truth) == (3, 5)
    assert summary.unscaled.abs_rel < 0.03  # the resize at the horizon
    assert summary.scale_ratio_median == pytest.approx(1.0, abs=0.01)


def test_a_wrong_scale_shows_unscaled_and_vanishes_with_median_scaling(
    tmp_path: Path, model: Path
):
    write_dataset(tmp_path / 'data', lidar_at=(0, 1), lidar_factor=0.5)
    judge(model, tmp_path / 'data', tmp_path / 'out')
    document = json.loads((tmp_path / 'out' / 'metrics.json').read_text())
    assert document['images'] == 2
    assert document['unscaled']['abs_rel'] == pytest.approx(1.0, abs=0.1)
    assert document['median_scaled']['abs_rel'] < 0.05
    assert document['scale_ratio']['median'] == pytest.approx(0.5, abs=0.01)
    assert document['class_labels'] == 'predicted'
    assert [c['name'] for c in document['per_class']] == ['road']
    assert document['infinite_depth']['frames'] == 0
    assert document['model']['metric'] is True


def test_an_empty_lidar_image_does_not_count(tmp_path: Path, model: Path):
    write_dataset(tmp_path / 'data', lidar_at=(0, 1))
    empty = tmp_path / 'data' / 'road' / 'lidar' / '000001.png'
    one = judge(model, tmp_path / 'data', tmp_path / 'out').summary
    write_lidar(np.zeros((64, 128), np.float32), empty)
    two = judge(model, tmp_path / 'data', tmp_path / 'out').summary
    assert (one.images, two.images) == (2, 1)
    assert two.unscaled.abs_rel == pytest.approx(one.unscaled.abs_rel)


def test_a_dataset_without_lidar_says_what_cannot_be_judged(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
):
    write_dataset(tmp_path / 'data', cars_at=(2, 3), with_labels=True)
    assert run_verb(['evaluate', '--model', str(model), '--data', f'{tmp_path}/data']) == 0
    output = capsys.readouterr().out
    assert 'No frame of data has measured depth' in output
    assert 'over 8 frames' in output
    document = json.loads((tmp_path / 'evaluation' / 'metrics.json').read_text())
    assert document['ground_truth'] is None
    assert 'ground truth' in document['why']
    assert document['infinite_depth']['frames'] == 2
    assert document['median_depth_change']['pairs'] == 7
    assert (tmp_path / 'evaluation' / 'evaluation.png').stat().st_size > 10_000


def test_given_labels_judge_cars_by_themselves(tmp_path: Path, model: Path):
    write_dataset(tmp_path / 'data', lidar_at=(3,), cars_at=(3,), with_labels=True)
    findings = judge(model, tmp_path / 'data', tmp_path / 'out')
    groups = {g.name: g.unscaled.abs_rel for g in findings.summary.per_class}
    assert findings.labels_source() == 'given'
    assert groups['car'] > 2.0
    assert groups['road'] < 0.1
    average = (groups['car'] + groups['road']) / 2
    assert findings.summary.class_average.unscaled.abs_rel == pytest.approx(average)


def test_a_vehicle_that_depth_does_not_show_is_missing_without_lidar(tmp_path: Path, model: Path):
    write_dataset(tmp_path / 'data', with_labels=True)
    write_standing_car(tmp_path / 'data', 3)
    findings = judge(model, tmp_path / 'data', tmp_path / 'out')
    standing = findings.standing().total
    assert (standing.vehicles, standing.missing_share) == (1, 1.0)
    (shelf,) = (s for s in choose_frames((findings,), 1) if s.title == 'Missing vehicles')
    assert shelf.entries == (('road', 3),)
    refused = GroundPlaneRefusal('tilted')
    score = findings.frames[3].score._replace(plane=refused, hole_pixels=0)
    assert with_score(findings.frames[3], score).standing == ((), refused)


def test_drives_are_chosen_by_name(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
):
    write_dataset(tmp_path / 'data', drive='a', lidar_at=(0,))
    write_dataset(tmp_path / 'data', drive='b', lidar_at=(0, 1))
    frames = DatasetFrames(tmp_path / 'data', ('b',))
    options = EvaluationOptions(lidar_only=True)
    (findings,) = evaluate([NamedModel('m', model)], frames, tmp_path / 'out', options)
    assert [f.entry for f in findings.frames] == [('b', 0), ('b', 1)]
    words = ['evaluate', '--model', str(model), '--data', f'{tmp_path}/data', '--drive', 'c']
    assert run_verb(words) == 2
    assert "no drive 'c'; there are: a, b" in capsys.readouterr().err
    assert not (tmp_path / 'evaluation').exists()


def test_another_focal_length_is_corrected_like_on_the_vehicle(tmp_path: Path, model: Path):
    from dataclasses import replace

    folder = tmp_path / 'data' / 'road'
    drive = write_dataset(tmp_path / 'data')
    longer = replace(drive.intrinsics, fx=2 * drive.intrinsics.fx, fy=2 * drive.intrinsics.fy)
    write_drive(replace(drive, intrinsics=longer), folder)
    prediction = predict_frame(
        open_engine(model), DatasetFrames(tmp_path / 'data'), FrameKey('road', 0)
    )
    assert prediction.depth_m == pytest.approx(2 * road_depth_m(drive.intrinsics), rel=1e-4)


def test_flip_averages_with_the_mirrored_image(tmp_path: Path, model: Path):
    write_dataset(tmp_path / 'data', cars_at=(0,))
    frames = DatasetFrames(tmp_path / 'data')
    engine = open_engine(model)
    # The tiny model is symmetric: its own flip gives the same depth, exactly but for rounding.
    plain = predict_frame(engine, frames, FrameKey('road', 0)).depth_m
    flipped = predict_frame(engine, frames, FrameKey('road', 0), flip=True).depth_m
    assert flipped == pytest.approx(plain, rel=1e-5)
    assert flipped[24, 30] > 20


def test_lidar_survives_its_file(tmp_path: Path):
    depth_m = np.array([[0.0, 1.5, 79.99]], np.float32)
    write_lidar(depth_m, tmp_path / 'lidar.png')
    assert read_lidar(tmp_path / 'lidar.png') == pytest.approx(depth_m, abs=1 / 512)


def test_what_to_judge_on_is_named_once(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
):
    for more in ([], ['--data', f'{tmp_path}', '--kitti', f'{tmp_path}']):
        assert run_verb(['evaluate', '--model', str(model), *more]) == 2
        assert 'either --data DATASET or --kitti ROOT' in capsys.readouterr().err


@pytest.mark.parametrize('wrong', ['model', 'dataset', 'damaged lidar', 'no lidar'])
def test_wrong_input_is_one_line_and_writes_nothing(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str], wrong: str
):
    words = ['evaluate', '--data', f'{tmp_path}/data', '--out', f'{tmp_path}/out', '--model']
    words.append(f'{tmp_path}/none.onnx' if wrong == 'model' else str(model))
    if wrong != 'dataset':
        write_dataset(tmp_path / 'data', lidar_at=() if wrong == 'no lidar' else (0,))
    if wrong == 'damaged lidar':
        (tmp_path / 'data' / 'road' / 'lidar' / '000000.png').write_bytes(b'nothing')
    if wrong == 'no lidar':
        words.append('--lidar-only')
    assert run_verb(words) == 2
    assert capsys.readouterr().err.strip().splitlines()[-1].startswith('error: ')
    assert not (tmp_path / 'out').exists()
