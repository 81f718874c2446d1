"""Labelled images as samples for the semantic network: random views, or whole."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from sg_depth_ros.camera import resize_image
from sg_depth_ros.camera import resize_labels
from sg_depth_ros.classes import UNKNOWN_ID
from sg_depth_ros.errors import UserError
from training.data.keyed_sampler import SampleKey
from training.data.segmentation_augmentation import RIM_COLOR
from training.data.segmentation_augmentation import SegmentationAugmentation
from training.data.segmentation_augmentation import augment
from training.data.segmentation_frames import LabelledFrame
from training.data.segmentation_frames import LabelledImage
from training.data.segmentation_frames import read_labelled_image

STRIDE_PX = 32  # the network's coarsest


class SegmentationSample(NamedTuple):
    """One image and its classes; with a leading B as a batch."""

    image: Tensor  # (3, H, W) uint8 RGB
    labels: Tensor  # (H, W) uint8, 255 where unknown


@dataclass(frozen=True)
class View:
    """
    The window of an image that the network trains on.

    :param height: of the window, a multiple of 32.
    :param width: of the window, a multiple of 32.
    :param scale: of the image before the window is cut (and before a random zoom); None makes
        the image just cover the window.
    :raises UserError: for sizes that the network cannot take.
    """

    height: int
    width: int
    scale: float | None = None

    def __post_init__(self) -> None:
        """Refuse what the network cannot take."""
        if min(self.height, self.width) < 1 or self.height % STRIDE_PX or self.width % STRIDE_PX:
            raise UserError(
                f'images of {self.width}x{self.height}: width and height must be multiples of '
                f'{STRIDE_PX}; --data.height and --data.width cut windows out of other images'
            )
        if self.scale is not None and not 0.01 <= self.scale <= 10:
            raise UserError(f'scale {self.scale} is not in 0.01 to 10')

    def scaled(self, whole: LabelledImage) -> LabelledImage:
        """Bring a whole image to the scale at which windows are cut."""
        height, width = whole.labels.shape
        cover = max(self.height / height, self.width / width)
        scale = cover if self.scale is None else self.scale
        # Rounding keeps a covering image covering.
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        return LabelledImage(resize_image(whole.image, *size), resize_labels(whole.labels, *size))


class SegmentationDataset(Dataset[SegmentationSample]):
    """
    Images with class ids, the same for the same key whatever process asks.

    :param frames: which.
    :param class_count: ids from here on, except 255, are an error.
    :param view: the size of a sample, and the scale of the images.
    :param augmentation: random views, or None for the whole images at the view's scale.
    :param seed: of the random views.
    :param native: the images come as they are: each must have the view's size.
    """

    def __init__(
        self,
        frames: Sequence[LabelledFrame],
        class_count: int,
        view: View,
        augmentation: SegmentationAugmentation | None,
        seed: int,
        native: bool = False,
    ) -> None:
        self.frames = tuple(frames)
        self.class_count = class_count
        self.view = view
        self.augmentation = augmentation
        self.seed = seed
        self.native = native

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, key: SampleKey) -> SegmentationSample:
        frame, view = self.frames[key.sample], self.view
        whole = read_labelled_image(frame, self.class_count)
        height, width = whole.labels.shape
        if self.native and (height, width) != (view.height, view.width):
            raise UserError(
                f'{frame.image}: is {width}x{height}, but others are {view.width}x{view.height}; '
                'give --data.height and --data.width to cut windows of one size'
            )
        image, labels = view.scaled(whole)
        if self.augmentation is not None:
            rng = np.random.default_rng((self.seed, key.epoch, key.sample))
            image, labels = augment(image, labels, view.height, view.width, self.augmentation, rng)
        return SegmentationSample(
            torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))),
            torch.from_numpy(labels),
        )


def padded_batch(samples: Sequence[SegmentationSample]) -> SegmentationSample:
    """
    Stack images of any size; a grey rim without labels at the right and the bottom fills up.

    :return: (B, 3, H, W) and (B, H, W), H and W the largest ones, rounded up to multiples of 32.
    """
    height, width = (
        STRIDE_PX * math.ceil(max(s.labels.shape[axis] for s in samples) / STRIDE_PX)
        for axis in (0, 1)
    )
    images, labels = [], []
    for sample in samples:
        missing_y, missing_x = height - sample.labels.shape[0], width - sample.labels.shape[1]
        rim = (0, missing_x, 0, missing_y)
        # The rim is grey: one value for all channels.
        images.append(functional.pad(sample.image, rim, value=RIM_COLOR[0]))
        labels.append(functional.pad(sample.labels, rim, value=UNKNOWN_ID))
    return SegmentationSample(torch.stack(images), torch.stack(labels))
