"""The vehicle's speed at the images' stamps, from a bag's odometry or, without, its GNSS fixes."""

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.bags.bag import FIX_TYPE
from sg_depth_ros.bags.bag import ODOMETRY_TYPES
from sg_depth_ros.bags.bag import Bag
from sg_depth_ros.bags.bag import StampedOdometry
from training.data.sources.fix_speed import speeds_of_fixes
from training.data.sources.speed_samples import SpeedSamples
from training.data.sources.speed_samples import interpolate_speed
from training.data.sources.speed_samples import known_speeds


def speeds_at(
    bag: Bag, topic: str | None, stamps: NDArray[np.int64], notes: list[str]
) -> list[float | None]:
    """
    Interpolate the vehicle's speed at the stamps.

    :param topic: of the odometry or the fixes, or None for the bag's only one.
    :param stamps: (N,) of the images, ns, increasing.
    :param notes: gets a sentence for what was assumed or is missing.
    :return: m/s, None far from any odometry.
    :raises UserError: where the topic is missing or ambiguous.
    """
    odometry, fixes = bag.topics_of(*ODOMETRY_TYPES), bag.topics_of(FIX_TYPE)
    if any(t.name == topic for t in fixes) or (topic is None and fixes and not odometry):
        return speeds_of_fixes(bag.fixes(topic), stamps, notes)
    if topic is None and not odometry:
        notes.append('No odometry: speed and scale are unknown.')
        return [None] * len(stamps)
    motion = sorted(bag.odometry(topic), key=lambda m: m.stamp_ns)
    motion = [m for m in motion if np.isfinite(m.speed_m_s)]
    if not motion:
        notes.append('Odometry holds no finite speed: speed and scale are unknown.')
        return [None] * len(stamps)
    times = np.array([m.stamp_ns for m in motion], np.int64)
    speeds = np.array([m.speed_m_s for m in motion])
    if not speeds.any():
        derived = _speeds_of_positions(motion)
        if derived is not None:
            notes.append('Odometry states no velocity: speed is taken from its positions.')
            speeds = derived
    values = interpolate_speed(SpeedSamples(times, speeds), stamps)
    return known_speeds(values, 'odometry', notes)


def _speeds_of_positions(motion: list[StampedOdometry]) -> NDArray[np.float64] | None:
    """Differentiate positions, for odometry that leaves its twist at zero; None if at rest."""
    placed = [(m.stamp_ns, m.position_m) for m in motion if m.position_m is not None]
    if len(placed) != len(motion) or len(placed) < 2:
        return None
    positions = np.array([position for _, position in placed])
    seconds = np.array([stamp - placed[0][0] for stamp, _ in placed]) * 1e-9
    if not np.any(positions != positions[0]) or np.any(np.diff(seconds) <= 0):
        return None
    speeds: NDArray[np.float64] = np.linalg.norm(np.gradient(positions, seconds, axis=0), axis=1)
    return speeds
