"""The road's course, how the vehicle drives along it, and the cars that move along with it."""

import math
from dataclasses import dataclass
from typing import Any
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.data.synthetic.shapes import Array

LANE_M = 3.5
EGO_LANE_M = -LANE_M / 2  # right-hand traffic; left is positive
PARKING_M = 4.6  # middle of the parked cars' strip
MOVING_M_S = 0.5
STOP_S = 1.0
BRAKING_S = 3.0
TIME_STEP_S = 0.01


@dataclass(frozen=True)
class Waves:
    """A smooth random function: a sum of sines."""

    terms: tuple[tuple[float, float, float], ...]  # amplitude, angular frequency, phase

    def __call__(self, x: NDArray[np.floating] | float) -> NDArray[Any]:
        """Return its value."""
        return sum((a * np.sin(w * x + p) for a, w, p in self.terms), np.zeros_like(x))

    def slope(self, x: NDArray[np.floating] | float) -> NDArray[Any]:
        """Return its derivative."""
        return sum((a * w * np.cos(w * x + p) for a, w, p in self.terms), np.zeros_like(x))


class Place(NamedTuple):
    """Somewhere on the ground: world x and y in metres, and a heading from x to y in radians."""

    x_m: float
    y_m: float
    yaw_rad: float


@dataclass(frozen=True)
class Road:
    """A street along x whose middle is y = course(x)."""

    course: Waves

    def place(self, x_m: float, left_m: float) -> Place:
        """Return the place beside the middle of the road at x, heading along the road."""
        yaw = math.atan(float(self.course.slope(x_m)))
        y_m = float(self.course(x_m))
        return Place(x_m - left_m * math.sin(yaw), y_m + left_m * math.cos(yaw), yaw)

    def left_of_middle(self, x_m: Array, y_m: Array) -> Array:
        """Return how far points [N] lie left of the middle of the road, in metres."""
        slope = self.course.slope(x_m)
        left_m: Array = (y_m - self.course(x_m)) / np.sqrt(1 + slope * slope)
        return left_m


class Stretch(NamedTuple):
    """A time in which a car ahead keeps its distance, with how it joins and leaves."""

    start_s: float
    end_s: float
    ramp_s: float  # time to pull out of the parking strip, and to pull in again
    gap_m: float  # from the vehicle's base to the middle of the car


class Companion(NamedTuple):
    """A stretch and its car's motion over the motion's times."""

    stretch: Stretch
    length_m: NDArray[np.float64]  # [T], along the vehicle's path
    in_lane: NDArray[np.float64]  # [T], 0 parked at the kerb .. 1 in the vehicle's lane


@dataclass(frozen=True, eq=False)
class Motion:
    """Where the vehicle and the cars that accompany it are, over time."""

    road: Road
    companions: tuple[Companion, ...]
    time_s: NDArray[np.float64]  # [T]
    speed_m_s: NDArray[np.float64]  # [T]
    travelled_m: NDArray[np.float64]  # [T], along the vehicle's path
    path_x_m: NDArray[np.float64]  # [P], the path's points
    path_length_m: NDArray[np.float64]  # [P], along the path up to each
    path_left_m: Waves  # the vehicle's wandering within its lane, over x
    bumps_m: Waves  # the body's rise and fall, over x
    pitch_rad: Waves  # its nodding, over x

    def speed_at(self, time_s: float) -> float:
        """Return the vehicle's speed."""
        return float(np.interp(time_s, self.time_s, self.speed_m_s))

    def vehicle(self, time_s: float) -> tuple[Place, float]:
        """Return the vehicle's place and its yaw rate in rad/s."""
        length_m = float(np.interp(time_s, self.time_s, self.travelled_m))
        here, ahead = self._on_path(length_m, 0.0), self._on_path(length_m + 0.1, 0.0)
        return here, (ahead.yaw_rad - here.yaw_rad) / 0.1 * self.speed_at(time_s)

    def pose(self, time_s: float) -> NDArray[np.float64]:
        """Return T_world_base (3, 4): the vehicle's base on the ground, x ahead, z up."""
        place, _ = self.vehicle(time_s)
        pitch, yaw = float(self.pitch_rad(place.x_m)), place.yaw_rad
        cp, sp, cy, sy = math.cos(pitch), math.sin(pitch), math.cos(yaw), math.sin(yaw)
        return np.array(
            [
                [cy * cp, -sy, cy * sp, place.x_m],
                [sy * cp, cy, sy * sp, place.y_m],
                [-sp, 0.0, cp, float(self.bumps_m(place.x_m))],
            ]
        )

    def keeps_distance(self, companion: Companion, time_s: float) -> bool:
        """Tell whether a car moves exactly as the moving vehicle does."""
        start_s, end_s, _, _ = companion.stretch
        return start_s <= time_s <= end_s and self.speed_at(time_s) > MOVING_M_S

    def companion_place(self, companion: Companion, time_s: float) -> Place:
        """Return the place of a car: parked, pulling out, ahead, pulling in, parked."""
        length_m = float(np.interp(time_s, self.time_s, companion.length_m))
        in_lane = float(np.interp(time_s, self.time_s, companion.in_lane))
        return self._on_path(length_m, (-PARKING_M - EGO_LANE_M) * (1 - in_lane))

    def _on_path(self, length_m: float, left_m: float) -> Place:
        x_m = float(np.interp(length_m, self.path_length_m, self.path_x_m))
        aside = EGO_LANE_M + float(self.path_left_m(x_m))
        middle = self.road.place(x_m, aside + left_m)
        turn = math.atan(float(self.path_left_m.slope(x_m)))
        return Place(middle.x_m, middle.y_m, middle.yaw_rad + turn)


