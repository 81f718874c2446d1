"""
The photometric error that depth and motion leave, as the formulas read.

    min over contexts c of pe(I_t, I_c->t),   but at most   min over c of pe(I_t, I_c)

I_c->t is the target rebuilt from the context through depth and motion (warping.py), pe compares
two images (photometric.py). The bound is the auto-mask: a pixel that the context explains better
as it is, without warping, does not move in the image, and teaches nothing of its depth.

Source: Godard et al., Digging Into Self-Supervised Monocular Depth Estimation, ICCV 2019,
equations 2 to 5. ``reprojection_gradient`` gives the same and its gradient, faster; this is the
definition that it is tested against, and what is compiled.
"""

from collections.abc import Callable
from typing import NamedTuple
from typing import TypeAlias

import torch
from torch import Tensor

from training.objective.photometric import minimum_error
from training.objective.photometric import window_statistics
from training.objective.warping import pixel_rays
from training.objective.warping import synthesise


class Reprojection(NamedTuple):
    """What depth at one scale explains; scalars."""

    error: Tensor  # mean over the pixels
    masked_share: Tensor  # of the pixels, that the auto-mask leaves out; without gradient


# Takes inverse depth (B, 1, H, W) in 1/m.
Reproject: TypeAlias = Callable[[Tensor], Reprojection]


def reprojection(
    target: Tensor, contexts: Tensor, intrinsics: Tensor, T_context_target: Tensor, auto_mask: bool
) -> Reproject:
    """
    Prepare what all scales need.

    :param target: I_t (B, C, H, W) in 0..1.
    :param contexts: I_c (B, S, C, H, W) in 0..1.
    :param intrinsics: K (B, 3, 3) in pixels, centres at integers.
    :param T_context_target: (B, S, 4, 4).
    :param auto_mask: leave out pixels that the unwarped context explains better.
    :return: what averages the error that inverse depth leaves.
    """
    rays = pixel_rays(intrinsics, *target.shape[-2:])  # [B, 3, H W]
    statistics = window_statistics(target)
    unwarped: Tensor | None = None
    if auto_mask:
        with torch.no_grad():
            unwarped = minimum_error(contexts, target, statistics)  # [B, 1, H, W]

    def reproject(inverse_depth: Tensor) -> Reprojection:
        warped = synthesise(contexts, rays, 1 / inverse_depth, T_context_target, intrinsics)
        error = minimum_error(warped, target, statistics)  # [B, 1, H, W]
        if unwarped is None:
            return Reprojection(error.mean(), error.new_zeros(()))
        masked_share = (error.detach() >= unwarped).to(error.dtype).mean()
        # A masked pixel costs what it costs without warping: no gradient, and no reward for a warp
        # so bad that it is masked.
        return Reprojection(torch.minimum(error, unwarped).mean(), masked_share)

    return reproject
