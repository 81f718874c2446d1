"""Small labelled dataset folders for tests."""

from pathlib import Path

import numpy as np

from sg_depth_ros.camera import Intrinsics
from training.data.drive import Drive
from training.data.drive import Frame
from training.data.drive import frame_path
from training.data.drive import labels_path
from training.data.drive import write_drive
from training.data.drive import write_frame
from training.data.drive import write_labels

COLORS = np.array([[128, 60, 60], [60, 128, 60], [60, 60, 128]], np.uint8)


def write_labelled_drive(
    folder: Path,
    frames: int,
    size: tuple[int, int] = (64, 32),
    labelled: range | None = None,
    seed: int = 0,
) -> None:
    """Write a drive whose pixels have the colour of their class, 0 to 2."""
    (folder / 'frames').mkdir(parents=True)
    (folder / 'labels').mkdir()
    width, height = size
    rng = np.random.default_rng(seed)
    for index in range(frames):
        blocks = rng.integers(0, 3, (height // 16, width // 16)).astype(np.uint8)
        labels = blocks.repeat(16, axis=0).repeat(16, axis=1)
        noise = rng.integers(0, 20, (height, width, 3)).astype(np.uint8)
        write_frame(COLORS[labels] + noise, frame_path(folder, index))
        if labelled is None or index in labelled:
            write_labels(labels, labels_path(folder, index))
    camera = Intrinsics(50.0, 50.0, width / 2, height / 2, width, height)
    times = tuple(Frame(i, i * 100_000_000) for i in range(frames))
    write_drive(Drive(folder.name, 'test', camera, camera, times), folder)
