"""
KITTI raw: one drive folder, such as ``2011_09_26/2011_09_26_drive_0009_sync``.

    DRIVE/image_0C/{data/NNNNNNNNNN.png,timestamps.txt}  rectified images of camera 0C
    DRIVE/oxts/data/NNNNNNNNNN.txt                       GPS/IMU; its field vf is the speed
    DRIVE/velodyne_points/data/NNNNNNNNNN.bin            scans, matched to images by number
    DRIVE/semantic_0C/data/NNNNNNNNNN.png                class ids (ours, optional)
    DRIVE/../calib_{cam_to_cam,velo_to_cam}.txt          calibration of the day

Format: Geiger et al., Vision meets Robotics, IJRR 2013, and the development kit.
"""

import calendar
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.errors import UserError
from training.data.sources.kitti import KittiDrive
from training.data.sources.kitti import calibration_entry
from training.data.sources.kitti import fit_intrinsics
from training.data.sources.kitti import numbered_files
from training.data.sources.kitti import numbered_images
from training.data.sources.kitti import offset_from_camera_0
from training.data.sources.kitti import read_calibration
from training.data.sources.kitti import read_mounting
from training.data.sources.kitti import read_rgb
from training.data.sources.kitti import read_text
from training.data.sources.source import ASSUMED_RATE_HZ
from training.data.sources.source import SourceFrame
from training.data.sources.source import SourceOptions

CAMERAS = ('02', '03', '00', '01')  # colour first
_OXTS_FORWARD_VELOCITY = 8  # field vf of oxts/dataformat.txt, m/s, parallel to the ground


class RawCamera(NamedTuple):
    """A camera of a drive as it was calibrated; published images have that size."""

    intrinsics: Intrinsics
    T_camera_velodyne: NDArray[np.float64] | None  # [4, 4]; None without calib_velo_to_cam.txt
    calibration: Path


def is_kitti_raw(path: Path) -> bool:
    """Return whether a folder is a drive of KITTI raw."""
    return bool(kitti_raw_cameras(path))


def kitti_raw_cameras(path: Path) -> tuple[str, ...]:
    """Return the cameras of a drive that have images, colour first."""
    return tuple(c for c in CAMERAS if (path / f'image_{c}' / 'data').is_dir())


def open_kitti_raw(path: Path, options: SourceOptions) -> KittiDrive:
    """
    Open a drive.

    :raises UserError: where the camera, its calibration or its images are missing or damaged.
    """
    path = path.resolve()  # its name and parent count
    camera = options.camera or kitti_raw_cameras(path)[0]
    folder = path / f'image_{camera}'
    if not folder.is_dir():
        held = ', '.join(c for c in sorted(CAMERAS) if (path / f'image_{c}').is_dir())
        raise UserError(f'{path}: no camera {camera} (no folder image_{camera}); it has {held}')
    images = numbered_images(folder / 'data')
    calibrated = read_raw_camera(path, camera)
    T_camera_velodyne = calibrated.T_camera_velodyne
    first = next(iter(images.values()))
    intrinsics = fit_intrinsics(
        calibrated.intrinsics, read_rgb(first), calibrated.calibration, first
    )
    scans = numbered_files(path / 'velodyne_points' / 'data', ('.bin',))
    stamps_ns = frame_stamps(folder / 'timestamps.txt', images)
    speeds = _forward_speeds(path / 'oxts' / 'data', images)

    notes = []
    if stamps_ns is None:
        notes.append(f'No timestamps: {ASSUMED_RATE_HZ:g} Hz assumed.')
        stamps_ns = [round(number / ASSUMED_RATE_HZ * 1e9) for number in images]
    if all(speed is None for speed in speeds):
        notes.append('No oxts: speed and scale are unknown.')
    else:
        notes.append('Speed is vf of oxts, forward and parallel to the ground; GPS poses unused.')
    if not scans:
        notes.append('No velodyne_points: no LiDAR.')
    elif T_camera_velodyne is None:
        notes.append('No calib_velo_to_cam.txt: LiDAR left out.')
    drive = path.name.removesuffix('_sync').removesuffix('_extract')
    return KittiDrive(
        name=f'{drive}_{camera}',
        description=f'KITTI raw {drive}, camera {camera}',
        intrinsics=intrinsics,
        frames=tuple(SourceFrame(s, v, None, n) for s, v, n in zip(stamps_ns, speeds, images)),
        notes=tuple(notes),
        images=images,
        labels=numbered_files(path / f'semantic_{camera}' / 'data', ('.png',)),
        scans=scans,
        T_camera_velodyne=T_camera_velodyne,
    )


