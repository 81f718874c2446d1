"""
Which frames to train on, as a text file of one frame per line.

Three kinds of lines are understood, and may be mixed:

    DRIVE 000123                                                   ours, by folder and file
    2011_09_26/2011_09_26_drive_0022_sync 473 r                    monodepth2's, of KITTI raw
    8 4056 l                                                       monodepth2's, of KITTI odometry
    2011_09_26/2011_09_26_drive_0022_sync/image_03/data/0000000473.png ...  packnet-sfm's

The latter name drives and frames as KITTI does. Prepared drives know where they are from, so that
these lines find them under any name; what else stands in a line of paths does not count.

The word ``eigen`` stands for the test list of Eigen et al., which comes with us.
"""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from sg_depth_ros.errors import UserError
from sg_depth_ros.evaluation.frame_key import FrameKey
from training.data.drive import Drive

_RAW = r'(?:\S*/)?(\d{4}_\d\d_\d\d_drive_\d{4})_(?:sync|extract)'
_SIDED = re.compile(rf'(?:{_RAW}/?|(\d\d?))\s+(\d+)\s+([lr])')
_RAW_PATH = re.compile(rf'{_RAW}/image_(\d\d)/data/(\d+)\.\w+(?:\s.*)?')
_ODOMETRY_PATH = re.compile(r'(?:\S*/)?(\d\d)/image_(\d)/(\d+)\.\w+(?:\s.*)?')
# Ours is last: any two words would do.
_OURS = re.compile(r'(\S+)\s+(\d+)')
EIGEN = 'eigen'
_EIGEN_FILE = Path(__file__).with_name('eigen_test_frames.txt')
_FORMATS = '"drive frame", "date/drive_sync frame l" or a path of KITTI'

_RAW_SOURCE = re.compile(r'KITTI raw (\S+), camera 0?(\d)')
_RAW_NAME = re.compile(r'(\d{4}_\d\d_\d\d_drive_\d{4})_0(\d)$')
_ODOMETRY_SOURCE = re.compile(r'KITTI odometry (\d\d), camera (\d)')
_ODOMETRY_NAME = re.compile(r'odometry_(\d\d)_(\d)$')
_CAMERA_OF_SIDE = {'l': 2, 'r': 3}


class Camera(NamedTuple):
    """One camera of a recording, as KITTI names them: 0 and 1 gray, 2 and 3 in colour."""

    recording: str  # a drive of KITTI raw, a sequence of KITTI odometry; ours: the drive's folder
    number: int | None  # None: the drive's folder holds one

    def __str__(self) -> str:
        return self.recording if self.number is None else f'{self.recording} camera {self.number}'


class SplitLine(NamedTuple):
    """One line of a split, whether its drive is prepared or not."""

    camera: Camera
    frame: int  # KITTI's number, or ours where the camera has none


class SplitMatch(NamedTuple):
    """What a split means for the drives that are prepared."""

    entries: frozenset[FrameKey]
    lines: int
    unprepared: tuple[tuple[Camera, int], ...]  # and how many lines name it, most first
    missing_frames: int  # lines of prepared drives that lack the frame

    def cautions(self, split: Path) -> tuple[str, ...]:
        """Return what of the split cannot be used, in sentences."""
        told = []
        if self.unprepared:
            count = sum(lines for _, lines in self.unprepared)
            told.append(
                f'{split}: {count} of {self.lines} lines are of {len(self.unprepared)} drives '
                f'that are not prepared, such as {self.unprepared[0][0]}'
            )
        if self.missing_frames:
            told.append(
                f'{split}: {self.missing_frames} of {self.lines} lines name frames that their '
                'drive does not have'
            )
        return tuple(told)


def read_split_lines(path: Path) -> tuple[SplitLine, ...]:
    """
    Read a split file of any of the known formats; blank lines and ``#`` lines are left out.

    :raises UserError: naming the line that is of none.
    """
    try:
        text = path.read_text()
    except OSError as error:
        raise UserError(f'{path}: cannot read the split ({error.strerror})') from error
    except UnicodeDecodeError as error:
        raise UserError(f'{path}: no split, the file is no text') from error
    lines = []
    for number, line in enumerate(map(str.strip, text.splitlines()), start=1):
        if not line or line.startswith('#'):
            continue
        found = _parse(line)
        if found is None:
            raise UserError(f'{path}:{number}: {_shortened(line)!r} is not {_FORMATS}')
        lines.append(found)
    return tuple(lines)


