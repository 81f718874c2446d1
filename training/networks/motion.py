"""
The motion of the camera between two frames, and how networks spell its rotation.

Transforms are T_target_source: they map source coordinates to target coordinates. Nothing here
multiplies matrices by ``@``: under mixed precision that would be done in half precision.
"""

from collections.abc import Callable
from typing import Literal
from typing import NamedTuple

import torch
from torch import Tensor

RotationForm = Literal['euler', 'axis_angle']

SHORTEST_TRANSLATION = 1e-9  # divisor of a translation of no length
# Below this squared angle sin(x)/x is its series, whose first missing term is then 2e-16.
SMALL_SQUARED_ANGLE = 1e-4


class Motion(NamedTuple):
    """T_context_target of every context: x_context = rotation x_target + translation."""

    rotation: Tensor  # (B, S, 3, 3)
    translation: Tensor  # (B, S, 3), metres where the scale is known


def euler_to_rotation(angles: Tensor) -> Tensor:
    """
    Turn Euler angles into rotations R = Rx Ry Rz, the order of packnet-sfm's weights.

    :param angles: (..., 3) about x, y, z in radians.
    :return: (..., 3, 3).
    """
    (cx, cy, cz), (sx, sy, sz) = torch.cos(angles).unbind(-1), torch.sin(angles).unbind(-1)
    rows = (
        (cy * cz, -cy * sz, sy),
        (cx * sz + sx * sy * cz, cx * cz - sx * sy * sz, -sx * cy),
        (sx * sz - cx * sy * cz, sx * cz + cx * sy * sz, cx * cy),
    )
    return _matrix(rows)


def axis_angle_to_rotation(vector: Tensor) -> Tensor:
    """
    Turn axes times angles into rotations by Rodrigues' formula, smooth at no rotation.

        R = I + sin(a)/a [v]x + (1 - cos(a))/a^2 (v v^T - a^2 I),   a = |v|

    :param vector: v (..., 3), the axis times the angle in radians.
    :return: (..., 3, 3).
    """
    squared = vector.square().sum(-1)
    sine = _sine_ratio(squared)
    versine = 0.5 * _sine_ratio(squared / 4).square()  # 1 - cos(a) = 2 sin(a/2)^2
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    cross = _matrix(((zero, -z, y), (z, zero, -x), (-y, x, zero)))
    outer = vector.unsqueeze(-1) * vector.unsqueeze(-2)
    identity = torch.eye(3, dtype=vector.dtype, device=vector.device)
    sine, versine, squared = (s[..., None, None] for s in (sine, versine, squared))
    return (1 - versine * squared) * identity + sine * cross + versine * outer


ROTATIONS: dict[RotationForm, Callable[[Tensor], Tensor]] = {
    'euler': euler_to_rotation,
    'axis_angle': axis_angle_to_rotation,
}


def invert(motion: Motion) -> Motion:
    """Return the motion back: T_target_context of T_context_target."""
    back = motion.rotation.transpose(-1, -2)
    return Motion(back, -(back * motion.translation.unsqueeze(-2)).sum(-1))


def motion_to_transform(motion: Motion, displacement_m: Tensor | None = None) -> Tensor:
    """
    Turn a motion into T_context_target.

    :param motion: rotation (..., 3, 3) and translation (..., 3).
    :param displacement_m: measured length of the translation (...), NaN where unknown; where it is
        known only the direction of the predicted translation is used, so that the scale is exact
        from the first step (ours).
    :return: (..., 4, 4).
    """
    translation = motion.translation
    if displacement_m is not None:
        length = translation.norm(dim=-1, keepdim=True).clamp(min=SHORTEST_TRANSLATION)
        # NaN must reach neither branch: the gradient of both is computed.
        measured_m = displacement_m.nan_to_num().unsqueeze(-1)
        known = ~displacement_m.isnan().unsqueeze(-1)
        translation = torch.where(known, translation / length * measured_m, translation)
    top = torch.cat([motion.rotation, translation.unsqueeze(-1)], dim=-1)
    bottom = torch.zeros_like(top[..., :1, :])
    bottom[..., 3] = 1.0
    return torch.cat([top, bottom], dim=-2)


def _sine_ratio(squared: Tensor) -> Tensor:
    """Return sin(a)/a for a^2, with a finite gradient at 0."""
    small = squared < SMALL_SQUARED_ANGLE
    angle = torch.where(small, 1.0, squared).sqrt()
    series = 1 - squared / 6 + squared.square() / 120
    return torch.where(small, series, torch.sin(angle) / angle)


def _matrix(rows: tuple[tuple[Tensor, Tensor, Tensor], ...]) -> Tensor:
    return torch.stack([torch.stack(row, -1) for row in rows], -2)
