"""Whether an exported file says what the trained network says: images to ask on, the answer."""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import resize_image
from sg_depth_ros.engines import Engine
from sg_depth_ros.errors import UserError
from training.data.drive import frame_path
from training.data.drive import list_drives
from training.data.drive import read_drive
from training.data.drive import read_image

MAX_RELATIVE_ERROR = 1e-3
MIN_LABEL_AGREEMENT = 0.999
IMAGE_COUNT = 3


class Parity(NamedTuple):
    """How well the exported file agrees with the trained network, over all images tried."""

    image_count: int
    median_relative_error: float  # of depth, worst image
    max_relative_error: float  # of depth, worst pixel
    label_agreement: float  # share of equal labels, worst image
    max_confidence_difference: int  # in steps of 1/255, worst pixel

    @property
    def passed(self) -> bool:
        """Whether the file may be driven with."""
        return (
            self.max_relative_error < MAX_RELATIVE_ERROR
            and self.label_agreement >= MIN_LABEL_AGREEMENT
        )


def compare_engines(trained: Engine, exported: Engine, images: list[NDArray[np.uint8]]) -> Parity:
    """
    Compare two engines' predictions.

    :param trained: gives the truth.
    :param exported: is judged.
    :param images: each RGB (H, W, 3).
    """
    medians, errors, agreements, confidences = [], [], [], []
    for image in images:
        truth, judged = trained.infer(image), exported.infer(image)
        error = np.abs(judged.depth_m / truth.depth_m.astype(np.float64) - 1)
        medians.append(np.median(error))
        errors.append(np.max(error))
        agreements.append(np.mean(judged.labels == truth.labels))
        difference = judged.confidence.astype(np.int16) - truth.confidence
        confidences.append(np.abs(difference).max())
    worst = float(np.max(errors))
    return Parity(
        image_count=len(images),
        median_relative_error=float(np.max(medians)),
        max_relative_error=worst if np.isfinite(worst) else float('inf'),
        label_agreement=float(np.min(agreements)),
        max_confidence_difference=int(np.max(confidences)),
    )


def trial_images(
    width: int, height: int, dataset: Path | None, count: int = IMAGE_COUNT
) -> list[NDArray[np.uint8]]:
    """
    Return images to try the exported file on; the first becomes the file's self-test.

    :param width: of the images, in pixels; ``height`` likewise.
    :param dataset: frames spread evenly over its drives; None: artificial pictures.
    :raises UserError: where the dataset is missing or damaged.
    """
    if dataset is None:
        return [artificial_image(width, height, seed) for seed in range(count)]
    frames = [
        frame_path(folder, frame.index)
        for folder in list_drives(dataset)
        for frame in read_drive(folder).frames
    ]
    if not frames:
        raise UserError(f'{dataset}: its drives hold no frames; run prepare again')
    # The middle of each of `count` equal parts, starting with the middle one.
    parts = sorted(range(count), key=lambda part: abs(part - count // 2))
    chosen = [frames[len(frames) * (2 * part + 1) // (2 * count)] for part in parts]
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
