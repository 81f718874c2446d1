"""
The U-Net depth network: ResNet encoder, guided decoder, inverse depth at four scales.

The decoder has monodepth2's shape (five levels of 256, 128, 64, 32, 16 channels; per level a
convolution, nearest upsampling, the skip, a second convolution). Guidance is an added layer on the
upsampled features before the skip is concatenated.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch import nn
from torch.nn import functional

from sg_depth_ros.errors import UserError
from training.networks.guidance import GuidanceFeatures
from training.networks.guidance import GuidanceOperator
from training.networks.guidance import guidance_layer
from training.networks.resnet import ResNetEncoder

LEVEL_STRIDES = (16, 8, 4, 2, 1)  # of the decoder's levels, coarse to fine
SCALE_COUNT = 4  # inverse depth at the strides 1, 2, 4, 8


@dataclass(frozen=True)
class DepthNetworkConfig:
    """
    What a depth network is built from; stored in every checkpoint.

    :param encoder_depth: layers of the ResNet encoder, 18 or 34.
    :param encoder_width: channels of its stem; 64 is the published network, 16 a narrow one.
    :param decoder_channels: channels of the decoder's levels at strides 16, 8, 4, 2, 1.
    :param guidance: operator between the networks: pac, spade or none.
    :param guided_strides: the decoder levels that are guided.
    :param guidance_channels: channels of the guidance features.
    :param min_depth_m: nearest depth the network can say.
    :param max_depth_m: farthest depth the network can say.
    :param initial_depth_m: depth that the untrained network says everywhere.
    """

    encoder_depth: int = 18
    encoder_width: int = 64
    decoder_channels: tuple[int, int, int, int, int] = (256, 128, 64, 32, 16)
    guidance: GuidanceOperator = 'pac'
    guided_strides: tuple[int, ...] = (16, 8, 4, 2)
    guidance_channels: int = 64
    min_depth_m: float = 0.5
    max_depth_m: float = 100.0
    initial_depth_m: float = 15.0

    def __post_init__(self) -> None:
        """Refuse settings that make no network."""
        if not 0 < self.min_depth_m < self.initial_depth_m < self.max_depth_m:
            raise UserError(
                f'depths must rise: min_depth_m {self.min_depth_m} < initial_depth_m '
                f'{self.initial_depth_m} < max_depth_m {self.max_depth_m}'
            )
        unknown = set(self.guided_strides) - set(LEVEL_STRIDES)
        if unknown:
            raise UserError(f'guided_strides {sorted(unknown)}: choose from {LEVEL_STRIDES}')
        if self.guidance_channels % 16:
            raise UserError(f'guidance_channels {self.guidance_channels}: not a multiple of 16')

    @property
    def is_guided(self) -> bool:
        """Whether any level is guided."""
        return self.guidance != 'none' and bool(self.guided_strides)


class InverseDepthHead(nn.Module):
    """
    A 3x3 convolution whose sigmoid s becomes 1/max + (1/min - 1/max) s.

    Its bias starts at a plausible depth; from there the gradient of the photometric loss is worth
    an order of magnitude more than from the 1 m that a zero bias means (ours).
    """

    def __init__(self, channels: int, config: DepthNetworkConfig) -> None:
        super().__init__()
        self.far = 1 / config.max_depth_m
        self.span = 1 / config.min_depth_m - self.far
        self.conv = nn.Conv2d(channels, 1, 3, padding=1, padding_mode='reflect')
        start = (1 / config.initial_depth_m - self.far) / self.span
        assert self.conv.bias is not None
        nn.init.constant_(self.conv.bias, math.log(start / (1 - start)))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to inverse depth (B, 1, H, W) in 1/m, in float32."""
        return self.far + self.span * torch.sigmoid(self.conv(x).float())


