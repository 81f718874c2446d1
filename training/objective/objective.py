"""
The self-supervised objective of a batch, after Guizilini et al. (ICLR 2020) and monodepth2.

    L = mean over scales s of [ L_p(d_s) + lambda / 2^s L_s(d_s) ]  (+ w L_v)

    L_p   photometric error: what of the target image depth 1 / d_s and motion leave unexplained
          (reprojection.py, with photometric.py and warping.py)
    L_s   slopes of d_s where the image has none (smoothness.py)
    L_v   how far translations are from their measured length, where that is a loss (the paper's
          way) and not simply given to them (ours) (velocity.py)

d_s is inverse depth at 1 / 2^s of the image's size, upsampled to the whole for L_p.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal
from typing import NamedTuple

from torch import Tensor
from torch.nn import functional

from training.networks.motion import Motion
from training.networks.motion import motion_to_transform
from training.objective.reprojection import Reproject
from training.objective.reprojection import reprojection
from training.objective.reprojection_gradient import reprojection_with_gradient
from training.objective.smoothness import smoothness
from training.objective.velocity import velocity_loss

ScaleSupervision = Literal['displacement', 'velocity', 'none']
ObjectiveForm = Literal['fast', 'plain']
# Of target, contexts, intrinsics, T_context_target, auto_mask; equal but for speed and memory.
REPROJECTIONS: dict[ObjectiveForm, Callable[[Tensor, Tensor, Tensor, Tensor, bool], Reproject]] = {
    'fast': reprojection_with_gradient,
    'plain': reprojection,
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
    """The loss, and what it is the sum of, with their weights; scalars."""

    loss: Tensor
    photometric: Tensor  # the parts have no gradient
    smoothness: Tensor
    velocity: Tensor
    masked_share: Tensor  # of the pixels, that the auto-mask leaves out at the finest scale


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
    known = displacement_m if config.scale == 'displacement' else None
    T_context_target = motion_to_transform(motion, known)  # [B, S, 4, 4]
    reproject = REPROJECTIONS[form](
        target, contexts, intrinsics, T_context_target, config.auto_mask
    )
    explained = [reproject(_upsampled(d.float(), target)) for d in inverse_depth]
    slopes = [
        config.smoothness_weight / 2**s * smoothness(d.float(), _shrunk(target, 2**s))
        for s, d in enumerate(inverse_depth)
    ]

    zero = target.new_zeros(())
    photometric = sum((e.error for e in explained), zero) / len(explained)
    smooth = sum(slopes, zero) / len(slopes)
    velocity = zero
    if config.scale == 'velocity':
        velocity = config.velocity_weight * velocity_loss(motion.translation, displacement_m)
    return ObjectiveTerms(
        loss=photometric + smooth + velocity,
        photometric=photometric.detach(),
        smoothness=smooth.detach(),
        velocity=velocity.detach(),
        masked_share=explained[0].masked_share.detach(),
    )


def _upsampled(inverse_depth: Tensor, image: Tensor) -> Tensor:
    """Bring (B, 1, H / 2^s, W / 2^s) to the image's H x W."""
    size = image.shape[-2:]
    if inverse_depth.shape[-2:] == size:
        return inverse_depth
    return functional.interpolate(inverse_depth, size, mode='bilinear', align_corners=False)


def _shrunk(image: Tensor, factor: int) -> Tensor:
    """Average (B, 3, H, W) over squares of so many pixels."""
    return image if factor == 1 else functional.avg_pool2d(image, factor)
