"""
The smallest photometric error over the contexts, and its gradient, in one go.

The same as ``photometric.minimum_error``, written out: maps are computed in place, strip by strip,
and none is kept for a backward pass. Windows are summed, not averaged; the factors of 9 cancel in
the similarity

    S = n1 n2 / (d1 d2),   n1 = 2 s_a s_b + 81 C1,       n2 = 18 q_ab - 2 s_a s_b + 81 C2,
                           d1 = s_a^2 + s_b^2 + 81 C1,
                           d2 = 9 (q_aa + q_bb) - s_a^2 - s_b^2 + 81 C2,

where s are the sums of a window and q those of products.
"""

from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor

from training.objective.photometric import C1
from training.objective.photometric import C2
from training.objective.photometric import SSIM_WEIGHT

# What one map of a strip may take, of some fifteen; elsewhere images stay whole.
STRIP_BYTES = {'cpu': 800_000}


class Target(NamedTuple):
    """What is compared with: an image b (B, 1, C, H, W), and what its windows give."""

    image: Tensor
    twice_sums: Tensor  # 2 s_b
    d1: Tensor  # what d1 is where a is black
    d12: Tensor  # what d1 + d2 is there


class Strip:
    """
    Rows of an image, and those around them that they depend on.

    The gradient of a row depends on the errors of its neighbours, which are compared too, and an
    error on the colours around it.
    """

    def __init__(self, start: int, stop: int, height: int) -> None:
        self.height = height
        self.rows = slice(start, stop)
        self.compared = _wider(self.rows, height)
        self.around = _wider(self.compared, height)
        self.rows_of_compared = _within(self.rows, self.compared)
        self.rows_of_around = _within(self.rows, self.around)
        self.compared_of_around = _within(self.compared, self.around)


class Room(NamedTuple):
    """Memory for the windows' sums of a strip, used again for every other."""

    maps: Tensor  # [3, B, S, C, around, W]
    sums: Tensor  # likewise, and two rows more


class Comparison(NamedTuple):
    """Errors of a strip, and what their gradient is made of: (B, S, C, compared, W)."""

    errors: Tensor  # [B, S, compared, W]
    s_a: Tensor
    n1: Tensor
    n2: Tensor
    d1: Tensor
    d2: Tensor
    inverse: Tensor  # 1 / (d1 d2)
    similarity: Tensor
    difference: Tensor  # a - b


def target_windows(image: Tensor) -> Target:
    """Prepare a target (B, C, H, W) for comparisons."""
    b = image.unsqueeze(1)
    height, width = b.shape[-2:]
    moments = torch.stack([b, b.square()])
    room = moments.new_empty(*moments.shape[:-2], height + 2, width)
    s, q = window_sums(moments, room, Strip(0, height, height))
    squared = s.square()
    d1 = squared + 81 * C1
    return Target(b, 2 * s, d1, (9 * q - squared + 81 * C2) + d1)


def least_error(
    images: Tensor, target: Target, limit: Tensor | None, gradient: Tensor | None
) -> Tensor:
    """
    Return per pixel the smallest photometric error over the contexts.

    :param images: a (B, S, C, H, W) in 0..1.
    :param target: what they are compared with.
    :param limit: errors (B, 1, H, W); a pixel whose smallest error is not below has no gradient.
    :param gradient: where the gradient of the errors' sum is written, (B, S, C, H, W), or None;
        where contexts are equally good the first has it.
    :return: (B, 1, H, W), whatever the limit.
    """
    batch, contexts, channels, height, width = images.shape
    least = images.new_empty(batch, 1, height, width)
    strips = _strips(images)
    rows = max(s.around.stop - s.around.start for s in strips)
    shape = (3, batch, contexts, channels)
    room = Room(images.new_empty(*shape, rows, width), images.new_empty(*shape, rows + 2, width))
    for strip in strips:
        a = images[..., strip.around, :]
        comparison = _compare(a, target, strip, room)
        errors = comparison.errors
        best = errors.amin(1, keepdim=True)
        least[..., strip.rows, :] = best[..., strip.rows_of_compared, :]
        if gradient is not None:
            chosen = errors == best
            if limit is not None:
                chosen &= best < limit[..., strip.compared, :]
            for better, worse in combinations(chosen.unbind(1), 2):
                worse &= ~better
            weights = chosen.to(a.dtype).unsqueeze(2)
            out = gradient[..., strip.rows, :]
            _pull(a, target, comparison, weights, strip, room, out)
    return least


def _compare(a: Tensor, target: Target, strip: Strip, room: Room) -> Comparison:
    b = target.image[..., strip.around, :]
    twice_s_b, d1_b, d12_b = (t[..., strip.compared, :] for t in target[1:])
    moments = room.maps[..., : a.shape[-2], :]
    moments[0] = a
    torch.mul(a, a, out=moments[1])
    torch.mul(a, b, out=moments[2])
    s_a, q_aa, q_ab = window_sums(moments, room.sums, strip)
    n1 = s_a * twice_s_b
    n2 = q_ab.mul_(18).sub_(n1).add_(81 * C2)
    n1.add_(81 * C1)
    d1 = torch.addcmul(d1_b, s_a, s_a)
    d2 = q_aa.mul_(9).sub_(d1).add_(d12_b)
    inverse = torch.mul(d1, d2).reciprocal_()
    similarity = torch.mul(n1, n2).mul_(inverse)
    own = strip.compared_of_around
    difference = a[..., own, :] - b[..., own, :]
    dissimilarity = (1 - _mean(similarity)) / 2
    errors = SSIM_WEIGHT * dissimilarity + (1 - SSIM_WEIGHT) * _mean(difference.abs())
    return Comparison(errors, s_a, n1, n2, d1, d2, inverse, similarity, difference)


