"""What a vehicle's bag holds, whatever it is made from."""

from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import Intrinsics

# base_link: x forward, y left, z up; camera_optical: x right, y down, z forward (REP 103).
R_BASE_OPTICAL = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


class Motion(NamedTuple):
    """Where the vehicle is and how it moves (REP 105: base_link in odom)."""

    stamp_ns: int
    T_odom_base: NDArray[np.float64]  # [4, 4]
    velocity_m_s: NDArray[np.float64]  # [3], along the axes of base_link
    angular_velocity_rad_s: NDArray[np.float64]  # [3], about them


class EncodedImage(NamedTuple):
    """An image file."""

    data: bytes
    format: str  # as CompressedImage names it: jpeg or png


@dataclass(frozen=True, eq=False)
class Moment:
    """An image and what was recorded with it."""

    stamp_ns: int
    image: NDArray[np.uint8] | EncodedImage  # pixels are RGB, [H, W, 3]
    points: NDArray[np.float32] | None = None  # [N, 3 or 4], in the LiDAR's frame
    motion: Motion | None = None
    depth_m: NDArray[np.float32] | None = None  # [H, W], NaN unknown, +Inf too far


@dataclass(frozen=True, eq=False)
class Recording:
    """
    A drive with one camera.

    :param moments: reads the drive, in order; asked for encoded images it gives files.
    """

    name: str
    description: str
    licence: str
    notes: tuple[str, ...]
    intrinsics: Intrinsics
    lidar_frame: str
    T_base_camera: NDArray[np.float64]  # [4, 4]
    T_base_lidar: NDArray[np.float64] | None  # [4, 4]; None without LiDAR
    frame_count: int
    moments: Callable[[bool], Iterator[Moment]]
