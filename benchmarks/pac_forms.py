"""
Ways to write a pixel-adaptive convolution in plain operators, to find the fastest to export.

All take what ``pac_conv2d`` takes and give what ``pac_conv2d_reference`` gives.
"""

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from training.networks.pac_standard import CENTER
from training.networks.pac_standard import PixelPairs
from training.networks.pac_standard import pixel_pairs

Form: TypeAlias = Callable[[Tensor, Tensor, Tensor, Tensor | None, Tensor], Tensor]


def plain(x: Tensor, guidance: Tensor, weight: Tensor, bias: Tensor | None, _: Tensor) -> Tensor:
    """Convolve without guidance: what all others are measured against."""
    return functional.conv2d(x, weight, bias, padding=1)


def taps_of(weight: Tensor) -> Tensor:
    """Return the weights of nine 1x1 convolutions (9, O, C, 1, 1)."""
    return weight.permute(2, 3, 0, 1).flatten(0, 1)[..., None, None]


def total_by_sum(squares: Tensor) -> Tensor:
    """Sum over the channels."""
    return squares.sum(1, keepdim=True)


def total_by_convolution(squares: Tensor) -> Tensor:
    """Sum over the channels; ONNX Runtime is slow at sums over any axis but the last."""
    return functional.conv2d(squares, squares.new_ones(1, squares.shape[1], 1, 1))


def pair_kernel(
    guidance: Tensor,
    pairs: PixelPairs,
    log_sigma: Tensor,
    total: Callable[[Tensor], Tensor] = total_by_convolution,
) -> Tensor:
    """Return K of the pairs, (B, 1, H - dy, W - |dx|)."""
    gap = pairs.near_of(guidance) - pairs.far_of(guidance)
    return torch.exp(-0.5 * torch.exp(-2 * log_sigma) * total(gap * gap))


def im2col(
    x: Tensor, guidance: Tensor, weight: Tensor, bias: Tensor | None, log_sigma: Tensor
) -> Tensor:
    """Unfold v and f by nine slices each, then as the reference."""
    v, f = unfolded(x), unfolded(guidance)
    distance = (f - guidance.unsqueeze(2)).square().sum(1, keepdim=True)  # [B, 1, 9, H, W]
    kernel = torch.exp(-0.5 * distance / torch.exp(2 * log_sigma))
    columns = (v * kernel).flatten(1, 2).flatten(2)  # [B, 9 C, H W]
    out = (weight.flatten(1) @ columns).unflatten(2, tuple(x.shape[-2:]))
    return out if bias is None else out + bias.view(1, -1, 1, 1)


def unfolded(x: Tensor) -> Tensor:
    """Return the nine neighbours of every pixel (B, C, 9, H, W), zero outside the image."""
    height, width = x.shape[-2:]
    padded = functional.pad(x, (1, 1, 1, 1))
    return torch.stack(
        [padded[..., i : i + height, j : j + width] for i in range(3) for j in range(3)], 2
    )


def contributions(
    x: Tensor, guidance: Tensor, weight: Tensor, bias: Tensor | None, log_sigma: Tensor
) -> Tensor:
    """One 1x1 convolution to 9 O channels; nine slices of it scaled, shifted and summed."""
    every = functional.conv2d(x, taps_of(weight).flatten(0, 1))
    parts = every.unflatten(1, (9, -1)).unbind(1)
    out = parts[CENTER] if bias is None else parts[CENTER] + bias.view(1, -1, 1, 1)
    return _add_shifted(out, parts, guidance, log_sigma)


def contributions_one_by_one(
    x: Tensor, guidance: Tensor, weight: Tensor, bias: Tensor | None, log_sigma: Tensor
) -> Tensor:
    """Nine 1x1 convolutions to O channels, each scaled, shifted and summed."""
    taps = taps_of(weight)
    parts = tuple(functional.conv2d(x, taps[tap]) for tap in range(9))
    return _add_shifted(functional.conv2d(x, taps[CENTER], bias), parts, guidance, log_sigma)


def _add_shifted(
    out: Tensor, parts: tuple[Tensor, ...], guidance: Tensor, log_sigma: Tensor
) -> Tensor:
    for pairs in pixel_pairs(*guidance.shape[-2:]):
        kernel = pair_kernel(guidance, pairs, log_sigma)
        towards = kernel * pairs.far_of(parts[pairs.tap])
        back = kernel * pairs.near_of(parts[2 * CENTER - pairs.tap])
        out = out + functional.pad(towards, pairs.near_padding)
        out = out + functional.pad(back, pairs.far_padding)
    return out


def concatenated(
    x: Tensor, guidance: Tensor, weight: Tensor, bias: Tensor | None, log_sigma: Tensor
) -> Tensor:
    """Nine shifted inputs, scaled, concatenated; one 1x1 convolution."""
    columns = [x] * 9
    for pairs in pixel_pairs(*x.shape[-2:]):
        kernel = pair_kernel(guidance, pairs, log_sigma)
        towards, back = kernel * pairs.far_of(x), kernel * pairs.near_of(x)
        columns[pairs.tap] = functional.pad(towards, pairs.near_padding)
        columns[2 * CENTER - pairs.tap] = functional.pad(back, pairs.far_padding)
    together = weight.permute(0, 2, 3, 1).flatten(1)[..., None, None]  # [O, 9 C, 1, 1]
    return functional.conv2d(torch.cat(columns, dim=1), together, bias)


def summed(
    x: Tensor, guidance: Tensor, weight: Tensor, bias: Tensor | None, log_sigma: Tensor
) -> Tensor:
    """
    Nine inputs, scaled, each through its own 1x1 convolution that pads it to its place, summed.

    ONNX Runtime takes padding and sum into the convolutions.
    """
    return _summed(x, guidance, weight, bias, log_sigma, pair_kernel)


def summed_plain_sum(
    x: Tensor, guidance: Tensor, weight: Tensor, bias: Tensor | None, log_sigma: Tensor
) -> Tensor:
    """The same, the squared distances by a sum."""

    def kernel(guidance: Tensor, pairs: PixelPairs, log_sigma: Tensor) -> Tensor:
        return pair_kernel(guidance, pairs, log_sigma, total_by_sum)

    return _summed(x, guidance, weight, bias, log_sigma, kernel)


def _summed(
    x: Tensor,
    guidance: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    log_sigma: Tensor,
    kernel_of: Callable[[Tensor, PixelPairs, Tensor], Tensor],
) -> Tensor:
    taps = taps_of(weight)
    out = functional.conv2d(x, taps[CENTER], bias)
    for pairs in pixel_pairs(*x.shape[-2:]):
        kernel = kernel_of(guidance, pairs, log_sigma)
        towards = functional.pad(kernel * pairs.far_of(x), pairs.near_padding)
        back = functional.pad(kernel * pairs.near_of(x), pairs.far_padding)
        out = out + functional.conv2d(towards, taps[pairs.tap])
        out = out + functional.conv2d(back, taps[2 * CENTER - pairs.tap])
    return out


FORMS: dict[str, Form] = {
    'unfolded': im2col,
    'contributions': contributions,
    'contributions one by one': contributions_one_by_one,
    'concatenated': concatenated,
    'summed, plain sum': summed_plain_sum,
    'summed': summed,
}