def plan_motion(rng: np.random.Generator, seconds: float) -> Motion:
    """Draw a road and a drive along it of 8 to 14 m/s, with a stop where it is long enough."""
    road = Road(_waves(rng, ((9.0, 65.0), (2.5, 27.0))))
    wander = _waves(rng, ((0.18, 14.0), (0.06, 5.0)))
    bumps = _waves(rng, ((0.008, 3.1), (0.004, 1.1)))
    pitch = _waves(rng, ((0.003, 4.3), (0.0015, 1.3)))
    stretches, stops = _plan_blocks(rng, seconds)
    time_s = np.arange(0.0, seconds + 1.0, TIME_STEP_S)
    speed = 10.6 + _waves(rng, ((1.6, 3.0), (0.8, 1.1)))(time_s)
    for stop_s in stops:
        away_s = np.abs(time_s - stop_s) - STOP_S / 2
        speed = speed * _smooth(away_s / BRAKING_S)
    travelled = _integral(speed)
    companions = tuple(_accompany(s, time_s, speed, travelled) for s in stretches)
    path_x = np.arange(-5.0, travelled[-1] + 120.0, 0.05)
    places = [road.place(x, EGO_LANE_M + float(wander(x))) for x in path_x]
    points = np.array([(p.x_m, p.y_m) for p in places])
    pieces = np.hypot(*np.diff(points, axis=0).T)
    length = np.concatenate([[0.0], np.cumsum(pieces)])
    length -= np.interp(0.0, path_x, length)
    return Motion(road, companions, time_s, speed, travelled, path_x, length, wander, bumps, pitch)


def _plan_blocks(
    rng: np.random.Generator, seconds: float
) -> tuple[tuple[Stretch, ...], tuple[float, ...]]:
    """Per 20 s or so: a car joins, keeps its distance, leaves; later the vehicle stops."""
    count = max(1, round(seconds / 20.0))
    block_s = seconds / count
    stretches, stops = [], []
    for block in range(count):
        start_s = block_s * (block + rng.uniform(0.2, 0.3))
        length_s = block_s * rng.uniform(0.17, 0.24)
        gap_m = rng.uniform(10.0, 15.0)
        stretches.append(Stretch(start_s, start_s + length_s, min(2.0, 0.1 * block_s), gap_m))
        if block_s >= 12.0:
            stops.append(block_s * (block + rng.uniform(0.8, 0.86)))
    return tuple(stretches), tuple(stops)


def _waves(rng: np.random.Generator, scales: tuple[tuple[float, float], ...]) -> Waves:
    """Draw waves from (amplitude, length over 2 pi) pairs, each varied a little."""
    terms = []
    for amplitude, length in scales:
        varied = length * rng.uniform(0.85, 1.2)
        terms.append((amplitude * rng.uniform(0.7, 1.0), 1 / varied, rng.uniform(0, 2 * math.pi)))
    return Waves(tuple(terms))


def _accompany(
    stretch: Stretch,
    time_s: NDArray[np.float64],
    speed_m_s: NDArray[np.float64],
    travelled_m: NDArray[np.float64],
) -> Companion:
    """Drive a car at a share of the vehicle's speed that rises to one and falls again."""
    rising = (time_s - stretch.start_s) / stretch.ramp_s + 1.0
    falling = (stretch.end_s - time_s) / stretch.ramp_s + 1.0
    share = _smooth(np.minimum(rising, falling))
    driven = _integral(share * speed_m_s)
    ahead = np.interp(stretch.start_s, time_s, travelled_m - driven) + stretch.gap_m
    # In the lane before it is fast, and out of it while still faster than a walk.
    return Companion(stretch, driven + ahead, _smooth((share - 0.3) / 0.7))


def _integral(speed_m_s: NDArray[np.float64]) -> NDArray[np.float64]:
    steps = 0.5 * (speed_m_s[1:] + speed_m_s[:-1]) * TIME_STEP_S
    return np.concatenate([[0.0], np.cumsum(steps)])


def _smooth(x: NDArray[np.float64]) -> NDArray[np.float64]:
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3 - 2 * x)
