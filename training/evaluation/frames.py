"""Frames to judge a model on; predictions, tables and pictures do not mind where they are from."""

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.errors import UserError
from sg_depth_ros.evaluation.drive_note import DriveNote
from sg_depth_ros.evaluation.frame_key import FrameKey
from training.data.drive import Drive
from training.data.drive import frame_path
from training.data.drive import labels_path
from training.data.drive import lidar_path
from training.data.drive import list_drives
from training.data.drive import read_drive
from training.data.drive import read_image
from training.data.drive import read_labels
from training.data.drive import read_lidar


class JudgedFrames(Protocol):
    """Recordings whose frames are judged; what is asked for is read from disk each time."""

    @property
    def name(self) -> str:
        """What reports call them."""
        ...

    @property
    def entries(self) -> tuple[FrameKey, ...]:
        """The frames in their order; within a drive that of time."""
        ...

    def path(self, entry: FrameKey) -> Path:
        """Return the file of the image, for messages."""
        ...

    def image(self, entry: FrameKey) -> NDArray[np.uint8]:
        """Return the image (h, w, 3), RGB, of any size."""
        ...

    def camera(self, entry: FrameKey) -> Intrinsics:
        """Return the camera of the image."""
        ...

    def labels(self, entry: FrameKey) -> NDArray[np.uint8] | None:
        """Return given class ids of the image, of any size, or None."""
        ...

    def has_truth(self, entry: FrameKey) -> bool:
        """Tell whether measured depth comes with the frame."""
        ...

    def truth_m(self, entry: FrameKey) -> NDArray[np.float32] | None:
        """Return measured depth (H, W) at the recording's size, 0 where nothing was measured."""
        ...

    def time_s(self, entry: FrameKey) -> float | None:
        """Return when the image was taken, since the drive's first one, or None."""
        ...

    def notes(self) -> tuple[DriveNote, ...]:
        """Return what is known of the drives, for reports."""
        ...


class DatasetFrames:
    """
    The frames of a dataset folder.

    :param root: the dataset folder.
    :param drives: so many of its drives, by name; none: all.
    :raises UserError: where the folder holds no drive, or none of a name.
    """

    def __init__(self, root: Path, drives: Iterable[str] = ()) -> None:
        folders = {folder.name: folder for folder in list_drives(root)}
        chosen = tuple(drives) or tuple(folders)
        for name in chosen:
            if name not in folders:
                known = ', '.join(folders)
                raise UserError(f'{root}: no drive {name!r}; there are: {known}')
        self.name = root.name
        self.drives: dict[str, Drive] = {
            n: read_drive(f) for n, f in folders.items() if n in chosen
        }
        self.entries = tuple(
            FrameKey(name, frame.index)
            for name, drive in self.drives.items()
            for frame in drive.frames
        )
        self._folders = folders

    def path(self, entry: FrameKey) -> Path:
        """Return the file of the image."""
        return frame_path(self._folders[entry.drive], entry.frame)

    def image(self, entry: FrameKey) -> NDArray[np.uint8]:
        """
        Return the image.

        :raises UserError: where it is missing or damaged.
        """
        return read_image(self.path(entry))

    def camera(self, entry: FrameKey) -> Intrinsics:
        """Return the drive's camera."""
        return self.drives[entry.drive].intrinsics

    def labels(self, entry: FrameKey) -> NDArray[np.uint8] | None:
        """Return the drive's labels of the frame."""
        path = labels_path(self._folders[entry.drive], entry.frame)
        return read_labels(path) if path.exists() else None

    def has_truth(self, entry: FrameKey) -> bool:
        """Tell whether LiDAR comes with the frame."""
        return lidar_path(self._folders[entry.drive], entry.frame).exists()

    def truth_m(self, entry: FrameKey) -> NDArray[np.float32] | None:
        """Return the projected LiDAR."""
        path = lidar_path(self._folders[entry.drive], entry.frame)
        return read_lidar(path) if path.exists() else None

    def time_s(self, entry: FrameKey) -> float | None:
        """Return the time by the drive's stamps."""
        frames = self.drives[entry.drive].frames
        return (frames[entry.frame].stamp_ns - frames[0].stamp_ns) * 1e-9

    def notes(self) -> tuple[DriveNote, ...]:
        """Return what ``drive.json`` says of the recordings."""
        return tuple(_note(name, drive) for name, drive in self.drives.items())


def _note(name: str, drive: Drive) -> DriveNote:
    camera, lidar = drive.intrinsics, drive.original_intrinsics
    facts = (
        ('camera', f'{camera.width}x{camera.height}, {camera.horizontal_fov_deg():.0f}° wide'),
        ('measured depth', f'{lidar.width}x{lidar.height}, as recorded, where there is any'),
        ('scale', f'from {drive.scale_source}'),
        ('licence', drive.licence),
    )
    return DriveNote(name, drive.source, facts)
