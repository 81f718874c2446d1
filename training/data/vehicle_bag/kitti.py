"""
KITTI raw drives and odometry sequences as recordings of a vehicle.

A raw drive has the vehicle's pose and velocity of its GPS/IMU unit, and its calibration to the
sensors (calib_imu_to_velo.txt): ``base_link`` lies on the ground below the unit. Where that is not
known, as in the sequences, whose poses are of a camera, ``base_link`` lies below the camera.

A scan gets the stamp of its image: KITTI triggers the camera when the scanner faces forward.
"""

from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.data.sources.kitti import KittiDrive
from training.data.sources.kitti import read_mounting
from training.data.sources.kitti import read_rgb
from training.data.sources.kitti import read_scan
from training.data.sources.kitti_odometry import open_kitti_odometry
from training.data.sources.kitti_raw import open_kitti_raw
from training.data.sources.source import SourceOptions
from training.data.vehicle_bag.kitti_motion import UNIT_HEIGHT_M
from training.data.vehicle_bag.kitti_motion import oxts_motions
from training.data.vehicle_bag.kitti_motion import pose_motions
from training.data.vehicle_bag.recording import R_BASE_OPTICAL
from training.data.vehicle_bag.recording import EncodedImage
from training.data.vehicle_bag.recording import Moment
from training.data.vehicle_bag.recording import Motion
from training.data.vehicle_bag.recording import Recording

CAMERA_HEIGHT_M = 1.65  # above the ground: Geiger et al., IJRR 2013, figure 3
LIDAR_FRAME = 'velodyne'
# Added to clocks that start at zero, as the sequences' do: tf2 takes zero for "the newest".
CLOCK_START_NS = 1_700_000_000_000_000_000
_MEDIA_TYPES = {'.png': 'png', '.jpg': 'jpeg', '.jpeg': 'jpeg'}


def kitti_raw_recording(path: Path, camera: str | None) -> Recording:
    """
    Open a raw drive.

    :param camera: such as ``02``; None for the left colour camera.
    :raises UserError: where the drive is damaged.
    """
    drive = _started(open_kitti_raw(path, SourceOptions(camera=camera)))
    notes = [n for n in drive.notes if 'GPS poses unused' not in n]
    stamps_ns = {number: f.stamp_ns for number, f in zip(drive.images, drive.frames)}
    motions = oxts_motions(path / 'oxts', stamps_ns)
    unit = _unit_to_camera(path.resolve(), drive)
    if motions and unit is None:
        notes.append('No calib_imu_to_velo.txt: base_link is put below the camera.')
    T_base_camera = _nominal_mounting() if unit is None else unit
    return _recording(drive, T_base_camera, motions, tuple(notes))


def kitti_odometry_recording(path: Path, camera: str | None) -> Recording:
    """
    Open a sequence of the odometry benchmark.

    :param camera: such as ``2`` or ``02``; None for the left colour camera.
    :raises UserError: where the sequence is damaged.
    """
    drive = _started(open_kitti_odometry(path, SourceOptions(camera=camera)))
    T_base_camera = _nominal_mounting()
    of_frames = pose_motions(drive.frames, T_base_camera)
    motions = {number: of_frames[i] for i, number in enumerate(drive.images) if i in of_frames}
    return _recording(drive, T_base_camera, motions, drive.notes)


def _started(drive: KittiDrive) -> KittiDrive:
    """Set a clock that starts at zero to a fixed date."""
    if drive.frames[0].stamp_ns > CLOCK_START_NS // 2:
        return drive
    frames = (f._replace(stamp_ns=CLOCK_START_NS + f.stamp_ns) for f in drive.frames)
    return replace(drive, frames=tuple(frames))


def _recording(
    drive: KittiDrive,
    T_base_camera: NDArray[np.float64],
    motions: Mapping[int, Motion],
    notes: tuple[str, ...],
) -> Recording:
    T_camera_lidar = drive.T_camera_velodyne if drive.scans else None
    return Recording(
        name=drive.name,
        description=drive.description,
        licence=drive.licence,
        notes=notes,
        intrinsics=drive.intrinsics,
        lidar_frame=LIDAR_FRAME,
        T_base_camera=T_base_camera,
        T_base_lidar=None if T_camera_lidar is None else T_base_camera @ T_camera_lidar,
        frame_count=len(drive.frames),
        moments=partial(_moments, drive, motions),
    )


def _moments(drive: KittiDrive, motions: Mapping[int, Motion], encoded: bool) -> Iterator[Moment]:
    for frame, (number, path) in zip(drive.frames, drive.images.items()):
        rgb = read_rgb(path)  # encoded ones too: no damaged file gets into a bag
        scan = drive.scans.get(number)
        yield Moment(
            frame.stamp_ns,
            EncodedImage(path.read_bytes(), _MEDIA_TYPES[path.suffix]) if encoded else rgb,
            None if scan is None else read_scan(scan),
            motions.get(number),
        )


def _unit_to_camera(path: Path, drive: KittiDrive) -> NDArray[np.float64] | None:
    """Return T_base_camera through the calibration of the GPS/IMU unit, None without."""
    candidates = (path.parent / 'calib_imu_to_velo.txt', path / 'calib_imu_to_velo.txt')
    calibration = next((c for c in candidates if c.is_file()), None)
    if calibration is None or drive.T_camera_velodyne is None:
        return None
    T_velodyne_unit = read_mounting(calibration)
    T_base_unit = np.eye(4)
    T_base_unit[2, 3] = UNIT_HEIGHT_M
    return np.asarray(T_base_unit @ np.linalg.inv(drive.T_camera_velodyne @ T_velodyne_unit))


def _nominal_mounting() -> NDArray[np.float64]:
    """Return T_base_camera of a camera that looks straight ahead above base_link."""
    T_base_camera = np.eye(4)
    T_base_camera[:3, :3] = R_BASE_OPTICAL
    T_base_camera[2, 3] = CAMERA_HEIGHT_M
    return T_base_camera
