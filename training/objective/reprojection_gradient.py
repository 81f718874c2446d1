"""
The photometric error of depth and motion, and its gradient, in one go.

The same as ``reprojection``, for training. A mean needs no backward pass of its own: its
gradient is computed while the maps are at hand, and only that of depth and motion is kept. A
pixel's place in a context image is found from inverse depth d without its reciprocal,

    p ~ K (R r + t d)

with the ray r; K R r is a sum of what depends on the column and what depends on the row.
"""

from typing import Any
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from training.objective.photometric_gradient import Target
from training.objective.photometric_gradient import least_error
from training.objective.photometric_gradient import target_windows
from training.objective.reprojection import Reproject
from training.objective.reprojection import Reprojection
from training.objective.warping import MIN_PROJECTION_DEPTH_M
from training.objective.warping import warp

BILINEAR, BORDER = 0, 1  # of grid_sampler_2d_backward


class Views(NamedTuple):
    """What the error is computed from, but for depth and motion; the same for all scales."""

    target: Target
    contexts: Tensor  # [B, S, C, H, W]
    unwarped: Tensor | None  # [B, 1, H, W], the least error without warping; None: no auto-mask
    ray_x: Tensor  # [B, W]
    ray_y: Tensor  # [B, H]

    def of(self, images: slice) -> 'Views':
        """Return those of some images of the batch."""
        unwarped = None if self.unwarped is None else self.unwarped[images]
        target = Target(*(t[images] for t in self.target))
        return Views(
            target, self.contexts[images], unwarped, self.ray_x[images], self.ray_y[images]
        )


class _Places(NamedTuple):
    """Where the pixels of the target are seen in the context images."""

    grid: Tensor  # [B, S, H, W, 2], for grid_sample: -1 is the outer edge of pixel 0
    xy: Tensor  # [B, S, 2, H, W], from pixel 0 on in half images, as grid_sample counts
    inverse_z: Tensor  # [B, S, H, W], of depth along the optical axis times d
    behind: Tensor  # [B, S, H, W], whether that is a bound


def reprojection_with_gradient(
    target: Tensor, contexts: Tensor, intrinsics: Tensor, T_context_target: Tensor, auto_mask: bool
) -> Reproject:
    """
    Prepare what all scales need; shapes and values as of ``reprojection``.

    Nothing but depth and motion has a gradient.
    """
    height, width = target.shape[-2:]
    views = _views(target, contexts, intrinsics, auto_mask)
    halves = intrinsics / intrinsics.new_tensor([[width / 2], [height / 2], [1.0]])
    # Not by ``@``, which a user may have set to TF32: that misses by pixels.
    projection = (halves[:, None, :, :, None] * T_context_target[:, :, None, :3, :]).sum(-2)
    gradient = torch.is_grad_enabled()

    def reproject(inverse_depth: Tensor) -> Reprojection:
        result = _Reprojection.apply(inverse_depth, projection, views, gradient)  # type: ignore[no-untyped-call]
        return Reprojection(*result)

    return reproject


@torch.no_grad()
def _views(target: Tensor, contexts: Tensor, intrinsics: Tensor, auto_mask: bool) -> Views:
    height, width = target.shape[-2:]
    contexts = contexts.contiguous()
    windows = target_windows(target.contiguous())
    unwarped = least_error(contexts, windows, None, None) if auto_mask else None
    u = torch.arange(width, dtype=target.dtype, device=target.device)
    v = torch.arange(height, dtype=target.dtype, device=target.device)
    ray_x = (u - intrinsics[:, 0, 2:3]) / intrinsics[:, 0, 0:1]
    ray_y = (v - intrinsics[:, 1, 2:3]) / intrinsics[:, 1, 1:2]
    return Views(windows, contexts, unwarped, ray_x, ray_y)


class _Reprojection(torch.autograd.Function):
    """Error and masked share of a scale."""

    @staticmethod
    def forward(
        ctx: Any, d: Tensor, projection: Tensor, views: Views, gradient: bool
    ) -> tuple[Tensor, Tensor]:
        error, masked = d.new_zeros(()), d.new_zeros(())
        grad_d, grad_projection = torch.empty_like(d), torch.empty_like(projection)
        # On a CPU one image after the other, which stays in the cache.
        step = 1 if d.device.type == 'cpu' else len(d)
        for first in range(0, len(d), step):
            part = slice(first, first + step)
            least = _accumulate(
                d[part],
                projection[part],
                views.of(part),
                (grad_d[part], grad_projection[part]) if gradient else None,
            )
            if views.unwarped is not None:
                masked += (least >= views.unwarped[part]).sum()
                # A masked pixel costs what it costs without warping: no gradient, and no reward
                # for a warp so bad that it is masked.
                least = torch.minimum(least, views.unwarped[part])
            error += least.sum()
        if gradient:
            ctx.save_for_backward(grad_d.div_(d.numel()), grad_projection.div_(d.numel()))
        masked /= d.numel()
        ctx.mark_non_differentiable(masked)
        return error.div_(d.numel()), masked

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor, Tensor, None, None]:
        grad_d, grad_projection = ctx.saved_tensors
        return grad * grad_d, grad * grad_projection, None, None


