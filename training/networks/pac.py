"""
Pixel-adaptive convolution (PAC), 3x3.

    out_i = b + sum over j in N(i) of K(f_i, f_j) W[p_i - p_j] v_j
    K(f_i, f_j) = exp(-1/2 ||f_i - f_j||^2 / sigma^2)

K is one scalar per pair of pixels, shared over channels. Where all K are 1 the layer is an ordinary
convolution. Outside the image v is zero.

Source: Su et al., Pixel-Adaptive Convolutional Neural Networks, CVPR 2019, equations 3 and 4. One
learnable sigma per layer is our choice: a K per pixel pair is then shared by all filters.
"""

import math

import torch
from torch import Tensor
from torch import nn
from torch.nn import functional

# Half of the eight neighbours; the kernel is symmetric, so these give the other half.
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

    One 1x1 convolution gives every neighbour's contribution W[p_i - p_j] v_j at j; nine shifted
    slices of it, scaled by K, are summed. Standard operators only, so it exports.

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
    contributions = functional.conv2d(x, taps).view(batch, 9, filters, height, width)
    padded = functional.pad(contributions, (1, 1, 1, 1))
    kernels = kernel_maps(guidance, log_sigma)
    out = contributions[:, CENTER]
    if bias is not None:
        out = out + bias.view(1, -1, 1, 1)
    for index, kernel in enumerate(kernels):
        dy, dx = divmod(index, 3)
        if index != CENTER:
            shifted = padded[:, index, :, dy : dy + height, dx : dx + width]
            out = out + kernel.to(x.dtype) * shifted
    return out


def kernel_maps(guidance: Tensor, log_sigma: Tensor) -> list[Tensor]:
    """
    Return K between every pixel and its nine neighbours, row by row from the upper left.

    In float32 whatever the guidance is: squared distances overflow and cancel in half precision.

    :param guidance: f (B, D, H, W).
    :param log_sigma: logarithm of sigma, a scalar.
    :return: nine maps (B, 1, H, W); 0 towards neighbours outside the image.
    """
    f = guidance if guidance.dtype == torch.float64 else guidance.float()
    height, width = f.shape[-2:]
    scale = -0.5 * torch.exp(-2 * log_sigma)
    maps: list[Tensor] = [torch.ones_like(f[:, :1])] * 9
    for dy, dx in HALF_OFFSETS:
        left, right = max(0, -dx), max(0, dx)
        near = f[..., : height - dy, left : width - right]
        far = f[..., dy:, left + dx : width - right + dx]
        kernel = torch.exp(scale * (near - far).square().sum(1, keepdim=True))
        # K(i, i + d) stands at i; the same numbers are K(i + d, i) and stand at i + d.
        maps[CENTER + 3 * dy + dx] = functional.pad(kernel, (left, right, 0, dy))
        maps[CENTER - 3 * dy - dx] = functional.pad(kernel, (right, left, dy, 0))
    return maps


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

    def forward(self, x: Tensor, guidance: Tensor) -> Tensor:
        """Map x (B, C, H, W) to (B, O, H, W) under guidance (B, D, H, W)."""
        return pac_conv2d(x, guidance, self.weight, self.bias, self.log_sigma)

    def mean_kernel(self, guidance: Tensor) -> Tensor:
        """Return the mean K to the neighbours inside the image: near 0 the layer is dead."""
        maps = kernel_maps(guidance, self.log_sigma)
        height, width = guidance.shape[-2:]
        pairs = 0
        for dy, dx in HALF_OFFSETS:
            pairs += 2 * (height - dy) * (width - abs(dx))
        total = torch.stack([k.sum() for i, k in enumerate(maps) if i != CENTER]).sum()
        return total / (pairs * guidance.shape[0])
