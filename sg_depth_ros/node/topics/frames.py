"""What the executor's thread hands to the worker's: images, and what is known of their camera."""

import threading
from typing import Any
from typing import NamedTuple

from builtin_interfaces.msg import Time
from sensor_msgs.msg import CameraInfo


class Frame(NamedTuple):
    """A received image, when it came by the monotonic clock, and the camera_info of its stamp."""

    message: Any  # sensor_msgs/Image or CompressedImage
    received_s: float
    info: CameraInfo | None = None  # None: the newest of ``CameraInfoCache`` goes with it


def stamp_ns(stamp: Time) -> int:
    """Return a message's stamp in nanoseconds."""
    return int(stamp.sec) * 10**9 + int(stamp.nanosec)


class CameraInfoCache:
    """The newest camera_info, put by the executor's thread, read by the worker's."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._newest: CameraInfo | None = None
        self._closed = False

    @property
    def newest(self) -> CameraInfo | None:
        """The newest message, None before the first."""
        return self._newest

    def put(self, info: CameraInfo) -> None:
        """Take a message in."""
        with self._condition:
            self._newest = info
            self._condition.notify_all()

    def wait(self, timeout_s: float) -> CameraInfo | None:
        """Return the newest message, waiting for the first; None after the time or ``close``."""
        with self._condition:
            self._condition.wait_for(
                lambda: self._newest is not None or self._closed, max(timeout_s, 0.0)
            )
            return self._newest

    def open(self) -> None:
        """Let who needs a message wait for it again."""
        with self._condition:
            self._closed = False

    def close(self) -> None:
        """Let nobody wait any longer: no message will come."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
