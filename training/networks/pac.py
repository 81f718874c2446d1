"""
Pixel-adaptive convolution (PAC), 3x3.

    out_i = b + sum over j in N(i) of K(f_i, f_j) W[p_i - p_j] v_j
    K(f_i, f_j) = exp(-1/2 ||f_i - f_j||^2 / sigma^2)

v are the features that are convolved, f those that guide. K is one scalar per pair of pixels,
shared over channels: 1 where their guidance is equal, near 0 across the edge of a class. Where all
K are 1 the layer is an ordinary convolution. Outside the image v is zero.

Three forms of the same values: the formula as it stands (for tests), one that computes strip by
strip in the cache (training; pac_strips.py), and one of plain operators (export; pac_standard.py).

Source: Su et al., Pixel-Adaptive Convolutional Neural Networks, CVPR 2019, equations 3 and 4. One
learnable sigma per layer is our choice: a K per pixel pair is then shared by all filters.
"""

import math

import torch
from torch import Tensor
from torch import nn
from torch.nn import functional

from training.networks.pac_standard import pac_conv2d_standard
from training.networks.pac_strips import adaptive_convolution
from training.networks.pac_strips import mean_kernel
from training.networks.pac_strips import pair_kernels


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
    batch, _, height, width = x.shape
    sigma = torch.exp(log_sigma)
    v_j = functional.unfold(x, 3, padding=1).view(batch, -1, 9, height, width)
    f_j = functional.unfold(guidance, 3, padding=1).view(batch, -1, 9, height, width)
    f_i = guidance.unsqueeze(2)  # [B, D, 1, H, W]
    distance = (f_i - f_j).square().sum(1, keepdim=True)
    kernel = torch.exp(-0.5 * distance / sigma**2)  # K(f_i, f_j) [B, 1, 9, H, W]
    out = torch.einsum('ock,bckhw->bohw', weight.flatten(2), kernel * v_j)
    return out if bias is None else out + bias.view(1, -1, 1, 1)


def pac_conv2d(
    x: Tensor, guidance: Tensor, weight: Tensor, bias: Tensor | None, log_sigma: Tensor
) -> Tensor:
    """
    Apply a pixel-adaptive convolution; the same values as the reference.

    The arithmetic of an ordinary convolution, and little more memory: measured against both in
    benchmarks/pac.py. Under mixed precision K is computed in float32.

    :param x: features v (B, C, H, W).
    :param guidance: f (B, D, H, W).
    :param weight: W (O, C, 3, 3).
    :param bias: b (O,) or None.
    :param log_sigma: logarithm of sigma, a scalar.
    :return: (B, O, H, W), in memory channels last.
    """
    # Exporters and compilers see through plain operators only, and gain nothing from strips.
    if torch.compiler.is_compiling():
        return pac_conv2d_standard(x, guidance, weight, bias, log_sigma)
    return adaptive_convolution(x, pair_kernels(guidance, log_sigma), weight, bias)


class PacConv2d(nn.Module):
    """
    A 3x3 pixel-adaptive convolution with learnable sigma.

    Sigma starts at sqrt(D): with unit-variance guidance of D channels the squared distance of
    neighbours grows with D, and a smaller sigma would close the kernel (K near 0) and leave a 1x1
    convolution whose sigma gets no gradient.

    :param in_channels: C.
    :param out_channels: O.
    :param guidance_channels: D.
    """

    def __init__(self, in_channels: int, out_channels: int, guidance_channels: int) -> None:
        super().__init__()
        template = nn.Conv2d(in_channels, out_channels, 3)
        assert template.bias is not None
        self.weight = nn.Parameter(template.weight.detach().clone())
        self.bias = nn.Parameter(template.bias.detach().clone())
        self.log_sigma = nn.Parameter(torch.tensor(0.5 * math.log(guidance_channels)))
        # K of the last batch in training, to the neighbours inside the image: near 0 the layer is
        # dead, near 1 guidance does nothing.
        self.last_mean_kernel = torch.tensor(math.nan)

    def forward(self, x: Tensor, guidance: Tensor) -> Tensor:
        """Map x (B, C, H, W) to (B, O, H, W) under guidance (B, D, H, W)."""
        if not self.training or torch.compiler.is_compiling():
            return pac_conv2d(x, guidance, self.weight, self.bias, self.log_sigma)
        kernels = pair_kernels(guidance, self.log_sigma)
        self.last_mean_kernel = mean_kernel(kernels.detach())
        return adaptive_convolution(x, kernels, self.weight, self.bias)