def read_named_split(name: str) -> tuple[SplitLine, ...]:
    """
    Read a split file, or what the word ``eigen`` stands for (a file of that name: ``./eigen``).

    :raises UserError: naming the line that is of no known format.
    """
    return eigen_test_lines() if name == EIGEN else read_split_lines(Path(name))


def eigen_test_lines() -> tuple[SplitLine, ...]:
    """Return the 697 frames of KITTI raw that published tables are measured on."""
    lines = []
    for line in _EIGEN_FILE.read_text().splitlines():
        if line.startswith('#'):
            continue
        names, numbers = line.split(':')
        drive, camera = names.split()
        lines += [SplitLine(Camera(drive, int(camera)), int(n)) for n in numbers.split()]
    return tuple(lines)


def match_split(lines: Iterable[SplitLine], drives: Iterable[Drive]) -> SplitMatch:
    """Find the lines' frames among prepared drives."""
    numbered: dict[Camera, list[tuple[Drive, dict[int, int]]]] = {}
    for drive in drives:
        by_index = {frame.index: frame.index for frame in drive.frames}
        numbered.setdefault(Camera(drive.name, None), []).append((drive, by_index))
        if (camera := kitti_camera(drive)) is not None:
            by_number = {
                frame.index if frame.number is None else frame.number: frame.index
                for frame in drive.frames
            }
            numbered.setdefault(camera, []).append((drive, by_number))
    entries: set[FrameKey] = set()
    unprepared: Counter[Camera] = Counter()
    count = missing_frames = 0
    for line in lines:
        count += 1
        prepared = numbered.get(line.camera)
        if prepared is None:
            unprepared[line.camera] += 1
            continue
        found = [FrameKey(d.name, i[line.frame]) for d, i in prepared if line.frame in i]
        entries.update(found)
        missing_frames += not found
    return SplitMatch(frozenset(entries), count, tuple(unprepared.most_common()), missing_frames)


def find_split(path: Path, drives: Iterable[Drive], root: Path) -> SplitMatch:
    """
    Read a split and find its frames among the drives of a dataset.

    :raises UserError: where a line cannot be read, or no line fits any drive.
    """
    match = match_split(read_split_lines(path), drives)
    if not match.lines:
        raise UserError(f'{path}: the split is empty')
    if not match.entries:
        if not match.unprepared:
            raise UserError(f'{path}: none of its frames is in {root}')
        named = ', '.join(str(camera) for camera, _ in match.unprepared[:3])
        raise UserError(
            f'{path}: none of its {match.lines} lines is of a drive in {root}; it names {named}'
            f'{", ..." if len(match.unprepared) > 3 else ""}'
        )
    return match


def kitti_camera(drive: Drive) -> Camera | None:
    """Return the KITTI camera that a prepared drive is of, by its source or else its name."""
    for pattern in (_RAW_SOURCE, _ODOMETRY_SOURCE):
        if found := pattern.match(drive.source):
            return Camera(found.group(1), int(found.group(2)))
    return camera_of_name(drive.name)


def camera_of_name(name: str) -> Camera | None:
    """Return the KITTI camera that a drive's folder is of, where it has the name prepare gives."""
    found = _RAW_NAME.match(name) or _ODOMETRY_NAME.match(name)
    return Camera(found.group(1), int(found.group(2))) if found else None


def _parse(line: str) -> SplitLine | None:
    if found := _SIDED.fullmatch(line):
        drive, sequence, number, side = found.groups()
        recording = drive or f'{int(sequence):02d}'
        return SplitLine(Camera(recording, _CAMERA_OF_SIDE[side]), int(number))
    if found := _RAW_PATH.fullmatch(line) or _ODOMETRY_PATH.fullmatch(line):
        recording, camera, number = found.groups()
        return SplitLine(Camera(recording, int(camera)), int(number))
    if found := _OURS.fullmatch(line):
        return SplitLine(Camera(found.group(1), None), int(found.group(2)))
    return None


def _shortened(line: str) -> str:
    return line if len(line) <= 80 else f'{line[:77]}...'
