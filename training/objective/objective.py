"""
The self-supervised objective of one batch, after Guizilini et al. (ICLR 2020) and monodepth2.

    L = mean over scales s of [ min over contexts of pe(I_t, I_{c->t}) and of pe(I_t, I_c)
                                + 1e-3/2^s smoothness ]
        (+ w * velocity, where the measured displacement is a loss instead of the scale itself)
"""

from dataclasses import dataclass
from typing import Literal
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from training.networks.motion import Motion
from training.networks.motion import motion_to_transform
from training.objective.photometric import minimum_error
from training.objective.photometric import window_statistics
from training.objective.smoothness import smoothness
from training.objective.velocity import velocity_loss
from training.objective.warping import pixel_rays
from training.objective.warping import synthesise

ScaleSupervision = Literal['displacement', 'velocity', 'none']


@dataclass(frozen=True)
class ObjectiveConfig:
    """
    The objective's choices and weights.

    :param scale: where metres come from: ``displacement`` gives each predicted translation its
        measured length (ours, exact from the first step), ``velocity`` is the paper's loss,
        ``none`` leaves the scale unknown.
    :param smoothness_weight: of the smoothness at the finest scale; halved with every scale.
    :param velocity_weight: of the velocity loss.
    :param auto_mask: leave out pixels that the unwarped context explains better.
    """

    scale: ScaleSupervision = 'displacement'
    smoothness_weight: float = 1e-3
    velocity_weight: float = 0.05
    auto_mask: bool = True


class ObjectiveTerms(NamedTuple):
    """The loss and what it is made of; scalars."""

    loss: Tensor
    photometric: Tensor
    smoothness: Tensor
    velocity: Tensor
    masked_share: Tensor  # of the pixels that the auto-mask leaves out, finest scale


def objective(
    inverse_depth: tuple[Tensor, ...],
    motion: Motion,
    target: Tensor,
    contexts: Tensor,
    intrinsics: Tensor,
    displacement_m: Tensor,
    config: ObjectiveConfig,
) -> ObjectiveTerms:
    """
    Compute the objective.

    :param inverse_depth: four maps (B, 1, H / 2^s, W / 2^s) in 1/m, finest first.
    :param motion: T_context_target, rotation (B, S, 3, 3) and translation (B, S, 3).
    :param target: the clean image (B, 3, H, W) in 0..1.
    :param contexts: the clean images (B, S, 3, H, W) in 0..1.
    :param intrinsics: K (B, 3, 3) in pixels at H x W.
    :param displacement_m: measured length of each motion (B, S), NaN where unknown.
    :param config: choices and weights.
    """
    height, width = target.shape[-2:]
    known = displacement_m if config.scale == 'displacement' else None
    transforms = motion_to_transform(motion, known)  # [B, S, 4, 4]
    rays = pixel_rays(intrinsics, height, width)
    statistics = window_statistics(target)
    with torch.no_grad():
        unwarped = minimum_error(contexts, target, statistics)

    photometric = target.new_zeros(())
    smooth = target.new_zeros(())
    masked_share = target.new_zeros(())
    for scale, d in enumerate(inverse_depth):
        full = functional.interpolate(
            d.float(), (height, width), mode='bilinear', align_corners=False
        )
        synthesised = synthesise(contexts, rays, 1 / full, transforms, intrinsics)
        error = minimum_error(synthesised, target, statistics)
        if config.auto_mask:
            if scale == 0:
                masked_share = (error >= unwarped).float().mean()
            # A masked pixel costs what it costs without warping: no gradient, and no reward for a
            # warp so bad that it is masked.
            error = torch.minimum(error, unwarped)
        photometric = photometric + error.mean() / len(inverse_depth)
        image = target if scale == 0 else functional.avg_pool2d(target, 2**scale)
        weight = config.smoothness_weight / 2**scale
        smooth = smooth + weight * smoothness(d.float(), image) / len(inverse_depth)

    velocity = target.new_zeros(())
    if config.scale == 'velocity':
        velocity = config.velocity_weight * velocity_loss(motion.translation, displacement_m)
    return ObjectiveTerms(
        loss=photometric + smooth + velocity,
        photometric=photometric.detach(),
        smoothness=smooth.detach(),
        velocity=velocity.detach(),
        masked_share=masked_share.detach(),
    )
