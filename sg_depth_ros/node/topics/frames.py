"""What the executor's thread hands to the worker's: images, and what is known of their camera."""

import threading
from typing import Any
from typing import NamedTuple

from sensor_msgs.msg import CameraInfo


class Frame(NamedTuple):
    """A received image, when it came by the monotonic clock, and the camera_info of its stamp."""

    message: Any  # sensor_msgs/Image or CompressedImage
    received_s: float
    info: CameraInfo | None = None  # None: the newest of ``CameraInfoCache`` goes with it


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

    def clear(self) -> None:
        """Forget the newest message."""
        with self._condition:
            self._newest = None

    def wait(self, timeout_s: float) -> CameraInfo | None:
        """Return the newest message, waiting for the first; None after the time or ``close``."""
        with self._condition:
            self._condition.wait_for(
                lambda: self._newest is not None or self._closed, max(timeout_s, 0.0)
            )
            return self._newest

    def close(self) -> None:
        """Let nobody wait any longer."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
