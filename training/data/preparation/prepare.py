"""From a source to a drive folder: resize once, carry the camera along, mark frames at rest."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.errors import UserError
from training.data.drive import Drive
from training.data.drive import Frame
from training.data.drive import write_drive
from training.data.preparation.frames import one_cv2_thread
from training.data.preparation.frames import write_frames
from training.data.preparation.journal import FrameRecord
from training.data.preparation.journal import continued_journal
from training.data.preparation.journal import new_journal
from training.data.preparation.journal import read_journal
from training.data.preparation.recipe import Recipe
from training.data.preparation.recipe import differences
from training.data.preparation.recipe import read_recipe
from training.data.preparation.recipe import recipe_of
from training.data.preparation.recipe import work_digest
from training.data.preparation.recipe import write_recipe
from training.data.preparation.static_frames import DEFAULT_MIN_MOTION_M
from training.data.preparation.static_frames import mark_static
from training.data.preparation.workspace import Workspace
from training.data.preparation.workspace import locked_workspace
from training.data.sources.source import Source

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


@dataclass(frozen=True)
class DriveIsThere:
    """A drive that an earlier run made from the same recording with the same options."""

    folder: Path


class Progressed(NamedTuple):
    """How far a drive is."""

    done: int
    total: int | None  # None while the recording is opened
    remark: str | None = None  # for people, such as where an interrupted drive goes on


Report = Callable[[Progressed], None]


def network_size(camera: Intrinsics, width: int | None, height: int | None) -> tuple[int, int]:
    """
    Choose the size of the dataset's images, in multiples of 32 pixels.

    What is not given follows the camera's aspect; by default 640 wide, but never wider than the
    original.

    :return: width and height.
    :raises UserError: where a given size is no multiple of 32.
    """
    check_size_options(width, height)
    if width is None and height is None:
        width = min(DEFAULT_WIDTH_PX, camera.width // SIZE_STEP_PX * SIZE_STEP_PX)
        width = max(width, SIZE_STEP_PX)
    if width is None:
        assert height is not None
        width = _nearest_size(camera.width * height / camera.height)
    if height is None:
        height = _nearest_size(camera.height * width / camera.width)
    return width, height


def check_size_options(width: int | None, height: int | None) -> None:
    """
    Refuse sizes that the network cannot take.

    :raises UserError: where one is given that is no multiple of 32.
    """
    for option, value in (('--width', width), ('--height', height)):
        if value is not None and (value <= 0 or value % SIZE_STEP_PX):
            below = max(SIZE_STEP_PX, value // SIZE_STEP_PX * SIZE_STEP_PX)
            raise UserError(
                f'{option} {value} is no multiple of {SIZE_STEP_PX}; '
                f'take {below} or {below + SIZE_STEP_PX}'
            )


def drive_name(default: str, named: str | None) -> str:
    """
    Return the name of a drive's folder, without blanks, which would break the lines of a split.

    :param default: what the source is called.
    :param named: what the user wants.
    :raises UserError: where that is no name.
    """
    if named is None:
        return re.sub(r'[^A-Za-z0-9._-]+', '_', default).strip('._-') or 'drive'
    if not re.fullmatch(r'[A-Za-z0-9_][A-Za-z0-9._-]*', named):
        raise UserError(f'--name {named!r}: letters, digits, "_", "-" and "." only')
    return named


def prepare_drive(
    source: Source,
    recording: Path,
    dataset: Path,
    options: PrepareOptions,
    report: Report,
    lidar_topic: str | None = None,
) -> PreparedDrive | DriveIsThere:
    """
    Write one drive folder into a dataset folder; go on where an earlier run was interrupted.

    The same recording and options give the same bytes, interrupted or not.

    :param recording: where the source is.
    :param dataset: must exist.
    :param report: called after every frame.
    :raises UserError: where the name is taken or no name, a size is wrong, another process works
        on the drive, or the source is damaged; then nothing is left behind. Where a disk fails
        or is full, the frames made so far are kept, as they are after Ctrl-C.
    """
    name = drive_name(source.name, options.name)
    width, height = network_size(source.intrinsics, options.width, options.height)
    if not source.frames:
        raise UserError(f'{source.description}: holds no images')
    with one_cv2_thread():
        recipe = recipe_of(
            source,
            recording,
            width=width,
            height=height,
            min_motion_m=options.min_motion_m,
            licence=options.licence or source.licence,
            lidar_topic=lidar_topic,
        )
        with locked_workspace(dataset, name) as workspace:
            if _is_there(workspace.finished, recipe, options.overwrite):
                workspace.clear()
                return DriveIsThere(workspace.finished)
            try:
                return _make_drive(source, recording, workspace, recipe, report)
            except UserError as error:
                # A disk or a network drive that fails may work again: the frames stay.
                if not isinstance(error.__cause__, OSError):
                    workspace.clear()
                raise
            except OSError as error:
                raise UserError(
                    f'{dataset / name}: cannot be written ({error}); once that is mended, the '
                    'same command goes on where it was'
                ) from error


def _make_drive(
    source: Source, recording: Path, workspace: Workspace, recipe: Recipe, report: Report
) -> PreparedDrive:
    work, total = work_digest(recipe, recording), len(source.frames)
    left, remark = read_journal(workspace.journal, workspace.drive), None
    if left is not None and not left.records:
        left = None
    elif left is not None and left.work != work:
        left, remark = None, 'starts over: recording or options changed since the interrupted run'
    if left is None:
        workspace.clear()
        workspace.drive.mkdir()
        journal = new_journal(workspace.journal, work)
    else:
        remark = 'goes on behind its last frame'
        if len(left.records) < total:
            remark = f'goes on at frame {len(left.records) + 1} of {total}'
        journal = continued_journal(workspace.journal, left)
    records = [] if left is None else list(left.records)
    report(Progressed(len(records), total, remark))
    with journal as open_journal:
        size = recipe.width, recipe.height
        for record in write_frames(source, workspace.drive, size, tuple(records)):
            open_journal.add(record)
            records.append(record)
            report(Progressed(len(records), total))
    if len(records) != total:
        raise UserError(f'{source.description}: {len(records)} of {total} frames could be read')
    _remove_empty(workspace.drive / 'labels', workspace.drive / 'lidar')
    drive = _described(source, workspace.name, recipe, records)
    write_recipe(recipe, workspace.drive)
    write_drive(drive, workspace.drive)
    workspace.publish()
    return PreparedDrive(
        folder=workspace.finished,
        drive=drive,
        labelled_frames=sum(r.labels_bytes is not None for r in records),
        lidar_frames=sum(r.lidar_bytes is not None for r in records),
        notes=drive.notes,
    )


def _described(source: Source, name: str, recipe: Recipe, records: list[FrameRecord]) -> Drive:
    notes = source.notes
    lidar_points = [r.lidar_points for r in records if r.lidar_points is not None]
    if lidar_points and np.median(lidar_points) < _MIN_LIDAR_POINTS:
        notes += (
            f'Only {int(np.median(lidar_points))} LiDAR points fall into the median image: are '
            'the frames of /tf_static right, and is the camera frame an optical one (z forward)?',
        )
    drive = Drive(
        name=name,
        source=source.description,
        intrinsics=source.intrinsics.resized(recipe.width, recipe.height),
        original_intrinsics=source.intrinsics,
        frames=tuple(Frame(i, *f) for i, f in enumerate(source.frames)),
        licence=recipe.licence,
        notes=notes,
    )
    flow_px = [r.flow_px for r in records[1:] if r.flow_px is not None]
    return mark_static(drive, flow_px or None, recipe.min_motion_m)


def _is_there(finished: Path, recipe: Recipe, overwrite: bool) -> bool:
    """Return whether a drive is there as wanted; refuse to replace another one unasked."""
    if overwrite or not finished.exists():
        return False
    made = read_recipe(finished)
    difference = 'made by an older prepare' if made is None else differences(made, recipe)
    if not difference:
        return True
    raise UserError(
        f'{finished}: exists already, {difference}; give another --name, or --overwrite to make '
        'it again'
    )


def _nearest_size(size_px: float) -> int:
    return max(SIZE_STEP_PX, round(size_px / SIZE_STEP_PX) * SIZE_STEP_PX)


def _remove_empty(*folders: Path) -> None:
    for folder in folders:
        if folder.exists() and not any(folder.iterdir()):
            folder.rmdir()
