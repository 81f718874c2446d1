"""
A folder of images, with a camera_info YAML and, optionally, a CSV of the vehicle's speed.

    FOLDER/*.png, *.jpg, *.jpeg   in natural order: 2.png before 10.png
    FOLDER/times.txt              one stamp a line (or timestamps.txt; optional)
    FOLDER/../labels/STEM.png     class ids (optional)

Stamps come from that file, from file names that are stamps, or from a rate that the user names.
"""

from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.errors import UserError
from sg_depth_ros.rectification import RectifiedCamera
from training.data.sources.camera_file import read_camera_file
from training.data.sources.image_stamps import STAMP_FILES
from training.data.sources.image_stamps import evenly_spaced
from training.data.sources.image_stamps import in_order
from training.data.sources.image_stamps import read_stamp_file
from training.data.sources.image_stamps import stamps_of_names
from training.data.sources.kitti import read_labels_of
from training.data.sources.kitti import read_rgb
from training.data.sources.pinhole import file_camera
from training.data.sources.pinhole import undistorted
from training.data.sources.source import SourceContent
from training.data.sources.source import SourceFrame
from training.data.sources.source import SourceOptions
from training.data.sources.speed_file import speeds_without_odometry

_IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg')
_NAMELESS_FOLDERS = ('images', 'image', 'frames', 'data', 'rgb')  # their parent has the name


@dataclass(frozen=True, eq=False)
class ImageFolderDrive:
    """A folder of images."""

    path: Path
    frames: tuple[SourceFrame, ...]
    notes: tuple[str, ...]
    camera: RectifiedCamera
    images: tuple[Path, ...]
    labels: Mapping[Path, Path]  # by image
    licence: str = 'not stated'

    @property
    def name(self) -> str:
        """The folder's name, or its parent's where that says more."""
        folder = self.path.resolve()
        return folder.parent.name if folder.name in _NAMELESS_FOLDERS else folder.name

    @property
    def description(self) -> str:
        """What it is."""
        return f'images of {self.name}'

    @property
    def intrinsics(self) -> Intrinsics:
        """The camera after rectification."""
        return self.camera.camera

    def read(self, first: int = 0) -> Iterator[SourceContent]:
        """Return each image, rectified, and its labels."""
        for path in islice(self.images, first, None):
            image, labels = read_rgb(path), self.labels.get(path)
            height, width = image.shape[:2]
            if (width, height) != (self.intrinsics.width, self.intrinsics.height):
                raise UserError(
                    f'{path}: {width}x{height}, the first image is {self.intrinsics.width}x'
                    f'{self.intrinsics.height}; all must be of one size'
                )
            yield SourceContent(
                undistorted(image, self.camera),
                None if labels is None else read_labels_of(labels, self.intrinsics),
            )


def is_image_folder(path: Path) -> bool:
    """Return whether a folder holds images, itself."""
    return path.is_dir() and any(_is_image(p) for p in path.iterdir())


def open_image_folder(path: Path, options: SourceOptions) -> ImageFolderDrive:
    """
    Open a folder of images.

    :raises UserError: where it has no camera file or does not fit it, or nothing says when the
        images were taken.
    """
    if options.camera_info is None:
        raise UserError(
            f'{path}: images do not say their intrinsics; give --camera-info FILE.yaml, as '
            'camera_calibration writes it'
        )
    info = read_camera_file(options.camera_info)
    notes: list[str] = []
    images = in_order(p for p in path.iterdir() if _is_image(p))
    height, width = read_rgb(images[0]).shape[:2]
    camera = file_camera(info, options.camera_info, str(images[0]), width, height, notes)
    stamps, absolute = _stamps(path, images, options.rate_hz, notes)
    speeds = speeds_without_odometry(options.speed, stamps, absolute, notes)
    labels = _labels(path, images, camera, notes)
    return ImageFolderDrive(
        path=path,
        frames=tuple(SourceFrame(int(s), v) for s, v in zip(stamps, speeds)),
        notes=tuple(notes),
        camera=camera,
        images=images,
        labels=labels,
    )


class _Stamps(NamedTuple):
    stamps_ns: NDArray[np.int64]  # [N], increasing
    absolute: bool  # of a clock that others may know, not counted from the first image


def _stamps(
    path: Path, images: tuple[Path, ...], rate_hz: float | None, notes: list[str]
) -> _Stamps:
    """Return when the images were taken, as exactly one thing says."""
    files = [path / name for name in STAMP_FILES if (path / name).is_file()]
    if len(files) > 1:
        raise UserError(f'{path}: holds {" and ".join(STAMP_FILES)}; leave one')
    named = None if files else stamps_of_names(images)
    if rate_hz is not None:
        if files or named is not None:
            said_by = files[0].name if files else 'file names'
            raise UserError(
                f'{path}: the {said_by} say when the images were taken; leave out --rate'
            )
        notes.append(f'Stamps are those of {rate_hz:g} Hz, as --rate says.')
        return _Stamps(evenly_spaced(len(images), rate_hz), absolute=False)
    if files:
        return _Stamps(read_stamp_file(files[0], len(images)), absolute=True)
    if named is None:
        raise UserError(
            f'{path}: nothing says when the images were taken: neither times.txt nor names that '
            'are stamps; give --rate HZ'
        )
    notes.append(f'Stamps are the file names, taken as {named.unit} since 1970.')
    return _Stamps(named.stamps_ns, absolute=True)


def _labels(
    path: Path, images: tuple[Path, ...], camera: RectifiedCamera, notes: list[str]
) -> dict[Path, Path]:
    """Return the label images of the same stem, beside the folder."""
    folder = path.resolve().parent / 'labels'
    held = {p: folder / f'{p.stem}.png' for p in images}
    found = {image: labels for image, labels in held.items() if labels.is_file()}
    if found and camera.undistortion is not None:
        notes.append(f'{folder.name} are of distorted images: left out; rectify both first.')
        return {}
    return found


def _is_image(path: Path) -> bool:
    # macOS leaves ._NAME.jpg beside NAME.jpg.
    return path.suffix.lower() in _IMAGE_SUFFIXES and not path.name.startswith('.')
