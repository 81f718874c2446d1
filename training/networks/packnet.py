"""
PackNet01, the paper's depth network, and its slim variant.

The encoder never strides or pools: it packs (training/networks/packing.py). The decoder unpacks,
takes the encoder's map of the level's stride and, at the three finest levels, the inverse depth
of the level before.

Source: Guizilini et al., 3D Packing for Self-Supervised Monocular Depth Estimation, CVPR 2020,
table 1, as released.
"""

import copy
from typing import Any
from typing import NamedTuple
from typing import TypeVar

import torch
from torch import Tensor
from torch import nn
from torch.nn import functional

from sg_depth_ros.errors import UserError
from training.networks.guidance import Guide
from training.networks.inverse_depth import LEVEL_STRIDES
from training.networks.inverse_depth import SCALE_COUNT
from training.networks.inverse_depth import InverseDepthHead
from training.networks.inverse_depth import InverseDepthMapping
from training.networks.packing import NORM_GROUPS
from training.networks.packing import ConvNormElu
from training.networks.packing import Pack
from training.networks.packing import PackPadding
from training.networks.packing import Unpack
from training.networks.packing import fold_pack

PACK_KERNELS = (5, 3, 3, 3, 3)
RESIDUAL_BLOCKS = (2, 2, 3, 3)  # before the packings to strides 4, 8, 16, 32

Network = TypeVar('Network', bound=nn.Module)


