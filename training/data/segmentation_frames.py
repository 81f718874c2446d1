"""One labelled image: where it is, which ids its labels use, and how both are read."""

import math
from pathlib import Path
from typing import Literal
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import resize_labels
from sg_depth_ros.classes import UNKNOWN_ID
from sg_depth_ros.errors import UserError
from training.data.drive import read_image
from training.data.drive import read_labels

# train: 0 to 18, 255 for unknown. cityscapes: the label ids 0 to 33 that annotators use; KITTI's
# semantic benchmark has them too.
LabelIds = Literal['train', 'cityscapes']
# The label id of each train id, in their order (Cordts et al., The Cityscapes Dataset, CVPR 2016).
CITYSCAPES_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)


class LabelledFrame(NamedTuple):
    """Where an image and its class ids are."""

    image: Path
    labels: Path
    label_ids: LabelIds = 'train'


class LabelledImage(NamedTuple):
    """An image and the class of each of its pixels."""

    image: NDArray[np.uint8]  # (H, W, 3) RGB
    labels: NDArray[np.uint8]  # (H, W), 255 where unknown


class LabelledSplit(NamedTuple):
    """Which frames teach and which judge."""

    training: tuple[LabelledFrame, ...]
    validation: tuple[LabelledFrame, ...]


class HoldOut(NamedTuple):
    """How much is held out for validation, and how many neighbours in a row."""

    share: float
    block: int


def read_labelled_image(frame: LabelledFrame, class_count: int) -> LabelledImage:
    """
    Read an image and its train ids, brought to the image's size.

    :param class_count: ids from here on, except 255, are an error.
    :raises UserError: where a file is missing, damaged, or holds other ids.
    """
    image = read_image(frame.image)
    labels = read_labels(frame.labels)
    if frame.label_ids == 'cityscapes':
        labels = train_ids(labels, frame.labels)
    highest = int(labels.max(initial=0, where=labels != UNKNOWN_ID))
    if highest >= class_count:
        raise UserError(
            f'{frame.labels}: class id {highest}, but ids go from 0 to {class_count - 1}, and 255 '
            'for unknown (Cityscapes train ids; for its label ids see --data.label_ids)'
        )
    return LabelledImage(image, resize_labels(labels, image.shape[1], image.shape[0]))


def train_ids(label_ids: NDArray[np.uint8], path: Path) -> NDArray[np.uint8]:
    """
    Turn Cityscapes' label ids into train ids; what is not trained becomes 255.

    :param label_ids: (H, W) 0 to 33, or 255 where there is none.
    :param path: where they come from, for messages.
    :raises UserError: for an id that Cityscapes does not have.
    """
    highest = int(label_ids.max(initial=0, where=label_ids != UNKNOWN_ID))
    if highest > max(CITYSCAPES_IDS):
        raise UserError(
            f"{path}: label id {highest}, but Cityscapes' label ids go from 0 to "
            f'{max(CITYSCAPES_IDS)}'
        )
    table = np.full(256, UNKNOWN_ID, np.uint8)
    table[list(CITYSCAPES_IDS)] = np.arange(len(CITYSCAPES_IDS))
    return table[label_ids]


def hold_out(frames: list[LabelledFrame], rule: HoldOut) -> LabelledSplit:
    """Split frames, which are in the order they were recorded."""
    held_out = held_out_blocks(len(frames), rule.share, rule.block)
    return LabelledSplit(
        tuple(f for i, f in enumerate(frames) if i not in held_out),
        tuple(f for i, f in enumerate(frames) if i in held_out),
    )


def held_out_blocks(count: int, share: float, block: int) -> frozenset[int]:
    """
    Choose validation frames in evenly spread blocks of neighbours.

    :param count: frames in a drive.
    :param share: of them to hold out, 0 to 0.5; at least one where there are two.
    :param block: how many in a row, because neighbours are nearly the same.
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
