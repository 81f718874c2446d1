"""
Where the LiDAR sits, from a file: for recordings whose /tf_static does not say it, or wrongly.

    T_camera_lidar:                  # takes points of the LiDAR to the camera's optical frame
      xyz: [0.05, -0.08, -0.27]      # metres: x right, y down, z forward
      quaternion: [x, y, z, w]       # or rpy_deg: [roll, pitch, yaw], or rpy: the same in radians

or ``T_camera_lidar`` as the rows of a 4x4 or 3x4 matrix. Roll, pitch and yaw turn about the fixed
axes x, y, z, in that order, as in URDF (wiki.ros.org/urdf/XML/joint).
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from sg_depth_ros.bags.transforms import quaternion_matrix
from sg_depth_ros.bags.transforms import unit_quaternion
from sg_depth_ros.errors import UserError

KEY = 'T_camera_lidar'
_ROTATIONS = {'quaternion': 4, 'rpy_deg': 3, 'rpy': 3}
ORTHONORMAL_TOLERANCE = 1e-3


def read_extrinsics(path: Path) -> NDArray[np.float64]:
    """
    Read T_camera_lidar (4, 4).

    :raises UserError: where the file cannot be read, or holds no rigid transform.
    """
    try:
        document = yaml.safe_load(path.read_text())
    except OSError as error:
        raise UserError(f'{path}: cannot be read ({error.strerror})') from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f'{path}: no YAML ({" ".join(str(error).split())})') from error
    if not isinstance(document, dict) or set(document) != {KEY}:
        held = ', '.join(map(str, document)) if isinstance(document, dict) else document
        raise UserError(
            f'{path}: holds {held or "nothing"}; it must hold {KEY} alone: a 4x4 matrix, or xyz '
            f'and one of {", ".join(_ROTATIONS)}'
        )
    try:
        return _transform(document[KEY])
    except ValueError as error:
        raise UserError(f'{path}: {KEY}: {error}') from error


def _transform(given: Any) -> NDArray[np.float64]:
    if isinstance(given, dict):
        return _from_parts(given)
    try:
        rows = np.array(given, np.float64)
    except (TypeError, ValueError):
        rows = np.empty(0)
    if rows.shape not in ((3, 4), (4, 4)):
        raise ValueError('neither rows of a 4x4 or 3x4 matrix of numbers, nor xyz and a rotation')
    matrix = np.vstack([rows[:3], [0.0, 0.0, 0.0, 1.0]])
    rotation = matrix[:3, :3]
    off = np.abs(rotation @ rotation.T - np.eye(3)).max()
    if not np.isfinite(matrix).all() or off > ORTHONORMAL_TOLERANCE:
        raise ValueError('the left 3x3 is no rotation: its rows are not of length 1 and square')
    if np.linalg.det(rotation) < 0:
        raise ValueError('the left 3x3 mirrors; an axis has the wrong sign')
    if len(rows) == 4 and not np.array_equal(rows[3], matrix[3]):
        raise ValueError('the last row is not 0 0 0 1; is the matrix transposed?')
    return matrix


def _from_parts(given: dict[Any, Any]) -> NDArray[np.float64]:
    named = [name for name in _ROTATIONS if name in given]
    if 'xyz' not in given or len(named) != 1 or len(given) != 2:
        raise ValueError(
            f'holds {", ".join(map(str, given)) or "nothing"}; needs xyz and one of '
            f'{", ".join(_ROTATIONS)}'
        )
    xyz = _numbers(given, 'xyz', 3)
    kind = named[0]
    values = _numbers(given, kind, _ROTATIONS[kind])
    if kind == 'quaternion':
        x, y, z, w = values
        return quaternion_matrix(unit_quaternion(w, x, y, z), np.array(xyz))
    roll, pitch, yaw = (math.radians(v) for v in values) if kind == 'rpy_deg' else values
    about_z = quaternion_matrix((math.cos(yaw / 2), 0, 0, math.sin(yaw / 2)), np.array(xyz))
    about_y = quaternion_matrix((math.cos(pitch / 2), 0, math.sin(pitch / 2), 0), np.zeros(3))
    about_x = quaternion_matrix((math.cos(roll / 2), math.sin(roll / 2), 0, 0), np.zeros(3))
    return np.asarray(about_z @ about_y @ about_x, np.float64)


def _numbers(given: dict[Any, Any], name: str, count: int) -> list[float]:
    values = given[name]
    is_list = isinstance(values, list) and len(values) == count
    if not is_list or not all(
        isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in values
    ):
        raise ValueError(f'{name} is {values!r}, not a list of {count} numbers')
    return [float(v) for v in values]
