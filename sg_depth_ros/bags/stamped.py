"""What the messages of a recording say, with their stamps, as ``Bag`` gives it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class BagMessage(NamedTuple):
    """One message, as rosbags deserialises it, and its CDR bytes for rclpy."""

    topic: str
    type: str
    received_ns: int
    message: Any
    raw: bytes


@dataclass(frozen=True, eq=False)
class StampedImage:
    """One image; ``message`` is the Image or CompressedImage it was decoded from."""

    stamp_ns: int
    received_ns: int
    frame_id: str
    image: NDArray[np.uint8]  # [H, W, 3], RGB
    message: Any


@dataclass(frozen=True, eq=False)
class StampedCloud:
    """One LiDAR cloud, in its own frame; points that are not finite are left out."""

    stamp_ns: int
    received_ns: int
    frame_id: str
    points: NDArray[np.float32]  # [N, 3], metres


@dataclass(frozen=True, eq=False)
class StampedDepth:
    """One depth image; ``decode`` gives metres (H, W), 0 where nothing was measured."""

    stamp_ns: int
    received_ns: int
    frame_id: str
    decode: Callable[[], NDArray[np.float32]]


@dataclass(frozen=True)
class StampedOdometry:
    """The vehicle's motion; negative speed is backwards."""

    stamp_ns: int
    received_ns: int
    speed_m_s: float
    position_m: tuple[float, float, float] | None  # where the message has a pose


@dataclass(frozen=True)
class StampedFix:
    """Where a GNSS receiver is, on WGS 84."""

    stamp_ns: int
    received_ns: int
    latitude_deg: float
    longitude_deg: float
    has_fix: bool  # else the position means nothing
