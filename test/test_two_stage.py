"""Both stages in one command: what it leaves, and that an interrupted run goes on."""

import pytest
import torch
from training_run import kill_training_at
from training_run import options
from training_run import write_noise_dataset
from training_run import write_segmentation

from sg_depth_ros.errors import UserError
from training import two_stage
from training.checkpoint import load_depth_checkpoint
from training.data.splits import read_split_lines


@pytest.fixture
def segmentation(tmp_path):
    return write_segmentation(tmp_path / 'segmentation.ckpt')


@pytest.fixture
def dataset(tmp_path):
    return write_noise_dataset(tmp_path / 'dataset')


def test_two_stages_leave_two_networks_and_the_split_between(
    dataset,
    segmentation,
    tmp_path,
):
    out = tmp_path / 'run'
    arguments = options(dataset, segmentation, out, '--second-start', 'all', '--second-steps', '1')
    assert two_stage.main(arguments) == 0
    first = load_depth_checkpoint(out / 'stage_one/depth.ckpt')
    second = load_depth_checkpoint(out / 'stage_two/depth.ckpt')
    assert (first.provenance.stage, second.provenance.stage) == (1, 2)
    assert 0 < len(read_split_lines(out / 'split_two.txt')) <= 6
    assert (out / 'resample.json').exists()
    with pytest.raises(UserError, match='finished'):
        two_stage.main(arguments)


def test_what_was_done_is_not_done_again(
    dataset,
    segmentation,
    tmp_path,
    monkeypatch,
):
    out = tmp_path / 'run'
    kill_training_at(monkeypatch, 1)
    with pytest.raises(RuntimeError, match='killed'):
        two_stage.main(options(dataset, segmentation, out))
    last = out / 'stage_one/checkpoints/last.ckpt'
    assert torch.load(last, weights_only=True)['global_step'] == 1
    monkeypatch.undo()
    assert two_stage.main(options(dataset, segmentation, out)) == 0
    assert torch.load(last, weights_only=True)['global_step'] == 2
    assert (out / 'stage_two/depth.ckpt').exists()


def test_the_dataset_can_stand_in_the_configuration(dataset, segmentation, tmp_path):
    out = tmp_path / 'run'
    arguments = options(dataset, segmentation, out)
    at = arguments.index('--data.root')
    config = tmp_path / 'config.yaml'
    config.write_text(f'data:\n  root: {arguments[at + 1]}\n')
    del arguments[at : at + 2]
    assert two_stage.main(['--config', str(config), *arguments]) == 0
    assert (out / 'stage_two/depth.ckpt').exists()


def test_it_says_which_dataset_is_missing(segmentation, tmp_path):
    with pytest.raises(UserError, match=r'data\.root'):
        two_stage.main(['--model.segmentation', str(segmentation), '--out', str(tmp_path / 'run')])
    assert not (tmp_path / 'run').exists()
