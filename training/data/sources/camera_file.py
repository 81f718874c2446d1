"""
Intrinsics from a file: the YAML of a camera_info, as ROS's camera_calibration writes it.

    image_width: 1280
    image_height: 720
    camera_matrix: {rows: 3, cols: 3, data: [fx, 0, cx, 0, fy, cy, 0, 0, 1]}
    distortion_model: plumb_bob            (or rational_polynomial, equidistant)
    distortion_coefficients: {rows: 1, cols: 5, data: [k1, k2, p1, p2, k3]}
    rectification_matrix: {rows: 3, cols: 3, data: [...]}     (optional)
    projection_matrix: {rows: 3, cols: 4, data: [...]}        (optional)

Format: wiki.ros.org/camera_calibration_parsers; other entries, such as camera_name, are not read.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from sg_depth_ros.errors import UserError
from training.data.sources.kitti import read_text

_IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True)
class _Region:
    """The whole image: a file describes no part of it."""

    x_offset: int = 0
    y_offset: int = 0
    width: int = 0
    height: int = 0


@dataclass(frozen=True, eq=False)
class CameraFile:
    """A camera_info from a file, with the fields of sensor_msgs/CameraInfo that geometry reads."""

    width: int
    height: int
    distortion_model: str
    d: NDArray[np.float64]  # [N], as the model orders them
    k: NDArray[np.float64]  # [9], row by row, pixels
    r: NDArray[np.float64]  # [9]
    p: NDArray[np.float64]  # [12], zeros where not given
    roi: _Region = field(default_factory=_Region)
    binning_x: int = 0
    binning_y: int = 0


def read_camera_file(path: Path) -> CameraFile:
    """
    Read a camera_info YAML.

    :raises UserError: naming the file and the entry that is missing or wrong.
    """
    try:
        content = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        reason = ' '.join(str(error).split())
        raise UserError(f'{path}: no YAML as camera_calibration writes it ({reason})') from error
    if not isinstance(content, dict):
        raise UserError(
            f'{path}: no camera_info; it needs image_width, image_height, camera_matrix, '
            'distortion_model and distortion_coefficients, as camera_calibration writes them'
        )
    entries = _Entries(path, content)
    model = entries.of('distortion_model')
    if not isinstance(model, str):
        raise UserError(f'{path}: distortion_model is {model!r}, no name such as plumb_bob')
    return CameraFile(
        width=entries.pixels('image_width'),
        height=entries.pixels('image_height'),
        distortion_model=model,
        d=entries.matrix('distortion_coefficients', None),
        k=entries.matrix('camera_matrix', 9),
        r=entries.matrix('rectification_matrix', 9, _IDENTITY),
        p=entries.matrix('projection_matrix', 12, (0.0,) * 12),
    )


class _Entries:
    """The entries of one file, and clear words where one is missing or wrong."""

    def __init__(self, path: Path, content: Mapping[object, object]) -> None:
        self._path = path
        self._content = content

    def of(self, name: str) -> object:
        if name not in self._content:
            held = ', '.join(map(str, self._content)) or 'nothing'
            raise UserError(f'{self._path}: no entry {name}; it holds {held}')
        return self._content[name]

    def pixels(self, name: str) -> int:
        value = self.of(name)
        if type(value) is not int or value <= 0:
            raise UserError(f'{self._path}: {name} is {value!r}, no number of pixels')
        return value

    def matrix(
        self, name: str, size: int | None, default: tuple[float, ...] | None = None
    ) -> NDArray[np.float64]:
        """Return the numbers of a matrix, row by row; of any size where ``size`` is None."""
        if default is not None and name not in self._content:
            return np.array(default)
        entry = self.of(name)
        data = entry.get('data') if isinstance(entry, dict) else entry
        if not isinstance(data, list):
            raise UserError(f'{self._path}: {name} has no list of numbers under "data"')
        numbers = [_number(value) for value in data]
        if None in numbers:
            wrong = data[numbers.index(None)]
            raise UserError(f'{self._path}: {name}: {wrong!r} is no finite number')
        if size is not None and len(numbers) != size:
            raise UserError(f'{self._path}: {name} has {len(numbers)} numbers, not {size}')
        return np.array(numbers, np.float64)


def _number(value: object) -> float | None:
    # PyYAML takes 1e-05 for a text: YAML 1.1 wants a point and a sign.
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
