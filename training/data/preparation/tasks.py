"""The two steps of preparing several drives: open all recordings, then make their drives."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sg_depth_ros.errors import UserError
from training.data.preparation.prepare import DriveIsThere
from training.data.preparation.prepare import PreparedDrive
from training.data.preparation.prepare import PrepareOptions
from training.data.preparation.prepare import Progressed
from training.data.preparation.prepare import Report
from training.data.preparation.prepare import drive_name
from training.data.preparation.prepare import prepare_drive
from training.data.sources import Source
from training.data.sources import SourceOptions
from training.data.sources import list_cameras
from training.data.sources import open_source
from training.data.sources import options_of_camera


@dataclass(frozen=True)
class Recording:
    """One camera of a recording, and what the user said of it."""

    path: Path
    options: SourceOptions


@dataclass(frozen=True)
class Task:
    """One drive to make."""

    recording: Recording
    source: Source
    dataset: Path
    options: PrepareOptions

    @property
    def name(self) -> str:
        """What the drive's folder will be called."""
        return drive_name(self.source.name, self.options.name)


def cameras_of(path: Path, options: SourceOptions) -> tuple[Recording, ...]:
    """
    Return each camera of a recording as a recording of its own.

    Of what is no recording, the path as it is: opening it will say why.
    """
    try:
        cameras = list_cameras(path)
    except UserError:
        cameras = ()
    if not cameras:
        return (Recording(path, options),)
    return tuple(Recording(path, options_of_camera(path, c, options)) for c in cameras)


def open_recording(recording: Recording, report: Report) -> Source:
    """
    Open a recording; a bag is read once for that.

    :raises UserError: where it is damaged, or something is missing or ambiguous.
    """
    report(Progressed(0, None))
    return open_source(recording.path, recording.options)


def make_drive(task: Task, report: Report) -> PreparedDrive | DriveIsThere:
    """
    Make a drive.

    :raises UserError: where that cannot be done.
    """
    return prepare_drive(
        task.source,
        task.recording.path,
        task.dataset,
        task.options,
        report,
        task.recording.options.lidar_topic,
    )


def refuse_same_names(tasks: Sequence[Task]) -> None:
    """
    Check that each drive gets a folder of its own.

    :raises UserError: naming two recordings that would be called the same.
    """
    taken: dict[str, Task] = {}
    for task in tasks:
        other = taken.setdefault(task.name, task)
        if other is not task:
            raise UserError(
                f'{other.recording.path} and {task.recording.path} would both be called '
                f'{task.name}; prepare one of them on its own, with --name'
            )
