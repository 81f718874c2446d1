"""
The depth network: an encoder, a decoder with inverse depth at four scales, and guidance.

One interface for all architectures: the ResNet U-Nets and PackNet01.
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor
from torch import nn

from sg_depth_ros.errors import UserError
from training.networks.guidance import Guidance
from training.networks.guidance import GuidanceOperator
from training.networks.inverse_depth import LEVEL_STRIDES
from training.networks.inverse_depth import InverseDepthMapping
from training.networks.inverse_depth import MappingKind
from training.networks.packing import PackPadding
from training.networks.packnet import PACKNET01
from training.networks.packnet import PACKNET01_SLIM
from training.networks.packnet import PackNetDecoder
from training.networks.packnet import PackNetEncoder
from training.networks.packnet import PackNetShape
from training.networks.resnet import ResNetEncoder
from training.networks.unet import UNetDecoder

Architecture = Literal['resnet18', 'resnet34', 'resnet50', 'packnet01', 'packnet01_slim']
# Layers of the ResNet encoders.
RESNET_DEPTHS: dict[Architecture, int] = {'resnet18': 18, 'resnet34': 34, 'resnet50': 50}
PACKNET_SHAPES: dict[Architecture, PackNetShape] = {
    'packnet01': PACKNET01,
    'packnet01_slim': PACKNET01_SLIM,
}
RESNET_WIDTH = 64  # of the first layer, as published
COARSEST_STRIDE_PX = 32
MIN_SIZE_PX = 64  # a decoder reflects a border pixel at the coarsest stride


@dataclass(frozen=True)
class DepthNetworkConfig:
    """
    What a depth network is built from; stored in every checkpoint.

    :param architecture: a U-Net with a ResNet encoder, or PackNet01 (the paper's).
    :param encoder_width: channels of the encoder's first layer, which the others follow; null is
        the published network, 16 a narrow one for trials.
    :param decoder_channels: channels of a U-Net's levels at strides 16, 8, 4, 2, 1; PackNet's
        decoder follows its encoder.
    :param pack_padding: where PackNet pads: ``once`` before both convolutions of a packing, so
        that they fold into one for the vehicle (ours), or before ``each``, as in published
        weights.
    :param guidance: operator between the networks: pac, spade or none.
    :param guided_strides: the decoder levels that are guided, of 16, 8, 4, 2, 1.
    :param guidance_channels: channels of the guidance features, a multiple of 16.
    :param inverse_depth: what a head's sigmoid says: ``bounded`` goes from 1/max to 1/min,
        ``open`` from 0 to 1/min, as in PackNet's published weights.
    :param min_depth_m: nearest depth the network can say.
    :param max_depth_m: farthest depth that is given out.
    :param initial_depth_m: depth that the untrained network says everywhere.
    """

    architecture: Architecture = 'resnet18'
    encoder_width: int | None = None
    decoder_channels: tuple[int, int, int, int, int] = (256, 128, 64, 32, 16)
    pack_padding: PackPadding = 'once'
    guidance: GuidanceOperator = 'pac'
    guided_strides: tuple[int, ...] = (16, 8, 4, 2)
    guidance_channels: int = 64
    inverse_depth: MappingKind = 'bounded'
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
        if self.guidance_channels < 16 or self.guidance_channels % 16:
            raise UserError(f'guidance_channels {self.guidance_channels}: not a multiple of 16')
        if self.width < 1:
            raise UserError(f'encoder_width {self.width}: must be at least 1')
        if self.architecture in PACKNET_SHAPES:
            PACKNET_SHAPES[self.architecture].scaled(self.width)

    @property
    def is_guided(self) -> bool:
        """Whether any level is guided."""
        return self.guidance != 'none' and bool(self.guided_strides)

    @property
    def published_width(self) -> int:
        """Channels of the first layer of the published network."""
        shape = PACKNET_SHAPES.get(self.architecture)
        return RESNET_WIDTH if shape is None else shape.channels[0]

    @property
    def width(self) -> int:
        """Channels of the encoder's first layer."""
        return self.published_width if self.encoder_width is None else self.encoder_width

    @property
    def name(self) -> str:
        """What the network is called, with its width where that is not the published one."""
        narrow = self.width != self.published_width
        return f'{self.architecture}-{self.width}' if narrow else self.architecture

    @property
    def mapping(self) -> InverseDepthMapping:
        """What the heads' sigmoid means."""
        return InverseDepthMapping(
            self.inverse_depth, self.min_depth_m, self.max_depth_m, self.initial_depth_m
        )


def takes_size(width: int, height: int) -> bool:
    """Say whether the networks take images of a size in pixels."""
    sides = (width, height)
    return min(sides) >= MIN_SIZE_PX and not any(side % COARSEST_STRIDE_PX for side in sides)


class DepthNetwork(nn.Module):
    """
    Image and semantic feature maps to inverse depth.

    :param encoder: image (B, 3, H, W) in 0..1 to a list of feature maps, finest first.
    :param decoder: feature maps and a guide to four maps of inverse depth, finest first.
    :param guidance: of the decoder's levels.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, guidance: Guidance) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.guidance = guidance

    def forward(self, image: Tensor, semantic: tuple[Tensor, ...] = ()) -> tuple[Tensor, ...]:
        """
        Predict inverse depth.

        :param image: (B, 3, H, W) in 0..1, H and W multiples of 32.
        :param semantic: the semantic network's maps; empty when unguided.
        :return: four maps (B, 1, H / 2^s, W / 2^s) in 1/m, finest first.
        """
        guide = self.guidance(semantic, image.shape[-2], image.shape[-1])
        inverse_depth: tuple[Tensor, ...] = self.decoder(self.encoder(image), guide)
        return inverse_depth


def build_depth_network(
    config: DepthNetworkConfig,
    semantic_channels: tuple[int, ...] = (),
    semantic_strides: tuple[int, ...] = (),
) -> DepthNetwork:
    """
    Build the network that a configuration describes, with random weights.

    :param config: what to build.
    :param semantic_channels: channels of the semantic network's maps.
    :param semantic_strides: their strides, in the same order.
    :raises UserError: for guidance without semantic maps.
    """
    encoder: ResNetEncoder | PackNetEncoder
    decoder: UNetDecoder | PackNetDecoder
    if config.architecture in RESNET_DEPTHS:
        encoder = ResNetEncoder(RESNET_DEPTHS[config.architecture], config.width)
        decoder = UNetDecoder(encoder.channels, config.decoder_channels, config.mapping)
    else:
        shape = PACKNET_SHAPES[config.architecture].scaled(config.width)
        encoder = PackNetEncoder(shape, config.pack_padding)
        decoder = PackNetDecoder(shape, config.mapping)
    guidance = Guidance(
        config.guidance,
        config.guided_strides,
        decoder.level_channels,
        config.guidance_channels,
        semantic_channels,
        semantic_strides,
    )
    return DepthNetwork(encoder, decoder, guidance)
