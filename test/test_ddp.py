"""Two processes train as one with the joined batch does: through the real command, by gloo."""

import os
import subprocess
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch
from training_run import options
from training_run import write_noise_dataset
from training_run import write_segmentation

from training import train
from training.data.datamodule import DepthData
from training.data.drive import read_drive
from training.data.drive import write_drive
from training.data.keyed_sampler import KeyedSampler

ROOT = Path(__file__).resolve().parents[1]
PROCESSES = 2
BATCH_SIZE = 2  # of each process
# Every term of the loss takes part and weighs something. PackNet has no batch-norm, whose
# statistics are those of one process (torch joins them on GPUs only, by
# --trainer.sync_batchnorm true).
NETWORK = [
    '--model.network.architecture=packnet01_slim',
    '--model.network.encoder_width=16',
    '--model.network.guided_strides=[8]',
    '--model.objective.scale=velocity',
    '--model.objective.smoothness_weight=1',
    '--model.optimizer.gradient_clip=1e9',
    '--trainer.max_steps=1',
]
ADAM_BETA1 = 0.9


@pytest.fixture
def dataset(tmp_path):
    """Write a drive whose last two frames have no speed."""
    root = write_noise_dataset(tmp_path / 'dataset')
    drive = read_drive(root / 'road')
    unknown = tuple(replace(frame, speed_m_s=None) for frame in drive.frames[-2:])
    write_drive(replace(drive, frames=drive.frames[:-2] + unknown), root / 'road')
    return root


def gradients(run):
    """Return the gradients of the first step: Adam's first moment is then (1 - beta1) of them."""
    checkpoint = torch.load(run / 'checkpoints/last.ckpt', weights_only=True)
    assert checkpoint['global_step'] == 1
    states = checkpoint['optimizer_states'][0]['state'].values()
    return [state['exp_avg'].double() / (1 - ADAM_BETA1) for state in states]


def first_samples(dataset, rank=0, processes=1):
    """Return what a process trains on first."""
    data = DepthData(str(dataset))
    sampler = KeyedSampler(len(data.dataset), data.seed, True, rank, processes)
    count = PROCESSES * BATCH_SIZE // processes
    return [data.dataset[key] for key in islice(sampler, count)]


def test_processes_share_out_the_samples_of_the_joined_batch(dataset):
    joined = first_samples(dataset)
    shares = [first_samples(dataset, rank, PROCESSES) for rank in range(PROCESSES)]
    shared_out = [s.sample for share in shares for s in share]
    assert sorted(shared_out) == sorted(s.sample for s in joined)
    # Else the next test would not notice means over different numbers of measurements.
    known = [sum(int((~s.displacement_m.isnan()).sum()) for s in share) for share in shares]
    assert known[0] != known[1]


@pytest.mark.slow
def test_two_processes_have_the_gradients_of_one_with_the_joined_batch(dataset, tmp_path):
    segmentation = write_segmentation(tmp_path / 'segmentation.ckpt')
    joined = f'--data.batch_size={PROCESSES * BATCH_SIZE}'
    train.main(options(dataset, segmentation, tmp_path / 'one', *NETWORK, joined))
    shared = [
        *(f'--data.batch_size={BATCH_SIZE}', '--trainer.strategy=ddp'),
        f'--trainer.devices={PROCESSES}',
    ]
    arguments = options(dataset, segmentation, tmp_path / 'two', *NETWORK, *shared)
    done = subprocess.run(
        [sys.executable, '-m', 'training', 'train', *arguments],
        cwd=ROOT,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-2000:]

    expected, shared_out = gradients(tmp_path / 'one'), gradients(tmp_path / 'two')
    assert len(expected) == len(shared_out) > 100
    norm = sum(g.square().sum() for g in expected).sqrt()
    assert norm > 1e-3
    for one, two in zip(expected, shared_out):
        assert (one - two).norm() < 1e-5 * norm
