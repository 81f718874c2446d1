"""
The photometric error of depth and motion, as the formulas read.

The definition that ``reprojection`` is tested against, and what is compiled.
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

    error: Tensor
    masked_share: Tensor  # of the pixels that the auto-mask leaves out; without gradient


# Takes inverse depth (B, 1, H, W) in 1/m.
Reproject: TypeAlias = Callable[[Tensor], Reprojection]


def plain_reprojection(
    target: Tensor, contexts: Tensor, intrinsics: Tensor, transforms: Tensor, auto_mask: bool
) -> Reproject:
    """
    Prepare what all scales need.

    :param target: (B, C, H, W) in 0..1.
    :param contexts: (B, S, C, H, W) in 0..1.
    :param intrinsics: K (B, 3, 3) in pixels, centres at integers.
    :param transforms: T_context_target (B, S, 4, 4).
    :param auto_mask: leave out pixels that the unwarped context explains better.
    :return: what averages the error that inverse depth leaves.
    """
    rays = pixel_rays(intrinsics, *target.shape[-2:])
    statistics = window_statistics(target)
    unwarped: Tensor | None = None
    if auto_mask:
        with torch.no_grad():
            unwarped = minimum_error(contexts, target, statistics)

    def reproject(inverse_depth: Tensor) -> Reprojection:
        synthesised = synthesise(contexts, rays, 1 / inverse_depth, transforms, intrinsics)
        error = minimum_error(synthesised, target, statistics)
        if unwarped is None:
            return Reprojection(error.mean(), error.new_zeros(()))
        masked_share = (error.detach() >= unwarped).to(error.dtype).mean()
        # A masked pixel costs what it costs without warping: no gradient, and no reward for a warp
        # so bad that it is masked.
        return Reprojection(torch.minimum(error, unwarped).mean(), masked_share)

    return reproject
