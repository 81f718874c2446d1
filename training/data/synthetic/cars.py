"""Cars: what they are made of, and where the moving ones are."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from sg_depth_ros.classes import CAR_ID
from training.data.synthetic.motion import Place
from training.data.synthetic.shapes import Convex
from training.data.synthetic.shapes import Material
from training.data.synthetic.shapes import Solid
from training.data.synthetic.shapes import box
from training.data.synthetic.shapes import hexahedron

PAINTS: tuple[tuple[float, float, float], ...] = (
    (0.75, 0.75, 0.76),
    (0.50, 0.52, 0.55),
    (0.16, 0.17, 0.19),
    (0.60, 0.12, 0.12),
    (0.14, 0.24, 0.48),
    (0.86, 0.86, 0.84),
    (0.20, 0.36, 0.28),
    (0.62, 0.54, 0.42),
)
WHEEL_M = 0.31  # radius


@dataclass(frozen=True)
class Car:
    """A car's measures and paint; its origin is on the ground under its middle, x ahead."""

    length_m: float
    width_m: float
    shoulder_m: float  # height where the windows begin
    height_m: float
    tail_m: float  # how far the cabin's top starts from the rear: boot or estate
    paint: tuple[float, float, float]
    texture_seed: float

    @cached_property
    def parts(self) -> tuple['Part', ...]:
        """The bodies it is made of."""
        half, side = self.length_m / 2, self.width_m / 2
        belt = side - 0.03
        lower = hexahedron(
            (-half + 0.12, half - 0.12, -side, side), (-half, half, -side, side), 0.22, 0.5
        )
        upper = hexahedron(
            (-half, half, -side, side),
            (-half + 0.1, half - 0.35, -belt, belt),
            0.5,
            self.shoulder_m,
        )
        cabin = hexahedron(
            (-half + 0.5 * self.tail_m + 0.1, half - 1.05, -belt + 0.02, belt - 0.02),
            (-half + self.tail_m + 0.3, half - 1.85, -belt + 0.22, belt - 0.22),
            self.shoulder_m - 0.02,
            self.height_m,
        )
        wheel = box((-0.33, 0.33), (-0.1, 0.1), (-WHEEL_M, WHEEL_M + 0.05))
        return (
            Part(lower, Material.CAR_BODY),
            Part(upper, Material.CAR_BODY),
            Part(cabin, Material.CAR_CABIN),
            *(
                Part(wheel, Material.WHEEL, (x, y, WHEEL_M))
                for x in (-half + 0.75, half - 0.8)
                for y in (-side + 0.09, side - 0.09)
            ),
        )

    def at(self, place: Place, same_speed: bool = False) -> tuple[Solid, ...]:
        """Return the car's solids at a place."""
        c, s = math.cos(place.yaw_rad), math.sin(place.yaw_rad)
        return tuple(
            Solid(
                shape=part.shape,
                material=part.material,
                label=CAR_ID,
                color=self.paint,
                texture_seed=self.texture_seed,
                origin_m=(
                    place.x_m + c * part.offset_m[0] - s * part.offset_m[1],
                    place.y_m + s * part.offset_m[0] + c * part.offset_m[1],
                    part.offset_m[2],
                ),
                yaw_rad=place.yaw_rad,
                same_speed=same_speed,
            )
            for part in self.parts
        )


class Part(NamedTuple):
    """One body of a car, relative to the car's origin."""

    shape: Convex
    material: Material
    offset_m: tuple[float, float, float] = (0.0, 0.0, 0.0)


def draw_car(rng: np.random.Generator) -> Car:
    """Draw a car of some make."""
    return Car(
        length_m=rng.uniform(3.9, 4.7),
        width_m=rng.uniform(1.70, 1.84),
        shoulder_m=rng.uniform(0.88, 0.98),
        height_m=rng.uniform(1.42, 1.62),
        tail_m=rng.choice((0.15, 0.5, 0.9)),
        paint=PAINTS[int(rng.integers(len(PAINTS)))],
        texture_seed=float(rng.uniform(0, 100)),
    )
