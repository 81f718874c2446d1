"""
Pixel-adaptive convolution (PAC), 3x3.

    out_i = b + sum over j in N(i) of K(f_i, f_j) W[p_i - p_j] v_j
    K(f_i, f_j) = exp(-1/2 ||f_i - f_j||^2 / sigma^2)

K is one scalar per pair of pixels, shared over channels. Where all K are 1 the layer is an
ordinary convolution. Outside the image v is zero.

Source: Su et al., Pixel-Adaptive Convolutional Neural Networks, CVPR 2019, equations 3 and 4. One
learnable sigma per layer is our choice: a K per pixel pair is then shared by all filters.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch import nn
from torch.nn import functional

HALF_OFFSETS: tuple[tuple[int, int], ...] = ((0, 1), (1, -1), (1, 0), (1, 1))
CENTER = 4


def pac_conv2d_reference(
    x: Tensor, guidance: Tensor, weight: Tensor, bias: Tensor | None, log_sigma: Tensor
) -> Tensor:
    """
    Apply the formula literally; slow and large, for tests.

    :param x: features v (B, C, H, W).
    :param guidance: f (B, D, H, W).
    :param weight: W (O, C, 3, 3).
    :param bias: b (O,) or None.
    :param log_sigma: logarithm of sigma, a scalar.
    :return: (B, O, H, W).
    """
    batch, channels, height, width = x.shape
    v = functional.unfold(x, 3, padding=1).view(batch, channels, 9, height, width)
    f = functional.unfold(guidance, 3, padding=1).view(batch, -1, 9, height, width)
    distance = (f - guidance.unsqueeze(2)).square().sum(1)  # [B, 9, H, W]
    kernel = torch.exp(-0.5 * distance / torch.exp(2 * log_sigma))
    out = torch.einsum('ock,bckhw,bkhw->bohw', weight.flatten(2), v, kernel)
    return out if bias is None else out + bias.view(1, -1, 1, 1)


def pac_conv2d(
    x: Tensor, guidance: Tensor, weight: Tensor, bias: Tensor | None, log_sigma: Tensor
) -> Tensor:
    """
    Apply a pixel-adaptive convolution; the same values as the reference.

    One 1x1 convolution gives every neighbour's contribution W[p_i - p_j] v_j at j; each is scaled
    by K, shifted to i and summed. Standard operators only, so it exports.

    :param x: features v (B, C, H, W).
    :param guidance: f (B, D, H, W).
    :param weight: W (O, C, 3, 3).
    :param bias: b (O,) or None.
    :param log_sigma: logarithm of sigma, a scalar.
    :return: (B, O, H, W).
    """
    batch, _, height, width = x.shape
    filters = weight.shape[0]
    taps = weight.permute(2, 3, 0, 1).reshape(9 * filters, -1, 1, 1)
    # Unbound at once: the gradient of nine slices of one tensor would be nine tensors of its size.
    contributions = functional.conv2d(x, taps).view(batch, 9, filters, height, width).unbind(1)
    out = contributions[CENTER]
    if bias is not None:
        out = out + bias.view(1, -1, 1, 1)
    for pair in pixel_pairs(height, width):
        kernel = pair_kernel(guidance, pair, log_sigma).to(x.dtype)
        tap = 3 * pair.dy + pair.dx
        towards = kernel * contributions[CENTER + tap][..., pair.far_rows, pair.far_columns]
        out = out + functional.pad(towards, pair.near_padding)
        back = kernel * contributions[CENTER - tap][..., pair.near_rows, pair.near_columns]
        out = out + functional.pad(back, pair.far_padding)
    return out


class PixelPairs(NamedTuple):
    """All pairs of a near pixel i and its neighbour, the far pixel i + (dy, dx), in an image."""

    dy: int
    dx: int
    near_rows: slice
    near_columns: slice
    far_rows: slice
    far_columns: slice
    near_padding: tuple[int, int, int, int]  # brings a map of the pairs to the image, at i
    far_padding: tuple[int, int, int, int]  # likewise, at i + (dy, dx)


def pixel_pairs(height: int, width: int) -> Iterator[PixelPairs]:
    """Give the pairs towards four neighbours; the kernel is symmetric, so these are all eight."""
    for dy, dx in HALF_OFFSETS:
        left, right = max(0, -dx), max(0, dx)
        yield PixelPairs(
            dy,
            dx,
            slice(0, height - dy),
            slice(left, width - right),
            slice(dy, height),
            slice(right, width - left),
            (left, right, 0, dy),
            (right, left, dy, 0),
        )


def pair_kernel(guidance: Tensor, pairs: PixelPairs, log_sigma: Tensor) -> Tensor:
    """
    Return K of the pairs.

    In float32 at least: squared distances overflow and cancel in half precision.

    :param guidance: f (B, D, H, W).
    :param pairs: which pixels.
    :param log_sigma: logarithm of sigma, a scalar.
    :return: (B, 1, H - dy, W - |dx|).
    """
    f = guidance if guidance.dtype == torch.float64 else guidance.float()
    near = f[..., pairs.near_rows, pairs.near_columns]
    far = f[..., pairs.far_rows, pairs.far_columns]
    distance = (near - far).square().sum(1, keepdim=True)
    return torch.exp(-0.5 * torch.exp(-2 * log_sigma) * distance)


class PacConv2d(nn.Module):
    """
    A 3x3 pixel-adaptive convolution with learnable sigma.

    Sigma starts at sqrt(D): with unit-variance guidance of D channels the squared distance of
    neighbours grows with D, and a smaller sigma would close the kernel (K near 0) and leave a 1x1
    convolution whose sigma gets no gradient.
    """

    def __init__(self, in_channels: int, out_channels: int, guidance_channels: int) -> None:
        super().__init__()
        template = nn.Conv2d(in_channels, out_channels, 3)
        assert template.bias is not None
        self.weight = nn.Parameter(template.weight.detach().clone())
        self.bias = nn.Parameter(template.bias.detach().clone())
        self.log_sigma = nn.Parameter(torch.tensor(0.5 * math.log(guidance_channels)))
        self.last_mean_kernel = torch.tensor(math.nan)  # of the last batch in training

    def forward(self, x: Tensor, guidance: Tensor) -> Tensor:
        """Map x (B, C, H, W) to (B, O, H, W) under guidance (B, D, H, W)."""
        if self.training:
            self.last_mean_kernel = self.mean_kernel(guidance.detach()).detach()
        return pac_conv2d(x, guidance, self.weight, self.bias, self.log_sigma)

    def mean_kernel(self, guidance: Tensor) -> Tensor:
        """Return the mean K to the neighbours inside the image: near 0 the layer is dead."""
        height, width = guidance.shape[-2:]
        kernels = [pair_kernel(guidance, p, self.log_sigma) for p in pixel_pairs(height, width)]
        return torch.cat([k.flatten() for k in kernels]).mean()
