"""
Stop a training at the first number that is none, with all that is needed to find out why.

The norm of the gradient is computed for clipping anyway. Where it is not finite, training ends
before the optimiser touches the weights, and OUT/nan holds the batch, the weights and a picture:

    batch = load_triplets(Path('OUT/nan/step_000123.pt'))
    network = load_depth_checkpoint(Path('OUT/nan/step_000123.ckpt')).network
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import lightning
import torch
from torch import Tensor

from training.data.augmentation import AugmentationDraw
from training.data.triplet_dataset import TripletBatch
from training.objective.finite import NotFiniteError
from training.objective.finite import require_finite_weights
from training.running.pictures import triplets_picture

FOLDER = 'nan'
NAMED_SAMPLES = 6  # in the message; the file names all


class NanStop(lightning.Callback):
    """
    Keeps what a step was computed from until the next, and saves it where the step fails.

    The module finds it with ``clip_gradient``; weights are looked at before every checkpoint. With
    several processes all of them stop, because they share the gradient; each saves its own batch.

    :param folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / FOLDER
        self.report = ''
        self._batches: list[Any] = []  # of the step: several where gradients are accumulated
        self._step = -1
        self._loss: Tensor | None = None  # once the step has got that far

    def on_train_batch_start(  # noqa: D102
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        batch: Any,
        batch_idx: int,
    ) -> None:
        if trainer.global_step != self._step:
            self._batches, self._step = [], trainer.global_step
        self._batches.append(batch)
        self._loss = None

    def on_before_backward(  # noqa: D102
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, loss: Tensor
    ) -> None:
        self._loss = loss.detach()

    def on_before_optimizer_step(  # noqa: D102
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        optimizer: torch.optim.Optimizer,
    ) -> None:
        # Several processes share the gradient, not the loss, and must stop together. The gradient
        # is waited for next, so that waiting here costs nothing.
        if trainer.world_size == 1 and self._loss is not None and not self._loss.isfinite():
            raise NotFiniteError(f'the loss is {self._loss.item()}')

    def on_save_checkpoint(  # noqa: D102
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        checkpoint: dict[str, Any],
    ) -> None:
        require_finite_weights(pl_module)

    def on_train_end(  # noqa: D102
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        require_finite_weights(pl_module)

    def on_exception(  # noqa: D102
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        exception: BaseException,
    ) -> None:
        if isinstance(exception, NotFiniteError) and self._batches:
            self.report = self._save(trainer, pl_module, str(exception))

    def _save(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, reason: str
    ) -> str:
        self.folder.mkdir(parents=True, exist_ok=True)
        rank = f'_process_{trainer.global_rank}' if trainer.world_size > 1 else ''
        path = self.folder / f'step_{trainer.global_step:06d}{rank}.pt'
        batch = _joined(self._batches)
        torch.save(batch, path)
        metrics = trainer.callback_metrics if self._loss is not None else {}
        terms = {name: _plain(float(value)) for name, value in metrics.items()}
        samples = _sample_names(trainer, batch)
        content = {
            'step': trainer.global_step,
            'epoch': trainer.current_epoch,
            'reason': reason,
            'terms': terms,
            'learning_rate': trainer.optimizers[0].param_groups[0]['lr'],
            'precision': trainer.precision,
            'samples': samples,
            'not_finite_in_the_batch': _not_finite(batch, samples),
            'not_finite_gradients': [
                name
                for name, p in module.named_parameters()
                if p.grad is not None and not p.grad.isfinite().all()
            ],
        }
        path.with_suffix('.json').write_text(json.dumps(content, indent=2) + '\n')
        if 'displacement_m' in batch:
            picture = triplets_picture(batch['images'].numpy(), samples)
            cv2.imwrite(str(path.with_suffix('.png')), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        # Not the trainer's way, which waits for all processes: this one may have failed alone.
        checkpoint: dict[str, Any] = {'state_dict': module.state_dict()}
        module.on_save_checkpoint(checkpoint)
        torch.save(checkpoint, path.with_suffix('.ckpt'))
        return _message(path, reason, content)


def load_triplets(path: Path) -> TripletBatch:
    """Read a batch that stopped the training of depth."""
    content = torch.load(path, weights_only=True)
    content['augmentation'] = AugmentationDraw(**content['augmentation'])
    return TripletBatch(**content)


def _joined(batches: list[Any]) -> dict[str, Any]:
    """Turn equal named tuples into one dict of plain tensors on the CPU; within them too."""
    joined: dict[str, Any] = {}
    for name in batches[0]._fields:
        parts = [getattr(batch, name) for batch in batches]
        is_tensor = isinstance(parts[0], Tensor)
        joined[name] = torch.cat(parts).detach().cpu() if is_tensor else _joined(parts)
    return joined


def _sample_names(trainer: lightning.Trainer, batch: dict[str, Any]) -> list[str]:
    dataset = getattr(trainer.datamodule, 'dataset', None)  # type: ignore[attr-defined]
    describe: Callable[[int], str] | None = getattr(dataset, 'describe', None)
    if describe is None or 'sample' not in batch:
        return []
    return [describe(sample) for sample in batch['sample'].tolist()]


def _not_finite(batch: dict[str, Any], samples: list[str]) -> list[str]:
    """Name what was already damaged before the networks saw it; NaN motion only says unknown."""
    found = []
    for name, value in batch.items():
        if not isinstance(value, Tensor) or not value.is_floating_point():
            continue
        bad = value.isinf() if name == 'displacement_m' else ~value.isfinite()
        damaged = bad.flatten(1).any(1).nonzero().flatten().tolist()
        found += [f'{name} of {samples[i] if samples else f"sample {i}"}' for i in damaged]
    return found


def _plain(value: float) -> float | str:
    """Return what JSON can hold: it knows no NaN."""
    return value if abs(value) < float('inf') else str(value)


def _message(path: Path, reason: str, content: dict[str, Any]) -> str:
    terms = ', '.join(
        f'{name.rpartition("/")[2]} {value if isinstance(value, str) else f"{value:.4g}"}'
        for name, value in content['terms'].items()
        if name == 'loss' or name.startswith('train/')
    )
    samples, damaged = content['samples'], content['not_finite_in_the_batch']
    more = f' and {len(samples) - NAMED_SAMPLES} more' if len(samples) > NAMED_SAMPLES else ''
    parts = [f'training stopped in step {content["step"]}: {reason}']
    if terms:
        parts.append(f'terms: {terms}')
    if samples:
        parts.append(f'samples {", ".join(samples[:NAMED_SAMPLES])}{more}')
    if damaged:
        parts.append(f'not finite from the start: {", ".join(damaged[:NAMED_SAMPLES])}')
    parts.append(f'the batch is in {path}, what is known of it in {path.with_suffix(".json")}')
    parts.append('the last checkpoint is as it was')
    parts.append(
        'mend the dataset'
        if damaged
        else f'try a learning rate below {content["learning_rate"]:.3g}'
    )
    return '; '.join(parts)
