"""
What tells good depth from bad where nobody measured any: a flat road, and steady depth.

Both are ours. Neither sees a wrong constant factor, or an object that is wrong all the time; they
see what a vehicle notices first: a road that bends, and depth that trembles.
"""

from collections.abc import Iterable
from collections.abc import Sequence
from typing import Any
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.classes import ROAD_ID
from sg_depth_ros.evaluation.frame_key import FrameKey
from sg_depth_ros.ground import CAR_CAMERA_HEIGHT_M
from sg_depth_ros.ground import FIT_RANGE_M
from sg_depth_ros.ground import GroundPlane
from sg_depth_ros.ground import GroundPlaneRefusal

FEWEST_ROAD_PIXELS = 100
CELL_ROWS, CELL_COLUMNS = 6, 12
FEWEST_CELLS = CELL_ROWS * CELL_COLUMNS // 4  # seen in three frames, to tell how depth trembles


class GroundFit(NamedTuple):
    """How flat the road is in a depth image, against the frame's own ground plane."""

    residual: float  # median of |depth - plane's depth| / plane's depth
    road_pixels: int  # that it was measured at


class GroundSummary(NamedTuple):
    """The camera's height over the ground, which does not change, and the flatness of the road."""

    frames: int  # with a ground plane
    height_median: float  # metres, or up to scale
    height_spread: float | None  # std(heights / median) within a drive, mean of the drives
    residual_median: float | None  # of the frames with enough road

    def to_json(self) -> dict[str, Any]:
        """Return the numbers by name."""
        return {
            'frames': self.frames,
            'camera_height_median': self.height_median,
            'camera_height_spread_within_drive': self.height_spread,
            'road_residual_median': self.residual_median,
        }


class FrameGround(NamedTuple):
    """The ground of one frame."""

    entry: FrameKey
    plane: GroundPlane | GroundPlaneRefusal
    fit: GroundFit | None


class FrameCells(NamedTuple):
    """The median depth in each cell of a grid over the image of one frame, see ``cell_depths``."""

    entry: FrameKey
    depths: tuple[float, ...]


class Flicker(NamedTuple):
    """How much depth trembles from frame to frame, see ``frame_flicker``."""

    frames: int  # with a frame before and one after
    mean: float  # mean of the drives' means
    p95: float  # of all frames

    def to_json(self) -> dict[str, Any]:
        """Return the numbers by name."""
        return self._asdict()


def ground_fit(
    depth_m: NDArray[np.floating],
    labels: NDArray[np.uint8],
    camera: Intrinsics,
    plane: GroundPlane | GroundPlaneRefusal,
) -> GroundFit | None:
    """
    Compare the depth of road pixels with that of the plane through them.

    :param depth_m: (H, W), in metres or up to scale; NaN is ignored.
    :return: None without a plane, or with too little road in the plane's range.
    """
    if isinstance(plane, GroundPlaneRefusal):
        return None
    # Depth of the plane along a ray (x, y, 1): -offset / (normal . ray), where the ray falls.
    x = plane.normal[0] * (np.arange(camera.width) - camera.cx) / camera.fx
    y = plane.normal[1] * (np.arange(camera.height) - camera.cy) / camera.fy + plane.normal[2]
    falling: NDArray[np.float64] = -np.add.outer(y, x)
    near, far = (limit * plane.offset_m / CAR_CAMERA_HEIGHT_M for limit in FIT_RANGE_M)
    judged = (labels == ROAD_ID) & (falling * far >= plane.offset_m)
    judged &= (falling * near <= plane.offset_m) & ~np.isnan(depth_m)
    pixels = int(np.count_nonzero(judged))
    if pixels < FEWEST_ROAD_PIXELS:
        return None
    ratio = depth_m[judged] * falling[judged] / plane.offset_m
    return GroundFit(float(np.median(np.abs(ratio - 1))), pixels)


def summarize_ground(frames: Iterable[FrameGround]) -> GroundSummary | None:
    """Put the frames together; None where none has a ground plane."""
    heights: dict[str, list[float]] = {}
    residuals: list[float] = []
    for entry, plane, fit in frames:
        if isinstance(plane, GroundPlane):
            heights.setdefault(entry.drive, []).append(plane.offset_m)
            residuals += [] if fit is None else [fit.residual]
    if not heights:
        return None
    spreads = [float(np.std(np.array(h) / np.median(h))) for h in heights.values() if len(h) > 1]
    every = np.concatenate(list(heights.values()))
    return GroundSummary(
        frames=len(every),
        height_median=float(np.median(every)),
        height_spread=float(np.mean(spreads)) if spreads else None,
        residual_median=float(np.median(residuals)) if residuals else None,
    )


def cell_depths(depth_m: NDArray[np.float32], farthest_m: float) -> tuple[float, ...]:
    """
    Return the median depth in each cell of a grid over the image, row by row.

    :param depth_m: (H, W) as published: +Inf far, NaN nothing.
    :param farthest_m: the model's largest depth; what is as far (sky) never changes.
    :return: ``CELL_ROWS`` x ``CELL_COLUMNS`` depths, 0 where most of a cell is far or nothing.
    """
    depths = []
    for rows in np.array_split(depth_m, CELL_ROWS):
        for cell in np.array_split(rows, CELL_COLUMNS, axis=1):
            seen = cell[cell < 0.99 * farthest_m]  # not NaN either
            depths.append(float(np.median(seen)) if 2 * seen.size > cell.size else 0.0)
    return tuple(depths)


def frame_flicker(frames: Sequence[FrameCells]) -> dict[FrameKey, float]:
    """
    Measure how depth trembles: the median over the cells of |ln d - mean(ln before, ln after)|.

    What changes steadily, because the camera or what it sees moves, cancels out between the frame
    before and the one after. What enters or leaves a few cells does not move the median.

    :return: for each frame that has a frame before, one after, and enough cells with depth in all.
    """
    logs = {entry: _log(depths) for entry, depths in frames}
    flicker = {}
    for entry, here in logs.items():
        before = logs.get(entry._replace(frame=entry.frame - 1))
        after = logs.get(entry._replace(frame=entry.frame + 1))
        if before is None or after is None:
            continue
        trembling = np.abs(here - (before + after) / 2)
        trembling = trembling[np.isfinite(trembling)]
        if len(trembling) >= FEWEST_CELLS:
            flicker[entry] = float(np.median(trembling))
    return flicker


def summarize_flicker(frames: Sequence[FrameCells]) -> Flicker | None:
    """Put the frames together; None where no drive has three consecutive ones."""
    drives: dict[str, list[float]] = {}
    for entry, value in frame_flicker(frames).items():
        drives.setdefault(entry.drive, []).append(value)
    if not drives:
        return None
    every = np.concatenate(list(drives.values()))
    mean = float(np.mean([np.mean(values) for values in drives.values()]))
    return Flicker(len(every), mean, float(np.percentile(every, 95)))


def _log(depths: tuple[float, ...]) -> NDArray[np.float64]:
    values = np.array(depths, np.float64)
    return np.log(np.where(values > 0, values, np.nan))
