"""
The pixel-adaptive convolution strip by strip, forwards and backwards.

Written out over the whole image, the nine scaled copies of v that a pixel-adaptive convolution
needs fill memory, and moving them takes several times as long as the arithmetic. Here they exist
for a strip of rows at a time, small enough to stay in the cache, and are computed again for the
gradients instead of being kept. Everything lies channels last, so that a strip is one matrix of
pixels by 9 C and its convolution one matrix product.
"""

from collections.abc import Iterator
from typing import Any
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from training.networks.pac_standard import CENTER
from training.networks.pac_standard import HALF_TAPS
from training.networks.pac_standard import TAPS

Index = tuple[slice | int, ...]
Strip = tuple[slice, slice]  # images, rows

# What the nine copies of a strip may take. On a CPU they should stay in the cache: fastest from 2
# to 5 MB where measured (1 MB of second-level cache per core). Elsewhere, a guess: enough work to
# keep a GPU busy.
STRIP_BYTES = {'cpu': 2_500_000}
STRIP_BYTES_ELSEWHERE = 256_000_000


def pair_kernels(guidance: Tensor, log_sigma: Tensor) -> Tensor:
    """
    Return K of all pairs of neighbours; it is symmetric, so four maps are all eight.

    In float32 at least: squared distances overflow and cancel in half precision.

    :param guidance: f (B, D, H, W).
    :param log_sigma: logarithm of sigma, a scalar.
    :return: (B, 4, H + 2, W + 2), K between a pixel and its neighbour at each of ``HALF_TAPS``.
        The image lies inside a rim of one pixel; K is 0 where a pixel of the pair is outside.
    """
    f = guidance if guidance.dtype == torch.float64 else guidance.float()
    return _apply(_PairKernels, f, log_sigma)


def mean_kernel(kernels: Tensor) -> Tensor:
    """Return the mean K of the pairs inside the image, of ``pair_kernels``."""
    batch, _, height, width = kernels.shape
    pairs = sum((height - 2 - dy) * (width - 2 - abs(dx)) for dy, dx in HALF_TAPS)
    return kernels.sum() / (batch * pairs)


def adaptive_convolution(
    x: Tensor, kernels: Tensor, weight: Tensor, bias: Tensor | None
) -> Tensor:
    """
    Convolve with every neighbour scaled by its K.

    :param x: v (B, C, H, W).
    :param kernels: of ``pair_kernels``.
    :param weight: W (O, C, 3, 3).
    :param bias: b (O,) or None.
    :return: (B, O, H, W), in memory channels last.
    """
    device = x.device.type
    if torch.is_autocast_enabled(device):
        x = x.to(torch.get_autocast_dtype(device))
    weight = weight.to(x.dtype)
    bias = weight.new_zeros(len(weight)) if bias is None else bias.to(x.dtype)
    return _apply(_AdaptiveConvolution, x, kernels.to(x.dtype), weight, bias)


def _apply(function: type[torch.autograd.Function], *tensors: Tensor) -> Tensor:
    # The functions choose their precision themselves.
    with torch.autocast(tensors[0].device.type, enabled=False):
        out: Tensor = function.apply(*tensors)  # type: ignore[no-untyped-call]
    return out


class _PairKernels(torch.autograd.Function):
    """K(f, log sigma) of ``pair_kernels``."""

    @staticmethod
    def forward(ctx: Any, guidance: Tensor, log_sigma: Tensor) -> Tensor:
        f = guidance.permute(0, 2, 3, 1).contiguous()  # [B, H, W, D]
        batch, height, width, _ = f.shape
        distance = f.new_full((batch, len(HALF_TAPS), height + 2, width + 2), torch.inf)
        for pairs in _pairs(f):
            difference = f[pairs.near] - f[pairs.far]
            distance[pairs.place] = torch.linalg.vecdot(difference, difference)
        kernels = torch.exp(-0.5 * torch.exp(-2 * log_sigma) * distance)
        ctx.save_for_backward(f, log_sigma, distance, kernels)
        return kernels

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_kernels: Tensor) -> tuple[Tensor, Tensor]:
        f, log_sigma, distance, kernels = ctx.saved_tensors
        # K = exp(-d / (2 sigma^2)): dK/dd = -K / (2 sigma^2), dK/d(log sigma) = K d / sigma^2.
        precision = torch.exp(-2 * log_sigma)
        grad_distance = -0.5 * precision * kernels * grad_kernels
        inside = torch.where(distance.isinf(), 0, distance)
        grad_log_sigma = -2 * (grad_distance * inside).sum()
        grad_f = torch.zeros_like(f)
        for pairs in _pairs(f):
            pull = f[pairs.near] - f[pairs.far]
            pull *= 2 * grad_distance[pairs.place].unsqueeze(-1)
            grad_f[pairs.near] += pull
            grad_f[pairs.far] -= pull
        return grad_f.permute(0, 3, 1, 2), grad_log_sigma


