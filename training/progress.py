"""One progress bar for a whole training: steps, loss, samples per second, time left."""

import time
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import ProgressBar
from rich.console import Console
from rich.progress import BarColumn
from rich.progress import MofNCompleteColumn
from rich.progress import Progress
from rich.progress import TaskID
from rich.progress import TextColumn
from rich.progress import TimeElapsedColumn
from rich.progress import TimeRemainingColumn

LINES_WITHOUT_TERMINAL = 10


class TrainingProgress(ProgressBar):
    """
    A bar over all steps instead of one per epoch; without a terminal, a line every tenth.

    :param title: what is being trained.
    """

    def __init__(self, title: str) -> None:
        super().__init__()
        self.title = title
        self._enabled = True
        self._progress: Progress | None = None
        self._task = TaskID(0)
        self._console = Console()
        self._started_s = 0.0
        self._first_step = 0
        self._samples = 0

    def disable(self) -> None:
        """Show nothing; Lightning calls this on every process but the first."""
        self._enabled = False

    def enable(self) -> None:
        """Show again."""
        self._enabled = True

    def on_train_start(  # noqa: D102
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        super().on_train_start(trainer, pl_module)
        self._started_s = time.monotonic()
        self._first_step = trainer.global_step
        self._samples = 0
        self._enabled = self._enabled and trainer.is_global_zero
        if not self._enabled or not self._console.is_terminal:
            return
        self._progress = Progress(
            TextColumn('{task.description}'),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn('{task.fields[status]}'),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
        )
        self._progress.start()
        self._task = self._progress.add_task(
            self.title, total=_total_steps(trainer), completed=trainer.global_step, status=''
        )

    def on_train_batch_end(  # noqa: D102
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        if not self._enabled:
            return
        self._samples += len(batch[0]) * trainer.world_size
        if self._progress is not None:
            self._progress.update(
                self._task, completed=trainer.global_step, status=self._status(trainer)
            )
            return
        total, step = _total_steps(trainer), trainer.global_step
        if total and step * LINES_WITHOUT_TERMINAL // total > (
            (step - 1) * LINES_WITHOUT_TERMINAL // total
        ):
            print(f'{self.title} {step}/{total} {self._status(trainer)}', flush=True)

    def on_train_end(  # noqa: D102
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        self._stop()

    def on_exception(  # noqa: D102
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        exception: BaseException,
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _status(self, trainer: lightning.Trainer) -> str:
        elapsed_s = max(time.monotonic() - self._started_s, 1e-9)
        values = ' '.join(
            f'{name} {float(value):.4f}'
            for name, value in trainer.progress_bar_metrics.items()
            if isinstance(value, (float, int, torch.Tensor))
        )
        return f'{values} {self._samples / elapsed_s:.1f} samples/s'


def _total_steps(trainer: lightning.Trainer) -> int | None:
    total = trainer.estimated_stepping_batches
    return int(total) if total != float('inf') else None
