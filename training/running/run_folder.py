"""
The folder of a training run: its configuration, logs, the checkpoint to resume from, its result.

Shared by ``segment`` and ``train``.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import lightning
from lightning.pytorch.loggers import TensorBoardLogger

from sg_depth_ros.errors import UserError
from training.command_line import RunCLI
from training.command_line import interruption_is_told
from training.command_line import user_errors_from_workers
from training.objective.finite import NotFiniteError
from training.running.environment import EnvironmentRecord
from training.running.nan_stop import NanStop
from training.running.progress import TrainingProgress
from training.running.resume import ResumeCheckpoint
from training.running.resume import WholeCheckpoints

RESUME_FILE = Path('checkpoints/last.ckpt')


class RunFolder(NamedTuple):
    """Where a run writes, and where it goes on from."""

    folder: Path
    result: Path
    resume_from: Path | None


def open_run(cli: RunCLI, result: str) -> RunFolder:
    """
    Check the run folder against what the command line wants; writes nothing.

    :param result: name of the finished checkpoint.
    :raises UserError: where a run would be overwritten, or there is nothing to resume.
    """
    last = cli.out / RESUME_FILE
    resume: bool = cli.config['resume']
    if resume and not last.exists():
        raise UserError(f'{last}: nothing to resume; leave --resume out')
    if not resume and ((cli.out / result).exists() or last.exists()):
        raise UserError(f'{cli.out}: holds a run; give another --out, or go on with --resume true')
    return RunFolder(cli.out, cli.out / result, last if resume else None)


def fit(
    cli: RunCLI, run: RunFolder, title: str, observers: Sequence[lightning.Callback] = ()
) -> None:
    """
    Train, with a progress bar, TensorBoard logs, and now and then a checkpoint to resume from.

    :param title: what the progress bar says.
    :param observers: what else looks on.
    :raises UserError: for data that cannot be used, or a loss that is no number.
    :raises KeyboardInterrupt: where the user stopped it; the run can be resumed.
    """
    trainer: lightning.Trainer = cli.trainer
    is_new = not run.folder.exists()
    run.folder.mkdir(parents=True, exist_ok=True)
    checkpoint = ResumeCheckpoint(run.folder / RESUME_FILE, cli.datamodule)
    nan_stop = NanStop(run.folder)
    environment = EnvironmentRecord(run.folder, cli.command, cli.config['seed_everything'])
    progress = TrainingProgress(title)
    trainer.callbacks += [progress, nan_stop, environment, *observers, checkpoint]  # type: ignore[attr-defined]
    trainer.strategy.checkpoint_io = WholeCheckpoints()
    trainer.loggers = [TensorBoardLogger(run.folder, name='tensorboard', version='')]
    if trainer.is_global_zero:
        cli.save_config()
    resume_from = None if run.resume_from is None else str(run.resume_from)
    try:
        with interruption_is_told(), user_errors_from_workers():
            trainer.fit(
                cli.model, datamodule=cli.datamodule, ckpt_path=resume_from, weights_only=True
            )
    except UserError:
        # Nothing is lost: without a checkpoint the folder holds a configuration and logs only.
        if is_new and not (run.folder / RESUME_FILE).exists():
            shutil.rmtree(run.folder)
        raise
    except NotFiniteError as error:
        raise UserError(nan_stop.report) from error
    if trainer.interrupted:
        raise KeyboardInterrupt
    checkpoint.save(trainer)  # so that a finished run can be made longer


def write_result(trainer: lightning.Trainer, run: RunFolder) -> Path:
    """
    Write the finished checkpoint: weights and what describes them.

    :return: its path.
    """
    trainer.save_checkpoint(run.result, weights_only=True)
    return run.result
