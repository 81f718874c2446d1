"""
The decoder of the ResNet networks: a U-Net with inverse depth at four scales.

Per level a convolution, nearest upsampling by 2, guidance, the encoder's skip, a second
convolution. The shape is monodepth2's (Godard et al., ICCV 2019), so that its weights fit.
"""

import torch
from torch import Tensor
from torch import nn
from torch.nn import functional

from training.networks.guidance import Guide
from training.networks.inverse_depth import LEVEL_STRIDES
from training.networks.inverse_depth import SCALE_COUNT
from training.networks.inverse_depth import InverseDepthHead
from training.networks.inverse_depth import InverseDepthMapping


class DecoderLevel(nn.Module):
    """Convolution, upsampling by 2, guidance, skip, convolution."""

    def __init__(self, in_channels: int, skip_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv_in = _conv_elu(in_channels, channels)
        self.conv_out = _conv_elu(channels + skip_channels, channels)

    def forward(self, x: Tensor, skip: Tensor | None, guide: Guide) -> Tensor:
        """Map (B, in_channels, H, W) to (B, channels, 2 H, 2 W)."""
        x = functional.interpolate(self.conv_in(x), scale_factor=2, mode='nearest')
        x = guide(x, self.stride)
        if skip is not None:
            x = torch.cat([x, skip], dim=1)
        out: Tensor = self.conv_out(x)
        return out


class UNetDecoder(nn.Module):
    """
    Features of an encoder to inverse depth.

    :param encoder_channels: channels of its maps at the strides 2, 4, 8, 16, 32.
    :param channels: of the levels at the strides 16, 8, 4, 2, 1.
    :param mapping: what the heads' sigmoid means.
    """

    def __init__(
        self,
        encoder_channels: tuple[int, ...],
        channels: tuple[int, ...],
        mapping: InverseDepthMapping,
    ) -> None:
        super().__init__()
        skips = (*encoder_channels[-2::-1], 0)  # the finest level has none
        in_channels = (encoder_channels[-1], *channels[:-1])
        self.level_channels = dict(zip(LEVEL_STRIDES, channels))
        self.levels = nn.ModuleList(
            DecoderLevel(*level) for level in zip(in_channels, skips, channels, LEVEL_STRIDES)
        )
        self.heads = nn.ModuleList(InverseDepthHead(c, mapping) for c in channels[-SCALE_COUNT:])

    def forward(self, features: list[Tensor], guide: Guide) -> tuple[Tensor, ...]:
        """
        Decode.

        :param features: the encoder's maps, finest first.
        :param guide: acts on each level's upsampled features.
        :return: four maps (B, 1, H / 2^s, W / 2^s) in 1/m, finest first.
        """
        x, skips = features[-1], [*features[-2::-1], None]
        inverse_depth: list[Tensor] = []
        for index, (level, skip) in enumerate(zip(self.levels, skips)):
            x = level(x, skip, guide)
            head = index - (len(self.levels) - SCALE_COUNT)
            if head >= 0:
                inverse_depth.insert(0, self.heads[head](x))
        return tuple(inverse_depth)


def _conv_elu(in_channels: int, channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, channels, 3, padding=1, padding_mode='reflect'),
        nn.ELU(inplace=True),
    )
