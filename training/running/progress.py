"""One progress bar for a whole training: steps, loss, speed, waiting for data, time left."""

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

from sg_depth_ros.engines.cores import usable_cores
from training.running.speed import LARGEST_WAIT_SHARE
from training.running.speed import FetchClock
from training.running.speed import SpeedMeter
from training.running.speed import duration
from training.running.speed import wait_advice

LINES_WITHOUT_TERMINAL = 10
FIRST_LINE_S = 60.0
LINE_EVERY_S = 600.0
REFRESH_S = 0.3  # showing the loss waits for the device, so not at every step


class TrainingProgress(ProgressBar):
    """
    A bar over all steps instead of one per epoch; without a terminal, a line now and then.

    The logger gets ``speed/samples_per_s`` and ``speed/data_wait_share``.

    :param title: what is being trained.
    """

    def __init__(self, title: str) -> None:
        super().__init__()
        self.title = title
        self._enabled = True
        self._progress: Progress | None = None
        self._task = TaskID(0)
        self._console = Console()
        self._meter = SpeedMeter(0.0, 0)
        self._clock: FetchClock | None = None
        self._shown_s = 0.0
        self._line_due_s = 0.0
        self._tenth = 0
        self._warned = False
        self._epoch = 1

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
        self._enabled = self._enabled and trainer.is_global_zero
        if not self._enabled:
            return
        now_s = time.monotonic()
        self._meter = SpeedMeter(now_s, trainer.global_step)
        self._clock = FetchClock(trainer.profiler)  # type: ignore[attr-defined]
        trainer.profiler = self._clock  # type: ignore[attr-defined]
        self._line_due_s = now_s + FIRST_LINE_S
        self._tenth = _tenth(trainer)
        if self._console.is_terminal:
            self._progress = Progress(
                TextColumn('{task.description}'),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn('{task.fields[status]}'),
                TimeElapsedColumn(),
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
        if self._clock is None:
            return
        now_s, step = time.monotonic(), trainer.global_step
        self._epoch = trainer.current_epoch + 1
        samples = len(batch[0]) * trainer.world_size
        self._meter.add(now_s, step, samples, self._clock.take())
        if step % trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            self._log(pl_module)
        self._show(trainer, now_s)
        share = self._meter.judged_wait_share
        if share is not None and share > LARGEST_WAIT_SHARE and not self._warned:
            self._warned = True
            cores = max(1, usable_cores() // trainer.num_devices)
            workers = getattr(trainer.train_dataloader, 'num_workers', 0)
            self._console.print(
                f'warning: {wait_advice(share, workers, cores)}', soft_wrap=True, highlight=False
            )

    def on_train_end(  # noqa: D102
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        if self._clock is not None:
            self._show(trainer, now_s=float('inf'))
            self._stop(trainer)
            print(f'{self.title}: {self._meter.whole()}', flush=True)

    def on_exception(  # noqa: D102
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        exception: BaseException,
    ) -> None:
        self._stop(trainer)

    def _log(self, pl_module: lightning.LightningModule) -> None:
        # As tensors on the CPU: numbers would be sent to the device and waited for.
        values = (
            ('speed/samples_per_s', self._meter.samples_per_s),
            ('speed/data_wait_share', self._meter.wait_share),
        )
        for name, value in values:
            pl_module.log(name, torch.tensor(value), rank_zero_only=True)

    def _show(self, trainer: lightning.Trainer, now_s: float) -> None:
        if self._progress is not None:
            if now_s - self._shown_s >= REFRESH_S:
                self._shown_s = now_s
                self._progress.update(
                    self._task, completed=trainer.global_step, status=self._status(trainer)
                )
            return
        tenth = _tenth(trainer)
        if tenth > self._tenth or self._line_due_s <= now_s < float('inf'):
            self._tenth = tenth
            self._line_due_s = now_s + LINE_EVERY_S
            place = f'{trainer.global_step}/{_total_steps(trainer) or "?"}'
            print(f'{self.title} {place} {self._status(trainer)}', flush=True)

    def _status(self, trainer: lightning.Trainer) -> str:
        values = ' '.join(
            f'{name} {float(value):.4f}'
            for name, value in trainer.progress_bar_metrics.items()
            if isinstance(value, (float, int, torch.Tensor))
        )
        speed = f'{self._meter.samples_per_s:.1f} samples/s'
        waiting = f'{self._meter.wait_share:.0%} waiting for data'
        parts = [f'epoch {self._epoch}', values, speed, waiting]
        total, rate = _total_steps(trainer), self._meter.steps_per_s
        if total is not None and rate > 0 and trainer.global_step < total:
            parts.append(f'{duration((total - trainer.global_step) / rate)} left')
        return ', '.join(part for part in parts if part)

    def _stop(self, trainer: lightning.Trainer) -> None:
        if self._clock is not None:
            trainer.profiler = self._clock.other  # type: ignore[attr-defined]
            self._clock = None
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


def _tenth(trainer: lightning.Trainer) -> int:
    total = _total_steps(trainer)
    return 0 if not total else trainer.global_step * LINES_WITHOUT_TERMINAL // total


def _total_steps(trainer: lightning.Trainer) -> int | None:
    total = trainer.estimated_stepping_batches
    return int(total) if total != float('inf') else None
