"""
How KITTI's vehicle moved, in ROS's frames (REP 103 and 105).

The GPS/IMU unit (OXTS) states position, attitude and velocities of itself: x forward, y left,
z up, its attitude as R = Rz(yaw) Ry(pitch) Rx(roll) against east, north, up
(oxts/dataformat.txt). ``base_link`` lies on the ground below it, with its axes; ``odom`` starts
there, with x to the east and y to the north.
"""

import math
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.errors import UserError
from training.data.sources.fix_speed import tangent_steps
from training.data.sources.kitti import numbered_files
from training.data.sources.kitti import read_text
from training.data.sources.kitti_raw import frame_stamps
from training.data.sources.source import SourceFrame
from training.data.vehicle_bag.recording import Motion

UNIT_HEIGHT_M = 0.93  # of the GPS/IMU unit above the ground: Geiger et al., IJRR 2013, figure 3
MAX_OFFSET_NS = 50_000_000  # half a frame: what belongs to an image is nearer
# Fields of oxts/dataformat.txt.
_LATITUDE, _LONGITUDE, _ALTITUDE = 0, 1, 2
_ATTITUDE = slice(3, 6)  # roll, pitch, yaw
_VELOCITY = slice(8, 11)  # forward, left, up: along a levelled unit
_TURN_RATES = slice(17, 20)  # about the unit's own axes
_FIELDS_USED = 20


class _Reading(NamedTuple):
    fields: NDArray[np.float64]
    R_world_unit: NDArray[np.float64]  # [3, 3]


def oxts_motions(folder: Path, stamps_ns: Mapping[int, int]) -> dict[int, Motion]:
    """
    Read the GPS/IMU unit's measurements of a raw drive, by frame number.

    They keep the unit's own stamps, which lie up to 11 ms behind the images' in a drive looked at:
    at 10 m/s that is 0.1 m, and speeds by its positions jump by 4 % under the images' stamps.

    :param folder: ``oxts`` of the drive; where it is missing nothing is known.
    :param stamps_ns: of the images, by frame number.
    :raises UserError: naming a file that is damaged.
    """
    files = numbered_files(folder / 'data', ('.txt',))
    own_ns = frame_stamps(folder / 'timestamps.txt', files) if files else None
    moments_ns = _same_clock(dict(zip(files, own_ns or ())), stamps_ns)
    files = {number: path for number, path in files.items() if number in moments_ns}
    if not files:
        return {}
    readings = [_reading(path) for path in files.values()]
    fields = np.array([r.fields for r in readings])  # [N, fields]
    steps_m = tangent_steps(np.radians(fields[:, _LATITUDE]), np.radians(fields[:, _LONGITUDE]))
    positions_m = np.zeros((len(fields), 3))
    positions_m[1:, :2] = np.cumsum(steps_m, axis=0)
    positions_m[:, 2] = fields[:, _ALTITUDE]
    positions_m -= [r.R_world_unit @ (0.0, 0.0, UNIT_HEIGHT_M) for r in readings]
    positions_m -= positions_m[0]
    return {
        number: _motion_of(moments_ns[number], reading, position_m)
        for number, reading, position_m in zip(files, readings, positions_m)
    }


def pose_motions(
    frames: Sequence[SourceFrame], T_base_camera: NDArray[np.float64]
) -> Mapping[int, Motion]:
    """
    Derive motion from the camera's poses, by the position of the frame.

    Velocities are central differences. ``odom`` is where ``base_link`` is while the camera is at
    the origin of the poses' world.

    :param T_base_camera: (4, 4).
    :return: empty where the frames have no poses.
    """
    poses = [f.T_world_camera for f in frames if f.T_world_camera is not None]
    if len(frames) < 2 or len(poses) < len(frames):
        return {}
    T_world_camera = np.tile(np.eye(4), (len(poses), 1, 1))
    T_world_camera[:, :3] = np.reshape(poses, (-1, 3, 4))
    T_odom_base = T_base_camera @ T_world_camera @ np.linalg.inv(T_base_camera)  # [N, 4, 4]
    seconds = np.array([f.stamp_ns - frames[0].stamp_ns for f in frames]) * 1e-9
    velocities = np.gradient(T_odom_base[:, :3, 3], seconds, axis=0)  # along the axes of odom
    motions = {}
    for i, T in enumerate(T_odom_base):
        before, after = max(i - 1, 0), min(i + 1, len(frames) - 1)
        turned = T_odom_base[before, :3, :3].T @ T_odom_base[after, :3, :3]
        turn_rates = cv2.Rodrigues(turned)[0].reshape(3) / (seconds[after] - seconds[before])
        motions[i] = Motion(frames[i].stamp_ns, T, T[:3, :3].T @ velocities[i], turn_rates)
    return motions


def _same_clock(own_ns: Mapping[int, int], images_ns: Mapping[int, int]) -> Mapping[int, int]:
    """Return the unit's stamps by frame number; the images' where those are of another clock."""
    shared = {number: stamp for number, stamp in own_ns.items() if number in images_ns}
    near = [abs(stamp - images_ns[number]) < MAX_OFFSET_NS for number, stamp in shared.items()]
    return shared if near and all(near) else images_ns


def _reading(path: Path) -> _Reading:
    words = read_text(path).split()
    try:
        fields = np.array(words[:_FIELDS_USED], np.float64)
    except ValueError as error:
        raise UserError(f'{path}: is no line of oxts ({error})') from error
    if len(fields) < _FIELDS_USED or not np.isfinite(fields).all():
        raise UserError(
            f'{path}: {len(words)} numbers are no line of oxts, which has {_FIELDS_USED} or more; '
            'copy the drive again'
        )
    roll, pitch, yaw = fields[_ATTITUDE]
    return _Reading(fields, _about_z(yaw) @ _about_y(pitch) @ _about_x(roll))


def _motion_of(stamp_ns: int, reading: _Reading, position_m: NDArray[np.float64]) -> Motion:
    fields, R_world_unit = reading
    T_odom_base = np.eye(4)
    T_odom_base[:3, :3] = R_world_unit
    T_odom_base[:3, 3] = position_m
    R_level_unit = _about_z(fields[_ATTITUDE][2]).T @ R_world_unit
    velocity = R_level_unit.T @ fields[_VELOCITY]
    return Motion(stamp_ns, T_odom_base, velocity, fields[_TURN_RATES])


def _about_x(angle: float) -> NDArray[np.float64]:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])


def _about_y(angle: float) -> NDArray[np.float64]:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])


def _about_z(angle: float) -> NDArray[np.float64]:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
