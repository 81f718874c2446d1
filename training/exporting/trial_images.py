"""Images to try an exported file on."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import resize_image
from sg_depth_ros.errors import UserError
from training.data.drive import frame_path
from training.data.drive import list_drives
from training.data.drive import read_drive
from training.data.drive import read_image

FRAME_COUNT = 8
PICTURE_COUNT = 3  # artificial ones: they tell less, however many


def trial_images(
    width: int, height: int, dataset: Path | None, count: int | None = None
) -> list[NDArray[np.uint8]]:
    """
    Return images to try the exported file on; the first becomes the file's self-test.

    :param width: of the images, in pixels; ``height`` likewise.
    :param dataset: frames spread evenly over its drives; None: artificial pictures.
    :param count: how many; None: FRAME_COUNT frames, or PICTURE_COUNT pictures.
    :raises UserError: where the dataset is missing or damaged.
    """
    if dataset is None:
        return [artificial_image(width, height, seed) for seed in range(count or PICTURE_COUNT)]
    frames = [
        frame_path(folder, frame.index)
        for folder in list_drives(dataset)
        for frame in read_drive(folder).frames
    ]
    if not frames:
        raise UserError(f'{dataset}: its drives hold no frames; run prepare again')
    parts = min(count or FRAME_COUNT, len(frames))
    # The middle of each of `parts` equal parts, starting with the middle one.
    order = sorted(range(parts), key=lambda part: abs(part - parts // 2))
    chosen = [frames[len(frames) * (2 * part + 1) // (2 * parts)] for part in order]
    return [resize_image(read_image(path), width, height) for path in chosen]


def artificial_image(width: int, height: int, seed: int) -> NDArray[np.uint8]:
    """Draw a picture with what matters to a network: a horizon, edges, texture; RGB (H, W, 3)."""
    random = np.random.default_rng(seed)
    rows = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    picture = np.where(rows < 0.45, 230 - 120 * rows, 60 + 80 * rows) * np.ones((1, width, 3))
    picture = np.ascontiguousarray(picture, np.float32)
    for _ in range(24):
        x, y = int(random.integers(width)), int(random.integers(height // 4, height))
        size_px = int(random.integers(height // 16 + 2, height // 3 + 3))
        color = [float(c) for c in random.integers(0, 256, 3)]
        cv2.rectangle(picture, (x, y - size_px), (x + size_px, y), color, cv2.FILLED)
    picture += random.normal(0, 8, picture.shape)
    return np.clip(cv2.GaussianBlur(picture, (3, 3), 0), 0, 255).astype(np.uint8)
