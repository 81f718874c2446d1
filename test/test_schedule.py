"""The learning rate, step by step, through real training runs."""

import pytest
from training_run import options
from training_run import write_noise_dataset
from training_run import write_segmentation

from sg_depth_ros.errors import UserError
from training import train
from training.objective.depth_module import DepthModule
from training.objective.schedule import OptimizerConfig


@pytest.fixture
def rates(monkeypatch):
    """Return the list into which every step of a training puts the rate that it used."""
    used = []
    step = DepthModule.optimizer_step

    def spy(module, epoch, batch, optimizer, closure=None):
        used.append(optimizer.param_groups[0]['lr'])
        return step(module, epoch, batch, optimizer, closure)

    monkeypatch.setattr(DepthModule, 'optimizer_step', spy)
    return used


@pytest.fixture
def run(tmp_path):
    """Return what trains in tmp_path: two batches of three samples are an epoch."""
    dataset = write_noise_dataset(tmp_path / 'dataset')
    segmentation = write_segmentation(tmp_path / 'segmentation.ckpt')

    def train_with(*more):
        plain = [
            o for o in options(dataset, segmentation, tmp_path / 'run') if 'max_steps' not in o
        ]
        rate = ['--model.optimizer.lr=0.008', '--data.batch_size=3']
        assert train.main([*plain, *rate, *more]) == 0

    return train_with


def test_the_rate_falls_once_for_the_last_share(run, rates):
    run('--trainer.max_epochs=4', '--model.optimizer.drop_at=0.75')
    assert rates == pytest.approx([0.008] * 6 + [0.0008] * 2)


def test_the_rate_halves_every_so_many_epochs(run, rates):
    run('--trainer.max_epochs=5', '--model.optimizer.halve_every_epochs=2')
    assert rates == pytest.approx([0.008] * 4 + [0.004] * 4 + [0.002] * 2)


def test_epochs_are_counted_where_only_steps_limit_the_training(run, rates):
    run('--trainer.max_steps=5', '--model.optimizer.halve_every_epochs=1.5')
    assert rates == pytest.approx([0.008] * 3 + [0.004] * 2)


def test_epochs_are_counted_where_gradients_are_accumulated(run, rates):
    accumulate = '--trainer.accumulate_grad_batches=2'
    run('--trainer.max_epochs=2', accumulate, '--model.optimizer.halve_every_epochs=1')
    assert rates == pytest.approx([0.008, 0.004])


def test_the_rate_rises_at_the_start(run, rates):
    run(
        '--trainer.max_steps=5', '--model.optimizer.warm_up_steps=3', '--model.optimizer.drop_at=1'
    )
    assert rates == pytest.approx([0.002, 0.004, 0.006, 0.008, 0.008])


def test_a_finished_run_made_longer_follows_the_longer_schedule(run, rates):
    run('--trainer.max_epochs=2', '--model.optimizer.drop_at=0.5')
    assert rates == pytest.approx([0.008] * 2 + [0.0008] * 2)
    run('--trainer.max_epochs=6', '--model.optimizer.drop_at=0.5', '--resume=true')
    assert rates[4:] == pytest.approx([0.008] * 2 + [0.0008] * 6)


def test_a_run_goes_on_at_another_rate_where_asked_to(run, rates):
    run('--trainer.max_steps=1')
    run('--trainer.max_steps=2', '--resume=true', '--model.optimizer.lr=0.5')
    assert rates == pytest.approx([0.008, 0.5])


@pytest.mark.parametrize(
    ('setting', 'says'),
    [
        ({'lr': 0.0}, 'lr 0.0 is not positive'),
        ({'drop_at': 75.0}, 'drop_at 75.0'),
        ({'drop_to': 0.0}, 'drop_to'),
        ({'halve_every_epochs': 0.0}, 'halve_every_epochs'),
        ({'warm_up_steps': -1}, 'warm_up_steps'),
        ({'gradient_clip': -1.0}, 'gradient_clip'),
    ],
)
def test_settings_that_are_no_schedule_are_refused(setting, says):
    with pytest.raises(UserError, match=says):
        OptimizerConfig(**setting)
