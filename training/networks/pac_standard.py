"""
The pixel-adaptive convolution in plain operators, for export.

Nine shifted inputs, each scaled by its K and through a 1x1 convolution of its own, summed: of the
forms in benchmarks/pac_forms.py the fastest in ONNX Runtime, which adds within the convolutions.
"""

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
    height, width = x.shape[-2:]
    padded = functional.pad(x, (1, 1, 1, 1))
    taps = weight.permute(2, 3, 0, 1).flatten(0, 1)[..., None, None]  # [9, O, C, 1, 1]
    out = functional.conv2d(x, taps[CENTER], bias)
    for half, (near, far) in enumerate(_half_kernels(guidance, log_sigma), start=CENTER + 1):
        for tap, kernel in ((half, near), (2 * CENTER - half, far)):
            dy, dx = TAPS[tap]
            v = padded[..., 1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]
            out = out + functional.conv2d(v * kernel.to(v.dtype), taps[tap])
    return out


def _half_kernels(guidance: Tensor, log_sigma: Tensor) -> list[tuple[Tensor, Tensor]]:
    """
    Return K of every pixel towards each of four neighbours, and towards the opposite one.

    Anything finite where the neighbour lies outside: v is zero there.

    :return: four pairs of (B, 1, H, W), in float32 at least.
    """
    height, width = guidance.shape[-2:]
    f = guidance if guidance.dtype == torch.float64 else guidance.float()
    padded = functional.pad(f, (1, 1, 1, 1))
    scale = -0.5 * torch.exp(-2 * log_sigma)
    kernels = []
    for dy, dx in HALF_TAPS:
        # Pairs of a pixel and its neighbour below or to the right, up to one pixel beyond the
        # image; the first has its near end at column -left.
        left = 1 - max(0, -dx)
        columns = width + 2 - abs(dx)
        start = 1 - left
        near = padded[..., : height + 2 - dy, start : start + columns]
        far = padded[..., dy:, start + dx : start + dx + columns]
        # A norm, because it exports as one operator that reads its input once.
        norm = torch.linalg.vector_norm(near - far, dim=1, keepdim=True)
        kernel = torch.exp(scale * (norm * norm))
        here = kernel[..., 1 : 1 + height, left : left + width]
        opposite = kernel[..., 1 - dy : 1 - dy + height, left - dx : left - dx + width]
        kernels.append((here, opposite))
    return kernels
