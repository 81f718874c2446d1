"""The objective's maps of one triplet, for people to look at; training is left as it was."""

from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch import nn
from torch.nn import functional

from training.data.augmentation import flip_where
from training.data.augmentation import jitter_color
from training.data.triplet_dataset import TripletBatch
from training.networks.guidance import PacGuidance
from training.networks.motion import motion_to_transform
from training.networks.pac_standard import HALF_TAPS
from training.networks.pac_strips import pair_kernels
from training.objective.depth_module import DepthModule
from training.objective.photometric import minimum_error
from training.objective.photometric import window_statistics
from training.objective.warping import pixel_rays
from training.objective.warping import synthesise
from training.running.pictures import GuidanceKernels
from training.running.pictures import TripletMaps


@torch.no_grad()
def triplet_maps(module: DepthModule, batch: TripletBatch) -> TripletMaps:
    """
    Compute the maps of a batch's first triplet, at the finest scale.

    The networks are in evaluation mode, as they will be used, and left as they were: no statistics
    of batch norm change and no random number is drawn.

    :param batch: on the module's device. The networks see all of it, because a semantic network
        from elsewhere may be made for this batch size.
    """
    clean = batch.images.permute(0, 1, 4, 2, 3).float() / 255
    seen = jitter_color(clean, batch.augmentation)
    flips = batch.augmentation.flip
    shown = flip_where(seen[:, 0], flips)
    with _evaluation(module), _guidance_kernels(module) as guidance:
        output = module.network(shown)
        motion = module.pose(seen[:, 0], seen[:, 1:])
    inverse_depth = flip_where(output.inverse_depth[0], flips)[:1].float()
    with torch.autocast(clean.device.type, enabled=False):
        known = batch.displacement_m if module.objective_config.scale == 'displacement' else None
        T_context_target = motion_to_transform(motion, known)[:1]
        intrinsics, target, contexts = batch.intrinsics[:1], clean[:1, 0], clean[:1, 1:]
        rays = pixel_rays(intrinsics, *target.shape[-2:])
        warped = synthesise(contexts, rays, 1 / inverse_depth, T_context_target, intrinsics)
        statistics = window_statistics(target)
        error = minimum_error(warped, target, statistics)
        unwarped = minimum_error(contexts, target, statistics)
    counts = torch.ones_like(error, dtype=torch.bool)
    if module.objective_config.auto_mask:
        counts, error = error < unwarped, torch.minimum(error, unwarped)
    return TripletMaps(
        image=batch.images[0, 0].cpu().numpy(),
        seen=_image(shown[0]),
        labels=_labels(output.logits, flips, target.shape[-2:]),
        depth_m=(1 / inverse_depth)[0, 0].cpu().numpy(),
        warped=np.stack([_image(one) for one in warped[0]]),
        error=error[0, 0].cpu().numpy(),
        counts=counts[0, 0].cpu().numpy(),
        guidance=tuple(
            GuidanceKernels(k.stride, k.kernels[:, ::-1] if bool(flips[0]) else k.kernels)
            for k in guidance
        ),
    )


@contextmanager
def _evaluation(module: nn.Module) -> Iterator[None]:
    """Bring every part into evaluation mode, and back to its own mode afterwards."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


@contextmanager
def _guidance_kernels(module: DepthModule) -> Iterator[list[GuidanceKernels]]:
    """Collect K of every pixel-adaptive layer while the network runs."""
    found: list[GuidanceKernels] = []
    handles = []
    for stride, layer in module.network.depth.guidance.operators.items():
        if isinstance(layer, PacGuidance):
            hook = _collect(found, int(stride), layer.pac.log_sigma)
            handles.append(layer.pac.register_forward_pre_hook(hook))
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _collect(
    found: list[GuidanceKernels], stride: int, log_sigma: Tensor
) -> Callable[[nn.Module, Any], None]:
    def hook(layer: nn.Module, inputs: tuple[Tensor, Tensor]) -> None:
        mean = mean_to_neighbours(pair_kernels(inputs[1][:1], log_sigma))
        found.append(GuidanceKernels(stride, mean[0].float().cpu().numpy()))

    return hook


def mean_to_neighbours(kernels: Tensor) -> Tensor:
    """
    Average K per pixel over its neighbours inside the image, eight unless at the border.

    :param kernels: (B, 4, H + 2, W + 2) of ``pair_kernels``.
    :return: (B, H, W).
    """
    height, width = kernels.shape[2] - 2, kernels.shape[3] - 2
    total = kernels.new_zeros(len(kernels), height, width)
    count = kernels.new_zeros(height, width)
    inside = functional.pad(kernels.new_ones(height, width), (1, 1, 1, 1))
    for tap, (dy, dx) in enumerate(HALF_TAPS):
        # K is symmetric: a neighbour's K to this pixel is this pixel's to the neighbour.
        for y, x, sign in ((1, 1, 1), (1 - dy, 1 - dx, -1)):
            total += kernels[:, tap, y : y + height, x : x + width]
            y, x = 1 + sign * dy, 1 + sign * dx
            count += inside[y : y + height, x : x + width]
    return total / count


def _labels(logits: Tensor | None, flips: Tensor, size: torch.Size) -> NDArray[np.uint8] | None:
    if logits is None:
        return None
    first = flip_where(logits[:1].float(), flips[:1])
    full = functional.interpolate(first, tuple(size), mode='bilinear', align_corners=False)
    labels: NDArray[np.uint8] = full.argmax(1)[0].to(torch.uint8).cpu().numpy()
    return labels


def _image(tensor: Tensor) -> NDArray[np.uint8]:
    """Turn (3, H, W) in 0..1 into uint8 (H, W, 3)."""
    image = (tensor.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0)
    result: NDArray[np.uint8] = image.contiguous().cpu().numpy()
    return result
