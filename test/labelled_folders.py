"""Cityscapes' layout and plain folders, small, with pixels that have their class's colour."""

from pathlib import Path

import cv2
import numpy as np
from labelled_drives import COLORS
from numpy.typing import NDArray

from training.data.drive import write_labels
from training.data.segmentation_frames import CITYSCAPES_IDS


def scene(seed: int, width: int, height: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return an image (height, width, 3) of blocks of 16 pixels, and their classes, 0 to 2."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 3, (-(-height // 16), -(-width // 16))).astype(np.uint8)
    labels = blocks.repeat(16, axis=0).repeat(16, axis=1)[:height, :width]
    noise = rng.integers(0, 20, (height, width, 3)).astype(np.uint8)
    return COLORS[labels] + noise, labels


def write_pair(
    images: Path, labels: Path, names: list[str], size: tuple[int, int], *, suffix: str = '.png'
) -> None:
    """Write images and labels of equal names, which may hold a subfolder."""
    for seed, name in enumerate(names):
        image, ids = scene(seed, *size)
        for path, pixels in ((images / f'{name}{suffix}', image), (labels / f'{name}.png', ids)):
            path.parent.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(path), pixels[..., ::-1] if pixels.ndim == 3 else pixels)


def write_cityscapes(
    root: Path, train: int, val: int, *, size: tuple[int, int] = (128, 64), train_ids: bool = True
) -> None:
    """
    Write a tree as Cityscapes is unpacked, two cities per part.

    :param train_ids: whether ``*_labelTrainIds.png`` lie beside ``*_labelIds.png``.
    """
    for part, count in (('train', train), ('val', val)):
        for index in range(count):
            city = f'{part}town{index % 2}'
            image, ids = scene(1000 * (part == 'val') + index, *size)
            stem = f'{city}_{index:06d}_000019'
            folder = root / 'leftImg8bit' / part / city
            folder.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(folder / f'{stem}_leftImg8bit.png'), image[..., ::-1])
            folder = root / 'gtFine' / part / city
            folder.mkdir(parents=True, exist_ok=True)
            original = np.array(CITYSCAPES_IDS, np.uint8)[ids]
            original[:8] = 4  # a label that is not trained
            ids = np.where(original == 4, 255, ids).astype(np.uint8)
            write_labels(original, folder / f'{stem}_gtFine_labelIds.png')
            if train_ids:
                write_labels(ids, folder / f'{stem}_gtFine_labelTrainIds.png')
