"""
The folder of a synthetic drive, and reading it back.

    DIR/synthetic.json              seed, camera, mounting, one entry per frame
    DIR/bag/                        the recording, as a vehicle would make it (rosbag2)
    DIR/ground_truth/depth/NNNNNN.png    uint16, 1/256 m along z; 0 = sky, or 256 m and beyond
    DIR/ground_truth/labels/NNNNNN.png   Cityscapes train ids
    DIR/ground_truth/same_speed/NNNNNN.png   1 on cars at the camera's speed, where any are seen
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.errors import UserError
from training.data.drive import read_labels
from training.data.drive import read_lidar

SYNTHETIC_FILE = 'synthetic.json'
SYNTHETIC_FORMAT_VERSION = 1
IMAGE_TOPIC = '/camera/image_raw'
CAMERA_INFO_TOPIC = '/camera/camera_info'
ODOMETRY_TOPIC = '/odometry'
LIDAR_TOPIC = '/lidar/points'
WORLD_FRAME = 'odom'
BASE_FRAME = 'base_link'
CAMERA_FRAME = 'camera_optical'
LIDAR_FRAME = 'lidar'


@dataclass(frozen=True)
class SyntheticFrame:
    """One image of a synthetic drive; its ground truth files are named by ``index``."""

    index: int
    stamp_ns: int
    speed_m_s: float
    T_world_camera: tuple[float, ...]  # 3x4, row by row; optical frame, metres
    same_speed_car: bool  # a car moves along with the moving camera and is seen
    same_speed_pixels: int  # how many pixels such cars cover: what teaches infinite depth


@dataclass(frozen=True)
class SyntheticDrive:
    """A synthetic drive on disk."""

    folder: Path
    seed: int
    rate_hz: float
    intrinsics: Intrinsics
    T_base_camera: tuple[float, ...]  # 3x4, row by row; base_link is on the ground, x forward
    T_base_lidar: tuple[float, ...]
    frames: tuple[SyntheticFrame, ...]  # frames[i].index == i

    @property
    def bag(self) -> Path:
        """The recording (rosbag2), which holds the images."""
        return self.folder / 'bag'

    def depth_m(self, index: int) -> NDArray[np.float32]:
        """Return a frame's true depth along z (H, W), 0 for sky and 256 m and beyond."""
        return read_lidar(depth_path(self.folder, index))

    def labels(self, index: int) -> NDArray[np.uint8]:
        """Return a frame's true class ids (H, W)."""
        return read_labels(synthetic_labels_path(self.folder, index))

    def same_speed(self, index: int) -> NDArray[np.bool_]:
        """
        Return where a frame shows cars at the camera's own speed (H, W).

        :raises UserError: where the drive has such cars but not their pixels.
        """
        if not self.frames[index].same_speed_car:
            return np.zeros((self.intrinsics.height, self.intrinsics.width), np.bool_)
        return read_labels(same_speed_path(self.folder, index)) > 0


def depth_path(folder: Path, index: int) -> Path:
    """Return the path of a frame's true depth."""
    return folder / 'ground_truth' / 'depth' / f'{index:06d}.png'


def synthetic_labels_path(folder: Path, index: int) -> Path:
    """Return the path of a frame's true class ids."""
    return folder / 'ground_truth' / 'labels' / f'{index:06d}.png'


def same_speed_path(folder: Path, index: int) -> Path:
    """Return the path of a frame's pixels of cars at the camera's own speed."""
    return folder / 'ground_truth' / 'same_speed' / f'{index:06d}.png'


def read_synthetic(folder: Path) -> SyntheticDrive:
    """
    Read ``synthetic.json``.

    :param folder: what ``python -m training synthesize --out`` wrote.
    :raises UserError: where it is missing or damaged, naming the file.
    """
    path = folder / SYNTHETIC_FILE
    try:
        document = json.loads(path.read_text())
        version = document['format_version']
        if version != SYNTHETIC_FORMAT_VERSION:
            raise UserError(f'{path}: format_version {version}, not {SYNTHETIC_FORMAT_VERSION}')
        return SyntheticDrive(
            folder=folder,
            seed=document['seed'],
            rate_hz=document['rate_hz'],
            intrinsics=Intrinsics(**document['intrinsics_px']),
            T_base_camera=_pose(document['T_base_camera']),
            T_base_lidar=_pose(document['T_base_lidar']),
            frames=tuple(
                _frame_from_json(index, frame) for index, frame in enumerate(document['frames'])
            ),
        )
    except OSError as error:
        raise UserError(f'{path}: cannot be read ({error.strerror}); run synthesize') from error
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise UserError(f'{path}: damaged ({error!r}); run synthesize again') from error


def write_synthetic(drive: SyntheticDrive) -> None:
    """Write ``synthetic.json`` into the drive's folder."""
    document = {
        'format_version': SYNTHETIC_FORMAT_VERSION,
        'seed': drive.seed,
        'rate_hz': drive.rate_hz,
        'intrinsics_px': vars(drive.intrinsics),
        'T_base_camera': list(drive.T_base_camera),
        'T_base_lidar': list(drive.T_base_lidar),
        'frames': [
            {
                'stamp_ns': frame.stamp_ns,
                'speed_m_s': frame.speed_m_s,
                'T_world_camera': list(frame.T_world_camera),
                'same_speed_car': frame.same_speed_car,
                'same_speed_pixels': frame.same_speed_pixels,
            }
            for frame in drive.frames
        ],
    }
    (drive.folder / SYNTHETIC_FILE).write_text(json.dumps(document, indent=1) + '\n')


def _frame_from_json(index: int, document: dict[str, Any]) -> SyntheticFrame:
    return SyntheticFrame(
        index=index,
        stamp_ns=document['stamp_ns'],
        speed_m_s=document['speed_m_s'],
        T_world_camera=_pose(document['T_world_camera']),
        same_speed_car=document['same_speed_car'],
        same_speed_pixels=document['same_speed_pixels'],
    )


def _pose(numbers: list[float]) -> tuple[float, ...]:
    if len(numbers) != 12:
        raise TypeError(f'pose of {len(numbers)} numbers, not 12')
    return tuple(float(number) for number in numbers)
