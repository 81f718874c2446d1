"""The whole network of a model file: frozen semantic network, guidance, depth network."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch import nn

from sg_depth_ros.errors import UserError
from training.networks.depth import DepthNetworkConfig
from training.networks.depth import build_depth_network
from training.networks.semantic import SemanticNetwork


class DepthOutput(NamedTuple):
    """What the network says of a batch of images."""

    inverse_depth: tuple[Tensor, ...]  # four of [B, 1, H / 2^s, W / 2^s], finest first, 1/m
    logits: Tensor | None  # [B, classes, h, w]; None without a semantic network


class GuidedDepthNetwork(nn.Module):
    """
    One image in, inverse depth and class logits out.

    The semantic network is fixed (Guizilini et al., section 3.3): no gradient, batch norm in
    evaluation mode whatever ``train()`` says, and not among the parameters to train.

    :param config: of the depth network.
    :param segmentation: the semantic network; None gives depth alone, without guidance.
    :raises UserError: for guidance without a semantic network.
    """

    def __init__(self, config: DepthNetworkConfig, segmentation: SemanticNetwork | None) -> None:
        super().__init__()
        if segmentation is None and config.is_guided:
            raise UserError(
                f'guidance {config.guidance} needs a semantic network; name its file, or set '
                'guidance to none'
            )
        self.config = config
        self.segmentation = None if segmentation is None else segmentation.freeze()
        self.depth = build_depth_network(
            config,
            () if segmentation is None else segmentation.feature_channels,
            () if segmentation is None else segmentation.feature_strides,
        )

    def trainable_parameters(self) -> list[nn.Parameter]:
        """Return what an optimiser may change: everything but the semantic network."""
        return list(self.depth.parameters())

    def forward(self, image: Tensor) -> DepthOutput:
        """
        Predict depth and classes.

        :param image: (B, 3, H, W) RGB in 0..1, H and W multiples of 32.
        """
        if self.segmentation is None:
            return DepthOutput(self.depth(image), None)
        with torch.no_grad():
            semantic = self.segmentation(image)
        return DepthOutput(self.depth(image, semantic.features), semantic.logits)

    def inverse_depth(self, image: Tensor) -> tuple[Tensor, ...]:
        """Predict depth alone; an unguided network then skips the semantic one."""
        return self.forward(image).inverse_depth if self.config.is_guided else self.depth(image)
