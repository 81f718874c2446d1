"""A dataset, a semantic network and a command line for training runs of two steps: for tests."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_dataset import write_dataset

from training.data.drive import frame_path
from training.data.drive import write_drive
from training.data.drive import write_frame
from training.data.triplet_dataset import TripletBatch
from training.networks.segmentation import SegmentationConfig
from training.networks.segmentation import SegmentationNetwork
from training.networks.segmentation import segmentation_checkpoint
from training.objective.depth_module import DepthModule
from training.running import resume

NARROW = [
    '--model.network.encoder_width=8',
    '--model.network.decoder_channels=[8,8,8,8,8]',
    '--model.network.guidance_channels=16',
    '--trainer.accelerator=cpu',
    '--trainer.max_steps=2',
]


def write_segmentation(path: Path) -> Path:
    """Write the checkpoint of an untrained, narrow semantic network."""
    torch.manual_seed(0)
    network = SegmentationNetwork(SegmentationConfig(width=8, pyramid_channels=16))
    torch.save(segmentation_checkpoint(network), path)
    return path


def write_noise_dataset(root: Path) -> Path:
    """Write a drive of eight frames of noise at 128x64, the camera at 5 m/s."""
    small = write_dataset(root, frames=8)
    for frame in small.frames:
        path = frame_path(root / 'road', frame.index)
        noise = np.random.default_rng(frame.index).integers(0, 255, (64, 128, 3), np.uint8)
        write_frame(noise, path)
    write_drive(replace(small, intrinsics=small.intrinsics.resized(128, 64)), root / 'road')
    return root


def options(dataset: Path, segmentation: Path, out: Path, *more: str) -> list[str]:
    """Return the command line of a narrow network's run of two steps."""
    return [
        *NARROW,
        *('--data.root', str(dataset)),
        *('--model.segmentation', str(segmentation)),
        *('--out', str(out)),
        *more,
    ]


def kill_training_at(monkeypatch: pytest.MonkeyPatch, global_step: int) -> None:
    """Let training die at a step, with a checkpoint after every step; undo() lets it live."""
    step = DepthModule.training_step

    def dies(module: DepthModule, batch: TripletBatch, batch_index: int) -> torch.Tensor:
        if module.global_step == global_step:
            raise RuntimeError('killed')
        return step(module, batch, batch_index)

    save_every(monkeypatch, 1)
    monkeypatch.setattr(DepthModule, 'training_step', dies)


def save_every(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """Save a checkpoint after so many steps, however short they were."""
    monkeypatch.setattr(resume, 'STEPS_BETWEEN_CHECKPOINTS', steps)
    monkeypatch.setattr(resume, 'SECONDS_BETWEEN_CHECKPOINTS', 0.0)
