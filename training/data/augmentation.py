"""
Augmentation: drawn per triplet by the loader, applied on the device to whole batches.

Colour jitter is drawn once per triplet: a triplet whose frames differ in colour by chance would
teach photometric errors that are not in the scene. A draw depends on nothing but seed, sample and
epoch: not on the number of loaders or processes, nor on where a run was interrupted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from training.data.keyed_sampler import SampleKey

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


class AugmentationDraw(NamedTuple):
    """What is done to each triplet of a batch; without a batch dimension, to one."""

    brightness: Tensor  # float32 [B], a factor
    contrast: Tensor  # float32 [B], a factor
    saturation: Tensor  # float32 [B], a factor
    hue: Tensor  # float32 [B], in turns
    flip: Tensor  # bool [B]: the depth network sees the target mirrored


def draw_augmentations(
    config: AugmentationConfig, seed: int, keys: Sequence[SampleKey]
) -> AugmentationDraw:
    """
    Draw what is done to each of some triplets; the same seed and key give the same draw.

    :return: one per key.
    """
    uniform = np.array([np.random.default_rng((seed, *key)).random(6) for key in keys])
    strengths = (config.brightness, config.contrast, config.saturation, config.hue)
    # Without jitter the factors are exactly 1, so that images stay as they are.
    active = uniform[:, :1] < config.jitter_probability
    shifts = active * (2 * uniform[:, 2:] - 1) * np.array(strengths)
    columns = torch.from_numpy(shifts.astype(np.float32).T.copy())
    brightness, contrast, saturation, hue = columns.unbind()
    flip = torch.from_numpy(uniform[:, 1] < config.flip_probability)
    return AugmentationDraw(1 + brightness, 1 + contrast, 1 + saturation, hue, flip)


def jitter_color(images: Tensor, draw: AugmentationDraw) -> Tensor:
    """
    Change the colours of each triplet by its draw.

    Brightness, saturation and hue are linear in RGB, so they are one 3x3 matrix per triplet; hue
    turns the chroma plane of YIQ. Contrast adds an offset, about the image's mean grey.

    :param images: (B, F, 3, H, W) in 0..1.
    :param draw: of B triplets.
    :return: the same shape, in 0..1.
    """
    to_yiq = torch.tensor(RGB_TO_YIQ, device=images.device)
    angle = 2 * torch.pi * draw.hue
    chroma = torch.zeros(len(images), 3, 3, device=images.device)
    chroma[:, 0, 0] = 1.0
    chroma[:, 1, 1] = chroma[:, 2, 2] = draw.saturation * torch.cos(angle)
    chroma[:, 1, 2] = -draw.saturation * torch.sin(angle)
    chroma[:, 2, 1] = draw.saturation * torch.sin(angle)
    matrix = torch.linalg.inv(to_yiq) @ chroma @ to_yiq * draw.brightness.view(-1, 1, 1)

    changed = torch.einsum('bij,bfjhw->bfihw', matrix, images)
    grey = torch.einsum('j,bfjhw->bf', to_yiq[0], changed) / (images.shape[-2] * images.shape[-1])
    factor = draw.contrast.view(-1, 1, 1, 1, 1)
    return (changed * factor + (1 - factor) * grey.view(*grey.shape, 1, 1, 1)).clamp(0, 1)


def flip_where(images: Tensor, flips: Tensor) -> Tensor:
    """
    Mirror the marked items of a batch left to right; twice gives the original.

    :param images: (B, ..., W).
    :param flips: booleans (B,).
    """
    return torch.where(flips.view(-1, *[1] * (images.dim() - 1)), images.flip(-1), images)
