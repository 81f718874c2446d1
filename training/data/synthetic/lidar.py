"""A LiDAR's scan of a street: the front sector of a spinning sensor, free of noise."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.data.synthetic.casting import beam_grid
from training.data.synthetic.casting import cast
from training.data.synthetic.motion import Road
from training.data.synthetic.renderer import surface_colors
from training.data.synthetic.renderer import view_of
from training.data.synthetic.shapes import Array
from training.data.synthetic.traffic import Moment

BEAM_COUNT = 40
ELEVATION_DEG = (2.5, -22.0)
COLUMN_COUNT = 320
AZIMUTH_DEG = 60.0  # to either side; the camera sees less
RANGE_M = 100.0
# Sensor axes x ahead, y left, z up, in the optical convention of the rays: columns are x, y, z.
R_LIDAR_OPTICAL = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


class Scan(NamedTuple):
    """Points in the sensor's frame: x ahead, y left, z up, metres; intensity 0..1."""

    points: Array  # [N, 4]


def scan(T_world_lidar: NDArray[np.float64], moment: Moment, road: Road) -> Scan:
    """
    Measure a moment.

    :param T_world_lidar: (3, 4), the sensor's frame, x ahead.
    """
    elevations = np.radians(np.linspace(*ELEVATION_DEG, BEAM_COUNT)).astype(np.float32)
    azimuths = np.radians(np.linspace(-AZIMUTH_DEG, AZIMUTH_DEG, COLUMN_COUNT)).astype(np.float32)
    grid = beam_grid(elevations, azimuths)
    T_world_optical = T_world_lidar.copy()
    T_world_optical[:, :3] = T_world_lidar[:, :3] @ R_LIDAR_OPTICAL
    hits = cast(grid, T_world_optical, moment.solids)
    spacing = math.radians(2 * AZIMUTH_DEG) / COLUMN_COUNT
    view = view_of(grid, T_world_optical, spacing)
    colors = surface_colors(hits, view, T_world_optical[:, 3], moment, road)
    reach = np.linalg.norm(grid.rays, axis=-1) * hits.depth_m
    met = np.flatnonzero(reach.ravel() < RANGE_M)
    optical = grid.rays.reshape(-1, 3)[met] * hits.depth_m.ravel()[met, None]
    intensity = np.clip(colors[:, met].mean(axis=0), 0, 1)
    ahead, left, up = optical[:, 2], -optical[:, 0], -optical[:, 1]
    return Scan(np.stack([ahead, left, up, intensity], axis=1).astype(np.float32))
