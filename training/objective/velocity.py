"""
The velocity loss, which makes depth metric: predicted motions should be as long as measured ones.

Source: Guizilini et al., 3D Packing for Self-Supervised Monocular Depth Estimation, CVPR 2020,
equation 6.
"""

import torch
from torch import Tensor


def velocity_loss(translation_m: Tensor, displacement_m: Tensor) -> Tensor:
    """
    Average | ||t_predicted|| - ||t_measured|| | over the motions whose length was measured.

    :param translation_m: predicted translations (B, S, 3).
    :param displacement_m: measured lengths (B, S), NaN where unknown.
    :return: a scalar, 0 where nothing was measured.
    """
    known = ~displacement_m.isnan()
    gap = (translation_m.norm(dim=-1) - displacement_m.nan_to_num()).abs()
    return torch.where(known, gap, 0.0).sum() / known.sum().clamp(min=1)
