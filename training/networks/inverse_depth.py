"""From a decoder's features to inverse depth."""

import math
from typing import Literal
from typing import NamedTuple

import torch
from torch import Tensor
from torch import nn

MappingKind = Literal['bounded', 'open']

LEVEL_STRIDES = (16, 8, 4, 2, 1)  # of every decoder's levels, coarse to fine
SCALE_COUNT = 4  # the finest levels have a head


class InverseDepthMapping(NamedTuple):
    """
    What a head's sigmoid s means, in 1/m.

    ``bounded`` is 1/max + (1/min - 1/max) s, which says every depth from min to max. ``open`` is
    s/min, the head of the published PackNet, which also says depths beyond max.
    """

    kind: MappingKind = 'bounded'
    min_depth_m: float = 0.5
    max_depth_m: float = 100.0
    initial_depth_m: float = 15.0

    @property
    def smallest(self) -> float:
        """Inverse depth at s = 0."""
        return 1 / self.max_depth_m if self.kind == 'bounded' else 0.0

    @property
    def span(self) -> float:
        """How much inverse depth grows from s = 0 to s = 1."""
        return 1 / self.min_depth_m - self.smallest

    @property
    def bounds(self) -> tuple[MappingKind, float, float]:
        """What must be equal for a head's weights to mean the same."""
        return self.kind, self.min_depth_m, self.max_depth_m

    @property
    def initial_logit(self) -> float:
        """What must go into the sigmoid for the initial depth."""
        start = (1 / self.initial_depth_m - self.smallest) / self.span
        return math.log(start / (1 - start))


class InverseDepthHead(nn.Module):
    """
    A 3x3 convolution to one channel whose sigmoid becomes inverse depth.

    Its bias starts at a plausible depth; from there the gradient of the photometric loss is worth
    an order of magnitude more than from the 1 m that a zero bias means (ours).

    :param channels: of the features.
    :param mapping: what the sigmoid means.
    :param padding_mode: of the convolution, ``reflect`` or ``zeros``.
    """

    def __init__(
        self,
        channels: int,
        mapping: InverseDepthMapping,
        padding_mode: Literal['reflect', 'zeros'] = 'reflect',
    ) -> None:
        super().__init__()
        self.mapping = mapping
        self.conv = nn.Conv2d(channels, 1, 3, padding=1, padding_mode=padding_mode)
        assert self.conv.bias is not None
        nn.init.constant_(self.conv.bias, mapping.initial_logit)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to inverse depth (B, 1, H, W) in 1/m, in float32."""
        # The steps of bfloat16 are 0.016 in a logit of 3, that is 1.6 % of the depth.
        # Tensors without content, which "describe" counts with, know no autocast.
        if not x.is_meta and torch.is_autocast_enabled(x.device.type):
            with torch.autocast(x.device.type, enabled=False):
                logit = self.conv(x.float())
        else:
            logit = self.conv(x)
        return self.mapping.smallest + self.mapping.span * torch.sigmoid(logit.float())