class PackNetShape(NamedTuple):
    """
    What distinguishes one PackNet from another.

    :param channels: of the maps at the strides 1, 2, 4, 8, 16, 32.
    :param features_3d: filters of every 3-D convolution.
    """

    channels: tuple[int, int, int, int, int, int]
    features_3d: int

    def scaled(self, first_width: int) -> 'PackNetShape':
        """
        Return the same network with another number of channels at stride 1.

        :raises UserError: if the numbers of channels do not split into the groups of GroupNorm.
        """
        first = self.channels[0]
        # Unpack normalises 4 / features_3d times as many channels as it gives.
        step = max(NORM_GROUPS, NORM_GROUPS * self.features_3d // 4)
        if first_width < step or first_width % step:
            raise UserError(f'encoder_width {first_width}: choose a multiple of {step}')
        c = [first_width * channels // first for channels in self.channels]
        return self._replace(channels=(c[0], c[1], c[2], c[3], c[4], c[5]))


PACKNET01 = PackNetShape((64, 64, 64, 128, 256, 512), 8)
PACKNET01_SLIM = PackNetShape((32, 32, 64, 128, 256, 512), 4)


class ResidualConv(nn.Module):
    """Two ConvNormElu 3x3 plus a 1x1 shortcut, then GroupNorm and ELU."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv1 = ConvNormElu(in_channels, channels, 3)
        self.conv2 = ConvNormElu(channels, channels, 3)
        self.shortcut = nn.Conv2d(in_channels, channels, 1)
        self.norm = nn.GroupNorm(NORM_GROUPS, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, channels, H, W)."""
        return functional.elu(self.norm(self.conv2(self.conv1(x)) + self.shortcut(x)))


class PackNetEncoder(nn.Module):
    """
    An image to features at the strides 1, 2, 4, 8, 16, 32.

    :param shape: channels, and filters of the 3-D convolutions.
    :param pack_padding: ``once`` (ours, folds exactly) or ``each`` (the published network).
    """

    def __init__(
        self, shape: PackNetShape = PACKNET01, pack_padding: PackPadding = 'once'
    ) -> None:
        super().__init__()
        self.channels = shape.channels
        finest, *packed = shape.channels
        self.stem = ConvNormElu(3, finest, 5)
        blocks: list[nn.Module] = [ConvNormElu(finest, packed[0], 7)]
        for in_channels, channels, count in zip(packed, packed[1:], RESIDUAL_BLOCKS):
            rest = (ResidualConv(channels, channels) for _ in range(count - 1))
            blocks.append(nn.Sequential(ResidualConv(in_channels, channels), *rest))
        self.blocks = nn.ModuleList(blocks)
        self.packs = nn.ModuleList(
            Pack(channels, kernel_size, shape.features_3d, pack_padding)
            for channels, kernel_size in zip(packed, PACK_KERNELS)
        )
        _initialize(self)

    def forward(self, image: Tensor) -> list[Tensor]:
        """
        Encode an image.

        :param image: (B, 3, H, W) in 0..1, H and W multiples of 32.
        :return: six feature maps, finest first.
        """
        features = [self.stem(image)]
        for block, pack in zip(self.blocks, self.packs):
            features.append(pack(block(features[-1])))
        return features


def fold_packing(network: Network) -> Network:
    """
    Return a copy without 3-D convolutions in its packings: half the arithmetic and parameters.

    The same to float tolerance where it pads once; where it pads each, the packings differ at the
    border. The network that is given stays as it is.

    :param network: an encoder, or anything that holds one; without packings it is only copied.
    """
    # What deepcopy finds here it takes for the copy, so that the packings are never copied whole.
    folded: dict[int, Any] = {
        id(part): fold_pack(part) for part in network.modules() if isinstance(part, Pack)
    }
    return copy.deepcopy(network, folded)


class PackNetLevel(nn.Module):
    """Unpacking, guidance, what lies beside it, a convolution."""

    def __init__(
        self, in_channels: int, beside: int, channels: int, features_3d: int, stride: int
    ) -> None:
        super().__init__()
        self.stride = stride
        self.unpack = Unpack(in_channels, channels, features_3d)
        self.conv = ConvNormElu(channels + beside, channels, 3)

    def forward(self, x: Tensor, beside: list[Tensor], guide: Guide) -> Tensor:
        """Map (B, in_channels, H, W) to (B, channels, 2 H, 2 W)."""
        x = guide(self.unpack(x), self.stride)
        out: Tensor = self.conv(torch.cat([x, *beside], dim=1))
        return out


class PackNetDecoder(nn.Module):
    """
    Features of a PackNet encoder to inverse depth.

    :param shape: that of the encoder.
    :param mapping: what the heads' sigmoid means; the published network's is ``open``.
    """

    def __init__(self, shape: PackNetShape, mapping: InverseDepthMapping) -> None:
        super().__init__()
        channels, skips = shape.channels[:0:-1], shape.channels[-2::-1]
        in_channels = (channels[0], *channels[:-1])
        self.level_channels = dict(zip(LEVEL_STRIDES, channels))
        # The levels after the first that has a head take its inverse depth.
        coarser = [int(i > len(LEVEL_STRIDES) - SCALE_COUNT) for i in range(len(LEVEL_STRIDES))]
        self.levels = nn.ModuleList(
            PackNetLevel(i, skip + more, c, shape.features_3d, stride)
            for i, skip, more, c, stride in zip(
                in_channels, skips, coarser, channels, LEVEL_STRIDES
            )
        )
        _initialize(self)
        # Not the heads: Xavier's larger weights would scatter the depth they start at.
        self.heads = nn.ModuleList(
            InverseDepthHead(c, mapping, 'zeros') for c in channels[-SCALE_COUNT:]
        )

    def forward(self, features: list[Tensor], guide: Guide) -> tuple[Tensor, ...]:
        """
        Decode.

        :param features: the encoder's maps, finest first.
        :param guide: acts on each level's unpacked features.
        :return: four maps (B, 1, H / 2^s, W / 2^s) in 1/m, finest first.
        """
        x, skips = features[-1], features[-2::-1]
        inverse_depth: list[Tensor] = []
        for index, (level, skip) in enumerate(zip(self.levels, skips)):
            beside = [skip]
            if inverse_depth:
                coarser = functional.interpolate(inverse_depth[0], scale_factor=2, mode='nearest')
                beside.append(coarser.to(skip.dtype))
            x = level(x, beside, guide)
            head = index - (len(self.levels) - SCALE_COUNT)
            if head >= 0:
                inverse_depth.insert(0, self.heads[head](x))
        return tuple(inverse_depth)


def _initialize(module: nn.Module) -> None:
    """Start as the published network does: Xavier weights, no bias."""
    for part in module.modules():
        if isinstance(part, (nn.Conv2d, nn.Conv3d)):
            nn.init.xavier_uniform_(part.weight)
            assert part.bias is not None
            nn.init.zeros_(part.bias)
