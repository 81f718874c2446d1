"""Speed at the images' stamps from measurements at other times."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Farther from every measurement than this, the speed counts as unknown.
MAX_DISTANCE_NS = 250_000_000
# Some measure once a second; one of theirs may be missing.
MAX_SPARSE_GAP_NS = 2_000_000_000


class SpeedSamples(NamedTuple):
    """Measured speeds, between which interpolation makes sense."""

    times_ns: NDArray[np.int64]  # [N], N > 0, not decreasing
    speeds_m_s: NDArray[np.float64]  # [N], negative is backwards


def interpolate_speed(
    samples: SpeedSamples, stamps_ns: NDArray[np.int64], max_gap_ns: int = 2 * MAX_DISTANCE_NS
) -> NDArray[np.float64]:
    """
    Interpolate linearly, and only near measurements.

    :param stamps_ns: (M,) where the speed is wanted.
    :param max_gap_ns: between two measurements at most this far apart the speed is known.
    :return: (M,) m/s; NaN in longer gaps and beyond the ends, farther than ``MAX_DISTANCE_NS``
        from every measurement.
    """
    times, speeds = samples
    after = np.clip(np.searchsorted(times, stamps_ns), 0, len(times) - 1)
    before = np.clip(after - 1, 0, len(times) - 1)
    # Relative to the first time: epoch nanoseconds do not fit a double.
    values = np.interp(stamps_ns - times[0], times - times[0], speeds)
    nearest_ns = np.minimum(abs(times[after] - stamps_ns), abs(times[before] - stamps_ns))
    inside = (times[0] <= stamps_ns) & (stamps_ns <= times[-1])
    near = inside & (times[after] - times[before] <= max_gap_ns)
    known = near | (nearest_ns <= MAX_DISTANCE_NS)
    return np.where(known, values, np.nan)


def known_speeds(values: NDArray[np.float64], near: str, notes: list[str]) -> list[float | None]:
    """
    Return speeds with None in the place of NaN.

    :param near: what was not near, for the note on how many are unknown.
    """
    unknown = int(np.isnan(values).sum())
    if unknown:
        notes.append(f'{unknown} images have no {near} near: speed unknown there.')
    return [None if np.isnan(v) else float(v) for v in values]
