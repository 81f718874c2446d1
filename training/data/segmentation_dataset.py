"""The labelled frames of a dataset folder, for the semantic network."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from sg_depth_ros.camera import resize_labels
from sg_depth_ros.classes import UNKNOWN_ID
from sg_depth_ros.errors import UserError
from training.data.drive import Drive
from training.data.drive import frame_path
from training.data.drive import labels_path
from training.data.drive import list_drives
from training.data.drive import read_drive
from training.data.drive import read_image
from training.data.drive import read_labels
from training.data.keyed_sampler import SampleKey
from training.data.segmentation_augmentation import SegmentationAugmentation
from training.data.segmentation_augmentation import augment

STRIDE_PX = 32  # the network's coarsest


class LabelledFrame(NamedTuple):
    """Where an image and its class ids are."""

    image: Path
    labels: Path


class LabelledSplit(NamedTuple):
    """Which frames teach and which judge."""

    training: tuple[LabelledFrame, ...]
    validation: tuple[LabelledFrame, ...]


class SegmentationSample(NamedTuple):
    """One image and its classes; with a leading B as a batch."""

    image: Tensor  # (3, H, W) uint8 RGB
    labels: Tensor  # (H, W) uint8, 255 where unknown


def read_labelled_split(
    dataset: Path, validation_share: float, validation_block: int
) -> LabelledSplit:
    """
    Find a dataset's labelled frames and hold some out.

    :param dataset: folder written by ``prepare``; frames without labels are skipped.
    :param validation_share: of the frames with labels, per drive.
    :param validation_block: frames held out in a row, because neighbours are nearly the same.
    :raises UserError: where there are no labels, or the drives differ in size.
    """
    training: list[LabelledFrame] = []
    validation: list[LabelledFrame] = []
    first: Drive | None = None
    for folder in list_drives(dataset):
        drive = read_drive(folder)
        first = first or drive
        check_size(drive, first)
        pairs = [
            LabelledFrame(frame_path(folder, f.index), labels_path(folder, f.index))
            for f in drive.frames
        ]
        labelled = [pair for pair in pairs if pair.labels.exists()]
        held_out = held_out_blocks(len(labelled), validation_share, validation_block)
        for index, pair in enumerate(labelled):
            (validation if index in held_out else training).append(pair)
    if not training and not validation:
        raise UserError(
            f'{dataset}: no frame has labels (*/labels/*.png with Cityscapes train ids); '
            'use a recording with labels, such as one made by synthesize'
        )
    if not validation:
        raise UserError(f'{dataset}: too few labelled frames to hold any out for validation')
    return LabelledSplit(tuple(training), tuple(validation))


def check_size(drive: Drive, first: Drive) -> None:
    """
    Require images that the network takes and a batch can hold.

    :raises UserError: naming the drive.
    """
    size = (drive.intrinsics.width, drive.intrinsics.height)
    expected = (first.intrinsics.width, first.intrinsics.height)
    if size != expected:
        raise UserError(
            f'drive {drive.name} is {size[0]}x{size[1]}, but {first.name} is '
            f'{expected[0]}x{expected[1]}; prepare both with the same --width and --height'
        )
    if size[0] % STRIDE_PX or size[1] % STRIDE_PX:
        raise UserError(
            f'drive {drive.name} is {size[0]}x{size[1]}; width and height must be multiples of '
            f'{STRIDE_PX}: prepare it again'
        )


def held_out_blocks(count: int, share: float, block: int) -> frozenset[int]:
    """
    Choose validation frames in evenly spread blocks of neighbours.

    :param count: frames in a drive.
    :param share: of them to hold out, 0 to 0.5; at least one where there are two.
    :param block: how many in a row.
    :return: their positions.
    """
    if count < 2:
        return frozenset()
    wanted = max(1, round(share * count))
    blocks = math.ceil(wanted / block)
    held_out: set[int] = set()
    for number in range(blocks):
        # Blocks differ by at most one frame and add up to what is wanted.
        length = wanted * (number + 1) // blocks - wanted * number // blocks
        start = round((number + 0.5) * count / blocks - length / 2)
        held_out.update(range(start, start + length))
    return frozenset(held_out)


class SegmentationDataset(Dataset[SegmentationSample]):
    """
    Images with class ids, the same for the same key whatever process asks.

    :param frames: which.
    :param class_count: ids from here on, except 255, are an error.
    :param augmentation: random views, or None for the images as they are.
    :param seed: of the random views.
    """

    def __init__(
        self,
        frames: Sequence[LabelledFrame],
        class_count: int,
        augmentation: SegmentationAugmentation | None,
        seed: int,
    ) -> None:
        self.frames = tuple(frames)
        self.class_count = class_count
        self.augmentation = augmentation
        self.seed = seed

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, key: SampleKey) -> SegmentationSample:
        frame = self.frames[key.sample]
        image = read_image(frame.image)
        labels = read_labels(frame.labels)
        highest = int(labels.max(initial=0, where=labels != UNKNOWN_ID))
        if highest >= self.class_count:
            raise UserError(
                f'{frame.labels}: class id {highest}, but ids go from 0 to '
                f'{self.class_count - 1}, and 255 for unknown (Cityscapes train ids)'
            )
        labels = resize_labels(labels, image.shape[1], image.shape[0])
        if self.augmentation is not None:
            rng = np.random.default_rng((self.seed, key.epoch, key.sample))
            image, labels = augment(image, labels, self.augmentation, rng)
        return SegmentationSample(
            torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))),
            torch.from_numpy(labels),
        )
