"""
The pixel-adaptive convolution in plain operators, for export.

Nine shifted inputs, each scaled by its K and through a 1x1 convolution of its own, summed: of the
forms in benchmarks/pac_forms.py the fastest in ONNX Runtime, which pads and adds within the
convolutions and sums over channels fastest as a convolution.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

TAPS = tuple((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1))
CENTER = 4
# K is symmetric: K towards these four neighbours, seen from both ends, is K towards all eight.
HALF_TAPS = TAPS[CENTER + 1 :]


def pac_conv2d_standard(
    x: Tensor, guidance: Tensor, weight: Tensor, bias: Tensor | None, log_sigma: Tensor
) -> Tensor:
    """Apply a pixel-adaptive convolution; shapes and values as in ``pac_conv2d``."""
    taps = weight.permute(2, 3, 0, 1).flatten(0, 1)[..., None, None]  # [9, O, C, 1, 1]
    out = functional.conv2d(x, taps[CENTER], bias)
    for pairs in pixel_pairs(*x.shape[-2:]):
        kernel = _pair_kernel(guidance, pairs, log_sigma).to(x.dtype)
        towards = functional.pad(kernel * pairs.far_of(x), pairs.near_padding)
        back = functional.pad(kernel * pairs.near_of(x), pairs.far_padding)
        out = out + functional.conv2d(towards, taps[pairs.tap])
        out = out + functional.conv2d(back, taps[2 * CENTER - pairs.tap])
    return out


class PixelPairs(NamedTuple):
    """All pairs of a near pixel i and its neighbour, the far pixel i + TAPS[tap], in an image."""

    tap: int
    near: tuple[slice, slice]
    far: tuple[slice, slice]
    near_padding: tuple[int, int, int, int]  # brings a map of the pairs to the image, at i
    far_padding: tuple[int, int, int, int]  # likewise, at i + TAPS[tap]

    def near_of(self, x: Tensor) -> Tensor:
        """Return what x (B, C, H, W) says at the near pixels (B, C, H - dy, W - |dx|)."""
        return x[..., self.near[0], self.near[1]]

    def far_of(self, x: Tensor) -> Tensor:
        """Return what x (B, C, H, W) says at the far pixels (B, C, H - dy, W - |dx|)."""
        return x[..., self.far[0], self.far[1]]


def pixel_pairs(height: int, width: int) -> Iterator[PixelPairs]:
    """Give the pairs towards four neighbours, which are those towards all eight."""
    for tap, (dy, dx) in enumerate(HALF_TAPS, start=CENTER + 1):
        left, right = max(0, -dx), max(0, dx)
        yield PixelPairs(
            tap,
            (slice(0, height - dy), slice(left, width - right)),
            (slice(dy, height), slice(right, width - left)),
            (left, right, 0, dy),
            (right, left, dy, 0),
        )


def _pair_kernel(guidance: Tensor, pairs: PixelPairs, log_sigma: Tensor) -> Tensor:
    """Return K of the pairs (B, 1, H - dy, W - |dx|), in float32 at least."""
    f = guidance if guidance.dtype == torch.float64 else guidance.float()
    dy, dx = TAPS[pairs.tap]
    channels = f.shape[1]
    rows = [[0.0] * (1 + abs(dx)) for _ in range(1 + dy)]
    rows[0][max(0, -dx)], rows[dy][max(0, dx)] = 1.0, -1.0  # the near pixel minus the far one
    # A constant of the exported graph, unlike a tensor that is written into.
    difference = torch.tensor(rows, dtype=f.dtype, device=f.device).repeat(channels, 1, 1, 1)
    with torch.autocast(f.device.type, enabled=False):
        gap = functional.conv2d(f, difference, groups=channels)
        distance = functional.conv2d(gap * gap, f.new_ones(1, channels, 1, 1))
    return torch.exp(-0.5 * torch.exp(-2 * log_sigma) * distance)
