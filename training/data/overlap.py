"""
What two splits have in common: images, instants, stretches of road, drives.

Frames of KITTI are compared as KITTI raw numbers them, whatever the split calls them: sequences of
KITTI odometry were cut from raw drives, and prepared drives remember what they were made from.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from collections.abc import Set
from dataclasses import dataclass
from enum import IntEnum
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from sg_depth_ros.errors import UserError
from training.data.drive import Drive
from training.data.drive import list_drives
from training.data.drive import read_drive
from training.data.eigen import ODOMETRY_CUTS
from training.data.eigen import kitti_origin
from training.data.splits import Camera
from training.data.splits import SplitLine
from training.data.splits import camera_of_name
from training.data.splits import kitti_camera
from training.data.splits import read_named_split

# One second of KITTI. At least 1: the neighbours of a frame are trained on with it.
MARGIN_FRAMES = 10


class Kinship(IntEnum):
    """How near a frame is to the nearest of another split; the nearer, the smaller."""

    SAME = 0  # the same image
    INSTANT = 1  # another camera's image of the same instant
    NEAR = 2  # within the margin
    DRIVE = 3  # of the same drive
    APART = 4


class Shot(NamedTuple):
    """An image, by a name that does not depend on the split."""

    recording: str
    camera: int | None
    frame: int | None  # None: of the recording, but nothing tells which


class Row(NamedTuple):
    """A frame as its split calls it, and what it is."""

    line: SplitLine
    shot: Shot

    def __str__(self) -> str:
        text = f'{self.line.camera} frame {self.line.frame}'
        of_odometry = self.line.camera.recording.isdecimal()
        return f'{text} ({self.shot.recording} {self.shot.frame})' if of_odometry else text


@dataclass(frozen=True)
class SplitFrames:
    """The frames of a split."""

    name: str
    rows: tuple[Row, ...]
    cautions: tuple[str, ...] = ()  # sentences

    @property
    def short_name(self) -> str:
        """Folder and file, for tables: most of KITTI's lists are called train_files.txt."""
        return '/'.join(Path(self.name).parts[-2:])

    @property
    def distinct(self) -> tuple[Row, ...]:
        """Each frame once, in the split's order."""
        rows = {row.line if row.shot.frame is None else row.shot: row for row in self.rows[::-1]}
        return tuple(rows.values())[::-1]

    @property
    def recordings(self) -> frozenset[str]:
        """The drives it is of."""
        return frozenset(row.shot.recording for row in self.rows)


class SideCounts(NamedTuple):
    """Frames of one split by how near they are to the other; each counts once, as the nearest."""

    frames: int
    same: int
    instant: int
    near: int
    drive: int
    apart: int

    def at_most(self, kinship: Kinship) -> int:
        """Return how many frames are that near or nearer."""
        return sum(self[1 : 2 + kinship])


class DriveOverlap(NamedTuple):
    """What two splits hold of one drive."""

    recording: str
    first: SideCounts
    second: SideCounts


@dataclass(frozen=True)
class Overlap:
    """What two splits have in common."""

    first: SplitFrames
    second: SplitFrames
    margin: int
    of_first: SideCounts
    of_second: SideCounts
    drives: tuple[DriveOverlap, ...]  # that both hold, by name
    examples: tuple[tuple[Row, Kinship], ...]  # rows of the first, in its order, nearest kind

    def reaches(self, farthest: Kinship | None) -> bool:
        """Tell whether any frame is that near to the other split, or nearer; None: never."""
        return farthest is not None and self.of_first.at_most(farthest) > 0

    def sentence(self) -> str:
        """Say what the splits have in common."""
        first, counts = self.first.short_name, self.of_first
        return (
            f'{first} and {self.second.short_name}: of the {counts.frames} frames of {first}, '
            f'{counts.same} are the same, {counts.instant} show the same instant by another '
            f'camera, {counts.near} more lie within {self.margin} frames, {counts.drive} more '
            'are of the same drives'
        )


def overlap(
    first: SplitFrames, second: SplitFrames, margin: int = MARGIN_FRAMES, examples: int = 5
) -> Overlap:
    """
    Compare two splits.

    :param margin: in frames of the recording.
    :param examples: so many rows to show, of the nearest kind that there is.
    """
    to_second, to_first = _kinships(first, second, margin), _kinships(second, first, margin)
    shared = sorted(first.recordings & second.recordings)
    return Overlap(
        first,
        second,
        margin,
        _count(to_second),
        _count(to_first),
        tuple(DriveOverlap(n, _count(to_second, n), _count(to_first, n)) for n in shared),
        _examples(to_second, examples),
    )


def open_split(name: str, drives: Mapping[str, Drive]) -> SplitFrames:
    """
    Read the frames of a split.

    :param name: a split file of any known format, the word ``eigen``, or a dataset folder, that
        stands for all its frames.
    :param drives: what the lines of our format name, where it is known.
    :raises UserError: where it cannot be read or is empty.
    """
    path = Path(name)
    if path.is_dir():
        own = {folder.name: read_drive(folder) for folder in list_drives(path)}
        lines = [
            SplitLine(Camera(drive.name, None), frame.index)
            for drive in own.values()
            for frame in drive.frames
        ]
        return _identified(name, lines, own)
    return _identified(name, read_named_split(name), drives)


