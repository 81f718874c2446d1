"""The street at one moment: every solid and every car's place."""

import math
from dataclasses import dataclass

from training.data.synthetic.cars import Car
from training.data.synthetic.motion import LANE_M
from training.data.synthetic.motion import Place
from training.data.synthetic.shapes import Solid
from training.data.synthetic.street import ONCOMING_M_S
from training.data.synthetic.street import Street

SIGHT_M = 280.0


@dataclass(frozen=True, eq=False)
class Moment:
    """What stands where at one time."""

    solids: tuple[Solid, ...]
    cars: tuple[tuple[Car, Place], ...]  # whose shadows lie on the ground


def street_at(street: Street, time_s: float) -> Moment:
    """Return everything within sight of the vehicle at a time."""
    motion = street.motion
    here, _ = motion.vehicle(time_s)

    def in_sight(x_m: float, y_m: float) -> bool:
        return math.dist((x_m, y_m), here[:2]) < SIGHT_M

    solids = [solid for solid in street.fixed if in_sight(*solid.origin_m[:2])]
    cars = []
    for car, place, parts in street.parked:
        if in_sight(*place[:2]):
            solids += parts
            cars.append((car, place))
    for car, place, same_speed in _moving(street, time_s):
        if in_sight(*place[:2]):
            solids += car.at(place, same_speed)
            cars.append((car, place))
    return Moment(tuple(solids), tuple(cars))


def _moving(street: Street, time_s: float) -> list[tuple[Car, Place, bool]]:
    """Return the cars that can move, where they are, and whether they move with the vehicle."""
    motion = street.motion
    cars = []
    for car, start_m in street.oncoming:
        place = motion.road.place(start_m - ONCOMING_M_S * time_s, LANE_M / 2)
        cars.append((car, place._replace(yaw_rad=place.yaw_rad + math.pi), False))
    for car, companion in zip(street.companions, motion.companions):
        place = motion.companion_place(companion, time_s)
        cars.append((car, place, motion.keeps_distance(companion, time_s)))
    return cars
