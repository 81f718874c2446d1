"""
Augmentation on the device, for whole batches.

Colour jitter is drawn once per triplet: a triplet whose frames differ in colour by chance would
teach photometric errors that are not in the scene.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

# Luma weights of ITU-R BT.601; the chroma axes of YIQ, in which hue is a rotation.
RGB_TO_YIQ = (
    (0.299, 0.587, 0.114),
    (0.5959, -0.2746, -0.3213),
    (0.2115, -0.5227, 0.3112),
)


@dataclass(frozen=True)
class AugmentationConfig:
    """
    How strongly images are changed for the networks; the loss sees them unchanged.

    :param brightness: factor drawn from 1 - b to 1 + b.
    :param contrast: likewise, about the image's mean grey.
    :param saturation: likewise.
    :param hue: shift drawn from -h to h, in turns.
    :param jitter_probability: share of the triplets that are jittered.
    :param flip_probability: share of the images that the depth network sees mirrored.
    """

    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2
    hue: float = 0.05
    jitter_probability: float = 0.5
    flip_probability: float = 0.5


def jitter_color(images: Tensor, config: AugmentationConfig) -> Tensor:
    """
    Change the colours of each triplet by one draw.

    Brightness, saturation and hue are linear in RGB, so they are one 3x3 matrix per triplet; hue
    turns the chroma plane of YIQ. Contrast adds an offset.

    :param images: (B, F, 3, H, W) in 0..1.
    :return: the same shape, in 0..1.
    """
    batch, device = images.shape[0], images.device

    def draw(strength: float) -> Tensor:
        return (2 * torch.rand(batch, device=device) - 1) * strength

    active = (torch.rand(batch, device=device) < config.jitter_probability).float()
    brightness = 1 + active * draw(config.brightness)
    contrast = 1 + active * draw(config.contrast)
    saturation = 1 + active * draw(config.saturation)
    angle = 2 * torch.pi * active * draw(config.hue)

    to_yiq = torch.tensor(RGB_TO_YIQ, device=device)
    chroma = torch.zeros(batch, 3, 3, device=device)
    chroma[:, 0, 0] = 1.0
    chroma[:, 1, 1] = chroma[:, 2, 2] = saturation * torch.cos(angle)
    chroma[:, 1, 2] = -saturation * torch.sin(angle)
    chroma[:, 2, 1] = saturation * torch.sin(angle)
    matrix = torch.linalg.inv(to_yiq) @ chroma @ to_yiq * brightness.view(-1, 1, 1)

    changed = torch.einsum('bij,bfjhw->bfihw', matrix, images)
    grey = torch.einsum('j,bfjhw->bf', to_yiq[0], changed) / (images.shape[-2] * images.shape[-1])
    factor = contrast.view(-1, 1, 1, 1, 1)
    return (changed * factor + (1 - factor) * grey.view(*grey.shape, 1, 1, 1)).clamp(0, 1)


def draw_flips(batch: int, config: AugmentationConfig, device: torch.device) -> Tensor:
    """Draw which images are mirrored: booleans (B,)."""
    return torch.rand(batch, device=device) < config.flip_probability


def flip_where(images: Tensor, flips: Tensor) -> Tensor:
    """
    Mirror the marked items of a batch left to right; twice gives the original.

    :param images: (B, ..., W).
    :param flips: booleans (B,).
    """
    return torch.where(flips.view(-1, *[1] * (images.dim() - 1)), images.flip(-1), images)
