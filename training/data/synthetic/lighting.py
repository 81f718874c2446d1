"""Light: a sun and a bright sky without reflections, and the shade under cars."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.data.synthetic.cars import Car
from training.data.synthetic.casting import GROUND_INDEX
from training.data.synthetic.casting import Hits
from training.data.synthetic.casting import RayGrid
from training.data.synthetic.casting import window
from training.data.synthetic.motion import Place
from training.data.synthetic.shapes import Array
from training.data.synthetic.shapes import Vector
from training.data.synthetic.surface import View

SUN = (0.42, 0.36, 0.83)  # direction to it, in the world
AMBIENT, DIRECT = 0.62, 0.46
SHADE = 0.68  # of the light that is missing under a car
SHADE_REACH_M = 0.5
SHADE_SIGHT_M = 80.0
CORNERS = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])


def brightness(normal: Vector) -> Array:
    """Return how bright matt surfaces are; the same from everywhere, as warping supposes."""
    facing = sum(np.float32(s) * n for s, n in zip(SUN, normal))
    lit: Array = np.float32(AMBIENT) + np.float32(DIRECT) * np.maximum(facing, np.float32(0))
    return lit


def shade_under_cars(
    colors: Array,
    hits: Hits,
    grid: RayGrid,
    view: View,
    T_world_camera: NDArray[np.float64],
    cars: Sequence[tuple[Car, Place]],
) -> None:
    """
    Darken the ground under and around cars, in place.

    :param colors: (3, H, W).
    """
    for car, place in cars:
        if math.dist(place[:2], T_world_camera[:2, 3]) > SHADE_SIGHT_M:
            continue
        half = np.array([car.length_m / 2, car.width_m / 2])
        c, s = math.cos(place.yaw_rad), math.sin(place.yaw_rad)
        flat = CORNERS * (half + SHADE_REACH_M) @ np.array([[c, s], [-s, c]]) + place[:2]
        rim = np.concatenate([flat, np.zeros((len(flat), 1))], axis=1)
        seen = window(grid, T_world_camera, rim)
        if seen is None:
            continue
        depth = np.where(hits.solid[seen] == GROUND_INDEX, hits.depth_m[seen], np.float32(1e6))
        x = depth * view.direction.x[seen] + np.float32(T_world_camera[0, 3] - place.x_m)
        y = depth * view.direction.y[seen] + np.float32(T_world_camera[1, 3] - place.y_m)
        ahead, aside = np.float32(c) * x + np.float32(s) * y, np.float32(c) * y - np.float32(s) * x
        outside = np.hypot(
            np.maximum(np.abs(ahead) - np.float32(half[0]), 0),
            np.maximum(np.abs(aside) - np.float32(half[1]), 0),
        )
        dark = np.clip(1 - outside / np.float32(SHADE_REACH_M), 0, 1) ** 2
        rows, columns = seen
        colors[:, rows, columns] *= 1 - np.float32(SHADE) * dark
