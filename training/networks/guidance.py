"""
Guidance: how features of the semantic network act on the depth decoder.

Three operators behind one interface, so that the gain of guidance can be measured: ``pac`` (the
paper's), ``spade`` (ours), ``none`` (the unguided baseline, no layer at all). Guidance is an added
layer of C to C channels on a decoder level's upsampled features, in every depth network: the
decoder itself does not know of it, so that weights of unguided networks fit.
"""

from collections.abc import Callable
from collections.abc import Mapping
from typing import Literal
from typing import TypeAlias

from torch import Tensor
from torch import nn
from torch.nn import functional

from sg_depth_ros.errors import UserError
from training.networks.pac import PacConv2d

GuidanceOperator = Literal['pac', 'spade', 'none']
# Takes a decoder level's features (B, C, H, W) and its stride; gives them back guided, or as they
# are where the level is not guided.
Guide: TypeAlias = Callable[[Tensor, int], Tensor]


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
        """Map (B, P, h, w) to (B, D, height, width)."""
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


# Built from the channels of the decoder level and of the guidance features.
OPERATORS: dict[GuidanceOperator, Callable[[int, int], nn.Module]] = {
    'pac': PacGuidance,
    'spade': SpadeGuidance,
}


class Guidance(nn.Module):
    """
    The guided levels of a decoder: guidance features and operator of each.

    :param operator: what the features do; ``none`` leaves every level as it is.
    :param strides: the guided levels.
    :param level_channels: channels of the decoder's upsampled features, by stride.
    :param channels: of the guidance features f.
    :param semantic_channels: channels of the semantic network's maps.
    :param semantic_strides: their strides, in the same order.
    :raises UserError: for a level that is not there, or without semantic maps.
    """

    def __init__(
        self,
        operator: GuidanceOperator,
        strides: tuple[int, ...],
        level_channels: Mapping[int, int],
        channels: int,
        semantic_channels: tuple[int, ...],
        semantic_strides: tuple[int, ...],
    ) -> None:
        super().__init__()
        self.features = nn.ModuleDict()
        self.operators = nn.ModuleDict()
        self.sources: dict[int, int] = {}  # which semantic map guides the level, by stride
        if operator == 'none':
            return
        for stride in strides:
            if stride not in level_channels:
                raise UserError(
                    f'guided_strides {list(strides)}: choose from {sorted(level_channels)}'
                )
            self.sources[stride] = source = semantic_source(stride, semantic_strides)
            self.features[str(stride)] = GuidanceFeatures(semantic_channels[source], channels)
            self.operators[str(stride)] = OPERATORS[operator](level_channels[stride], channels)

    def forward(self, semantic: tuple[Tensor, ...], height: int, width: int) -> Guide:
        """
        Compute the guidance features of an image, and return what guides with them.

        :param semantic: the semantic network's maps (B, P, h, w); unused where nothing is guided.
        :param height: of the image; ``width`` likewise.
        """
        features = {
            stride: self.features[str(stride)](semantic[source], height // stride, width // stride)
            for stride, source in self.sources.items()
        }

        def guide(x: Tensor, stride: int) -> Tensor:
            if stride not in features:
                return x
            guided: Tensor = self.operators[str(stride)](x, features[stride])
            return guided

        return guide


def semantic_source(stride: int, semantic_strides: tuple[int, ...]) -> int:
    """
    Choose the map that guides a level: that of its own stride, else the nearest in stride (ours).

    Coarser maps go before finer ones: they have seen more of the image.

    :return: its index.
    :raises UserError: where the semantic network gives no maps.
    """
    if not semantic_strides:
        raise UserError(
            'guidance needs a semantic network with feature maps; give one as '
            '--model.segmentation, or train with --model.network.guidance none'
        )
    coarser = [s for s in semantic_strides if s >= stride]
    return semantic_strides.index(min(coarser) if coarser else max(semantic_strides))
