"""Watches the stamps of images: a bag that begins anew, images out of order; no ROS."""

from typing import Literal

JUMP_NS = 100_000_000  # a stamp that is less far back is of an image that was overtaken

StampChange = Literal['on', 'out of order', 'jumped back']


class StampWatch:
    """Compares each image's stamp with the newest before it."""

    def __init__(self) -> None:
        self._newest_ns: int | None = None
        self.last_s: float | None = None  # the last image's stamp in seconds

    def see(self, stamp_ns: int) -> StampChange:
        """Take the next image's stamp in and say what it is to the ones before."""
        self.last_s = 1e-9 * stamp_ns
        newest_ns = self._newest_ns
        if newest_ns is None or stamp_ns >= newest_ns:
            self._newest_ns = stamp_ns
            return 'on'
        if newest_ns - stamp_ns < JUMP_NS:
            return 'out of order'
        self._newest_ns = stamp_ns
        return 'jumped back'
