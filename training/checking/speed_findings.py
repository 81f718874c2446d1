"""What the comparison of speed and images says: unit, offset in time, standing, height."""

import math

import numpy as np

from training.checking.finding import Finding
from training.checking.finding import Level
from training.checking.finding import Subject
from training.checking.finding import frame_list
from training.checking.finding import percent
from training.checking.motion import PairMotions
from training.checking.speed import SpeedComparison
from training.data.drive import Drive

LOWEST_M, HIGHEST_M = 0.25, 4.0  # camera heights of anything that drives on roads
UNUSUAL_M = 2.6  # only lorries and buses carry cameras higher
USUAL_M, LORRY_M = 1.5, 3.0  # to guess the unit
FASTEST_M_S = 60.0
KNOWN_HEIGHT = (0.15, 0.35)  # relative: a warning, an error
FEW, MANY = 0.02, 0.1
LEAST_CORRELATION = 0.6
# What a number in this unit is times the number in m/s.
UNITS = (('km/h', 3.6), ('mph', 2.237))


def judge_speed(
    drive: Drive,
    motions: PairMotions,
    speed: SpeedComparison | None,
    known_height_m: float | None,
    focal_factor: float = 1.0,
) -> list[Finding]:
    """
    Judge the speed of a drive.

    :param focal_factor: true over stated focal length, where the stated one is refuted: the height
        that the road shows grows with it.
    :param known_height_m: of the camera above the road, measured by the user.
    """
    name = drive.name
    if speed is None:
        return [
            Finding(
                'note',
                name,
                'speed',
                'speed is unknown: trained depth will have no scale',
                'neither speed nor poses',
                'record Odometry or TwistStamped, or accept depth up to scale',
            )
        ]
    height_m = speed.camera_height_m / focal_factor
    return [
        *_contradictions(name, motions, speed),
        *_fast(name, speed),
        *_when(name, speed),
        *_height(name, height_m, speed.height_spread, known_height_m),
    ]


def _contradictions(name: str, motions: PairMotions, speed: SpeedComparison) -> list[Finding]:
    findings = []
    kinds = (
        (
            speed.standing_but_moving,
            'the speed is zero while the images move',
            'frames are dropped as static or get a wrong scale: is the speed topic alive?',
        ),
        (
            speed.driving_but_still,
            'the images stand still while the speed says driving',
            'is the camera frozen, or the speed that of another time?',
        ),
    )
    for bad, what, advice in kinds:
        share = float(bad.mean())
        if bad.sum() < 3 or share < FEW:
            continue
        text = f'{bad.sum()} of {len(bad)} pairs ({frame_list(motions.frames[bad].tolist())})'
        level: Level = 'error' if share > MANY else 'warning'
        findings.append(Finding(level, name, 'speed', what, text, advice))
    return findings


def _fast(name: str, speed: SpeedComparison) -> list[Finding]:
    known = speed.measured_m_s[np.isfinite(speed.measured_m_s)]
    if not len(known) or known.max() <= FASTEST_M_S:
        return []
    return [
        Finding(
            'error',
            name,
            'speed unit',
            'the speed is implausible in m/s',
            f'up to {known.max():.0f} m/s ({3.6 * known.max():.0f} km/h)',
            'give the speed in m/s',
        )
    ]


def _when(name: str, speed: SpeedComparison) -> list[Finding]:
    """Say whether the speed is that of the images' time."""
    if speed.offset_s:
        later = 'late' if speed.offset_s < 0 else 'early'
        return [
            Finding(
                'error',
                name,
                'speed offset',
                f'the speed is stamped {abs(speed.offset_s):.2f} s too {later}',
                f'disagreement {percent(speed.disagreement.min())} instead of '
                f'{percent(_without_offset(speed))}',
                'stamp images and speed by one clock, or shift the speed, and prepare again',
            )
        ]
    if speed.correlation < LEAST_CORRELATION:
        return [
            Finding(
                'warning',
                name,
                'speed',
                'the speed does not follow the motion in the images',
                f'correlation {speed.correlation:.2f}',
                'is it the speed of this vehicle, and of this drive?',
            )
        ]
    if speed.offset_s is None and math.isfinite(speed.camera_height_m):
        what = 'the speed hardly changes: whether it is stamped right is not observable'
        number = f'{np.nanmin(speed.measured_m_s):.1f} to {np.nanmax(speed.measured_m_s):.1f} m/s'
        return [Finding('note', name, 'speed offset', what, number)]
    return []


def _height(
    name: str, height_m: float, spread: float, known_height_m: float | None
) -> list[Finding]:
    if math.isnan(height_m):
        what = 'the speed cannot be compared with the road: no road was recognised ahead'
        return [Finding('note', name, 'speed', what, 'no camera height', '')]
    number = f'{height_m:.2f} m (spread {percent(spread)})'
    if known_height_m is not None:
        return _known_height(name, height_m / known_height_m, number, known_height_m)
    unit: Subject = 'speed unit'
    if height_m > UNUSUAL_M:
        return [
            Finding(
                'error' if height_m > HIGHEST_M else 'warning',
                name,
                unit,
                f'the speed looks too large{_guess(height_m)}, or fy too small: '
                f'the camera would be {height_m:.1f} m above the road',
                number,
                'give the speed in m/s; right only if the camera is that high '
                '(then say so with --camera-height)',
            )
        ]
    if height_m < LOWEST_M:
        return [
            Finding(
                'error',
                name,
                unit,
                f'the speed looks too small: the camera would be {height_m:.2f} m above the road',
                number,
                'give the speed in m/s; right only if the camera is that low '
                '(then say so with --camera-height)',
            )
        ]
    what = f'by speed and road the camera is {height_m:.2f} m above the road'
    advice = 'measure it: if it differs, the unit of the speed or the focal length is wrong'
    return [Finding('note', name, 'speed', what, number, advice)]


def _known_height(name: str, ratio: float, number: str, known_height_m: float) -> list[Finding]:
    number = f'{number}, measured {known_height_m:.2f} m'
    if abs(math.log(ratio)) < KNOWN_HEIGHT[0]:
        return [
            Finding('note', name, 'speed', 'speed, road and the camera height agree', number, '')
        ]
    guesses = [u for u, factor in UNITS if abs(math.log(ratio / factor)) < KNOWN_HEIGHT[0]]
    unit = f' (it looks like {guesses[0]})' if guesses else ''
    size, focal = ('large', 'small') if ratio > 1 else ('small', 'large')
    times = max(ratio, 1 / ratio)
    return [
        Finding(
            'error' if abs(math.log(ratio)) > KNOWN_HEIGHT[1] else 'warning',
            name,
            'speed unit',
            f'the speed looks {times:.2f}x too {size}{unit}, or fy {times:.2f}x too {focal}',
            number,
            'check the unit of the speed, the calibration and the measured height',
        )
    ]


def _guess(height_m: float) -> str:
    unit, factor = min(UNITS, key=lambda u: abs(math.log(height_m / u[1] / USUAL_M)))
    return f' (as if in {unit}, {factor:g} times too large)' if height_m < LORRY_M * factor else ''


def _without_offset(speed: SpeedComparison) -> float:
    return float(speed.disagreement[int(np.argmin(np.abs(speed.offsets_s)))])