def _identified(name: str, lines: Sequence[SplitLine], drives: Mapping[str, Drive]) -> SplitFrames:
    if not lines:
        raise UserError(f'{name}: the split is empty')
    known = {drive: _KnownDrive.of(described) for drive, described in drives.items()}
    rows = [Row(line, _shot(line, known)) for line in lines]
    return SplitFrames(name, tuple(rows), tuple(_cautions(name, rows, drives)))


@dataclass(frozen=True)
class _KnownDrive:
    """What a prepared drive tells of its frames."""

    camera: Camera | None  # of KITTI
    origin: str | None  # a drive of KITTI raw, of which no camera and no numbers are known
    numbers: tuple[int, ...]  # by index, as the recording counts

    @staticmethod
    def of(drive: Drive) -> '_KnownDrive':
        numbers = tuple(f.index if f.number is None else f.number for f in drive.frames)
        origin = kitti_origin(drive.source, drive.name)
        return _KnownDrive(kitti_camera(drive), origin and origin.drive, numbers)


def kitti_shot(line: SplitLine) -> Shot | None:
    """Return what a line means in KITTI raw; None where it does not name a camera of KITTI."""
    camera = line.camera
    if camera.number is None:
        named = camera_of_name(camera.recording)
        return None if named is None else _kitti_shot(named, line.frame)
    return _kitti_shot(camera, line.frame)


def _shot(line: SplitLine, drives: Mapping[str, _KnownDrive]) -> Shot:
    drive = drives.get(line.camera.recording) if line.camera.number is None else None
    if drive is None:
        return kitti_shot(line) or Shot(line.camera.recording, None, line.frame)
    if drive.camera is not None and line.frame < len(drive.numbers):
        return _kitti_shot(drive.camera, drive.numbers[line.frame])
    if drive.origin is not None:
        return Shot(drive.origin, None, None)
    return Shot(line.camera.recording, None, line.frame)


def _kitti_shot(camera: Camera, frame: int) -> Shot:
    if not camera.recording.isdecimal():
        return Shot(camera.recording, camera.number, frame)
    sequence = int(camera.recording)
    if sequence >= len(ODOMETRY_CUTS):
        return Shot(f'odometry {sequence:02d}', camera.number, frame)
    cut = ODOMETRY_CUTS[sequence]
    return Shot(cut.drive, camera.number, cut.first + frame)


def _cautions(name: str, rows: Sequence[Row], drives: Mapping[str, Drive]) -> Iterable[str]:
    ours = {row.line.camera.recording for row in rows if row.line.camera.number is None}
    by_name = sorted(n for n in ours - set(drives) if camera_of_name(n) is not None)
    if by_name:
        yield (
            f'{name}: {by_name[0]} is taken for a whole drive of KITTI by its name; give its '
            'dataset with --data where frames were left out'
        )
    unnumbered = sum(row.shot.frame is None for row in rows)
    if unnumbered:
        yield (
            f'{name}: {unnumbered} frames are of drives of KITTI, but do not tell their numbers '
            'there: they count as of the same drive at most'
        )


def _kinships(split: SplitFrames, other: SplitFrames, margin: int) -> Mapping[Row, Kinship]:
    """Return how near each frame is to the nearest of the other split, in the split's order."""
    images = {row.shot for row in other.rows if row.shot.frame is not None}
    frames: dict[str, list[int]] = {name: [] for name in other.recordings}
    for recording, _, number in images:
        assert number is not None
        frames[recording].append(number)
    ordered = {recording: sorted(numbers) for recording, numbers in frames.items()}
    return {row: _kinship(row.shot, images, ordered, margin) for row in split.distinct}


def _kinship(
    shot: Shot, images: Set[Shot], ordered: Mapping[str, Sequence[int]], margin: int
) -> Kinship:
    if shot.recording not in ordered:
        return Kinship.APART
    if shot in images:
        return Kinship.SAME
    numbers = ordered[shot.recording]
    if shot.frame is None or not numbers:
        return Kinship.DRIVE
    at = bisect_left(numbers, shot.frame)
    distance = min(abs(shot.frame - other) for other in numbers[max(at - 1, 0) : at + 1])
    if distance > margin:
        return Kinship.DRIVE
    return Kinship.NEAR if distance else Kinship.INSTANT


def _count(kinships: Mapping[Row, Kinship], recording: str | None = None) -> SideCounts:
    counts = Counter(
        kinship
        for row, kinship in kinships.items()
        if recording is None or row.shot.recording == recording
    )
    return SideCounts(counts.total(), *(counts[kinship] for kinship in Kinship))


def _examples(kinships: Mapping[Row, Kinship], count: int) -> tuple[tuple[Row, Kinship], ...]:
    nearest = min(kinships.values())
    if nearest == Kinship.APART:
        return ()
    return tuple(islice(((r, k) for r, k in kinships.items() if k == nearest), count))
