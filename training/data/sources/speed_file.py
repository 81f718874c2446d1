"""
The vehicle's speed from a CSV file, for recordings that do not hold it.

The header says what the times are:

    time_s,speed_m_s      seconds since the first image
    stamp_ns,speed_m_s    nanoseconds on the clock of the images' own stamps

One measurement a line, times increasing; negative speed is backwards.
"""

import math
from enum import Enum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.errors import UserError
from training.data.sources.kitti import read_text
from training.data.sources.speed_samples import MAX_SPARSE_GAP_NS
from training.data.sources.speed_samples import SpeedSamples
from training.data.sources.speed_samples import interpolate_speed
from training.data.sources.speed_samples import known_speeds

MAX_SPEED_M_S = 100.0  # above it, it is another unit
_MAX_NS = 2**63 - 1


class SpeedClock(Enum):
    """What the times of a speed file count from; the value is the file's header."""

    FIRST_IMAGE = 'time_s,speed_m_s'
    STAMPS = 'stamp_ns,speed_m_s'


def read_speed_file(path: Path) -> tuple[SpeedClock, SpeedSamples]:
    """
    Read a speed CSV.

    :raises UserError: naming the file and the line that is wrong.
    """
    lines = read_text(path).removeprefix('\ufeff').splitlines()
    headers = {clock.value: clock for clock in SpeedClock}
    header = ','.join(word.strip() for word in lines[0].split(',')) if lines else ''
    clock = headers.get(header)
    if clock is None:
        raise UserError(
            f'{path}, line 1: the header is {header!r}, not {" or ".join(map(repr, headers))}'
        )
    times: list[int] = []
    speeds: list[float] = []
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        try:
            time_ns, speed = _measurement(line, clock)
        except ValueError as error:
            raise UserError(f'{path}, line {number}: {error}') from error
        if times and time_ns <= times[-1]:
            raise UserError(f'{path}, line {number}: times do not increase ({line.strip()!r})')
        times.append(time_ns)
        speeds.append(speed)
    if not times:
        raise UserError(f'{path}: holds no measurement below its header')
    return clock, SpeedSamples(np.array(times, np.int64), np.array(speeds))


def _measurement(line: str, clock: SpeedClock) -> tuple[int, float]:
    """Return time in ns and speed in m/s of one line."""
    words = [word.strip() for word in line.split(',')]
    if len(words) != 2:
        raise ValueError(f'{len(words)} values, not two ({line.strip()!r})')
    if clock is SpeedClock.STAMPS:
        if not words[0].isdecimal() or int(words[0]) > _MAX_NS:
            raise ValueError(f'{words[0]!r} is no whole number of nanoseconds')
        time_ns = int(words[0])
    else:
        seconds = _finite(words[0], 'seconds')
        if abs(seconds) > 1e9:
            raise ValueError(f'{words[0]} seconds since the first image: a date? use stamp_ns')
        time_ns = round(seconds * 1e9)
    speed = _finite(words[1], 'm/s')
    if abs(speed) > MAX_SPEED_M_S:
        raise ValueError(f'{speed:g} m/s is faster than any car: is it another unit?')
    return time_ns, speed


def _finite(word: str, unit: str) -> float:
    try:
        value = float(word)
    except ValueError:
        raise ValueError(f'{word!r} is no number of {unit}') from None
    if not math.isfinite(value):
        raise ValueError(f'{word!r} is no finite number of {unit}')
    return value


def speeds_without_odometry(
    path: Path | None, stamps_ns: NDArray[np.int64], absolute: bool, notes: list[str]
) -> list[float | None]:
    """Return the speeds of the file, or of a recording without one; as ``speeds_of_file``."""
    if path is None:
        notes.append('No --speed: speed and scale are unknown.')
        return [None] * len(stamps_ns)
    return speeds_of_file(path, stamps_ns, absolute, notes)


def speeds_of_file(
    path: Path, stamps_ns: NDArray[np.int64], absolute: bool, notes: list[str]
) -> list[float | None]:
    """
    Interpolate the speed of a CSV file at the images' stamps.

    :param stamps_ns: (N,) increasing.
    :param absolute: the stamps are of a clock that others may know, not counted from the start.
    :param notes: gets a sentence for what is missing.
    :return: m/s, None far from any measurement.
    :raises UserError: where the file is wrong, or holds nothing near any image.
    """
    clock, samples = read_speed_file(path)
    if clock is SpeedClock.STAMPS and not absolute:
        raise UserError(
            f'{path}: stamp_ns, but these images have no stamps of their own; give time_s, '
            'seconds since the first image'
        )
    start_ns = int(stamps_ns[0]) if clock is SpeedClock.FIRST_IMAGE else 0
    samples = SpeedSamples(samples.times_ns + start_ns, samples.speeds_m_s)
    values = interpolate_speed(samples, stamps_ns, MAX_SPARSE_GAP_NS)
    if np.isnan(values).all():
        first_s, last_s = ((samples.times_ns[[0, -1]] - stamps_ns[0]) * 1e-9).tolist()
        duration_s = float(stamps_ns[-1] - stamps_ns[0]) * 1e-9
        raise UserError(
            f'{path}: no speed near any image: it covers {first_s:.3f} to {last_s:.3f} s after '
            f'the first image, the images 0 to {duration_s:.3f} s'
        )
    return known_speeds(values, 'measured speed', notes)
