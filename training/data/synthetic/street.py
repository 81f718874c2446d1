"""What stands along a road: houses, trees, poles, fences, people and parked cars, by seed."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from training.data.synthetic.cars import Car
from training.data.synthetic.cars import draw_car
from training.data.synthetic.furniture import LEAF_COLORS
from training.data.synthetic.furniture import Color
from training.data.synthetic.furniture import make_lamp
from training.data.synthetic.furniture import make_person
from training.data.synthetic.furniture import make_sign
from training.data.synthetic.furniture import make_tree
from training.data.synthetic.furniture import pick_color
from training.data.synthetic.furniture import put_solid
from training.data.synthetic.motion import PARKING_M
from training.data.synthetic.motion import Motion
from training.data.synthetic.motion import Place
from training.data.synthetic.motion import Road
from training.data.synthetic.shapes import Material
from training.data.synthetic.shapes import Solid
from training.data.synthetic.shapes import box
from training.data.synthetic.shapes import hexahedron

KERB_M = 5.7
SIDEWALK_END_M = 8.7
BEHIND_M = 40.0
BEYOND_M = 280.0
PARKING_SLOT_M = 6.2
ONCOMING_M_S = 9.5


WALL_COLORS: tuple[Color, ...] = (
    (0.72, 0.62, 0.48),
    (0.66, 0.42, 0.33),
    (0.78, 0.74, 0.66),
    (0.55, 0.36, 0.30),
    (0.62, 0.66, 0.68),
    (0.80, 0.68, 0.44),
    (0.50, 0.50, 0.48),
    (0.70, 0.56, 0.56),
)
ROOF_COLORS: tuple[Color, ...] = ((0.50, 0.25, 0.19), (0.33, 0.31, 0.32), (0.42, 0.33, 0.27))


class ParkedCar(NamedTuple):
    """A car that stands still, with its solids made once."""

    car: Car
    place: Place
    solids: tuple[Solid, ...]


@dataclass(frozen=True, eq=False)
class Street:
    """A whole street with its traffic; ``traffic.py`` moves it."""

    motion: Motion
    fixed: tuple[Solid, ...]
    parked: tuple[ParkedCar, ...]
    companions: tuple[Car, ...]  # one for each of the motion's companions
    oncoming: tuple[tuple[Car, float], ...]  # with x at the start, in metres


def build_street(rng: np.random.Generator, motion: Motion) -> Street:
    """Draw a street along the whole drive and beyond what can be seen from its end."""
    end_m = float(motion.vehicle(motion.time_s[-1])[0].x_m) + BEYOND_M
    fixed: list[Solid] = []
    parked: list[ParkedCar] = []
    for side in (-1.0, 1.0):
        fixed += _houses(rng, motion.road, side, end_m)
        fixed += _pavement(rng, motion.road, side, end_m)
        parked += _parked_cars(rng, motion, side, end_m)
    oncoming, x_m = [], 30.0
    closing_share = 1 + ONCOMING_M_S / 10.0
    while x_m < closing_share * end_m:
        oncoming.append((draw_car(rng), x_m))
        x_m += rng.uniform(18, 45) if rng.random() < 0.4 else rng.uniform(70, 170)
    companions = tuple(draw_car(rng) for _ in motion.companions)
    return Street(motion, tuple(fixed), tuple(parked), companions, tuple(oncoming))


def _houses(rng: np.random.Generator, road: Road, side: float, end_m: float) -> list[Solid]:
    solids: list[Solid] = []
    x_m = -BEHIND_M
    while x_m < end_m:
        width = rng.uniform(9.0, 20.0)
        place = _beside(road, x_m + width / 2, side, rng.uniform(9.0, 10.5))
        solids += _house(rng, place, width)
        x_m += width
        if rng.random() < 0.45:
            gap = rng.uniform(3.0, 14.0)
            solids += _garden(rng, road, side, x_m, gap)
            x_m += gap
    return solids


def _house(rng: np.random.Generator, place: Place, width_m: float) -> list[Solid]:
    """Make a house whose front is at the place and which reaches away along its y axis."""
    floors = int(rng.integers(2, 6))
    height = 0.8 + 3.0 * floors
    deep = rng.uniform(9.0, 12.0)
    half = width_m / 2
    # Neighbours' walls must not coincide, or rounding would choose between them.
    walls = box((-half + 0.03, half - 0.03), (0.0, deep), (-0.1, height))
    solids = [
        put_solid(rng, walls, Material.FACADE, 'building', pick_color(rng, WALL_COLORS), place),
    ]
    roof = pick_color(rng, ROOF_COLORS)
    if rng.random() < 0.6:
        ridge = deep / 2
        gable = hexahedron(
            (-half - 0.1, half + 0.1, -0.4, deep + 0.4),
            (-half - 0.1, half + 0.1, ridge, ridge + 0.01),
            height,
            height + rng.uniform(2.5, 4.5),
        )
        solids.append(put_solid(rng, gable, Material.ROOF, 'building', roof, place))
    else:
        eaves = box((-half - 0.1, half + 0.1), (-0.3, deep + 0.3), (height, height + 0.5))
        solids.append(put_solid(rng, eaves, Material.ROOF, 'building', roof, place))
    return solids


def _garden(
    rng: np.random.Generator, road: Road, side: float, x_m: float, gap_m: float
) -> list[Solid]:
    """Close a gap between houses with a hedge or fence, and plant trees behind it."""
    place = _beside(road, x_m + gap_m / 2, side, 9.0)
    half = gap_m / 2
    if rng.random() < 0.5:
        hedge = box((-half, half), (0.0, 0.8), (0.0, rng.uniform(0.9, 1.6)))
        leaf = pick_color(rng, LEAF_COLORS)
        solids = [put_solid(rng, hedge, Material.FOLIAGE, 'vegetation', leaf, place)]
    else:
        fence = box((-half, half), (0.0, 0.08), (0.0, rng.uniform(1.1, 1.7)))
        solids = [put_solid(rng, fence, Material.FENCE, 'fence', (0.52, 0.40, 0.28), place)]
    if gap_m > 5.0:
        x_tree = x_m + gap_m * rng.uniform(0.35, 0.65)
        solids += make_tree(rng, _beside(road, x_tree, side, rng.uniform(12.0, 17.0)), 1.4)
    return solids


def _pavement(rng: np.random.Generator, road: Road, side: float, end_m: float) -> list[Solid]:
    """Put trees, lamps, signs and people on the sidewalk."""
    solids: list[Solid] = []
    x_m = -BEHIND_M + rng.uniform(0.0, 10.0)
    while x_m < end_m:
        kind = rng.random()
        kerb = _beside(road, x_m, side, KERB_M + rng.uniform(0.5, 0.9))
        if kind < 0.42:
            solids += make_tree(rng, kerb, rng.uniform(0.8, 1.1))
        elif kind < 0.68:
            solids += make_lamp(rng, kerb)
        elif kind < 0.86:
            solids += make_sign(rng, kerb)
        else:
            solids += make_person(rng, _beside(road, x_m, side, rng.uniform(7.0, 8.2)))
        x_m += rng.uniform(6.0, 14.0)
    return solids


def _parked_cars(
    rng: np.random.Generator, motion: Motion, side: float, end_m: float
) -> list[ParkedCar]:
    taken = _companions_parking(motion) if side < 0 else ()
    cars = []
    x_m, occupied = -BEHIND_M, 0.5
    while x_m < end_m:
        if rng.random() < 0.15:
            occupied = rng.choice((0.15, 0.5, 0.8))
        car = draw_car(rng)
        middle = x_m + rng.uniform(-0.4, 0.4)
        if rng.random() < occupied and not any(low < middle < high for low, high in taken):
            place = motion.road.place(middle, side * (PARKING_M + rng.uniform(-0.15, 0.15)))
            turn = (math.pi if side > 0 else 0.0) + rng.normal(0, 0.02)
            place = place._replace(yaw_rad=place.yaw_rad + turn)
            cars.append(ParkedCar(car, place, car.at(place)))
        x_m += PARKING_SLOT_M
    return cars


def _companions_parking(motion: Motion) -> tuple[tuple[float, float], ...]:
    """Return the ranges of x that cars need at the kerb to pull out of and into."""
    ranges = []
    for companion in motion.companions:
        start_s, end_s, ramp_s, _ = companion.stretch
        for first_s, last_s in ((0.0, start_s), (end_s, end_s + ramp_s)):
            first = motion.companion_place(companion, first_s).x_m
            last = motion.companion_place(companion, last_s).x_m
            ranges.append((first - 6.0, last + 6.0))
    return tuple(ranges)


def _beside(road: Road, x_m: float, side: float, out_m: float) -> Place:
    """Return a place beside the road whose y axis points away from the road."""
    place = road.place(x_m, side * out_m)
    return place if side > 0 else place._replace(yaw_rad=place.yaw_rad + math.pi)
