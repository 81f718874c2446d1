"""Which frames can be training targets, and which neighbours they are warped from."""

import math
from typing import NamedTuple

from training.data.drive import Drive

DEFAULT_MIN_DISPLACEMENT_M = 0.2
MAX_OFFSET = 5  # frames; farther neighbours share too little of the view


class TripletIndex(NamedTuple):
    """A target frame and its context frames, by number in the drive."""

    target: int
    previous: int
    following: int
    displacement_m: tuple[float, float]  # to previous and following; NaN where unknown


def list_triplets(
    drive: Drive, min_displacement_m: float = DEFAULT_MIN_DISPLACEMENT_M
) -> tuple[TripletIndex, ...]:
    """
    Find the targets of a drive: kept frames with a neighbour on both sides far enough away.

    The neighbour is the nearest frame towards which the camera has moved; where motion is unknown,
    the next frame.

    :param drive: the drive.
    :param min_displacement_m: how far the camera must have moved to a context frame.
    """
    triplets = []
    for frame in drive.frames:
        if frame.dropped is not None:
            continue
        before = _moved_neighbour(drive, frame.index, -1, min_displacement_m)
        after = _moved_neighbour(drive, frame.index, 1, min_displacement_m)
        if before is not None and after is not None:
            displacement_m = (before[1], after[1])
            triplets.append(TripletIndex(frame.index, before[0], after[0], displacement_m))
    return tuple(triplets)


def list_targets(drive: Drive) -> tuple[int, ...]:
    """Return the numbers of the frames that training may use as targets."""
    return tuple(t.target for t in list_triplets(drive))


def _moved_neighbour(
    drive: Drive, index: int, step: int, min_displacement_m: float
) -> tuple[int, float] | None:
    for offset in range(1, MAX_OFFSET + 1):
        neighbour = index + step * offset
        if not 0 <= neighbour < len(drive.frames):
            return None
        displacement_m = drive.displacement_m(index, neighbour)
        if displacement_m is None:
            return neighbour, math.nan
        if displacement_m >= min_displacement_m:
            return neighbour, displacement_m
    return None