class DecoderLevel(nn.Module):
    """Convolution, upsampling by 2, guidance, skip, convolution."""

    def __init__(self, in_channels: int, skip_channels: int, channels: int) -> None:
        super().__init__()
        self.conv_in = _conv_elu(in_channels, channels)
        self.conv_out = _conv_elu(channels + skip_channels, channels)
        self.guide: nn.Module | None = None

    def forward(self, x: Tensor, skip: Tensor | None, guidance: Tensor | None) -> Tensor:
        """Map (B, in_channels, H, W) to (B, channels, 2 H, 2 W)."""
        x = functional.interpolate(self.conv_in(x), scale_factor=2, mode='nearest')
        if self.guide is not None:
            x = self.guide(x, guidance)
        if skip is not None:
            x = torch.cat([x, skip], dim=1)
        out: Tensor = self.conv_out(x)
        return out


class DepthNetwork(nn.Module):
    """
    Image and semantic feature maps to inverse depth.

    :param config: what to build.
    :param semantic_channels: channels of the semantic network's maps.
    :param semantic_strides: their strides, in the same order.
    """

    def __init__(
        self,
        config: DepthNetworkConfig,
        semantic_channels: tuple[int, ...] = (),
        semantic_strides: tuple[int, ...] = (),
    ) -> None:
        super().__init__()
        self.config = config
        self.semantic_strides = semantic_strides
        self.encoder = ResNetEncoder(config.encoder_depth, config.encoder_width)
        skips = (*self.encoder.channels[-2::-1], 0)
        in_channels = (self.encoder.channels[-1], *config.decoder_channels[:-1])
        self.levels = nn.ModuleList(
            DecoderLevel(i, s, c) for i, s, c in zip(in_channels, skips, config.decoder_channels)
        )
        self.heads = nn.ModuleList(
            InverseDepthHead(c, config) for c in config.decoder_channels[-SCALE_COUNT:]
        )
        self.guidance_features = nn.ModuleDict()
        if config.is_guided:
            for stride in config.guided_strides:
                level = self.levels[LEVEL_STRIDES.index(stride)]
                channels = config.decoder_channels[LEVEL_STRIDES.index(stride)]
                level.guide = guidance_layer(config.guidance, channels, config.guidance_channels)
                source = self._semantic_index(stride)
                self.guidance_features[str(stride)] = GuidanceFeatures(
                    semantic_channels[source], config.guidance_channels
                )

    def _semantic_index(self, stride: int) -> int:
        """Return the map of the decoder level's own stride, else the finest coarser one (ours)."""
        coarser = [s for s in self.semantic_strides if s >= stride]
        if not coarser:
            raise UserError(f'the semantic network has no map of stride {stride} or coarser')
        return self.semantic_strides.index(min(coarser))

    def guidance(self, semantic: tuple[Tensor, ...], height: int, width: int) -> dict[int, Tensor]:
        """
        Compute the guidance features f of every guided level, by stride.

        :param semantic: the semantic network's maps (B, P, h, w).
        :param height: of the image.
        :param width: of the image.
        """
        return {
            int(stride): block(
                semantic[self._semantic_index(int(stride))],
                height // int(stride),
                width // int(stride),
            )
            for stride, block in self.guidance_features.items()
        }

    def forward(self, image: Tensor, semantic: tuple[Tensor, ...] = ()) -> tuple[Tensor, ...]:
        """
        Predict inverse depth.

        :param image: (B, 3, H, W) in 0..1, H and W multiples of 32.
        :param semantic: the semantic network's maps; empty when unguided.
        :return: four maps (B, 1, H / 2^s, W / 2^s) in 1/m, finest first.
        """
        guidance = self.guidance(semantic, image.shape[-2], image.shape[-1])
        features = self.encoder(image)
        x, skips = features[-1], features[-2::-1]
        inverse_depth: list[Tensor] = []
        for index, (level, stride) in enumerate(zip(self.levels, LEVEL_STRIDES)):
            skip = skips[index] if index < len(skips) else None
            x = level(x, skip, guidance.get(stride))
            head = index - (len(LEVEL_STRIDES) - SCALE_COUNT)
            if head >= 0:
                inverse_depth.insert(0, self.heads[head](x))
        return tuple(inverse_depth)


def _conv_elu(in_channels: int, channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, channels, 3, padding=1, padding_mode='reflect'),
        nn.ELU(inplace=True),
    )
