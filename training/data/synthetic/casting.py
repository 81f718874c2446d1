"""Casting a sensor's rays into a street: what each ray meets first, and how far along it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import Intrinsics
from training.data.synthetic.shapes import Array
from training.data.synthetic.shapes import Solid
from training.data.synthetic.shapes import Vector
from training.data.synthetic.shapes import enter

GROUND_INDEX = -1
SKY_INDEX = -2
NEAR_M = 0.1
FAR_M = 300.0  # of solids; the ground goes on to the horizon


@dataclass(frozen=True, eq=False)
class RayGrid:
    """
    A sensor's rays as an image, each with z = 1, so that a ray's parameter is the depth along z.

    Rows and columns know the directions they hold, so that a solid is tried only where it can be.
    """

    rays: Array  # [H, W, 3], optical frame
    column_x: Array  # [W], ascending x / z
    row_lowest_y: Array  # [H], least y / z in a row, ascending
    row_highest_y: Array  # [H], greatest y / z in a row, ascending


@dataclass(frozen=True, eq=False)
class Hits:
    """What each ray of a grid meets first."""

    depth_m: Array  # [H, W], along z; inf for the sky
    solid: NDArray[np.int16]  # [H, W], index of the solid, GROUND_INDEX or SKY_INDEX
    face: NDArray[np.int8]  # [H, W], which face of a convex solid


def camera_grid(camera: Intrinsics, samples_per_side: int = 1) -> RayGrid:
    """Return a camera's rays; with more than one sample per side, each pixel is subdivided."""
    fine = camera.resized(camera.width * samples_per_side, camera.height * samples_per_side)
    rays = fine.rays()
    return RayGrid(rays, rays[0, :, 0].copy(), rays[:, 0, 1].copy(), rays[:, 0, 1].copy())


def beam_grid(elevations_rad: Array, azimuths_rad: Array) -> RayGrid:
    """
    Return the rays of a spinning sensor's front sector.

    :param elevations_rad: (H,), descending, up is positive.
    :param azimuths_rad: (W,), ascending, right is positive, within (-pi / 2, pi / 2).
    """
    rays = np.ones((len(elevations_rad), len(azimuths_rad), 3), np.float32)
    rays[..., 0] = np.tan(azimuths_rad)[None, :]
    rays[..., 1] = -np.tan(elevations_rad)[:, None] / np.cos(azimuths_rad)[None, :]
    return RayGrid(rays, rays[0, :, 0].copy(), rays[..., 1].min(axis=1), rays[..., 1].max(axis=1))


def rotate(rotation: NDArray[np.float64], vectors: Array) -> Vector:
    """Rotate vectors (..., 3); component by component, for speed and equal bits everywhere."""
    r = rotation.astype(np.float32)
    x, y, z = vectors[..., 0], vectors[..., 1], vectors[..., 2]
    turned = [r[i, 0] * x + r[i, 1] * y + r[i, 2] * z for i in range(3)]
    return Vector(*turned)


def cast(grid: RayGrid, T_world_sensor: NDArray[np.float64], solids: Sequence[Solid]) -> Hits:
    """
    Find what each ray meets first among solids and the ground plane z = 0.

    :param T_world_sensor: (3, 4), sensor in the optical convention (z forward).
    """
    directions = rotate(T_world_sensor[:, :3], grid.rays)
    origin = T_world_sensor[:, 3]
    with np.errstate(divide='ignore'):
        depth_m = np.float32(-origin[2]) / directions.z
    falls = directions.z < 0
    depth_m[~falls] = np.inf
    solid_index = np.where(falls, np.int16(GROUND_INDEX), np.int16(SKY_INDEX))
    face = np.zeros(depth_m.shape, np.int8)
    for index, nearest_m, seen in _in_sight(grid, T_world_sensor, solids):
        if nearest_m > depth_m[seen].max():
            continue  # hidden behind what is nearer
        local = Vector(*(component[seen] for component in directions))
        entry = enter(solids[index].shape, *_to_local(solids[index], origin, local))
        nearer = entry.depth < depth_m[seen]
        depth_m[seen][nearer] = entry.depth[nearer]
        solid_index[seen][nearer] = index
        face[seen][nearer] = entry.face[nearer]
    return Hits(depth_m, solid_index, face)


