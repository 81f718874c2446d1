"""Pictures of what training sees and computes: OUT/panels and TensorBoard."""

from pathlib import Path
from typing import Any

import cv2
import lightning

from training.data.triplet_dataset import TripletBatch
from training.objective.depth_module import DepthModule
from training.objective.finite import NotFiniteError
from training.running.maps import triplet_maps
from training.running.pictures import triplet_panel

FOLDER = 'panels'


class Panels(lightning.Callback):
    """
    Draws the first triplet of a batch at the start, every so many steps, and at the end.

    Only the first process draws. A panel costs what a batch costs without its gradients.

    :param folder: of the run.
    :param every: steps between panels; 0 draws none.
    """

    def __init__(self, folder: Path, every: int) -> None:
        self.folder = folder / FOLDER
        self.every = every
        self._drawn_step = -1
        self._last: TripletBatch | None = None

    def on_train_batch_start(  # noqa: D102
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        batch: Any,
        batch_idx: int,
    ) -> None:
        if self.every > 0 and trainer.is_global_zero:
            self._last = batch
            if trainer.global_step % self.every == 0:
                self._draw(trainer, pl_module, batch)

    def on_train_end(  # noqa: D102
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        if self._last is not None:
            self._draw(trainer, pl_module, self._last)
            self._last = None

    def _draw(
        self,
        trainer: lightning.Trainer,
        module: lightning.LightningModule,
        batch: TripletBatch,
    ) -> None:
        step = trainer.global_step
        if step == self._drawn_step:
            return  # the same step's next batch, or a training that ends where a panel was due
        self._drawn_step = step
        assert isinstance(module, DepthModule)
        try:
            with trainer.precision_plugin.forward_context():
                maps = triplet_maps(module, batch)
        except NotFiniteError:
            return  # training will find it too, with all processes together
        name = trainer.datamodule.dataset.describe(int(batch.sample[0]))  # type: ignore[attr-defined]
        metric = module.objective_config.scale != 'none'
        panel = triplet_panel(maps, f'{name}, step {step}', metric=metric)
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f'step_{step:06d}.png'
        cv2.imwrite(str(path), cv2.cvtColor(panel, cv2.COLOR_RGB2BGR))
        for logger in trainer.loggers:
            add_image = getattr(getattr(logger, 'experiment', None), 'add_image', None)
            if add_image is not None:
                add_image('panel', panel, step, dataformats='HWC')
