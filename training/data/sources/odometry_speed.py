"""The vehicle's speed at the images' stamps, from a bag's odometry."""

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.replay.bags import ODOMETRY_TYPES
from sg_depth_ros.replay.bags import Bag
from sg_depth_ros.replay.bags import StampedOdometry

# Farther from every odometry message than this, the speed counts as unknown.
MAX_ODOMETRY_DISTANCE_NS = 250_000_000


def speeds_at(
    bag: Bag, topic: str | None, stamps: NDArray[np.int64], notes: list[str]
) -> list[float | None]:
    """
    Interpolate the vehicle's speed at the stamps.

    :param topic: of the odometry, or None for the bag's only one.
    :param stamps: (N,) of the images, ns, increasing.
    :param notes: gets a sentence for what was assumed or is missing.
    :return: m/s, None far from any odometry.
    :raises UserError: where the topic is missing or ambiguous.
    """
    if topic is None and not bag.topics_of(*ODOMETRY_TYPES):
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
    after = np.clip(np.searchsorted(times, stamps), 0, len(times) - 1)
    before = np.clip(after - 1, 0, len(times) - 1)
    # Relative to the first stamp: epoch nanoseconds do not fit a double.
    values = np.interp(stamps - times[0], times - times[0], speeds)
    nearest_ns = np.minimum(abs(times[after] - stamps), abs(times[before] - stamps))
    known = nearest_ns <= MAX_ODOMETRY_DISTANCE_NS
    if not known.all():
        notes.append(f'{int((~known).sum())} images have no odometry near: speed unknown there.')
    return [float(v) if k else None for v, k in zip(values, known)]


def _speeds_of_positions(motion: list[StampedOdometry]) -> NDArray[np.float64] | None:
    """Differentiate positions, for odometry that leaves its twist at zero; None if at rest."""
    placed = [(m.stamp_ns, m.position_m) for m in motion if m.position_m is not None]
    if len(placed) != len(motion) or len(placed) < 2:
        return None
    positions = np.array([position for _, position in placed])
    seconds = np.array([stamp - placed[0][0] for stamp, _ in placed]) * 1e-9
    if not np.any(positions != positions[0]) or np.any(np.diff(seconds) <= 0):
        return None
    return np.linalg.norm(np.gradient(positions, seconds, axis=0), axis=1)
