"""Supervised training of the semantic network: loss, schedule, validation, checkpoints."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from typing import Literal

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sg_depth_ros.camera import resize_image
from sg_depth_ros.camera import resize_labels
from sg_depth_ros.classes import CLASS_NAMES
from sg_depth_ros.classes import UNKNOWN_ID
from sg_depth_ros.classes import colorize_labels
from sg_depth_ros.errors import UserError
from training.data.segmentation_dataset import SegmentationSample
from training.networks.resnet import load_torchvision_resnet
from training.networks.segmentation import CONFIG_KEY
from training.networks.segmentation import SegmentationConfig
from training.networks.segmentation import SegmentationNetwork
from training.networks.semantic import SemanticOutput
from training.objective.confusion import ConfusionMatrix
from training.objective.confusion import SegmentationScore
from training.objective.confusion import segmentation_score
from training.objective.finite import clip_gradient

POLY_POWER = 0.9  # Chen et al., DeepLab, TPAMI 2018
PANEL_IMAGES = 3
PANEL_WIDTH_PX = 640  # of one picture in it
BEST_SCORE_KEY = 'segmentation_best_score'
BEST_STATE_KEY = 'segmentation_best_state'


def cross_entropy(logits: Tensor, labels: Tensor, class_weights: Tensor) -> Tensor:
    """
    Average the cross-entropy over the pixels whose class is known; 0 where none is.

    :param logits: (B, C, H/4, W/4), upsampled to the labels' size.
    :param labels: (B, H, W) class ids, 255 where unknown.
    :param class_weights: (C,), how much a pixel of each class counts.
    """
    full = upsample(logits, labels)
    labels = labels.long()
    total = functional.cross_entropy(
        full, labels, class_weights, ignore_index=UNKNOWN_ID, reduction='sum'
    )
    weight_of_id = functional.pad(class_weights, (0, UNKNOWN_ID + 1 - len(class_weights)))
    return total / weight_of_id[labels].sum().clamp_min(1e-6)


def upsample(logits: Tensor, labels: Tensor) -> Tensor:
    """Bring logits (B, C, H/4, W/4) to the labels' H x W, in float32."""
    size = labels.shape[-2:]
    return functional.interpolate(logits.float(), size=size, mode='bilinear', align_corners=False)


