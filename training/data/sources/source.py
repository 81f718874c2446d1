"""What every kind of recording offers to ``prepare``."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import Intrinsics

ASSUMED_RATE_HZ = 10.0  # of recordings without timestamps; KITTI's rate


@dataclass(frozen=True)
class SourceOptions:
    """What the user may name; None is found by itself."""

    camera: str | None = None
    image_topic: str | None = None
    camera_info_topic: str | None = None
    odometry_topic: str | None = None
    lidar_topic: str | None = None
    camera_info: Path | None = None  # a file of camera_calibration, for videos and folders
    speed: Path | None = None  # a CSV file, for videos and folders
    rate_hz: float | None = None  # of a folder of images without timestamps


class SourceFrame(NamedTuple):
    """When one image was taken and how the camera moved, as far as known."""

    stamp_ns: int
    speed_m_s: float | None = None  # negative is backwards
    T_world_camera: tuple[float, ...] | None = None  # 3x4, row by row, metres
    number: int | None = None  # where the recording numbers its frames, as splits do


@dataclass(frozen=True, eq=False)
class SourceContent:
    """The pixels of one frame, at the recording's size and without distortion."""

    image: NDArray[np.uint8]  # [H, W, 3], RGB
    labels: NDArray[np.uint8] | None = None  # [H, W], class ids
    lidar_m: NDArray[np.float32] | None = None  # [H, W], depth along z, 0 = none


class Source(Protocol):
    """A recording, opened and understood; nothing is left open between calls."""

    @property
    def name(self) -> str:
        """What a drive folder made of it is called by default."""
        ...

    @property
    def description(self) -> str:
        """What it is, in a line for people."""
        ...

    @property
    def licence(self) -> str:
        """Under which licence the recording may be used."""
        ...

    @property
    def intrinsics(self) -> Intrinsics:
        """The camera of the images that ``read`` gives."""
        ...

    @property
    def frames(self) -> tuple[SourceFrame, ...]:
        """The frames, with stamps that increase."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What was assumed or is missing, in sentences for people."""
        ...

    def read(self, first: int = 0) -> Iterator[SourceContent]:
        """
        Return the content of ``frames``, in their order.

        :param first: where to begin; what follows is the same as of a reading from 0.
        :raises UserError: naming the file or message that is damaged.
        """
        ...
