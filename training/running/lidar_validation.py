"""Judging depth against LiDAR while it is being trained, as ``evaluate`` does afterwards."""

import csv
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from typing import NamedTuple

import lightning
import numpy as np
import torch

from sg_depth_ros.errors import UserError
from sg_depth_ros.evaluation.frame_key import FrameKey
from sg_depth_ros.metrics import judge_image
from sg_depth_ros.metrics_summary import EvaluationSummary
from sg_depth_ros.metrics_summary import summarize
from training.checkpoint import LoadedDepth
from training.evaluation.frames import DatasetFrames
from training.evaluation.frames import JudgedFrames
from training.evaluation.predictions import predict_frames
from training.objective.depth_module import DepthModule
from training.torch_engine import TorchEngine

VALIDATION_FILE = 'validation.csv'
COLUMNS = ('step', 'seconds', 'abs_rel', 'abs_rel_scaled', 'rmse', 'a1', 'a1_scaled')


@dataclass(frozen=True)
class ValidationConfig:
    """
    When depth is judged during training, and on what; nothing of it teaches the network.

    :param root: dataset folder with LiDAR; none takes the one that is trained on, if it has any.
    :param every_steps: how often; 0 is never.
    :param frames: so many, spread evenly over all that have LiDAR.
    """

    root: str | None = None
    every_steps: int = 500
    frames: int = 50


class FramesWithTruth(NamedTuple):
    """What is judged."""

    frames: JudgedFrames
    entries: tuple[FrameKey, ...]


def frames_with_lidar(root: Path, limit: int) -> FramesWithTruth:
    """Return frames of a dataset folder that have LiDAR, at most so many, evenly spread."""
    frames = DatasetFrames(root)
    found = [entry for entry in frames.entries if frames.has_truth(entry)]
    chosen = np.linspace(0, len(found) - 1, min(limit, len(found))).round().astype(int)
    return FramesWithTruth(frames, tuple(found[i] for i in chosen))


def open_validation(config: ValidationConfig, trained_on: Path) -> FramesWithTruth | None:
    """
    Find the frames to judge; None where that was not asked for or there is no LiDAR.

    :raises UserError: where a folder was named that holds no LiDAR.
    """
    if config.every_steps < 1:
        return None
    root = trained_on if config.root is None else Path(config.root)
    frames = frames_with_lidar(root, config.frames)
    if not frames.entries and config.root is not None:
        raise UserError(f'{root}: no frame has LiDAR; leave --validation.root out')
    return frames if frames.entries else None


class LidarValidation(lightning.Callback):
    """
    Judges the network now and then: a line, TensorBoard, and a row of ``OUT/validation.csv``.

    The seconds of a row are those of training: building, resuming and judging do not count.

    :param frames: what is judged.
    :param every_steps: how often; at the end of training in any case.
    :param path: of the CSV file.
    """

    def __init__(self, frames: FramesWithTruth, every_steps: int, path: Path) -> None:
        self.frames = frames
        self.every_steps = every_steps
        self.path = path
        self._trained_s = 0.0
        self._since_s = 0.0
        self._judged_step = -1

    def on_train_start(  # noqa: D102
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        self._since_s = time.monotonic()

    def on_train_batch_end(  # noqa: D102
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        if trainer.global_step % self.every_steps == 0:
            self._judge(trainer, pl_module)

    def on_train_end(  # noqa: D102
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        self._judge(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:  # noqa: D102
        return {'trained_s': self._trained_s + time.monotonic() - self._since_s}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:  # noqa: D102
        self._trained_s = state_dict['trained_s']

    def _judge(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        step = trainer.global_step
        if not trainer.is_global_zero or step == self._judged_step:
            return
        self._judged_step = step
        self._trained_s += time.monotonic() - self._since_s
        assert isinstance(module, DepthModule)
        summary = judge(module, self.frames)
        if summary is not None:
            self._tell(trainer, summary)
        self._since_s = time.monotonic()

    def _tell(self, trainer: lightning.Trainer, summary: EvaluationSummary) -> None:
        assert summary.unscaled is not None
        assert summary.median_scaled is not None
        plain, scaled = summary.unscaled, summary.median_scaled
        values = (plain.abs_rel, scaled.abs_rel, plain.rmse, plain.a1, scaled.a1)
        step = trainer.global_step
        for logger in trainer.loggers:
            logger.log_metrics(
                {f'validation/{n}': v for n, v in zip(COLUMNS[2:], values)}, step=step
            )
        is_new = not self.path.exists()
        with self.path.open('a', newline='') as file:
            writer = csv.writer(file)
            if is_new:
                writer.writerow(COLUMNS)
            writer.writerow((step, round(self._trained_s, 1), *(round(v, 5) for v in values)))
        print(
            f'step {step}, {self._trained_s / 60:.1f} min: AbsRel {plain.abs_rel:.3f} unscaled, '
            f'{scaled.abs_rel:.3f} median-scaled, a1 {plain.a1:.3f}, {scaled.a1:.3f} on '
            f'{summary.images} images with LiDAR',
            flush=True,
        )


def judge(module: DepthModule, frames: FramesWithTruth) -> EvaluationSummary | None:
    """
    Judge a network as it is, and leave it so; None where no pixel could be judged.

    :raises UserError: where the network gives no depth.
    """
    assert module.provenance is not None
    was_training = module.training
    engine = TorchEngine(LoadedDepth(module.network, module.provenance), module.device)
    try:
        with torch.autocast(module.device.type, enabled=False):
            judgements = []
            for prediction in predict_frames(engine, frames.frames, frames.entries):
                truth_m = frames.frames.truth_m(prediction.entry)
                assert truth_m is not None
                judgements.append(judge_image(prediction.depth_m, truth_m))
    finally:
        module.train(was_training)
    summary = summarize(judgements, ())
    return None if summary.unscaled is None else summary
