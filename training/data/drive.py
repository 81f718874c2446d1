"""
The dataset folder: one folder per drive, and the ``drive.json`` that describes it.

    DATASET/DRIVE/drive.json          camera, stamps, motion, dropped frames
    DATASET/DRIVE/frames/000000.jpg   at network size, JPEG quality 95, 4:4:4
    DATASET/DRIVE/labels/000000.png   class ids at network size, where the source has them
    DATASET/DRIVE/lidar/000000.png    depth at the original image's size: uint16, 1/256 m, 0 = none

A split is a text file of ``drive frame`` lines; splits.py reads KITTI's splits too.
"""

import json
import math
from collections.abc import Iterable
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.contract import ScaleSource
from sg_depth_ros.errors import UserError
from sg_depth_ros.evaluation.frame_key import FrameKey
from sg_depth_ros.image_encoding import ImageEncodingError
from sg_depth_ros.image_encoding import decode_image_file
from sg_depth_ros.output import write_text_atomically
from training.data.jpeg import decode_into

DRIVE_FILE = 'drive.json'
DRIVE_FORMAT_VERSION = 1
LIDAR_UNITS_PER_M = 256.0  # KITTI's depth maps use the same


@dataclass(frozen=True)
class Frame:
    """One image of a drive; its files are named by ``index``."""

    index: int
    stamp_ns: int
    speed_m_s: float | None = None
    T_world_camera: tuple[float, ...] | None = None  # 3x4, row by row
    number: int | None = None  # in the recording, where it numbers frames; KITTI's have gaps
    dropped: str | None = None  # why training must not use it as a target


@dataclass(frozen=True)
class Drive:
    """A recording turned into a dataset folder."""

    name: str
    source: str  # what it was made from, for people
    intrinsics: Intrinsics  # of the files in frames/
    original_intrinsics: Intrinsics  # of the recording, and of the files in lidar/
    frames: tuple[Frame, ...]  # ordered by stamp; frames[i].index == i
    licence: str = 'not stated'
    notes: tuple[str, ...] = ()  # what prepare assumed or missed, in sentences

    @property
    def scale_source(self) -> ScaleSource:
        """Where metres come from: measured poses, measured speed, or nowhere."""
        if any(f.T_world_camera is not None for f in self.frames):
            return 'poses'
        if any(f.speed_m_s is not None for f in self.frames):
            return 'speed'
        return 'none'

    def displacement_m(self, first: int, second: int) -> float | None:
        """
        Return how far the camera moved between two frames, in metres, or None where unknown.

        From poses, else from the speeds integrated over the stamps (trapezoids).
        """
        a, b = self.frames[first], self.frames[second]
        if a.T_world_camera is not None and b.T_world_camera is not None:
            return math.dist(a.T_world_camera[3::4], b.T_world_camera[3::4])
        low, high = sorted((first, second))
        total_m = 0.0
        for before, after in zip(self.frames[low:high], self.frames[low + 1 : high + 1]):
            if before.speed_m_s is None or after.speed_m_s is None:
                return None
            step_s = (after.stamp_ns - before.stamp_ns) * 1e-9
            total_m += 0.5 * (before.speed_m_s + after.speed_m_s) * step_s
        return abs(total_m)


def frame_path(drive_folder: Path, index: int) -> Path:
    """Return the path of a frame's image."""
    return drive_folder / 'frames' / f'{index:06d}.jpg'


def labels_path(drive_folder: Path, index: int) -> Path:
    """Return the path of a frame's class ids, which need not exist."""
    return drive_folder / 'labels' / f'{index:06d}.png'


def lidar_path(drive_folder: Path, index: int) -> Path:
    """Return the path of a frame's sparse depth, which need not exist."""
    return drive_folder / 'lidar' / f'{index:06d}.png'


def read_drive(drive_folder: Path) -> Drive:
    """
    Read ``drive.json``.

    :raises UserError: where it is missing or damaged, naming the file.
    """
    path = drive_folder / DRIVE_FILE
    try:
        document = json.loads(path.read_text())
        version = document['format_version']
        if version != DRIVE_FORMAT_VERSION:
            raise UserError(
                f'format_version is {version!r}, not {DRIVE_FORMAT_VERSION}; run prepare again'
            )
        drive = Drive(
            name=drive_folder.name,
            source=document['source'],
            intrinsics=Intrinsics(**document['intrinsics_px']),
            original_intrinsics=Intrinsics(**document['original_intrinsics_px']),
            frames=tuple(_frame_from_json(f) for f in document['frames']),
            licence=document['licence'],
            notes=tuple(document.get('notes', ())),
        )
    except OSError as error:
        raise UserError(f'{path}: cannot be read ({error.strerror}); run prepare') from error
    except UserError as error:
        raise UserError(f'{path}: {error}') from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f'{path}: damaged ({error!r}); run prepare again') from error
    if [f.index for f in drive.frames] != list(range(len(drive.frames))):
        raise UserError(f'{path}: frames are not numbered from 0; run prepare again')
    return drive


def write_drive(drive: Drive, drive_folder: Path) -> None:
    """Write ``drive.json``; the last file of a drive, so that its presence means complete."""
    document = {
        'format_version': DRIVE_FORMAT_VERSION,
        'source': drive.source,
        'licence': drive.licence,
        'notes': list(drive.notes),
        'intrinsics_px': vars(drive.intrinsics),
        'original_intrinsics_px': vars(drive.original_intrinsics),
        'scale_source': drive.scale_source,
        'frames': [_frame_to_json(f) for f in drive.frames],
    }
    path = drive_folder / DRIVE_FILE
    temporary = path.with_suffix('.tmp')
    temporary.write_text(json.dumps(document, indent=1) + '\n')
    temporary.replace(path)


