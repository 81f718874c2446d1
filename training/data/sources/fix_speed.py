"""
The vehicle's speed from GNSS fixes: the last choice, where nothing measures the speed itself.

Steps between fixes are laid out on the tangent plane of WGS 84; altitude, the worst that GNSS
measures, is left out. The speed is the slope of a line through the fixes of two seconds: one step
of 0.1 s between fixes with 0.3 m of noise would be wrong by 4 m/s.
"""

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.bags.bag import StampedFix
from training.data.sources.speed_samples import MAX_SPARSE_GAP_NS
from training.data.sources.speed_samples import SpeedSamples
from training.data.sources.speed_samples import interpolate_speed
from training.data.sources.speed_samples import known_speeds

# A fix this far from where its neighbours' velocity leads to has jumped (another set of
# satellites, reflections): 6 m at 10 Hz, 15 m at 1 Hz, which no braking explains.
MAX_JUMP_M = 5.0
MAX_JUMP_M_S = 10.0
HALF_WINDOW_NS = 1_000_000_000
# Drivers repeat a position, under new stamps, until the receiver has the next one; for longer than
# this the vehicle stands still.
MAX_REPEATED_NS = 1_500_000_000
# WGS 84
_EQUATOR_RADIUS_M = 6_378_137.0
_ECCENTRICITY_SQUARED = 6.694_379_990_14e-3


def speeds_of_fixes(
    fixes: Iterable[StampedFix], stamps_ns: NDArray[np.int64], notes: list[str]
) -> list[float | None]:
    """
    Return the speed at the stamps by the distance between GNSS fixes.

    :param stamps_ns: (N,) of the images, increasing.
    :param notes: gets sentences for what was assumed or left out.
    :return: m/s, never negative; None far from fixes, in gaps and at jumps.
    """
    times, latitude_rad, longitude_rad, without_fix = _usable(fixes)
    if without_fix:
        notes.append(f'{without_fix} GNSS messages without a fix were left out.')
    values = np.full(len(stamps_ns), np.nan)
    if len(times) >= 2:
        steps_m = tangent_steps(latitude_rad, longitude_rad)
        gap = np.diff(times) > MAX_SPARSE_GAP_NS
        jump = jumps(times, steps_m) & ~gap
        if jump.any():
            notes.append(f'GNSS jumps {int(jump.sum())} times: no speed is taken across.')
        bounds = [0, *(np.flatnonzero(gap | jump) + 1).tolist(), len(times)]
        positions_m = np.concatenate([np.zeros((1, 2)), np.cumsum(steps_m, axis=0)])
        for first, end in pairwise(bounds):
            if end - first >= 2:
                samples = smoothed_speeds(times[first:end], positions_m[first:end])
                found = interpolate_speed(samples, stamps_ns, MAX_SPARSE_GAP_NS)
                values = np.where(np.isnan(values), found, values)
    if np.isnan(values).all():
        notes.append('No odometry, and no GNSS fixes near: speed and scale are unknown.')
        return [None] * len(stamps_ns)
    notes.append(
        'Speed is taken from the distance between GNSS fixes: smoothed over 2 s, never negative, '
        'and never quite zero at rest.'
    )
    return known_speeds(values, 'GNSS fixes', notes)


def _usable(
    fixes: Iterable[StampedFix],
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], int]:
    """Return times, latitude and longitude of fixes with increasing stamps; how many are none."""
    received = list(fixes)
    valid = sorted((f for f in received if f.has_fix), key=lambda f: f.stamp_ns)
    used: list[StampedFix] = []
    for fix in valid:
        if used:
            elapsed_ns = fix.stamp_ns - used[-1].stamp_ns
            moved = (fix.latitude_deg, fix.longitude_deg) != (
                used[-1].latitude_deg,
                used[-1].longitude_deg,
            )
            if elapsed_ns <= 0 or (not moved and elapsed_ns < MAX_REPEATED_NS):
                continue
        used.append(fix)
    times = np.array([f.stamp_ns for f in used], np.int64)
    degrees = np.array([(f.latitude_deg, f.longitude_deg) for f in used]).reshape(-1, 2)
    latitude, longitude = np.radians(degrees).T
    return times, latitude, longitude, len(received) - len(valid)


