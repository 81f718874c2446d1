"""
Measured poses against the images: turns give the focal length, ways the camera's axes.

A camera whose focal length is stated too small by a factor sees every turn larger by it, so the
ratio of seen to measured turns is the factor, also where a drive is nearly straight.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.checking.finding import Finding
from training.checking.motion import PairMotions
from training.checking.two_view import Array
from training.checking.two_view import rotation_vector
from training.data.drive import Drive

LEAST_PAIRS = 12
LEAST_TURN_DEG = 0.03  # root mean square per pair, pitch and yaw
LEAST_CORRELATION = 0.8
CERTAIN_ERRORS = 5.0  # standard errors
LEAST_DEPARTURE = 0.26  # ln; small turns come with noise of the poses that flattens the ratio
MOST_APART_DEG = 4.0  # of the directions of travel
MUCH_APART_DEG = 15.0
LEAST_WAY_M = 0.1


@dataclass(frozen=True, eq=False)
class PoseAgreement:
    """Seen and measured motion of the pairs."""

    focal_factor: float  # true over stated focal length; NaN where turns are too small
    focal_error: float  # standard error
    correlation: float  # of the turns
    apart_deg: float  # median angle between seen and measured direction of travel
    apart_x_deg: float  # of it to the right


def compare_poses(drive: Drive, motions: PairMotions) -> PoseAgreement | None:
    """Compare; None where the drive has no poses."""
    turns, ways, seen_turns, seen_ways = [], [], [], []
    for number, index in enumerate(motions.frames.tolist()):
        first, second = drive.frames[index].T_world_camera, drive.frames[index + 1].T_world_camera
        if first is None or second is None or not np.isfinite(motions.way[number, 0]):
            continue
        a, b = (np.array(pose, np.float64).reshape(3, 4) for pose in (first, second))
        way = a[:, :3].T @ (b[:, 3] - a[:, 3])
        turns.append(rotation_vector(b[:, :3].T @ a[:, :3]))
        ways.append(way)
        seen_turns.append(motions.turn_rad[number])
        seen_ways.append(motions.way[number])
    if len(turns) < LEAST_PAIRS:
        return None
    factor, error, correlation = _ratio(np.array(seen_turns), np.array(turns))
    apart, apart_x = _apart(np.array(seen_ways), np.array(ways))
    return PoseAgreement(factor, error, correlation, apart, apart_x)


def judge_poses(drive: Drive, agreement: PoseAgreement | None) -> list[Finding]:
    """Say where the poses contradict the images."""
    if agreement is None:
        return []
    findings = []
    departs = abs(math.log(agreement.focal_factor)) if agreement.focal_factor > 0 else 0.0
    certain = abs(agreement.focal_factor - 1) > CERTAIN_ERRORS * agreement.focal_error
    if departs > LEAST_DEPARTURE and certain:
        size = 'small' if agreement.focal_factor > 1 else 'large'
        times = math.exp(departs)
        findings.append(
            Finding(
                'error',
                drive.name,
                'focal length',
                f'fx and fy look {times:.2f}x too {size}: '
                'the turns seen are not those of the poses',
                f'seen / measured {agreement.focal_factor:.2f} +- {agreement.focal_error:.2f}',
                'check the calibration: does it belong to this camera and image size?',
            )
        )
    if agreement.apart_deg > MOST_APART_DEG:
        findings.append(
            Finding(
                'error' if agreement.apart_deg > MUCH_APART_DEG else 'warning',
                drive.name,
                'poses',
                'poses and images disagree about the direction of travel',
                f'{agreement.apart_deg:.1f} degrees apart, {agreement.apart_x_deg:+.1f} sideways',
                'poses must be those of the camera, x right, y down, z ahead; '
                'or cx and cy are wrong',
            )
        )
    return findings


def _ratio(seen: Array, measured: Array) -> tuple[float, float, float]:
    """Return the factor between the turns, its standard error, and their correlation."""
    x, y = measured[:, :2], seen[:, :2]
    if np.degrees(np.sqrt((x**2).sum(1).mean())) < LEAST_TURN_DEG:
        return math.nan, math.nan, math.nan
    correlation = float((x * y).sum() / math.sqrt((x * x).sum() * (y * y).sum() + 1e-18))
    if correlation < LEAST_CORRELATION:
        return math.nan, math.nan, correlation
    # Outliers are weighted down twice: a few pairs full of traffic must not decide.
    weight: NDArray[np.float64] = np.ones(len(x))
    factor = 1.0
    for _ in range(5):
        factor = float((weight[:, None] * x * y).sum() / (weight[:, None] * x * x).sum())
        left = np.linalg.norm(y - factor * x, axis=1)
        weight = 1 / (1 + (left / (2 * np.median(left) + 1e-12)) ** 2)
    left = ((y - factor * x) * x).sum(1) * weight
    error = math.sqrt(float((left**2).sum())) / float((weight[:, None] * x * x).sum())
    return factor, error, correlation


def _apart(seen: Array, measured: Array) -> tuple[float, float]:
    length = np.linalg.norm(measured, axis=1)
    far = length > LEAST_WAY_M
    if far.sum() < LEAST_PAIRS:
        return math.nan, math.nan
    a, b = seen[far], measured[far] / length[far, None]
    angle = np.degrees(np.arccos(np.clip((a * b).sum(1), -1, 1)))
    sideways = np.degrees(np.arctan2(a[:, 0], a[:, 2]) - np.arctan2(b[:, 0], b[:, 2]))
    return float(np.median(angle)), float(np.median(sideways))