def list_drives(dataset: Path) -> tuple[Path, ...]:
    """
    Return the drive folders of a dataset, by name.

    :raises UserError: where the folder is missing or holds no drive.
    """
    if not dataset.is_dir():
        raise UserError(f'{dataset}: no such dataset folder; make it with prepare')
    folders = tuple(sorted(p.parent for p in dataset.glob(f'*/{DRIVE_FILE}')))
    if not folders:
        raise UserError(f'{dataset}: holds no drive (no */{DRIVE_FILE}); make it with prepare')
    return folders


def write_split(entries: Iterable[FrameKey], path: Path) -> None:
    """
    Write a split file in one step.

    :raises UserError: where it cannot be written.
    """
    write_text_atomically(''.join(f'{e.drive} {e.frame:06d}\n' for e in entries), path)


class DamagedImageError(UserError):
    """An image file that is missing, damaged or not of the size it should have."""


def read_image(path: Path) -> NDArray[np.uint8]:
    """
    Read an image as RGB (H, W, 3), turned as its EXIF data say.

    :raises DamagedImageError: where it is missing or damaged, naming the file.
    """
    try:
        return decode_image_file(_read_image_file(path), upright=True)
    except ImageEncodingError as error:
        raise DamagedImageError(f'{path}: {error}') from error


def read_frame_into(path: Path, image: NDArray[np.uint8]) -> None:
    """
    Read a stored frame to where it is wanted, as it is: neither resized nor turned.

    :param image: RGB (H, W, 3), contiguous; is written, also where reading fails.
    :raises DamagedImageError: where it is missing, damaged or of another size, naming the file.
    """
    try:
        decode_into(_read_image_file(path), image)
    except ImageEncodingError as error:
        raise DamagedImageError(f'{path}: {error}') from error


def _read_image_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DamagedImageError(f'{path}: no such image') from error
    except OSError as error:
        raise DamagedImageError(f'{path}: cannot be read ({error.strerror})') from error


def write_frame(image: NDArray[np.uint8], path: Path) -> None:
    """Write RGB (H, W, 3) as JPEG of quality 95 without chroma subsampling."""
    options = (
        cv2.IMWRITE_JPEG_QUALITY,
        95,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    )
    _write(path, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)


def read_labels(path: Path) -> NDArray[np.uint8]:
    """
    Read class ids (H, W).

    :raises UserError: where the file is missing or no 8-bit single-channel PNG.
    """
    labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if labels is None or labels.ndim != 2 or labels.dtype != np.uint8:
        raise UserError(f'{path}: no 8-bit PNG of one channel with class ids')
    return np.asarray(labels, np.uint8)


def write_labels(labels: NDArray[np.uint8], path: Path) -> None:
    """Write class ids (H, W) as PNG."""
    _write(path, labels, ())


def read_lidar(path: Path) -> NDArray[np.float32]:
    """
    Read depth_m (H, W), 0 where there is no measurement.

    :raises UserError: where the file is missing or no 16-bit PNG.
    """
    stored = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if stored is None or stored.ndim != 2 or stored.dtype != np.uint16:
        raise UserError(f'{path}: no 16-bit depth image')
    depth_m: NDArray[np.float32] = stored.astype(np.float32)
    depth_m /= np.float32(LIDAR_UNITS_PER_M)
    return depth_m


def write_lidar(depth_m: NDArray[np.float32], path: Path) -> None:
    """Write depth_m (H, W); what 16 bits cannot hold (256 m and beyond) becomes 0."""
    units = np.rint(depth_m * LIDAR_UNITS_PER_M)
    units[~(units < 65536)] = 0
    _write(path, units.astype(np.uint16), ())


def _write(path: Path, image: NDArray[Any], options: Sequence[int]) -> None:
    # Not imwrite: on a full disk it may leave half a file and not say so.
    encoded, data = cv2.imencode(path.suffix, image, list(options))
    if not encoded:
        raise OSError(f'{path}: could not be encoded')
    path.write_bytes(data.tobytes())


def _frame_to_json(frame: Frame) -> dict[str, Any]:
    document: dict[str, Any] = {'index': frame.index, 'stamp_ns': frame.stamp_ns}
    if frame.speed_m_s is not None:
        document['speed_m_s'] = frame.speed_m_s
    if frame.T_world_camera is not None:
        document['T_world_camera'] = list(frame.T_world_camera)
    if frame.number is not None:
        document['number'] = frame.number
    if frame.dropped is not None:
        document['dropped'] = frame.dropped
    return document


def _frame_from_json(document: dict[str, Any]) -> Frame:
    pose = document.get('T_world_camera')
    if pose is not None and len(pose) != 12:
        raise TypeError(f'pose of {len(pose)} numbers, not 12')
    stamp_ns, speed_m_s = document['stamp_ns'], document.get('speed_m_s')
    number = document.get('number')
    if not isinstance(number, (int, type(None))):
        raise TypeError(f'number {number!r} is no whole number')
    if not isinstance(stamp_ns, int) or not isinstance(speed_m_s, (int, float, type(None))):
        raise TypeError(f'stamp_ns {stamp_ns!r} or speed_m_s {speed_m_s!r} is no number')
    return Frame(
        index=document['index'],
        stamp_ns=stamp_ns,
        speed_m_s=speed_m_s,
        T_world_camera=None if pose is None else tuple(pose),
        number=number,
        dropped=document.get('dropped'),
    )
