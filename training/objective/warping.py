"""
View synthesis: the target image rebuilt from a context image through depth and motion.

    p_c ~ K (D R K^-1 p_t + t),   (R, t) = T_context_target

A pixel p_t of the target is lifted to its depth D along its ray, moved into the context's frame
and looked up where it is seen there. Transforms are T_target_source: they map source coordinates
to target coordinates. All geometry is float32, whatever the networks compute in.

Source: Zhou et al., Unsupervised Learning of Depth and Ego-Motion from Video, CVPR 2017,
equation 2.
"""

import torch
from torch import Tensor
from torch.nn import functional

from training.objective.finite import require_finite_grid

MIN_PROJECTION_DEPTH_M = 1e-3


def pixel_rays(intrinsics: Tensor, height: int, width: int) -> Tensor:
    """
    Return the ray with z = 1 of every pixel.

    :param intrinsics: K (B, 3, 3) in pixels, centres at integers.
    :return: (B, 3, H * W).
    """
    v, u = torch.meshgrid(
        torch.arange(height, dtype=torch.float32, device=intrinsics.device),
        torch.arange(width, dtype=torch.float32, device=intrinsics.device),
        indexing='ij',
    )
    x = (u.flatten() - intrinsics[:, 0, 2:3]) / intrinsics[:, 0, 0:1]
    y = (v.flatten() - intrinsics[:, 1, 2:3]) / intrinsics[:, 1, 1:2]
    return torch.stack([x, y, torch.ones_like(x)], dim=1)


def sample_grid(
    rays: Tensor, depth_m: Tensor, T_context_target: Tensor, intrinsics: Tensor
) -> Tensor:
    """
    Say where every target pixel is seen in the context image.

    :param rays: of the target, (B, 3, H * W).
    :param depth_m: of the target, (B, 1, H, W).
    :param T_context_target: (B, 4, 4).
    :param intrinsics: K of both images (B, 3, 3).
    :return: grid (B, H, W, 2) for ``grid_sample`` without aligned corners: -1 and 1 are the outer
        edges of the outer pixels.
    """
    height, width = depth_m.shape[-2:]
    projection = intrinsics @ T_context_target[:, :3]  # K [R | t] [B, 3, 4]
    moved = (projection[:, :, :3] @ rays) * depth_m.flatten(2) + projection[:, :, 3:]  # [B, 3, HW]
    z = moved[:, 2].clamp(min=MIN_PROJECTION_DEPTH_M)
    x = (2 * moved[:, 0] / z + 1) / width - 1
    y = (2 * moved[:, 1] / z + 1) / height - 1
    return torch.stack([x, y], dim=-1).view(-1, height, width, 2)


def warp(context: Tensor, grid: Tensor) -> Tensor:
    """
    Look the context image up at the grid, bilinearly; beyond the border its last pixel counts.

    :param context: (B, C, H, W).
    :param grid: (B, H, W, 2).
    :return: (B, C, H, W), the target as seen from the context.
    :raises NotFiniteError: for a grid that is not finite, on a CPU.
    """
    require_finite_grid(grid)
    return functional.grid_sample(
        context, grid, mode='bilinear', padding_mode='border', align_corners=False
    )


def synthesise(
    contexts: Tensor, rays: Tensor, depth_m: Tensor, T_context_target: Tensor, intrinsics: Tensor
) -> Tensor:
    """
    Rebuild the target from each context image.

    :param contexts: (B, S, C, H, W).
    :param rays: of the target, (B, 3, H * W).
    :param depth_m: of the target, (B, 1, H, W).
    :param T_context_target: (B, S, 4, 4).
    :param intrinsics: K of all images (B, 3, 3).
    :return: (B, S, C, H, W).
    """
    return torch.stack(
        [
            warp(context, sample_grid(rays, depth_m, T, intrinsics))
            for context, T in zip(contexts.unbind(1), T_context_target.unbind(1))
        ],
        dim=1,
    )
