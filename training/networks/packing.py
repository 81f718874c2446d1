"""
PackNet's layers: packing, unpacking, and packing folded into one convolution.

Pack(C, k) moves 2x2 pixels into channels (4C of them), runs one 3x3x3 convolution of d filters
over (channels, rows, columns), stacks the d results (d 4C channels), convolves them to C with
k x k, and ends in GroupNorm and ELU.
Source: Guizilini et al., 3D Packing for Self-Supervised Monocular Depth Estimation, CVPR 2020,
section 4.1.

Folding is ours. There is no non-linearity between the two convolutions, so together they are one
2-D convolution of 4C to C channels with (k + 2) x (k + 2). The paper pads each of the two with
zeros, and the folded one differs within k // 2 pixels of the border, where the paper's second
convolution sees zeros instead of what the first says there (and GroupNorm, whose statistics are
those of the whole map, spreads a little of it). Padded once, before both, they are the same
everywhere; that is ours too.
"""

from typing import Literal

import torch
from torch import Tensor
from torch import nn
from torch.nn import functional

PackPadding = Literal['once', 'each']

NORM_GROUPS = 16
# Pixels of a batch from which folding for one pass costs less than it saves: about 40 by
# multiplications, between 500 and 1900 by the clock of a CPU (benchmarks/packnet.py).
FOLDING_PIXELS = 1000


class ConvNormElu(nn.Module):
    """A zero-padded k x k convolution, GroupNorm and ELU; the paper's ConvGE."""

    def __init__(self, in_channels: int, channels: int, kernel_size: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, kernel_size, padding=kernel_size // 2)
        self.norm = nn.GroupNorm(NORM_GROUPS, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, channels, H, W)."""
        return functional.elu(self.norm(self.conv(x)))


class Pack(nn.Module):
    """
    Halve the size and keep the channels, by learnt packing.

    :param channels: C, before and after.
    :param kernel_size: k of the second convolution.
    :param features_3d: d, filters of the 3-D convolution.
    :param padding: ``once`` before both convolutions (ours), or ``each`` on its own (the paper's).
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int,
        features_3d: int = 8,
        padding: PackPadding = 'once',
    ) -> None:
        super().__init__()
        self.padding = padding
        self.conv3d = nn.Conv3d(1, features_3d, 3)
        self.conv = nn.Conv2d(4 * channels * features_3d, channels, kernel_size)
        self.norm = nn.GroupNorm(NORM_GROUPS, channels)

    def forward(self, x: Tensor) -> Tensor:
        """
        Map (B, C, H, W) to (B, C, H/2, W/2).

        Padded once, the two convolutions run as their folded one wherever the batch is large
        enough to pay for folding: the same function of the same weights at half the arithmetic
        and without the map of d 4C channels.
        """
        x = functional.pixel_unshuffle(x, 2)  # [B, 4C, H/2, W/2]
        pixels = x.shape[0] * x.shape[2] * x.shape[3]
        if self.padding == 'once' and pixels >= FOLDING_PIXELS:
            weight, bias = self.folded()
            x = functional.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)
        else:
            x = self.unfolded(x)
        return functional.elu(self.norm(x))

    def unfolded(self, x: Tensor) -> Tensor:
        """
        Convolve packed pixels by the definition.

        :param x: (B, 4C, H, W).
        :return: (B, C, H, W).
        """
        around = self.conv.kernel_size[0] // 2
        first, second = (1 + around, 0) if self.padding == 'once' else (1, around)
        x = functional.pad(x, [first] * 4).unsqueeze(1)  # [B, 1, 4C, H + 2 first, W + 2 first]
        # The channel axis has its own padding: every channel keeps its d results.
        x = functional.conv3d(x, self.conv3d.weight, self.conv3d.bias, padding=(1, 0, 0))
        return functional.conv2d(x.flatten(1, 2), self.conv.weight, self.conv.bias, padding=second)

    def folded(self) -> tuple[Tensor, Tensor]:
        """Return the weight (C, 4C, k + 2, k + 2) and bias (C,) of the folded convolution."""
        assert self.conv3d.bias is not None
        assert self.conv.bias is not None
        return fold_convolutions(
            self.conv3d.weight, self.conv3d.bias, self.conv.weight, self.conv.bias
        )


def fold_convolutions(
    weight_3d: Tensor, bias_3d: Tensor, weight: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor]:
    """
    Fold a 3-D convolution over the channels and the 2-D convolution after it into one.

    folded[o, c', u, v] = sum over d, c, y, x of weight[o, (d, c), y, x]
    weight_3d[d, c' - c + 1, u - y, v - x]: the transposed 3-D convolution of the second weight by
    the first. Differentiable.

    :param weight_3d: (d, 1, 3, 3, 3).
    :param bias_3d: (d,).
    :param weight: (O, d I, k, k), the d results of the I input channels one after the other.
    :param bias: (O,).
    :return: weight (O, I, k + 2, k + 2) and bias (O,).
    """
    by_feature = torch.unflatten(weight, 1, (weight_3d.shape[0], -1))  # [O, d, I, k, k]
    folded = functional.conv_transpose3d(by_feature, weight_3d, padding=(1, 0, 0)).squeeze(1)
    return folded, bias + by_feature.sum((2, 3, 4)) @ bias_3d


class FoldedPack(nn.Module):
    """A Pack whose two convolutions are one: no 3-D convolution, half the arithmetic."""

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4 * channels, channels, kernel_size, padding=kernel_size // 2)
        self.norm = nn.GroupNorm(NORM_GROUPS, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H/2, W/2)."""
        return functional.elu(self.norm(self.conv(functional.pixel_unshuffle(x, 2))))


@torch.no_grad()
def fold_pack(pack: Pack) -> FoldedPack:
    """Return a Pack as one convolution, folded in float64; the Pack stays as it is."""
    parameters = (pack.conv3d.weight, pack.conv3d.bias, pack.conv.weight, pack.conv.bias)
    weight, bias = fold_convolutions(*(p.double() for p in parameters if p is not None))
    channels, _, kernel_size, _ = weight.shape
    folded = FoldedPack(channels, kernel_size).to(pack.conv.weight)
    folded.conv.weight.copy_(weight)
    assert folded.conv.bias is not None
    folded.conv.bias.copy_(bias)
    folded.norm.load_state_dict(pack.norm.state_dict())
    return folded.train(pack.training)


class Unpack(nn.Module):
    """
    Double the size by learnt unpacking: a convolution, d 3-D filters over it, pixel shuffle.

    :param in_channels: I.
    :param channels: O; 4 O / features_3d must be a multiple of 16.
    :param features_3d: d, filters of the 3-D convolution.
    """

    def __init__(self, in_channels: int, channels: int, features_3d: int = 8) -> None:
        super().__init__()
        self.conv = ConvNormElu(in_channels, 4 * channels // features_3d, 3)
        self.conv3d = nn.Conv3d(1, features_3d, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, I, H, W) to (B, O, 2 H, 2 W)."""
        x = self.conv3d(self.conv(x).unsqueeze(1))  # [B, d, 4 O / d, H, W]
        return functional.pixel_shuffle(x.flatten(1, 2), 2)
