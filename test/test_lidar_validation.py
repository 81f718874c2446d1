"""Depth is judged while it is trained, and judging changes nothing."""

import csv

import pytest
import torch
from tiny_dataset import write_dataset
from training_run import options
from training_run import write_noise_dataset
from training_run import write_segmentation

from sg_depth_ros.errors import UserError
from sg_depth_ros.evaluation.models import NamedModel
from training import train
from training.evaluate import evaluate
from training.evaluation.frames import DatasetFrames
from training.running.lidar_validation import ValidationConfig
from training.running.lidar_validation import frames_with_lidar
from training.running.lidar_validation import open_validation


@pytest.fixture(scope='module')
def dataset(tmp_path_factory):
    return write_noise_dataset(tmp_path_factory.mktemp('data') / 'dataset')


@pytest.fixture(scope='module')
def judged_dataset(tmp_path_factory):
    root = tmp_path_factory.mktemp('judged') / 'dataset'
    write_dataset(root, frames=8, lidar_at=(1, 2, 5, 6))
    return root


@pytest.fixture(scope='module')
def segmentation(tmp_path_factory):
    return write_segmentation(tmp_path_factory.mktemp('semantic') / 'segmentation.ckpt')


def test_the_judged_frames_are_spread_evenly_over_those_with_lidar(judged_dataset):
    assert [e.frame for e in frames_with_lidar(judged_dataset, 10).entries] == [1, 2, 5, 6]
    assert [e.frame for e in frames_with_lidar(judged_dataset, 2).entries] == [1, 6]


def test_without_lidar_nothing_is_judged_unless_a_folder_was_named(dataset, judged_dataset):
    assert open_validation(ValidationConfig(), dataset) is None
    assert open_validation(ValidationConfig(every_steps=0), judged_dataset) is None
    assert len(open_validation(ValidationConfig(root=str(judged_dataset)), dataset).entries) == 4
    with pytest.raises(UserError, match='no frame has LiDAR'):
        open_validation(ValidationConfig(root=str(dataset)), judged_dataset)


def test_the_last_judgement_is_what_evaluate_finds_and_training_is_not_disturbed(
    dataset, judged_dataset, segmentation, tmp_path, capsys
):
    judged, unjudged = tmp_path / 'judged', tmp_path / 'unjudged'
    steps = ['--trainer.max_steps=3']
    chosen = ['--validation.root', str(judged_dataset), '--validation.every_steps=2']
    train.main(options(dataset, segmentation, judged, *steps, *chosen))
    assert 'AbsRel' in capsys.readouterr().out
    train.main(options(dataset, segmentation, unjudged, *steps))
    with (judged / 'validation.csv').open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row['step']) for row in rows] == [2, 3]
    model = NamedModel('depth', judged / 'depth.ckpt')
    (findings,) = evaluate([model], DatasetFrames(judged_dataset), tmp_path / 'evaluation')
    assert float(rows[-1]['abs_rel']) == pytest.approx(findings.summary.unscaled.abs_rel, abs=1e-4)
    states = [
        torch.load(out / 'depth.ckpt', weights_only=True)['state_dict']
        for out in (judged, unjudged)
    ]
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())
    assert not (unjudged / 'validation.csv').exists()
