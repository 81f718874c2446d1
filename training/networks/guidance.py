"""
Guidance: how features of the semantic network act on the depth decoder.

Three operators behind one interface, so that the gain of guidance can be measured: ``pac`` (the
paper's), ``spade`` (ours), ``none`` (the unguided baseline, no layer at all).
"""

from typing import Literal

from torch import Tensor
from torch import nn
from torch.nn import functional

from training.networks.pac import PacConv2d

GuidanceOperator = Literal['pac', 'spade', 'none']


class GuidanceFeatures(nn.Module):
    """
    Turn a map of the frozen semantic network into guidance features (trainable).

    3x3 conv, GroupNorm, ELU, 1x1 conv, GroupNorm, ELU (Guizilini et al., ICLR 2020, section 3.3).
    """

    def __init__(self, in_channels: int, channels: int, groups: int = 16) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(in_channels, channels, 3, padding=1),
            nn.GroupNorm(groups, channels),
            nn.ELU(inplace=True),
            nn.Conv2d(channels, channels, 1),
            nn.GroupNorm(groups, channels),
            nn.ELU(inplace=True),
        )

    def forward(self, semantic: Tensor, height: int, width: int) -> Tensor:
        """Map (B, P, h, w) to (B, D, height, width), an integer multiple in size."""
        features: Tensor = self.block(semantic)
        if features.shape[-2:] == (height, width):
            return features
        return functional.interpolate(
            features, (height, width), mode='bilinear', align_corners=False
        )


class PacGuidance(nn.Module):
    """A pixel-adaptive convolution and ELU on the decoder's features."""

    def __init__(self, channels: int, guidance_channels: int) -> None:
        super().__init__()
        self.pac = PacConv2d(channels, channels, guidance_channels)

    def forward(self, x: Tensor, guidance: Tensor) -> Tensor:
        """Map x (B, C, H, W) to the same shape under guidance (B, D, H, W)."""
        return functional.elu(self.pac(x, guidance))


class SpadeGuidance(nn.Module):
    """
    Per-pixel scale and shift of the normalised features, predicted from the guidance.

    Source: Park et al., Semantic Image Synthesis with Spatially-Adaptive Normalization, CVPR 2019.
    """

    def __init__(self, channels: int, guidance_channels: int) -> None:
        super().__init__()
        self.normalize = nn.GroupNorm(1, channels, affine=False)
        self.modulation = nn.Conv2d(guidance_channels, 2 * channels, 3, padding=1)

    def forward(self, x: Tensor, guidance: Tensor) -> Tensor:
        """Map x (B, C, H, W) to the same shape under guidance (B, D, H, W)."""
        scale, shift = self.modulation(guidance).chunk(2, dim=1)
        return functional.elu(self.normalize(x) * (1 + scale) + shift)


def guidance_layer(
    operator: GuidanceOperator, channels: int, guidance_channels: int
) -> PacGuidance | SpadeGuidance:
    """Build the layer of a guided decoder level; ``none`` has no layer and is no valid choice."""
    if operator == 'pac':
        return PacGuidance(channels, guidance_channels)
    assert operator == 'spade', operator
    return SpadeGuidance(channels, guidance_channels)