def _to_local(
    solid: Solid, origin: NDArray[np.float64], direction: Vector
) -> tuple[Vector, Vector]:
    c, s = np.float32(math.cos(solid.yaw_rad)), np.float32(math.sin(solid.yaw_rad))
    offset = Vector(*(np.float32(o - p) for o, p in zip(origin, solid.origin_m)))
    return _turn_back(offset, c, s), _turn_back(direction, c, s)


def _turn_back(v: Vector, c: np.float32, s: np.float32) -> Vector:
    return Vector(c * v.x + s * v.y, c * v.y - s * v.x, v.z)


class _Sight(NamedTuple):
    """A solid that may be seen: at least how far ahead, and in which rows and columns."""

    solid: int
    nearest_m: float
    seen: tuple[slice, slice]


def _in_sight(
    grid: RayGrid, T_world_sensor: NDArray[np.float64], solids: Sequence[Solid]
) -> list[_Sight]:
    """Return the solids that rays can meet, nearest first."""
    if not solids:
        return []
    corners = np.stack([solid.corners_m for solid in solids])
    nearest_m, bounds = _bounds(grid, T_world_sensor, corners)
    order = np.argsort(nearest_m, kind='stable')
    sights = []
    for index in order[nearest_m[order] < FAR_M]:
        top, bottom, left, right = (int(bound) for bound in bounds[index])
        if top < bottom and left < right:
            seen = slice(top, bottom), slice(left, right)
            sights.append(_Sight(int(index), float(nearest_m[index]), seen))
    return sights


def window(
    grid: RayGrid, T_world_sensor: NDArray[np.float64], corners_m: NDArray[np.floating]
) -> tuple[slice, slice] | None:
    """
    Return the rows and columns whose rays can meet what corners (C, 3) enclose.

    :return: None where it is out of sight.
    """
    top, bottom, left, right = _bounds(grid, T_world_sensor, corners_m[None])[1][0]
    if top >= bottom or left >= right:
        return None
    return slice(int(top), int(bottom)), slice(int(left), int(right))


def _bounds(
    grid: RayGrid, T_world_sensor: NDArray[np.float64], corners_m: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """
    Bound what a sensor sees of bodies given by their corners.

    :param corners_m: (S, C, 3), in the world.
    :return: nearest z (S,), inf behind the sensor; and (S, 4) first and last + 1 row and column.
    """
    points = (corners_m - T_world_sensor[:, 3]) @ T_world_sensor[:, :3]
    z = points[..., 2]
    slopes = points[..., :2] / np.where(z >= NEAR_M, z, np.nan)[..., None]
    cut = np.flatnonzero((z.min(axis=1) < NEAR_M) & (z.max(axis=1) >= NEAR_M))
    low, high = np.full((len(z), 2), np.inf), np.full((len(z), 2), -np.inf)
    ahead = np.flatnonzero(z.max(axis=1) >= NEAR_M)
    low[ahead], high[ahead] = np.nanmin(slopes[ahead], axis=1), np.nanmax(slopes[ahead], axis=1)
    if len(cut):
        # Cut every connection at the near plane: these points span the part in front of it.
        first, second = points[cut][:, :, None], points[cut][:, None, :]
        crosses = (first[..., 2] >= NEAR_M) & (second[..., 2] < NEAR_M)
        with np.errstate(divide='ignore', invalid='ignore'):
            share = (first[..., 2] - NEAR_M) / (first[..., 2] - second[..., 2])
            cuts = (first + share[..., None] * (second - first))[..., :2] / NEAR_M
        low[cut] = np.minimum(low[cut], np.where(crosses[..., None], cuts, np.inf).min((1, 2)))
        high[cut] = np.maximum(high[cut], np.where(crosses[..., None], cuts, -np.inf).max((1, 2)))
    nearest = np.where(z.max(axis=1) >= NEAR_M, np.maximum(z.min(axis=1), 0.0), np.inf)
    # A little wider, against rounding.
    low, high = low - 1e-4, high + 1e-4
    bounds = [
        np.searchsorted(grid.row_highest_y, low[:, 1]),
        np.searchsorted(grid.row_lowest_y, high[:, 1]),
        np.searchsorted(grid.column_x, low[:, 0]),
        np.searchsorted(grid.column_x, high[:, 0]),
    ]
    return nearest, np.stack(bounds, axis=1)
