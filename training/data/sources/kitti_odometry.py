"""
KITTI's odometry benchmark: one sequence folder, such as ``sequences/04``.

    SEQUENCE/image_C/NNNNNN.png     rectified images of camera C; 0 and 1 are gray
    SEQUENCE/calib.txt              P0 to P3, and Tr from Velodyne to camera 0
    SEQUENCE/times.txt              seconds (optional)
    SEQUENCE/velodyne/NNNNNN.bin    scans (optional)
    SEQUENCE/semantic_C/NNNNNN.png  class ids (ours, optional)
    SEQUENCE/../../poses/04.txt     T_world_camera of camera 0, one line per frame (optional)

Format: the development kit of cvlibs.net/datasets/kitti/eval_odometry.php.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.errors import UserError
from training.data.sources.kitti import KittiDrive
from training.data.sources.kitti import calibration_entry
from training.data.sources.kitti import numbered_files
from training.data.sources.kitti import numbered_images
from training.data.sources.kitti import offset_from_camera_0
from training.data.sources.kitti import read_calibration
from training.data.sources.kitti import read_rgb
from training.data.sources.kitti import read_text
from training.data.sources.source import ASSUMED_RATE_HZ
from training.data.sources.source import SourceFrame
from training.data.sources.source import SourceOptions

CAMERAS = ('2', '3', '0', '1')  # colour first
_GRAY_CAMERAS = ('0', '1')


def is_kitti_odometry(path: Path) -> bool:
    """Return whether a folder is a sequence of KITTI odometry."""
    return bool(kitti_odometry_cameras(path))


def kitti_odometry_cameras(path: Path) -> tuple[str, ...]:
    """Return the cameras of a sequence that have images, colour first."""
    return tuple(c for c in CAMERAS if (path / f'image_{c}').is_dir())


def open_kitti_odometry(path: Path, options: SourceOptions) -> KittiDrive:
    """
    Open a sequence.

    :param options: ``camera`` may be written ``2`` or, as in KITTI raw, ``02``.
    :raises UserError: where the camera, its calibration or its images are missing or damaged.
    """
    path = path.resolve()  # its name and neighbours count
    held = kitti_odometry_cameras(path)
    camera = held[0] if options.camera is None else options.camera.removeprefix('0') or '0'
    if camera not in held:
        raise UserError(
            f'{path}: no camera {camera} (no folder image_{camera}); it has {", ".join(held)}'
        )
    images = numbered_images(path / f'image_{camera}')
    calibration = path / 'calib.txt'
    if not calibration.is_file():
        raise UserError(f'{path}: no intrinsics: calib.txt is missing; copy it from the benchmark')
    entries = read_calibration(calibration)
    projection = calibration_entry(entries, f'P{camera}', (3, 4), calibration)
    # The sequences are published at the size they were calibrated at, which no file states.
    height, width = read_rgb(next(iter(images.values()))).shape[:2]
    intrinsics = Intrinsics.from_matrix(projection, width, height)
    T_camera_0 = np.eye(4)
    T_camera_0[:3, 3] = offset_from_camera_0(projection)

    notes = []
    if camera in _GRAY_CAMERAS:
        notes.append('Gray camera: its images are stored as colour with equal channels.')
    stamps_ns = _stamps(path / 'times.txt', images)
    if stamps_ns is None:
        notes.append(f'No times.txt: {ASSUMED_RATE_HZ:g} Hz assumed.')
        stamps_ns = [round(number / ASSUMED_RATE_HZ * 1e9) for number in images]
    poses = _poses(path.parent.parent / 'poses' / f'{path.name}.txt', images, T_camera_0)
    if poses[0] is None:
        notes.append('No poses: motion and scale are unknown.')
    scans = numbered_files(path / 'velodyne', ('.bin',))
    T_0_velodyne = _velodyne_transform(entries, calibration) if scans else None
    if not scans:
        notes.append('No velodyne folder: no LiDAR.')
    elif T_0_velodyne is None:
        notes.append('No Tr in calib.txt: LiDAR left out.')
    return KittiDrive(
        name=f'odometry_{path.name}_{camera}',
        description=f'KITTI odometry {path.name}, camera {camera}',
        intrinsics=intrinsics,
        frames=tuple(
            SourceFrame(stamp_ns, None, pose, number)
            for stamp_ns, pose, number in zip(stamps_ns, poses, images)
        ),
        notes=tuple(notes),
        images=images,
        labels=numbered_files(path / f'semantic_{camera}', ('.png',)),
        scans=scans,
        T_camera_velodyne=None if T_0_velodyne is None else T_camera_0 @ T_0_velodyne,
    )


def _velodyne_transform(
    entries: Mapping[str, NDArray[np.float64]], calibration: Path
) -> NDArray[np.float64] | None:
    """Return Tr, from Velodyne to camera 0, as (4, 4); None where the file has none."""
    if 'Tr' not in entries:
        return None
    transform = calibration_entry(entries, 'Tr', (3, 4), calibration)
    return np.vstack([transform, [0.0, 0.0, 0.0, 1.0]])


def _stamps(path: Path, images: Mapping[int, Path]) -> list[int] | None:
    """Return the stamp of each image in ns since the first frame, or None without times."""
    if not path.is_file():
        return None
    words = read_text(path).split()
    if len(words) <= max(images):
        raise UserError(f'{path}: {len(words)} times for images up to number {max(images)}')
    try:
        return [round(float(words[number]) * 1e9) for number in images]
    except ValueError as error:
        raise UserError(f'{path}: is no list of seconds ({error})') from error


def _poses(
    path: Path, images: Mapping[int, Path], T_camera_0: NDArray[np.float64]
) -> list[tuple[float, ...] | None]:
    """Return T_world_camera (3x4, row by row) of each image, None without poses."""
    if not path.is_file():
        return [None] * len(images)
    try:
        T_world_0 = np.loadtxt(path, ndmin=2)
    except ValueError as error:
        raise UserError(f'{path}: is no list of poses ({error})') from error
    if T_world_0.shape[1] != 12 or len(T_world_0) <= max(images):
        raise UserError(
            f'{path}: {len(T_world_0)} lines of {T_world_0.shape[1]} numbers; a line of 12 for '
            f'each image up to number {max(images)} is needed'
        )
    # The published poses are of camera 0; in a turn another camera moves differently.
    T_0_camera = np.linalg.inv(T_camera_0)
    poses: list[tuple[float, ...] | None] = []
    for number in images:
        pose = T_world_0[number].reshape(3, 4) @ T_0_camera
        poses.append(tuple(float(v) for v in pose.reshape(-1)))
    return poses