def _accumulate(
    d: Tensor, projection: Tensor, views: Views, out: tuple[Tensor, Tensor] | None
) -> Tensor:
    """Return the least errors (B, 1, H, W); write the gradient of their sum."""
    places = _find(d, projection, views)
    synthesised = _look_up(views.contexts, places)
    pull = None if out is None else torch.empty_like(synthesised)
    least = least_error(synthesised, views.target, views.unwarped, pull)
    if pull is not None and out is not None:
        _pull_back(pull, places, d, projection, views, out)
    return least


def _find(d: Tensor, projection: Tensor, views: Views) -> _Places:
    """Project all pixels."""
    by_column = projection[..., 0:1] * views.ray_x[:, None, None]  # [B, S, 3, W]
    by_row = projection[..., 1:2] * views.ray_y[:, None, None] + projection[..., 2:3]
    moved = by_column.unsqueeze(-2) + by_row.unsqueeze(-1)  # [B, S, 3, H, W]
    moved.addcmul_(projection[..., 3, None, None], d.unsqueeze(1))
    z, bound = moved[:, :, 2], MIN_PROJECTION_DEPTH_M * d
    behind = z < bound
    inverse_z = torch.maximum(z, bound).reciprocal_()
    xy = moved[:, :, :2].mul_(inverse_z.unsqueeze(2))
    *_, height, width = xy.shape
    grid = xy.new_empty(*xy.shape[:2], height, width, 2)
    torch.add(xy[:, :, 0], 1 / width - 1, out=grid[..., 0])
    torch.add(xy[:, :, 1], 1 / height - 1, out=grid[..., 1])
    return _Places(grid, xy, inverse_z, behind)


def _look_up(contexts: Tensor, places: _Places) -> Tensor:
    """Return the context images (B, S, C, H, W) at the places."""
    return warp(contexts.flatten(0, 1), places.grid.flatten(0, 1)).view(contexts.shape)


def _pull_back(
    grad: Tensor,
    places: _Places,
    d: Tensor,
    projection: Tensor,
    views: Views,
    out: tuple[Tensor, Tensor],
) -> None:
    """Write the gradient by inverse depth and projection of what was looked up."""
    _, grad_grid = torch.ops.aten.grid_sampler_2d_backward(
        grad.flatten(0, 1),
        views.contexts.flatten(0, 1),
        places.grid.flatten(0, 1),
        BILINEAR,
        BORDER,
        False,
        [False, True],
    )
    batch, contexts, _, height, width = places.xy.shape
    grad_xy = grad_grid.view(batch, contexts, height, width, 2)
    pull = d.new_empty(batch, contexts, 3, height, width)  # on K (R r + t d)
    torch.mul(grad_xy[..., 0], places.inverse_z, out=pull[:, :, 0])
    torch.mul(grad_xy[..., 1], places.inverse_z, out=pull[:, :, 1])
    pull_z = pull[:, :, 2]
    torch.mul(pull[:, :, 0], places.xy[:, :, 0], out=pull_z)
    pull_z.addcmul_(pull[:, :, 1], places.xy[:, :, 1]).neg_()
    bound_pull = (pull_z * places.behind).sum(1, keepdim=True)
    pull_z.masked_fill_(places.behind, 0)

    grad_d, grad_projection = out
    flat = pull.flatten(1, 2).flatten(2)  # [B, 3 S, H W]
    torch.bmm(projection[..., 3].flatten(1).unsqueeze(1), flat, out=grad_d.flatten(2))
    grad_d.add_(bound_pull, alpha=MIN_PROJECTION_DEPTH_M)

    columns = torch.stack([views.ray_x, torch.ones_like(views.ray_x)], -1)  # [B, W, 2]
    by_row = torch.bmm(pull.flatten(1, 3), columns).view(batch, contexts, 3, height, 2)
    grad_projection[..., 0] = by_row[..., 0].sum(-1)
    grad_projection[..., 1] = (by_row[..., 1] * views.ray_y[:, None, None]).sum(-1)
    grad_projection[..., 2] = by_row[..., 1].sum(-1)
    grad_projection[..., 3] = torch.bmm(flat, d.flatten(1).unsqueeze(-1)).view(batch, contexts, 3)
