"""
The pose network: how the camera moved between the target frame and its context frames.

PoseNet of Zhou et al., Unsupervised Learning of Depth and Ego-Motion from Video, CVPR 2017, with
GroupNorm as in packnet-sfm: 7 stride-2 convolutions, a 1x1 convolution, the spatial mean.
"""

import torch
from torch import Tensor
from torch import nn

from training.networks.resnet import DEVIATION
from training.networks.resnet import MEAN

CONTEXT_COUNT = 2
OUTPUT_SCALE = 0.01  # keeps the first motions small


class PoseNet(nn.Module):
    """
    Target and context images to one motion per context.

    Its translations start forwards along the optical axis (ours): with a measured displacement
    only their direction counts, and a direction that starts at random may start backwards.
    """

    def __init__(self) -> None:
        super().__init__()
        widths = (16, 32, 64, 128, 256, 256, 256)
        kernels = (7, 5, 3, 3, 3, 3, 3)
        layers: list[nn.Module] = []
        channels = 3 * (1 + CONTEXT_COUNT)
        for width, kernel in zip(widths, kernels):
            layers += [
                nn.Conv2d(channels, width, kernel, 2, kernel // 2),
                nn.GroupNorm(16, width),
                nn.ReLU(inplace=True),
            ]
            channels = width
        self.features = nn.Sequential(*layers)
        self.motion = nn.Conv2d(channels, 6 * CONTEXT_COUNT, 1)
        nn.init.xavier_uniform_(self.motion.weight, gain=0.1)
        assert self.motion.bias is not None
        nn.init.zeros_(self.motion.bias)
        with torch.no_grad():
            # Seen from the previous frame the scene lies farther ahead, from the next one nearer.
            self.motion.bias[2] = 1.0
            self.motion.bias[8] = -1.0

    def forward(self, target: Tensor, contexts: Tensor) -> Tensor:
        """
        Estimate the motion.

        :param target: (B, 3, H, W) in 0..1.
        :param contexts: (B, 2, 3, H, W) in 0..1: previous, next.
        :return: (B, 2, 6): translation and Euler angles (radians) of T_context_target.
        """
        x = (torch.cat([target, contexts.flatten(1, 2)], dim=1) - MEAN) / DEVIATION
        motion = self.motion(self.features(x)).mean((2, 3))
        return OUTPUT_SCALE * motion.view(-1, CONTEXT_COUNT, 6)


def euler_to_rotation(angles: Tensor) -> Tensor:
    """
    Turn Euler angles into rotations R = Rz Ry Rx.

    :param angles: (..., 3) about x, y, z in radians.
    :return: (..., 3, 3).
    """
    (cx, cy, cz), (sx, sy, sz) = torch.cos(angles).unbind(-1), torch.sin(angles).unbind(-1)
    rows = (
        (cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx),
        (sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx),
        (-sy, cy * sx, cy * cx),
    )
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def motion_to_transform(motion: Tensor, displacement_m: Tensor | None = None) -> Tensor:
    """
    Turn a motion into T_context_target (..., 4, 4).

    :param motion: (..., 6) translation and Euler angles.
    :param displacement_m: measured length of the translation (...), NaN where unknown; where it is
        known only the direction of the predicted translation is used, so that the scale is exact
        from the first step (ours).
    """
    translation = motion[..., :3]
    if displacement_m is not None:
        length = translation.norm(dim=-1, keepdim=True).clamp(min=1e-9)
        # Where unknown the factor is 1; NaN must not reach the gradient of the other branch.
        measured = torch.where(
            displacement_m.isnan(), length.detach().squeeze(-1), displacement_m
        ).unsqueeze(-1)
        known = (~displacement_m.isnan()).unsqueeze(-1)
        translation = torch.where(known, translation / length * measured, translation)
    top = torch.cat([euler_to_rotation(motion[..., 3:]), translation.unsqueeze(-1)], dim=-1)
    bottom = torch.zeros_like(top[..., :1, :])
    bottom[..., 3] = 1.0
    return torch.cat([top, bottom], dim=-2)
