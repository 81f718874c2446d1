"""
Finds flying pixels: depth between an object and what is behind it, where nothing is.

A network's depth is smooth, so that from an object to its background it passes through depths of
no surface; in a cloud these points hang in the air behind every edge.
"""

import numpy as np
from numpy.typing import NDArray

REACH_PX = 3  # how far the surroundings go; so close to the border pixels are not judged
# How steep the calmer side may be, as a share of a pixel's own two steps. A plane is as steep
# there, for inverse depth is linear along it; an edge of up to four pixels is half as steep.
CALM_SHARE = 0.75


class FlyingPixelFilter:
    """
    Marks the flying pixels of depth images of one size, without allocating.

    A pixel flies where, along its row or its column, it lies behind one neighbour and before the
    opposite one, both by more than ``share``, and inverse depth is steeper there than two pixels
    further to one side. So planes stay, however slanted, such as the road below the horizon; thin
    objects such as poles stay, which lie before both neighbours; and the rims of surfaces stay,
    whose one neighbour is of the same surface.

    :param share: of the nearer depth, by which depths of neighbours must differ.
    """

    def __init__(self, height: int, width: int, share: float) -> None:
        self._inverse = np.empty((height, width), np.float32)
        self._flying = np.empty((height, width), bool)
        self._directions = [
            _Direction(axis, (height, width), share)
            for axis, length in enumerate((height, width))
            if length > 2 * REACH_PX
        ]

    def find(self, depth_m: NDArray[np.float32]) -> NDArray[np.bool_]:
        """
        Return which pixels fly.

        :param depth_m: (H, W) along z, metres; NaN is unknown and no edge, infinite is farthest.
        :return: (H, W), valid until the next call.
        """
        self._flying.fill(False)
        with np.errstate(divide='ignore', invalid='ignore'):
            np.divide(np.float32(1), depth_m, out=self._inverse)
            for direction in self._directions:
                direction.mark(self._inverse, self._flying)
        return self._flying


class _Direction:
    """Judges pixels along one axis of an image, with buffers of its own."""

    def __init__(self, axis: int, shape: tuple[int, int], share: float) -> None:
        self._axis = axis
        self._length = shape[axis]
        self._share = np.float32(share)
        steps, pairs, judged = (self._shorter(shape, by) for by in (1, 2, 2 * REACH_PX))
        self._step = np.empty(steps, np.float32)
        self._least = np.empty(steps, np.float32)
        self._farther = np.empty(steps, bool)
        self._nearer = np.empty(steps, bool)
        self._slope = np.empty(pairs, np.float32)
        self._between = np.empty(pairs, bool)
        self._between_upwards = np.empty(pairs, bool)
        self._calmer = np.empty(judged, np.float32)
        self._flies = np.empty(judged, bool)

    def mark(self, inverse: NDArray[np.float32], flying: NDArray[np.bool_]) -> None:
        """Add the pixels that fly to ``flying`` (H, W), by inverse depth (H, W)."""
        length, part = self._length, self._part
        here, following = inverse[part(0, length - 1)], inverse[part(1, length)]
        np.subtract(here, following, out=self._step)
        np.minimum(here, following, out=self._least)
        np.multiply(self._least, self._share, out=self._least)
        np.greater(self._step, self._least, out=self._farther)
        np.negative(self._least, out=self._least)
        np.less(self._step, self._least, out=self._nearer)
        first, second = part(0, length - 2), part(1, length - 1)
        np.logical_and(self._farther[first], self._farther[second], out=self._between)
        np.logical_and(self._nearer[first], self._nearer[second], out=self._between_upwards)
        np.logical_or(self._between, self._between_upwards, out=self._between)

        # slope[i] is of the two steps around pixel i + 1.
        np.subtract(inverse[part(0, length - 2)], inverse[part(2, length)], out=self._slope)
        np.absolute(self._slope, out=self._slope)
        before, after = part(0, length - 2 * REACH_PX), part(4, length - 2)
        np.minimum(self._slope[before], self._slope[after], out=self._calmer)
        np.multiply(self._slope, np.float32(CALM_SHARE), out=self._slope)
        centre = part(2, length - 4)
        np.less(self._calmer, self._slope[centre], out=self._flies)
        np.logical_and(self._flies, self._between[centre], out=self._flies)
        judged = flying[part(REACH_PX, length - REACH_PX)]
        np.logical_or(judged, self._flies, out=judged)

    def _part(self, start: int, stop: int) -> tuple[slice, ...]:
        whole = slice(None)
        return (slice(start, stop), whole) if self._axis == 0 else (whole, slice(start, stop))

    def _shorter(self, shape: tuple[int, int], by: int) -> tuple[int, int]:
        height, width = shape
        return (height - by, width) if self._axis == 0 else (height, width - by)