def _pull(
    a: Tensor,
    target: Target,
    c: Comparison,
    weights: Tensor,
    strip: Strip,
    room: Room,
    out: Tensor,
) -> None:
    """
    Write the gradient of the weighted errors; the comparison is used up.

    With respect to the sums of a window: dS/ds_a = 2 (s_b (n2 - n1) + s_a S (d1 - d2)) / (d1 d2),
    dS/dq_aa = -9 S / d2, dS/dq_ab = 18 n1 / (d1 d2).
    """
    channels = a.shape[2]
    inverse = c.inverse.mul_(weights * (-SSIM_WEIGHT / (2 * channels)))
    scaled = c.similarity.mul_(inverse)
    # Each takes the place of what is not needed again: s_a, d2 and n2 lie in the room.
    to_sum = c.n2.sub_(c.n1).mul_(target.twice_sums[..., strip.compared, :]).mul_(inverse)
    torch.sub(c.d1, c.d2, out=c.d2)
    to_sum.addcmul_(c.s_a.mul_(c.d2), scaled, value=2)
    torch.mul(c.d1, scaled, out=c.d2)
    torch.mul(c.n1, inverse, out=c.s_a)
    pulls = room.maps[..., : c.n1.shape[-2], :]
    to_product, to_square, to_sum = window_sums_adjoint(pulls, room.sums, strip)
    torch.addcmul(to_sum, a[..., strip.rows_of_around, :], to_square, value=-18, out=out)
    out.addcmul_(target.image[..., strip.rows, :], to_product, value=18)
    own = strip.rows_of_compared
    share = weights[..., own, :] * ((1 - SSIM_WEIGHT) / channels)
    out.addcmul_(c.difference[..., own, :].sign_(), share)


def window_sums(x: Tensor, room: Tensor, strip: Strip) -> Tensor:
    """
    Sum over 3x3 windows, the image's border reflected.

    :param x: (..., around, W), overwritten.
    :param room: for the sums of rows.
    :return: (..., compared, W), in the place of x.
    """
    above, below = int(strip.compared.start == 0), int(strip.compared.stop == strip.height)
    room = room[..., : x.shape[-2] + above + below, :]
    sums = room[..., above : room.shape[-2] - below, :]
    torch.add(x[..., :-2], x[..., 2:], out=sums[..., 1:-1])
    torch.mul(x[..., 1], 2, out=sums[..., 0])
    torch.mul(x[..., -2], 2, out=sums[..., -1])
    sums += x
    if above:
        room[..., 0, :] = room[..., 2, :]
    if below:
        room[..., -1, :] = room[..., -3, :]
    return _add_rows(room, x)


def window_sums_adjoint(x: Tensor, room: Tensor, strip: Strip) -> Tensor:
    """
    Apply the transpose of ``window_sums``.

    :param x: (..., compared, W), overwritten.
    :param room: for the sums of rows.
    :return: (..., rows, W), in the place of x.
    """
    above, below = int(strip.rows.start == 0), int(strip.rows.stop == strip.height)
    room = room[..., : x.shape[-2] + above + below, :]
    sums = room[..., above : room.shape[-2] - below, :]
    torch.add(x[..., :-2], x[..., 2:], out=sums[..., 1:-1])
    sums[..., 0] = x[..., 1]
    sums[..., -1] = x[..., -2]
    sums[..., 1] += x[..., 0]
    sums[..., -2] += x[..., -1]
    sums += x
    if above:
        room[..., 0, :] = 0
    if below:
        room[..., -1, :] = 0
    out = _add_rows(room, x)
    # What was reflected at a border comes back to the row next to it.
    second, last_but_one = 1 - strip.rows.start, strip.height - 2 - strip.rows.start
    if 0 <= second < out.shape[-2]:
        out[..., second, :] += sums[..., 0, :]
    if 0 <= last_but_one < out.shape[-2]:
        out[..., last_but_one, :] += sums[..., -1, :]
    return out


def _add_rows(rows: Tensor, out: Tensor) -> Tensor:
    out = out[..., : rows.shape[-2] - 2, :]
    torch.add(rows[..., :-2, :], rows[..., 2:, :], out=out)
    out += rows[..., 1:-1, :]
    return out


def _mean(x: Tensor) -> Tensor:
    """Average (B, S, C, H, W) over the channels."""
    return x.sum(2) / x.shape[2]


def _strips(images: Tensor) -> list[Strip]:
    """Cut images (..., H, W) into strips of rows."""
    height, limit = images.shape[-2], STRIP_BYTES.get(images.device.type)
    rows = height if limit is None else limit // (images[..., :1, :].numel() * images.itemsize)
    rows = min(max(2, rows), height)
    return [Strip(r, min(r + rows, height), height) for r in range(0, height, rows)]


def _wider(rows: slice, height: int) -> slice:
    return slice(max(0, rows.start - 1), min(height, rows.stop + 1))


def _within(rows: slice, others: slice) -> slice:
    return slice(rows.start - others.start, rows.stop - others.start)
