"""From a source to a drive folder: resize once, carry the camera along, mark frames at rest."""

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.progress import Progress

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.camera import resize_image
from sg_depth_ros.camera import resize_labels
from sg_depth_ros.errors import UserError
from training.data.drive import Drive
from training.data.drive import Frame
from training.data.drive import frame_path
from training.data.drive import labels_path
from training.data.drive import lidar_path
from training.data.drive import write_drive
from training.data.drive import write_frame
from training.data.drive import write_labels
from training.data.drive import write_lidar
from training.data.sources.source import Source
from training.data.sources.source import SourceContent
from training.data.static_frames import DEFAULT_MIN_MOTION_M
from training.data.static_frames import FlowMeter
from training.data.static_frames import mark_static

SIZE_STEP_PX = 32  # the encoder halves five times
DEFAULT_WIDTH_PX = 640
# A cloud in another frame than TF says hits the image by accident only.
_MIN_LIDAR_POINTS = 50


@dataclass(frozen=True)
class PrepareOptions:
    """How a drive folder is made."""

    width: int | None = None
    height: int | None = None
    name: str | None = None
    licence: str | None = None
    min_motion_m: float = DEFAULT_MIN_MOTION_M
    overwrite: bool = False


@dataclass(frozen=True)
class PreparedDrive:
    """A drive that was written, and what it holds beside images."""

    folder: Path
    drive: Drive
    labelled_frames: int
    lidar_frames: int
    notes: tuple[str, ...]


def network_size(camera: Intrinsics, width: int | None, height: int | None) -> tuple[int, int]:
    """
    Choose the size of the dataset's images, in multiples of 32 pixels.

    What is not given follows the camera's aspect; by default 640 wide, but never wider than the
    original.

    :return: width and height.
    :raises UserError: where a given size is no multiple of 32.
    """
    for option, value in (('--width', width), ('--height', height)):
        if value is not None and (value <= 0 or value % SIZE_STEP_PX):
            below = max(SIZE_STEP_PX, value // SIZE_STEP_PX * SIZE_STEP_PX)
            raise UserError(
                f'{option} {value} is no multiple of {SIZE_STEP_PX}; '
                f'take {below} or {below + SIZE_STEP_PX}'
            )
    if width is None and height is None:
        width = min(DEFAULT_WIDTH_PX, camera.width // SIZE_STEP_PX * SIZE_STEP_PX)
        width = max(width, SIZE_STEP_PX)
    if width is None:
        assert height is not None
        width = _nearest_size(camera.width * height / camera.height)
    if height is None:
        height = _nearest_size(camera.height * width / camera.width)
    return width, height


def prepare_drive(
    source: Source, dataset: Path, options: PrepareOptions, progress: Progress
) -> PreparedDrive:
    """
    Write one drive folder into a dataset folder, whole or not at all.

    :raises UserError: where the name is taken or no name, a size is wrong, or the source is
        damaged; nothing is left behind.
    """
    name = _drive_name(source, options.name)
    folder = dataset / name
    if folder.exists() and not options.overwrite:
        raise UserError(
            f'{folder}: exists already; give another --name, or --overwrite to make it again'
        )
    if not source.frames:
        raise UserError(f'{source.description}: holds no images')
    width, height = network_size(source.intrinsics, options.width, options.height)
    with _finished_folder(folder) as unfinished:
        prepared = _write_content(source, unfinished, width, height, options, progress)
    return PreparedDrive(
        folder, prepared.drive, prepared.labelled_frames, prepared.lidar_frames, prepared.notes
    )


def _write_content(
    source: Source,
    folder: Path,
    width: int,
    height: int,
    options: PrepareOptions,
    progress: Progress,
) -> PreparedDrive:
    for subfolder in ('frames', 'labels', 'lidar'):
        (folder / subfolder).mkdir()
    flow, labelled, lidar_points = FlowMeter(), 0, []
    motion_known = any(f.speed_m_s is not None or f.T_world_camera for f in source.frames)
    task = progress.add_task(f'prepare {source.name}', total=len(source.frames))
    written = 0
    for index, content in enumerate(source.read()):
        _check_size(content, source, index)
        image = resize_image(content.image, width, height)
        write_frame(image, frame_path(folder, index))
        if not motion_known:
            flow.add(content.image)
        if content.labels is not None:
            labels = resize_labels(content.labels, width, height)
            write_labels(labels, labels_path(folder, index))
            labelled += 1
        if content.lidar_m is not None:
            write_lidar(content.lidar_m, lidar_path(folder, index))
            lidar_points.append(np.count_nonzero(content.lidar_m))
        written += 1
        progress.advance(task)
    if written != len(source.frames):
        raise UserError(
            f'{source.description}: {written} of {len(source.frames)} frames could be read'
        )
    _remove_empty(folder / 'labels', folder / 'lidar')
    notes = source.notes
    if lidar_points and np.median(lidar_points) < _MIN_LIDAR_POINTS:
        notes += (
            f'Only {int(np.median(lidar_points))} LiDAR points fall into the median image: are '
            'the frames of /tf_static right, and is the camera frame an optical one (z forward)?',
        )
    frames = tuple(Frame(i, *f) for i, f in enumerate(source.frames))
    drive = Drive(
        name=folder.name,
        source=source.description,
        intrinsics=source.intrinsics.resized(width, height),
        original_intrinsics=source.intrinsics,
        frames=frames,
        licence=options.licence or source.licence,
        notes=notes,
    )
    drive = mark_static(drive, None if motion_known else flow.medians_px, options.min_motion_m)
    write_drive(drive, folder)
    return PreparedDrive(folder, drive, labelled, len(lidar_points), notes)


def _check_size(content: SourceContent, source: Source, index: int) -> None:
    height, width = content.image.shape[:2]
    camera = source.intrinsics
    if (width, height) != (camera.width, camera.height):
        raise UserError(
            f'{source.description}: image {index} is {width}x{height}, the first one was '
            f'{camera.width}x{camera.height}; all must be of one size'
        )


def _nearest_size(size_px: float) -> int:
    return max(SIZE_STEP_PX, round(size_px / SIZE_STEP_PX) * SIZE_STEP_PX)


def _drive_name(source: Source, named: str | None) -> str:
    """Return a name without blanks, which would break the lines of a split."""
    if named is None:
        return re.sub(r'[^A-Za-z0-9._-]+', '_', source.name).strip('._-') or 'drive'
    if not re.fullmatch(r'[A-Za-z0-9_][A-Za-z0-9._-]*', named):
        raise UserError(f'--name {named!r}: letters, digits, "_", "-" and "." only')
    return named


@contextmanager
def _finished_folder(folder: Path) -> Iterator[Path]:
    """Give a folder to fill that becomes ``folder`` at the end, or vanishes with its parents."""
    made = [p for p in (folder.parent, *folder.parent.parents) if not p.exists()]
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # One level deeper than a drive, so that nobody takes it for one.
        temporary = Path(tempfile.mkdtemp(prefix='.prepare-', dir=folder.parent))
    except OSError as error:
        raise UserError(f'{folder.parent}: cannot be written ({error.strerror})') from error
    try:
        unfinished = temporary / folder.name
        unfinished.mkdir()
        yield unfinished
        if folder.exists():
            folder.rename(temporary / 'replaced')
        unfinished.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        for parent in made:
            if not any(parent.iterdir()):
                parent.rmdir()


def _remove_empty(*folders: Path) -> None:
    for folder in folders:
        if not any(folder.iterdir()):
            folder.rmdir()