def read_raw_camera(path: Path, camera: str) -> RawCamera:
    """
    Read the calibration of a drive.

    :param path: the drive's folder.
    :param camera: such as ``02``.
    :raises UserError: where it is missing or damaged.
    """
    calibration = _calibration_file(path, 'calib_cam_to_cam.txt')
    if calibration is None:
        raise UserError(
            f'{path}: no intrinsics: calib_cam_to_cam.txt is neither in {path.parent} nor in the '
            'drive; unpack the calibration of the day beside its drives'
        )
    entries = read_calibration(calibration)
    projection = calibration_entry(entries, f'P_rect_{camera}', (3, 4), calibration)
    size = calibration_entry(entries, f'S_rect_{camera}', (2,), calibration)
    T_rectified_0 = np.eye(4)
    T_rectified_0[:3, :3] = calibration_entry(entries, 'R_rect_00', (3, 3), calibration)
    return RawCamera(
        Intrinsics.from_matrix(projection, int(size[0]), int(size[1])),
        _velodyne_transform(path, T_rectified_0, projection),
        calibration,
    )


def _velodyne_transform(
    path: Path, T_rectified_0: NDArray[np.float64], projection: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """Chain Velodyne -> camera 0 -> rectified camera 0 -> this camera."""
    calibration = _calibration_file(path, 'calib_velo_to_cam.txt')
    if calibration is None:
        return None
    T_camera_rectified = np.eye(4)
    T_camera_rectified[:3, 3] = offset_from_camera_0(projection)
    return T_camera_rectified @ T_rectified_0 @ read_mounting(calibration)


def _calibration_file(path: Path, name: str) -> Path | None:
    candidates = (path.parent / name, path / name)
    return next((c for c in candidates if c.is_file()), None)


def frame_stamps(path: Path, files: Mapping[int, Path]) -> list[int] | None:
    """
    Return the stamp of each numbered file in ns, or None without timestamps.

    :raises UserError: where they are damaged or do not reach as far as the numbers.
    """
    if not path.is_file():
        return None
    lines = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    if len(lines) == len(files):
        chosen = lines
    elif len(lines) > max(files):
        chosen = [lines[number] for number in files]
    else:
        raise UserError(f'{path}: {len(lines)} timestamps for files up to number {max(files)}')
    try:
        return [parse_timestamp(line) for line in chosen]
    except ValueError as error:
        raise UserError(f'{path}: {error}') from error


def parse_timestamp(text: str) -> int:
    """Read ``2011-09-26 13:08:24.967930880``, taken as UTC, to the nanosecond."""
    seconds, _, fraction = text.partition('.')
    try:
        whole = calendar.timegm(time.strptime(seconds, '%Y-%m-%d %H:%M:%S'))
        return whole * 10**9 + int(fraction[:9].ljust(9, '0'))
    except ValueError as error:
        raise ValueError(f'{text!r} is no timestamp') from error


def _forward_speeds(folder: Path, images: Mapping[int, Path]) -> list[float | None]:
    files = numbered_files(folder, ('.txt',))
    return [_forward_speed(files[n]) if n in files else None for n in images]


def _forward_speed(path: Path) -> float:
    fields = read_text(path).split()
    try:
        return float(fields[_OXTS_FORWARD_VELOCITY])
    except (IndexError, ValueError) as error:
        raise UserError(
            f'{path}: no forward velocity (field {_OXTS_FORWARD_VELOCITY + 1} of oxts)'
        ) from error
