"""One frame's image, depth, labels, camera and cloud in a folder, for looking at them later."""

import errno
import os
import shutil
import tempfile
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.errors import UserError


class Snapshot(NamedTuple):
    """What a frame gave, at the network's size; copies that nobody writes to."""

    image: NDArray[np.uint8]  # [H, W, 3], RGB, undistorted
    depth_m: NDArray[np.float32] | None  # [H, W]; None where there is none
    labels: NDArray[np.uint8]  # [H, W], class ids
    confidence: NDArray[np.uint8]  # [H, W], 0 to 255
    camera: Intrinsics | None  # of ``image``; None where unknown
    stamp: Time
    frame_id: str


def snapshot_folder(setting: str, node_name: str) -> Path:
    """
    Return where a node's snapshots go: every node of a vehicle has a folder of its own.

    :param setting: the parameter ``snapshot_folder``, empty for ROS's own folder.
    :param node_name: fully qualified.
    """
    if setting:
        folder = Path(setting).expanduser()
    else:
        folder = Path(os.environ.get('ROS_HOME') or '~/.ros').expanduser() / 'sg_depth_ros'
    return folder / node_name.strip('/')


def save_snapshot(snapshot: Snapshot, folder: Path) -> Path:
    """
    Write a snapshot into a new folder named after its stamp, which appears whole or not at all.

    image.png; labels.png and confidence.png (8 bits); depth.npy (float32, metres, NaN invalid,
    +Inf too far); camera_info.yaml (as camera_calibration writes it); cloud.ply. What the frame
    has no depth or no camera for is left out.

    :param folder: made where missing.
    :return: the new folder; one that exists is left alone, and a number is added to the name.
    :raises UserError: where nothing can be written.
    """
    name = f'{snapshot.stamp.sec}.{snapshot.stamp.nanosec:09d}'
    try:
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f'.{name}.', dir=folder))
        try:
            _write_files(snapshot, unfinished)
            unfinished.chmod(0o755)  # mkdtemp's 0700 would hide it from other users
            return _move_to_new(unfinished, folder / name)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
    except OSError as error:
        raise UserError(f'{folder}: cannot write there ({error.strerror})') from error


def camera_info_yaml(camera: Intrinsics, camera_name: str) -> str:
    """Return a camera without distortion in the YAML of ROS's camera_calibration."""
    k = camera.matrix()
    p = np.hstack([k, np.zeros((3, 1))])
    # Quotes, so that any name is a text; a JSON string is one of YAML too.
    quoted = '"' + camera_name.replace('\\', '\\\\').replace('"', '\\"') + '"'
    return '\n'.join(
        [
            f'image_width: {camera.width}',
            f'image_height: {camera.height}',
            f'camera_name: {quoted}',
            'camera_matrix:',
            *_yaml_matrix(k),
            'distortion_model: plumb_bob',
            'distortion_coefficients:',
            *_yaml_matrix(np.zeros((1, 5))),
            'rectification_matrix:',
            *_yaml_matrix(np.eye(3)),
            'projection_matrix:',
            *_yaml_matrix(p),
            '',
        ]
    )


def cloud_ply(snapshot: Snapshot, camera: Intrinsics, depth_m: NDArray[np.float32]) -> bytes:
    """
    Return the points that have a finite depth as a binary PLY file: x y z, colour, class id.

    :param depth_m: (H, W).
    """
    valid = np.isfinite(depth_m) & (depth_m > 0)
    fields: Sequence[tuple[str, str, str]] = (
        ('x', '<f4', 'float'), ('y', '<f4', 'float'), ('z', '<f4', 'float'),
        ('red', 'u1', 'uchar'), ('green', 'u1', 'uchar'), ('blue', 'u1', 'uchar'),
        ('label', 'u1', 'uchar'),
    )  # fmt: skip
    points = np.empty(np.count_nonzero(valid), [(name, kind) for name, kind, _ in fields])
    xyz_m = camera.rays()[valid] * depth_m[valid][:, None]
    for axis, name in enumerate('xyz'):
        points[name] = xyz_m[:, axis]
    for channel, name in enumerate(('red', 'green', 'blue')):
        points[name] = snapshot.image[..., channel][valid]
    points['label'] = snapshot.labels[valid]
    header = [
        'ply',
        'format binary_little_endian 1.0',
        'comment optical frame: x right, y down, z forward, metres',
        f'element vertex {len(points)}',
        *(f'property {kind} {name}' for name, _, kind in fields),
        'end_header',
    ]
    return ''.join(f'{line}\n' for line in header).encode() + points.tobytes()


def _write_files(snapshot: Snapshot, folder: Path) -> None:
    _write_png(cv2.cvtColor(snapshot.image, cv2.COLOR_RGB2BGR), folder / 'image.png')
    _write_png(snapshot.labels, folder / 'labels.png')
    _write_png(snapshot.confidence, folder / 'confidence.png')
    camera, depth_m = snapshot.camera, snapshot.depth_m
    if depth_m is not None:
        np.save(folder / 'depth.npy', depth_m, allow_pickle=False)
    if camera is not None:
        text = camera_info_yaml(camera, snapshot.frame_id)
        (folder / 'camera_info.yaml').write_text(text, encoding='utf-8')
        if depth_m is not None:
            (folder / 'cloud.ply').write_bytes(cloud_ply(snapshot, camera, depth_m))


def _write_png(pixels: 'NDArray[np.uint8] | cv2.typing.MatLike', path: Path) -> None:
    ok, data = cv2.imencode('.png', pixels)
    assert ok, 'OpenCV could not encode a PNG'
    path.write_bytes(data.tobytes())


def _move_to_new(folder: Path, wanted: Path) -> Path:
    target = wanted
    for number in count(2):
        if _rename(folder, target):
            break
        target = wanted.with_name(f'{wanted.name}_{number}')
    return target


def _rename(folder: Path, target: Path) -> bool:
    """Rename a folder; False where something is in the way, which renaming does not replace."""
    try:
        folder.rename(target)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            return False
        raise
    return True


def _yaml_matrix(values: NDArray[np.float64]) -> list[str]:
    # Never an exponent: YAML 1.1 takes 1e-05 for a text.
    numbers = ', '.join(np.format_float_positional(v, trim='0') for v in values.ravel())
    rows, columns = values.shape
    return [f'  rows: {rows}', f'  cols: {columns}', f'  data: [{numbers}]']