def tangent_steps(
    latitude_rad: NDArray[np.float64], longitude_rad: NDArray[np.float64]
) -> NDArray[np.float64]:
    """
    Return the way from each position to the next, east and north.

    :param latitude_rad: geodetic, (N,); ``longitude_rad`` likewise.
    :return: (N - 1, 2) metres, exact for steps that are short against the radius of the earth.
    """
    middle = 0.5 * (latitude_rad[1:] + latitude_rad[:-1])
    turn = np.diff(longitude_rad)
    turn = (turn + np.pi) % (2 * np.pi) - np.pi  # across the date line
    bulge = 1.0 - _ECCENTRICITY_SQUARED * np.sin(middle) ** 2
    east_radius_m = _EQUATOR_RADIUS_M / np.sqrt(bulge)
    north_radius_m = _EQUATOR_RADIUS_M * (1.0 - _ECCENTRICITY_SQUARED) / bulge**1.5
    east_m = east_radius_m * np.cos(middle) * turn
    return np.stack([east_m, north_radius_m * np.diff(latitude_rad)], axis=1)


def jumps(times_ns: NDArray[np.int64], steps_m: NDArray[np.float64]) -> NDArray[np.bool_]:
    """
    Return which steps leave the way that their neighbours' median velocity leads.

    :param times_ns: (N,) increasing.
    :param steps_m: (N - 1, 2).
    :return: (N - 1,).
    """
    seconds = np.diff(times_ns) * 1e-9
    velocities = steps_m / seconds[:, None]
    middles = times_ns[:-1] + np.diff(times_ns) // 2
    # Two seconds to either side, and at 1 Hz two steps.
    firsts = np.searchsorted(middles, middles - 2 * HALF_WINDOW_NS)
    ends = np.searchsorted(middles, middles + 2 * HALF_WINDOW_NS, side='right')
    expected = np.array([np.median(velocities[a:b], axis=0) for a, b in zip(firsts, ends)])
    off_m = np.linalg.norm(steps_m - expected * seconds[:, None], axis=1)
    return np.asarray(off_m > MAX_JUMP_M + MAX_JUMP_M_S * seconds)


def smoothed_speeds(times_ns: NDArray[np.int64], positions_m: NDArray[np.float64]) -> SpeedSamples:
    """
    Return the slopes of lines through the positions of two seconds around each.

    At the ends the window is one-sided; its slope counts for the middle of its times, so that
    nothing is extrapolated.

    :param times_ns: (N,) increasing, N > 1, without gaps above two seconds.
    :param positions_m: (N, 2).
    """
    times: list[int] = []
    speeds: list[float] = []
    firsts = np.searchsorted(times_ns, times_ns - HALF_WINDOW_NS)
    ends = np.searchsorted(times_ns, times_ns + HALF_WINDOW_NS, side='right')
    for i, (first, end) in enumerate(zip(firsts.tolist(), ends.tolist())):
        if end - first < 2:  # slower than 1 Hz: its neighbours
            first, end = max(i - 1, 0), min(i + 2, len(times_ns))
        elapsed_ns = times_ns[first:end] - times_ns[first]
        middle_ns = float(elapsed_ns.mean())
        seconds = (elapsed_ns - middle_ns) * 1e-9
        slope_m_s = seconds @ positions_m[first:end] / (seconds @ seconds)
        times.append(int(times_ns[first]) + round(middle_ns))
        speeds.append(float(np.linalg.norm(slope_m_s)))
    return SpeedSamples(np.array(times, np.int64), np.array(speeds))