class _AdaptiveConvolution(torch.autograd.Function):
    """The convolution of ``adaptive_convolution``, everything of one precision."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernels: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        (batch, channels, height, width), filters = x.shape, len(weight)
        padded = functional.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
        matrix = _as_matrix(weight)
        out = x.new_empty(batch, height, width, filters)
        strips = _strips(x, 9 * channels)
        room = _room(padded, strips[0])
        for strip in strips:
            columns = _scaled_neighbours(padded, kernels, strip, room)
            pixels = out[strip].view(-1, filters)
            torch.addmm(bias, columns.view(-1, 9 * channels), matrix.t(), out=pixels)
        ctx.save_for_backward(padded, kernels, weight)
        return out.permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        padded, kernels, weight = ctx.saved_tensors
        (filters, channels), width = weight.shape[:2], grad_out.shape[3]
        grad = grad_out.permute(0, 2, 3, 1).contiguous()  # [B, H, W, O]
        matrix = _as_matrix(weight)
        grad_padded, grad_kernels = torch.zeros_like(padded), torch.zeros_like(kernels)
        # Sums over all pixels, which half precision would not hold.
        exact = torch.promote_types(weight.dtype, torch.float32)
        grad_matrix = torch.zeros_like(matrix, dtype=exact)
        strips = _strips(grad_out, 9 * channels)
        room = _room(padded, strips[0])
        for strip in strips:
            pixels = grad[strip].view(-1, filters)
            columns = _scaled_neighbours(padded, kernels, strip, room)
            _add_product(grad_matrix, pixels.t(), columns.view(-1, 9 * channels))
            grads = columns  # which have done their work: their gradients take their place
            torch.mm(pixels, matrix, out=grads.view(-1, 9 * channels))
            for tap in range(len(TAPS)):
                neighbours = _neighbours(strip, tap, width)
                if tap == CENTER:
                    grad_padded[neighbours] += grads[..., tap, :]
                    continue
                kernel = _towards(kernels, strip, tap)
                grad_padded[neighbours].addcmul_(grads[..., tap, :], kernel.unsqueeze(-1))
                dots = torch.linalg.vecdot(padded[neighbours], grads[..., tap, :])
                _towards(grad_kernels, strip, tap).add_(dots)
        grad_weight = grad_matrix.view(filters, 3, 3, channels).permute(0, 3, 1, 2)
        grad_x = grad_padded[:, 1:-1, 1:-1].permute(0, 3, 1, 2)
        grad_bias = grad.sum((0, 1, 2), dtype=exact).to(weight.dtype)
        return grad_x, grad_kernels, grad_weight.to(weight.dtype), grad_bias


class _Pairs(NamedTuple):
    """Pairs of neighbours of a strip: where they are in f, and their place in the kernels."""

    near: Index
    far: Index
    place: Index


def _pairs(f: Tensor) -> Iterator[_Pairs]:
    """Go through all pairs inside the image of f (B, H, W, D), a strip and a direction a time."""
    _, height, width, channels = f.shape
    for images, rows in _strips(f.permute(0, 3, 1, 2), channels):
        for half, (dy, dx) in enumerate(HALF_TAPS):
            near_rows = slice(rows.start, min(rows.stop, height - dy))
            near_columns = slice(max(0, -dx), width - max(0, dx))
            yield _Pairs(
                (images, near_rows, near_columns),
                (images, _shifted(near_rows, dy), _shifted(near_columns, dx)),
                (images, half, _shifted(near_rows, 1), _shifted(near_columns, 1)),
            )


def _strips(x: Tensor, channels: int) -> list[Strip]:
    """
    Cut images (B, C, H, W) into strips that have room for so many channels.

    No strip is larger than the first.
    """
    batch, _, height, width = x.shape
    limit = STRIP_BYTES.get(x.device.type, STRIP_BYTES_ELSEWHERE)
    rows = max(1, limit // (width * channels * x.element_size()))
    images = max(1, rows // height)
    return [
        (slice(image, min(image + images, batch)), slice(row, min(row + rows, height)))
        for image in range(0, batch, images)
        for row in range(0, height, rows)
    ]


def _room(padded: Tensor, strip: Strip) -> Tensor:
    """Return room for the nine copies of a strip (pixels, 9, C)."""
    images, rows = strip
    channels, width = padded.shape[3], padded.shape[2] - 2
    pixels = (images.stop - images.start) * (rows.stop - rows.start) * width
    return padded.new_empty(pixels, len(TAPS), channels)


def _scaled_neighbours(padded: Tensor, kernels: Tensor, strip: Strip, room: Tensor) -> Tensor:
    """Write v of the nine neighbours, scaled by K, of the strip's pixels into the room."""
    width = padded.shape[2] - 2
    shape = padded[_neighbours(strip, CENTER, width)].shape
    columns = room[: shape[:3].numel()].view(*shape[:3], len(TAPS), shape[3])
    for tap in range(len(TAPS)):
        v = padded[_neighbours(strip, tap, width)]
        if tap == CENTER:
            columns[..., tap, :] = v
        else:
            kernel = _towards(kernels, strip, tap).unsqueeze(-1)
            torch.mul(v, kernel, out=columns[..., tap, :])
    return columns


def _neighbours(strip: Strip, tap: int, width: int) -> Index:
    """Return where the tap's neighbours of a strip's pixels lie, in an image with a rim."""
    images, rows = strip
    dy, dx = TAPS[tap]
    return images, _shifted(rows, 1 + dy), slice(1 + dx, 1 + dx + width)


def _towards(kernels: Tensor, strip: Strip, tap: int) -> Tensor:
    """Return K of a strip's pixels towards the tap's neighbours, a view (images, rows, W)."""
    width = kernels.shape[3] - 2
    # Towards the other four, K is stored with the neighbour.
    stored, at = (tap, CENTER) if tap > CENTER else (2 * CENTER - tap, tap)
    images, rows, columns = _neighbours(strip, at, width)
    return kernels[images, stored - CENTER - 1, rows, columns]


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """Add left @ right to the total, in the total's precision and in place where that is equal."""
    if total.dtype == left.dtype:
        total.addmm_(left, right)
    else:
        total += left @ right


def _as_matrix(weight: Tensor) -> Tensor:
    """Return W (O, C, 3, 3) as a matrix (O, 9 C) for the strips; no copy where channels last."""
    return weight.permute(0, 2, 3, 1).reshape(len(weight), -1)


def _shifted(span: slice, by: int) -> slice:
    return slice(span.start + by, span.stop + by)
