"""
Going on after an interruption as if there had been none.

A checkpoint holds networks, optimiser, schedule, random state and the place in the epoch; with the
loader's draws keyed by sample and epoch, the next loss is the one an uninterrupted run would have
had, to the bit on one CPU process.
"""

import os
import time
from pathlib import Path
from typing import Any
from typing import Protocol

import lightning
import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

# A checkpoint holds the optimiser too, hundreds of megabytes: not after every short epoch.
STEPS_BETWEEN_CHECKPOINTS = 100
SECONDS_BETWEEN_CHECKPOINTS = 30.0


class ResumableData(Protocol):
    """A data module that can begin inside an epoch."""

    def resume_at(self, epoch: int, batches: int) -> None:
        """Begin with this batch of this epoch."""
        ...


class ResumeCheckpoint(lightning.Callback):
    """
    Keeps one checkpoint of the whole training state, newer for older.

    :param path: of the checkpoint.
    :param data: what is trained on; told where to begin when a checkpoint is loaded.
    """

    def __init__(self, path: Path, data: ResumableData) -> None:
        self.path = path
        self.data = data
        self._saved_step = 0
        self._saved_s = 0.0
        self._last_step = 0
        self._random_state: dict[str, Any] | None = None

    def on_train_start(  # noqa: D102
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        self._saved_step, self._saved_s = trainer.global_step, time.monotonic()
        self._last_step = trainer.global_step
        if self._random_state is not None:
            # Last of all, because loading and building draw random numbers.
            _set_random_state(self._random_state)
            self._random_state = None

    def on_train_batch_end(  # noqa: D102
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        stepped = trainer.global_step > self._last_step
        self._last_step = trainer.global_step
        # Between the batches of one step, gradients that no checkpoint holds are accumulating.
        if not stepped or trainer.global_step - self._saved_step < STEPS_BETWEEN_CHECKPOINTS:
            return
        # The first process's clock decides: all of them must save together.
        due = time.monotonic() - self._saved_s >= SECONDS_BETWEEN_CHECKPOINTS
        if not trainer.strategy.broadcast(due):
            self._saved_step += 1  # asks again in the next step, not in the next hundred
            return
        self.save(trainer)

    def save(self, trainer: lightning.Trainer) -> None:
        """Save now; called by all processes."""
        trainer.save_checkpoint(self.path)
        self._saved_step, self._saved_s = trainer.global_step, time.monotonic()

    def state_dict(self) -> dict[str, Any]:  # noqa: D102
        return {
            'cpu': torch.get_rng_state(),
            'cuda': torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:  # noqa: D102
        self._random_state = state_dict

    def on_load_checkpoint(  # noqa: D102
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        checkpoint: dict[str, Any],
    ) -> None:
        self.data.resume_at(*position(checkpoint))


class WholeCheckpoints(TorchCheckpointIO):
    """Writes beside the old checkpoint and then takes its place, so that one is always whole."""

    def save_checkpoint(  # noqa: D102
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Always the same name: what a killed run leaves, the next save writes over.
        temporary = path.with_name(f'.{path.name}.unfinished')
        with temporary.open('wb') as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)


def position(checkpoint: dict[str, Any]) -> tuple[int, int]:
    """Return the epoch that a checkpoint was saved in and how many of its batches were done."""
    loop = checkpoint['loops']['fit_loop']
    epoch = loop['epoch_progress']['current']
    if epoch['ready'] == epoch['processed']:
        return epoch['processed'], 0  # saved between epochs
    batches = loop['epoch_loop.batch_progress']
    if batches['is_last_batch']:
        return epoch['processed'] + 1, 0
    return epoch['processed'], batches['current']['ready']


def _set_random_state(state: dict[str, Any]) -> None:
    torch.set_rng_state(state['cpu'].cpu())
    if len(state['cuda']) == torch.cuda.device_count():  # resumed on as many as it was saved on
        for device, device_state in enumerate(state['cuda']):
            torch.cuda.set_rng_state(device_state.cpu(), device)
