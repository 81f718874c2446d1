"""
The self-supervised objective of one batch, after Guizilini et al. (ICLR 2020) and monodepth2.

    L = mean over scales s of [ min over contexts of pe(I_t, I_{c->t}) and of pe(I_t, I_c)
                                + 1e-3/2^s smoothness ]
        (+ w * velocity, where the measured displacement is a loss instead of the scale itself)
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal
from typing import NamedTuple

from torch import Tensor
from torch.nn import functional

from training.networks.motion import Motion
from training.networks.motion import motion_to_transform
from training.objective.reprojection import reprojection
from training.objective.reprojection_plain import Reproject
from training.objective.reprojection_plain import plain_reprojection
from training.objective.smoothness import smoothness
from training.objective.velocity import velocity_loss

ScaleSupervision = Literal['displacement', 'velocity', 'none']
ObjectiveForm = Literal['fast', 'plain']
# Of target, contexts, intrinsics, transforms, auto_mask; equal but for speed and memory.
REPROJECTIONS: dict[ObjectiveForm, Callable[[Tensor, Tensor, Tensor, Tensor, bool], Reproject]] = {
    'fast': reprojection,
    'plain': plain_reprojection,
}


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
    form: ObjectiveForm = 'fast',
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
    :param form: how the photometric error is computed.
    """
    height, width = target.shape[-2:]
    known = displacement_m if config.scale == 'displacement' else None
    transforms = motion_to_transform(motion, known)  # [B, S, 4, 4]
    reproject = REPROJECTIONS[form](target, contexts, intrinsics, transforms, config.auto_mask)

    photometric = target.new_zeros(())
    smooth = target.new_zeros(())
    masked_share = target.new_zeros(())
    for scale, d in enumerate(inverse_depth):
        full = d.float()
        if scale > 0:
            full = functional.interpolate(
                full, (height, width), mode='bilinear', align_corners=False
            )
        result = reproject(full)
        photometric = photometric + result.error / len(inverse_depth)
        if scale == 0:
            masked_share = result.masked_share
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
