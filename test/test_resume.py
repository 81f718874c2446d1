"""An interrupted training goes on as if it had never been interrupted, to the bit."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import lightning
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from training_run import options
from training_run import save_every
from training_run import write_noise_dataset
from training_run import write_segmentation

from training import train
from training.data.keyed_sampler import KeyedSampler
from training.data.keyed_sampler import Position
from training.objective.depth_module import DepthModule
from training.running.resume import ResumeCheckpoint


class AnyData:
    """Data that may begin anywhere."""

    def resume_at(self, epoch: int, batches: int) -> None:
        """Forget it."""


STEPS = ['--trainer.max_steps=7', '--trainer.log_every_n_steps=1', '--data.batch_size=2']
STEPS_PER_EPOCH = 3  # of the six triplets
SAVED_AT = 4  # inside the second epoch

# Trains as the command line says, saves every second step, and is killed while it writes that.
KILLED_WHILE_SAVING = """
import os, signal, sys
import torch
from training import train
from training.running import resume

save = torch.save
saves = 0

def dies(checkpoint, file):
    global saves
    saves += 1
    if saves == int(sys.argv[1]):
        file.write(b'half a checkpoint')
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    save(checkpoint, file)

torch.save = dies
torch.set_num_threads(1)
resume.STEPS_BETWEEN_CHECKPOINTS = 2
resume.SECONDS_BETWEEN_CHECKPOINTS = 0.0
train.main(sys.argv[2:])
"""


@pytest.fixture(scope='module')
def dataset(tmp_path_factory):
    return write_noise_dataset(tmp_path_factory.mktemp('data') / 'dataset')


@pytest.fixture(scope='module')
def segmentation(tmp_path_factory):
    return write_segmentation(tmp_path_factory.mktemp('semantic') / 'segmentation.ckpt')


@pytest.fixture(scope='module')
def uninterrupted(dataset, segmentation, tmp_path_factory):
    out = tmp_path_factory.mktemp('whole') / 'run'
    train.main(options(dataset, segmentation, out, *STEPS))
    return out


def losses(out: Path) -> dict[int, float]:
    """Return the loss of each step as it was logged; of a step trained twice, the last."""
    events = EventAccumulator(str(out / 'tensorboard')).Reload()
    return {event.step: event.value for event in events.Scalars('loss')}


def weights(out: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(out / 'depth.ckpt', weights_only=True)[
        'state_dict'
    ]
    return state


def assert_same_end(interrupted: Path, uninterrupted: Path, since_step: int) -> None:
    whole, resumed = losses(uninterrupted), losses(interrupted)
    assert set(range(since_step, 7)) <= set(resumed)
    assert {s: resumed[s] for s in range(since_step, 7)} == {
        s: whole[s] for s in range(since_step, 7)
    }
    expected, reached = weights(uninterrupted), weights(interrupted)
    assert all(torch.equal(reached[key], value) for key, value in expected.items())


@pytest.mark.parametrize('workers', [0, 2])
def test_killed_inside_an_epoch_the_next_losses_are_the_same_to_the_bit(
    dataset, segmentation, uninterrupted, tmp_path, monkeypatch, workers
):
    assert SAVED_AT % STEPS_PER_EPOCH != 0
    out = tmp_path / 'run'
    step = DepthModule.training_step

    def dies(module, batch, batch_index):
        if module.global_step == SAVED_AT + 1:
            raise RuntimeError('killed')
        return step(module, batch, batch_index)

    more = [*STEPS, f'--data.workers={workers}']
    with monkeypatch.context() as patched:
        save_every(patched, SAVED_AT)
        patched.setattr(DepthModule, 'training_step', dies)
        with pytest.raises(RuntimeError, match='killed'):
            train.main(options(dataset, segmentation, out, *more))
    torch.manual_seed(12345)  # whatever another process starts with
    train.main(options(dataset, segmentation, out, *more, '--resume=true'))
    assert_same_end(out, uninterrupted, SAVED_AT)


def test_accumulated_gradients_are_not_lost_in_an_interruption(
    dataset, segmentation, tmp_path, monkeypatch
):
    # Of the three batches of an epoch two make a step, and the last one another.
    more = [*STEPS, '--trainer.accumulate_grad_batches=2', '--trainer.max_steps=6']
    train.main(options(dataset, segmentation, tmp_path / 'whole', *more))
    out = tmp_path / 'run'
    step = DepthModule.training_step
    batches = 0

    def dies(module, batch, batch_index):
        nonlocal batches
        batches += 1
        # Saved after the third step, at batch 5; due again at batch 7, the first one of a step.
        save_every(patched, 1 if batches in (5, 7) else 100)
        if batches == 8:
            raise RuntimeError('killed')
        return step(module, batch, batch_index)

    with monkeypatch.context() as patched:
        patched.setattr(DepthModule, 'training_step', dies)
        with pytest.raises(RuntimeError, match='killed'):
            train.main(options(dataset, segmentation, out, *more))
    last = torch.load(out / 'checkpoints/last.ckpt', weights_only=True)
    assert last['global_step'] == 3
    train.main(options(dataset, segmentation, out, *more, '--resume=true'))
    expected, reached = weights(tmp_path / 'whole'), weights(out)
    assert all(torch.equal(reached[key], value) for key, value in expected.items())


@pytest.mark.parametrize('save_that_fails', [2, 3])
def test_killed_while_it_writes_a_checkpoint_a_run_goes_on_from_the_one_before(
    dataset, segmentation, uninterrupted, tmp_path, save_that_fails
):
    out = tmp_path / 'run'
    command = options(dataset, segmentation, out, *STEPS)
    root = Path(__file__).resolve().parents[1]
    killed = subprocess.run(
        [sys.executable, '-c', KILLED_WHILE_SAVING, str(save_that_fails), *command],
        cwd=root,
        env={**os.environ, 'OMP_NUM_THREADS': '1'},
        capture_output=True,
        text=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    last = torch.load(out / 'checkpoints/last.ckpt', weights_only=True)
    assert last['global_step'] == 2 * (save_that_fails - 1)
    train.main([*command, '--resume=true'])
    assert_same_end(out, uninterrupted, last['global_step'])
    assert [p.name for p in (out / 'checkpoints').iterdir()] == ['last.ckpt']


def test_a_checkpoint_holds_optimiser_schedule_place_and_random_state(uninterrupted):
    checkpoint = torch.load(uninterrupted / 'checkpoints/last.ckpt', weights_only=True)
    assert checkpoint['global_step'] == 7
    assert checkpoint['epoch'] > 0
    assert len(checkpoint['optimizer_states'][0]['state']) > 10
    assert checkpoint['lr_schedulers'][0]['last_epoch'] == 7
    assert len(checkpoint['callbacks']['ResumeCheckpoint']['cpu']) == len(torch.get_rng_state())


def test_the_random_state_of_a_checkpoint_comes_back_when_training_starts(tmp_path):
    saved = ResumeCheckpoint(tmp_path / 'last.ckpt', AnyData()).state_dict()
    drawn = torch.rand(3)
    torch.manual_seed(7)
    resumed = ResumeCheckpoint(tmp_path / 'last.ckpt', AnyData())
    resumed.load_state_dict(saved)
    resumed.on_train_start(lightning.Trainer(logger=False), lightning.LightningModule())
    assert torch.equal(torch.rand(3), drawn)


def test_the_sampler_begins_where_it_stopped_and_then_goes_on_as_ever():
    whole = KeyedSampler(10, seed=3, shuffle=True)
    resumed = KeyedSampler(10, seed=3, shuffle=True, start=Position(epoch=2, samples=4))
    whole.set_epoch(2)
    assert list(resumed) == list(whole)[4:]
    for sampler in (whole, resumed):
        sampler.set_epoch(3)
    assert list(resumed) == list(whole)
    assert len(resumed) == 10
