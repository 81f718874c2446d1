"""Which frames of a drive are looked at, and their gray images: all of a short drive."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.errors import UserError
from training.data.drive import Drive
from training.data.drive import frame_path
from training.data.drive import read_image

MOST_FRAMES = 240  # of a drive: so many are looked at, in runs without a hole
RUN_FRAMES = 30
REFERENCE_WIDTH_PX = 640  # limits in pixels are given for this width, and scale with it


class Run(NamedTuple):
    """Consecutive frames: ``grays[i]`` is frame ``first + i``."""

    first: int
    grays: tuple[NDArray[np.uint8], ...]  # each [H, W]

    @property
    def frames(self) -> range:
        """Return the frames' numbers."""
        return range(self.first, self.first + len(self.grays))


class Sample(NamedTuple):
    """What was read of a drive."""

    runs: tuple[Run, ...]
    damaged: tuple[int, ...]  # frames whose image cannot be read or has another size

    @property
    def frame_count(self) -> int:
        """Return how many images were read."""
        return sum(len(run.grays) for run in self.runs)


def sampled_runs(count: int, most: int = MOST_FRAMES, length: int = RUN_FRAMES) -> list[range]:
    """Return which frames of ``count`` to read: all, or runs spread evenly; the same each time."""
    if count <= most:
        return [range(count)] if count else []
    number = most // length
    starts = np.linspace(0, count - length, number).astype(int).tolist()
    return [range(start, start + length) for start in starts]


def read_sample(folder: Path, drive: Drive, advance: Callable[[], None]) -> Sample:
    """
    Read a drive's images; one that is damaged splits its run.

    :param advance: called after each frame.
    """
    runs: list[Run] = []
    damaged: list[int] = []
    for frames in sampled_runs(len(drive.frames)):
        grays: list[NDArray[np.uint8]] = []
        for index in frames:
            gray = _read_gray(folder, drive, index)
            advance()
            if gray is not None:
                grays.append(gray)
                continue
            damaged.append(index)
            runs.append(Run(index - len(grays), tuple(grays)))
            grays = []
        runs.append(Run(frames.stop - len(grays), tuple(grays)))
    return Sample(tuple(run for run in runs if run.grays), tuple(damaged))


def _read_gray(folder: Path, drive: Drive, index: int) -> NDArray[np.uint8] | None:
    try:
        image = read_image(frame_path(folder, index))
    except UserError:
        return None
    if image.shape[:2] != (drive.intrinsics.height, drive.intrinsics.width):
        return None
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
