"""Both stages in one command: what it leaves, and that an interrupted run goes on."""

from types import SimpleNamespace

import pytest
import torch
import yaml
from training_run import kill_training_at
from training_run import options
from training_run import write_noise_dataset
from training_run import write_segmentation

from sg_depth_ros.errors import UserError
from sg_depth_ros.evaluation.frame_key import FrameKey
from training import two_stage
from training.checkpoint import load_depth_checkpoint
from training.data.drive import write_split
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


def test_the_second_stage_keeps_to_the_split_and_has_options_of_its_own(
    dataset, segmentation, tmp_path
):
    out, split = tmp_path / 'run', tmp_path / 'split.txt'
    write_split([FrameKey('road', frame) for frame in (2, 3)], split)
    second = ['--second-options', '--trainer.max_steps 1 --model.optimizer.lr 0.5']
    arguments = options(dataset, segmentation, out, '--data.split', str(split), *second)
    assert two_stage.main(arguments) == 0
    kept = {line.frame for line in read_split_lines(out / 'split_two.txt')}
    assert kept <= {2, 3}
    for stage, steps, rate in (('stage_one', 2, 2e-4), ('stage_two', 1, 0.5)):
        config = yaml.safe_load((out / stage / 'config.yaml').read_text())
        assert config['trainer']['max_steps'] == steps
        assert config['model']['optimizer']['lr'] == rate


def test_processes_that_torchrun_started_are_refused(dataset, segmentation, tmp_path, monkeypatch):
    environment = {'TORCHELASTIC_RUN_ID': 'test', 'RANK': '0', 'LOCAL_RANK': '0'}
    environment |= {'WORLD_SIZE': '2', 'LOCAL_WORLD_SIZE': '2', 'GROUP_RANK': '0'}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    processes = ['--trainer.devices=2', '--trainer.strategy=ddp']
    out = tmp_path / 'run'
    with pytest.raises(UserError, match='torchrun'):
        two_stage.main(options(dataset, segmentation, out, *processes))
    assert not out.exists()


def test_a_stage_on_several_devices_is_a_command_of_its_own(
    dataset, segmentation, tmp_path, monkeypatch
):
    started = []

    def run(command, check):
        started.append(command)
        return SimpleNamespace(returncode=3)

    monkeypatch.setattr(two_stage.subprocess, 'run', run)
    processes = ['--trainer.devices=2', '--trainer.strategy=ddp']
    out = tmp_path / 'run'
    with pytest.raises(UserError, match='exit status 3'):
        two_stage.main(options(dataset, segmentation, out, *processes))
    (command,) = started
    assert command[1:4] == ['-m', 'training', 'train']
    assert set(processes) < set(command)
    assert str(out / 'stage_one') in command
