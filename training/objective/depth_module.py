"""The Lightning module that trains the depth and pose networks."""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from typing import Literal

import lightning
import torch
from torch import Tensor
from torch import nn

from training.checkpoint import checkpoint_entries
from training.data.augmentation import flip_where
from training.data.augmentation import jitter_color
from training.data.datamodule import DepthData
from training.data.triplet_dataset import TripletBatch
from training.initial_weights import InitialParts
from training.initial_weights import start_from
from training.networks.depth import DepthNetworkConfig
from training.networks.guidance import PacGuidance
from training.networks.guided import GuidedDepthNetwork
from training.networks.pose import PoseNetworkConfig
from training.networks.pose import build_pose_network
from training.networks.semantic_source import load_semantic_network
from training.objective.finite import NotFiniteError
from training.objective.finite import clip_gradient
from training.objective.finite import loss_for_all_to_stop
from training.objective.objective import ObjectiveConfig
from training.objective.objective import ObjectiveTerms
from training.objective.objective import objective
from training.objective.schedule import LearningRate
from training.objective.schedule import OptimizerConfig
from training.provenance import Provenance

CompiledParts = Literal['nothing', 'objective', 'all']


class DepthModule(lightning.LightningModule):
    """
    Self-supervised training of depth, guided by a frozen semantic network.

    :param segmentation: file of the semantic network, a checkpoint of ``segment`` or a ``.pt2``;
        null trains without one, which needs guidance ``none``.
    :param network: the depth network.
    :param pose: the pose network, needed for training only.
    :param objective: the loss.
    :param optimizer: learning rate and schedule.
    :param stage: 1 before resampling, 2 after.
    :param initial_weights: depth checkpoint to start from, or, for the encoder, one of
        ``segment``; none starts from scratch.
    :param initial_parts: what is taken from it: its ``encoder`` only, or ``all``: encoder and
        decoder, and guidance and pose network where both are of the same kind.
    :param compile: what ``torch.compile`` makes faster after some minutes of work at the start:
        ``nothing``, the ``objective``, or ``all``: the networks too.
    """

    def __init__(
        self,
        segmentation: str | None = None,
        network: DepthNetworkConfig = DepthNetworkConfig(),
        pose: PoseNetworkConfig = PoseNetworkConfig(),
        objective: ObjectiveConfig = ObjectiveConfig(),
        optimizer: OptimizerConfig = OptimizerConfig(),
        stage: int = 1,
        initial_weights: str | None = None,
        initial_parts: InitialParts = 'all',
        compile: CompiledParts = 'nothing',
    ) -> None:
        super().__init__()
        semantic = None if segmentation is None else load_semantic_network(Path(segmentation))
        self.network = GuidedDepthNetwork(network, semantic)
        self.pose = build_pose_network(pose)
        self.pose_config = pose
        _lay_channels_last(self)
        self.objective_config = objective
        self.optimizer_config = optimizer
        self.stage = stage
        self.provenance: Provenance | None = None
        self.weights_licence = Provenance.weights_licence
        if initial_weights is not None:
            self.weights_licence = start_from(
                Path(initial_weights), initial_parts, self.network, self.pose, pose
            )
        self.compiled_objective = None if compile == 'nothing' else _compile_objective()
        if compile == 'all':
            for part in (self.network.depth, self.network.segmentation, self.pose):
                if part is not None:
                    part.compile()

    def describe_origin(self, data: DepthData, config_sha256: str, git_commit: str) -> None:
        """Remember where the network comes from, for its checkpoints."""
        scale = 'none' if self.objective_config.scale == 'none' else data.scale_source
        self.provenance = Provenance(
            intrinsics=data.intrinsics,
            scale_source=scale,
            stage=self.stage,
            dataset_sha256=data.sha256(),
            config_sha256=config_sha256,
            git_commit=git_commit,
            data_licence=data.licence,
            weights_licence=self.weights_licence,
        )

    def training_step(self, batch: TripletBatch, batch_index: int) -> Tensor:
        """Compute the loss of a batch and log its terms."""
        try:
            terms = self.terms(batch)
        except NotFiniteError:
            if self.trainer.world_size == 1:
                raise
            return loss_for_all_to_stop(self)
        self.log('loss', terms.loss.detach(), prog_bar=True)
        for name in ('photometric', 'smoothness', 'velocity', 'masked_share'):
            self.log(f'train/{name}', getattr(terms, name))
        for stride, layer in self.network.depth.guidance.operators.items():
            if isinstance(layer, PacGuidance):
                # Near 0 the layer has closed and is a 1x1 convolution, near 1 an ordinary 3x3 one.
                self.log(f'pac/mean_kernel_stride_{stride}', layer.pac.last_mean_kernel)
        return terms.loss

    def terms(self, batch: TripletBatch) -> ObjectiveTerms:
        """Compute the objective: networks see the augmented images, the loss the clean ones."""
        # A view: as decoded, a pixel's channels lie together, which convolutions like.
        clean = batch.images.permute(0, 1, 4, 2, 3).float() / 255
        seen = jitter_color(clean, batch.augmentation)
        flips = batch.augmentation.flip
        # Only the depth network's input is mirrored, and its output mirrored back, so that motion
        # and intrinsics stay as recorded.
        mirrored = self.network.inverse_depth(flip_where(seen[:, 0], flips))
        inverse_depth = tuple(flip_where(d, flips) for d in mirrored)
        motion = self.pose(seen[:, 0], seen[:, 1:])
        compute = self.compiled_objective or objective
        # Mixed precision is for the networks: pixel coordinates in half precision miss by pixels.
        with torch.autocast(clean.device.type, enabled=False):
            return compute(
                inverse_depth,
                motion,
                clean[:, 0],
                clean[:, 1:],
                batch.intrinsics,
                batch.displacement_m,
                self.objective_config,
            )

    def configure_optimizers(self) -> Any:  # noqa: D102
        config = self.optimizer_config
        parameters = [*self.network.trainable_parameters(), *self.pose.parameters()]
        optimizer = torch.optim.Adam(parameters, lr=config.lr, fused=True)
        self.trainer.fit_loop.setup_data()  # batches are counted by then
        schedule = LearningRate(
            optimizer,
            config,
            self.trainer.estimated_stepping_batches,
            math.ceil(self.trainer.num_training_batches / self.trainer.accumulate_grad_batches),
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
        """Clip the gradient's norm as configured for the module."""
        norm = clip_gradient(optimizer, self.optimizer_config.gradient_clip)
        self.log('train/gradient_norm', norm)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the plain entries that make the checkpoint readable by itself."""
        if self.provenance is None:
            raise RuntimeError('describe_origin() was not called before training')
        checkpoint.update(checkpoint_entries(self.network, self.pose_config, self.provenance))


def _compile_objective() -> Callable[..., ObjectiveTerms]:
    # The plain form: a compiler fuses it better than what is already fused by hand.
    compiled: Callable[..., ObjectiveTerms] = torch.compile(partial(objective, form='plain'))
    return compiled


def _lay_channels_last(module: nn.Module) -> None:
    """Lay 2-D convolutions out as fast ones want them, on CPUs and on tensor cores."""
    for parameter in module.parameters():
        if parameter.dim() == 4:  # PackNet's 3-D convolutions have their own layout
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
