"""Bounds how often a line is logged that may be there with every image; no ROS."""

import time
from collections import deque
from collections.abc import Callable


class LogLimit:
    """
    Lets so many lines through in a time.

    :param now_s: the monotonic clock.
    """

    def __init__(
        self, lines: int, period_s: float, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._logged_s: deque[float] = deque(maxlen=lines)
        self._period_s = period_s
        self._now_s = now_s

    def allows(self) -> bool:
        """Return whether to log now, and count that."""
        now_s, logged_s = self._now_s(), self._logged_s
        if len(logged_s) == logged_s.maxlen and now_s - logged_s[0] < self._period_s:
            return False
        logged_s.append(now_s)
        return True
