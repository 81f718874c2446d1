"""
The velocity loss, which makes depth metric: predicted motions should be as long as measured ones.

Source: Guizilini et al., 3D Packing for Self-Supervised Monocular Depth Estimation, CVPR 2020,
equation 6.
"""

import torch
from torch import Tensor


def velocity_loss(translation_m: Tensor, displacement_m: Tensor) -> Tensor:
    """
    Average | ||t_predicted|| - ||t_measured|| |; a motion whose length is unknown adds nothing.

    It counts below the line all the same: the loss of a batch is then the mean of its samples'
    losses, however they are shared out over processes.

    :param translation_m: predicted translations (B, S, 3).
    :param displacement_m: measured lengths (B, S), NaN where unknown.
    :return: a scalar, 0 where nothing was measured.
    """
    known = ~displacement_m.isnan()
    gap = (translation_m.norm(dim=-1) - displacement_m.nan_to_num()).abs()
    return torch.where(known, gap, 0.0).mean()