class SegmentationModule(lightning.LightningModule):
    """
    Trains the semantic network on labelled images.

    :param network: what the network is made of.
    :param optimizer: ``adamw``, or ``sgd`` with momentum 0.9.
    :param learning_rate: at the start; falls to zero along (1 - step / steps) ** 0.9.
    :param weight_decay: of convolution kernels; biases and norms have none.
    :param class_weights: how much a pixel of a class counts, by class name; 1 where not named.
    :param encoder_weights: torchvision's file for the encoder, such as ``resnet50-....pth``; None
        starts at random.
    """

    def __init__(
        self,
        network: SegmentationConfig = SegmentationConfig(),
        optimizer: Literal['adamw', 'sgd'] = 'adamw',
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-2,
        class_weights: dict[str, float] | None = None,
        encoder_weights: Path | None = None,
    ) -> None:
        super().__init__()
        self.network = SegmentationNetwork(network)
        if encoder_weights is not None:
            load_torchvision_resnet(self.network.encoder, encoder_weights)
        self.optimizer_name = optimizer
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        weights = weights_by_id(class_weights or {}, network.class_count)
        self.class_weights: Tensor
        self.register_buffer('class_weights', weights, persistent=False)
        self.confusion = ConfusionMatrix(network.class_count)
        # What the weights that did best on the held-out frames reached.
        self.best = SegmentationScore((), 0.0, 0.0)
        self._best_state: dict[str, Tensor] | None = None
        self.validated_step = -1

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (B, C, H/4, W/4) for uint8 RGB (B, 3, H, W)."""
        output: SemanticOutput = self.network(image.float() / 255)
        return output.logits

    def training_step(self, batch: SegmentationSample, batch_index: int) -> Tensor:
        """Return the loss of a batch."""
        loss = cross_entropy(self(batch.image), batch.labels, self.class_weights)
        self.log('loss', loss, prog_bar=True, batch_size=len(batch.image))
        self.log('learning_rate', self.trainer.optimizers[0].param_groups[0]['lr'])
        return loss

    def validation_step(self, batch: SegmentationSample, batch_index: int) -> None:
        """Count a batch's hits and misses."""
        logits = self(batch.image)
        loss = cross_entropy(logits, batch.labels, self.class_weights)
        self.log('validation/loss', loss, sync_dist=True, batch_size=len(batch.image))
        predicted = upsample(logits, batch.labels).argmax(dim=1)
        self.confusion.update(predicted, batch.labels)
        if batch_index == 0:
            self._log_panel(batch, predicted)

    def on_validation_epoch_end(self) -> None:
        """Turn the counts of all processes into IoU."""
        counts = self.confusion.counts
        if self.trainer.world_size > 1:
            counts = self.trainer.strategy.reduce(counts.clone(), reduce_op='sum')
        score = segmentation_score(counts)
        self.confusion.reset()
        self.log('miou', score.mean_iou, prog_bar=True, sync_dist=True)
        self.log('validation/pixel_accuracy', score.pixel_accuracy, rank_zero_only=True)
        for name, iou in zip(CLASS_NAMES, score.class_iou):
            if iou is not None:
                self.log(f'validation/iou/{name}', iou, rank_zero_only=True)
        if self.trainer.sanity_checking:
            return
        self.validated_step = self.trainer.global_step
        if score.mean_iou > self.best.mean_iou or self._best_state is None:
            self.best = score
            self._best_state = _copied(self.network)

    def go_back_to_best(self) -> None:
        """Take the weights that were best on the held-out frames."""
        if self._best_state is not None:
            self.network.load_state_dict(self._best_state)

    def configure_optimizers(self) -> Any:
        """Return the optimiser and its schedule."""
        kernels = [p for p in self.network.parameters() if p.ndim > 1]
        others = [p for p in self.network.parameters() if p.ndim <= 1]
        groups = [
            {'params': kernels, 'weight_decay': self.weight_decay},
            {'params': others, 'weight_decay': 0.0},
        ]
        optimizer: torch.optim.Optimizer
        if self.optimizer_name == 'adamw':
            optimizer = torch.optim.AdamW(groups, self.learning_rate)
        else:
            optimizer = torch.optim.SGD(groups, self.learning_rate, momentum=0.9)
        steps = max(1, int(self.trainer.estimated_stepping_batches))
        # Not PolynomialLR: its state keeps the number of steps, so that a finished run which is
        # resumed to be made longer would go on at a rate of zero.
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: max(0.0, 1 - step / steps) ** POLY_POWER
        )
        return {
            'optimizer': optimizer,
            'lr_scheduler': {'scheduler': schedule, 'interval': 'step'},
        }

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Stop before a gradient that is no number spoils the weights."""
        clip_gradient(optimizer, gradient_clip_val or math.inf)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what ``load_segmentation_checkpoint`` needs to build the network."""
        checkpoint[CONFIG_KEY] = asdict(self.network.config)
        # Only where the checkpoint is one to resume from.
        if 'optimizer_states' in checkpoint and self._best_state is not None:
            checkpoint[BEST_SCORE_KEY] = asdict(self.best)
            checkpoint[BEST_STATE_KEY] = self._best_state

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on from the best weights of an interrupted run."""
        if BEST_STATE_KEY in checkpoint:
            self.best = SegmentationScore(**checkpoint[BEST_SCORE_KEY])
            self._best_state = checkpoint[BEST_STATE_KEY]

    def _log_panel(self, batch: SegmentationSample, predicted: Tensor) -> None:
        for logger in self.loggers:
            add_image = getattr(getattr(logger, 'experiment', None), 'add_image', None)
            if add_image is not None:
                panel = prediction_panel(batch, predicted)
                add_image('image, labels, prediction', panel, self.global_step, dataformats='HWC')


def _copied(network: SegmentationNetwork) -> dict[str, Tensor]:
    return {key: value.detach().cpu().clone() for key, value in network.state_dict().items()}


def weights_by_id(weights: Mapping[str, float], class_count: int) -> Tensor:
    """
    Order class weights by id.

    :return: (class_count,), 1 where a class is not named.
    :raises UserError: for a class that does not exist or a weight below 0.
    """
    by_id = torch.ones(class_count)
    for name, weight in weights.items():
        if name not in CLASS_NAMES[:class_count]:
            raise UserError(
                f'class_weights: no class {name!r}; there are {", ".join(CLASS_NAMES)}'
            )
        if not weight >= 0:
            raise UserError(f'class_weights: {name} has weight {weight}, which is below 0')
        by_id[CLASS_NAMES.index(name)] = weight
    return by_id


def prediction_panel(batch: SegmentationSample, predicted: Tensor) -> np.ndarray:
    """
    Draw images, their labels and the predicted labels side by side.

    :param batch: the images.
    :param predicted: (B, H, W) class ids.
    :return: RGB, one row per image, at most three; large images are shrunk.
    """
    rows = []
    height, width = predicted.shape[-2:]
    shrink = min(1.0, PANEL_WIDTH_PX / width)
    size = (round(width * shrink), round(height * shrink))
    for image, labels, guess in zip(*batch, predicted[:PANEL_IMAGES]):
        picture = resize_image(image.permute(1, 2, 0).cpu().numpy(), *size)
        ids = (labels.cpu().numpy(), guess.to(torch.uint8).cpu().numpy())
        drawn = [colorize_labels(resize_labels(i, *size)) for i in ids]
        rows.append(np.concatenate([picture, *drawn], axis=1))
    return np.concatenate(rows, axis=0)
