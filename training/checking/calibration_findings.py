"""What the tracks and the direction of travel say of focal length and principal point."""

import math

import numpy as np

from sg_depth_ros.camera import Intrinsics
from training.checking.calibration import Calibration
from training.checking.calibration import Curve
from training.checking.finding import Finding
from training.checking.motion import PairMotions

SEVERE = {'focal length': math.log(1.25), 'fx alone': math.log(1.25), 'cx': 0.05}
OPEN_WIDTH = math.log(2.0)  # an interval wider than this factor says little
TRAVEL_DEG = 5.0  # cameras that look ahead are mounted better than that
SIDEWAYS_DEG = 25.0  # looks elsewhere on purpose
LEAST_PAIRS = 10
STRAIGHT_DEG = 0.5  # turn per pair
OFF_CENTRE, STILL_OFF = 0.05, 0.5  # of the width, and of that after the correction


def judge_calibration(
    drive: str, intrinsics: Intrinsics, calibration: Calibration, motions: PairMotions
) -> list[Finding]:
    """Judge the intrinsics by what moves in the images."""
    findings = []
    for quantity in calibration.refuted:
        curve = calibration.curve(quantity)
        assert curve is not None
        findings.append(_refuted(drive, intrinsics, curve))
    if not findings:
        findings.append(_not_refuted(drive, calibration))
    if 'cx' not in calibration.refuted:
        findings += _travel(drive, intrinsics, motions)
    return findings


def seen_travel_deg(motions: PairMotions) -> tuple[float, float] | None:
    """Return how far right and down of the optical axis the camera travels on straight pairs."""
    turn_deg = np.degrees(np.linalg.norm(motions.turn_rad[:, :2], axis=1))
    straight = motions.moving & (turn_deg < STRAIGHT_DEG)
    if straight.sum() < LEAST_PAIRS:
        return None
    x, y, z = np.median(motions.way[straight], axis=0)
    return math.degrees(math.atan2(x, abs(z))), math.degrees(math.atan2(y, abs(z)))


def _refuted(drive: str, intrinsics: Intrinsics, curve: Curve) -> Finding:
    number = f'{curve.low:.2f} to {curve.high:.2f} (rise {curve.given_rise:.0f})'
    if curve.quantity == 'cx':
        shift_px = curve.best * intrinsics.width
        size = 'small' if shift_px > 0 else 'large'
        return Finding(
            'error' if abs(curve.best) > SEVERE['cx'] else 'warning',
            drive,
            'principal point',
            f'cx looks {abs(shift_px):.0f} px too {size}',
            f'best at {intrinsics.cx + shift_px:.0f} px instead of {intrinsics.cx:.0f} '
            f'(rise {curve.given_rise:.0f})',
            'check cx: were images cropped or mirrored after the calibration?',
        )
    size = 'small' if curve.best > 1 else 'large'
    times = max(curve.best, 1 / curve.best)
    which = 'fx and fy look' if curve.quantity == 'focal length' else 'fx looks'
    return Finding(
        'error' if abs(math.log(curve.best)) > SEVERE[curve.quantity] else 'warning',
        drive,
        'focal length',
        f'{which} {times:.2g}x too {size}: the paths of points do not fit',
        f'true / stated {curve.best:.2f}, between {number}',
        'check the calibration: does it belong to this camera and image size?',
    )


def _not_refuted(drive: str, calibration: Calibration) -> Finding:
    focal = calibration.curve('focal length')
    turn = f'windows turn by {calibration.turn_deg:.1f} degrees'
    advice = 'a drive with turns would show it; compare the camera height, or give poses'
    if focal is None:
        what = f'the focal length is not observable on this drive: {calibration.reason}'
        return Finding('note', drive, 'focal length', what, turn, advice)
    low = '' if focal.open_below else f'at least {focal.low:.2f}'
    high = '' if focal.open_above else f'at most {focal.high:.2f}'
    bounds = ' and '.join(b for b in (low, high) if b)
    if not bounds:
        what = 'the focal length is not observable on this drive: it hardly turns'
        return Finding('note', drive, 'focal length', what, turn, advice)
    number = f'true / stated {bounds}; {turn}'
    if focal.open_below or focal.open_above or math.log(focal.high / focal.low) > OPEN_WIDTH:
        what = 'the focal length is only roughly observable on this drive, and not refuted'
        return Finding('note', drive, 'focal length', what, number, advice)
    return Finding('note', drive, 'focal length', 'the tracks confirm the focal length', number)


def _travel(drive: str, intrinsics: Intrinsics, motions: PairMotions) -> list[Finding]:
    seen = seen_travel_deg(motions)
    if seen is None:
        return []
    right_deg = seen[0]
    if abs(right_deg) < TRAVEL_DEG:
        return []
    number = f'{right_deg:+.1f} degrees right, {seen[1]:+.1f} down'
    if abs(right_deg) > SIDEWAYS_DEG:
        what = 'the camera looks sideways from the direction of travel'
        return [Finding('note', drive, 'principal point', what, number)]
    shift_px = intrinsics.fx * math.tan(math.radians(right_deg))
    size = 'small' if shift_px > 0 else 'large'
    off_px = intrinsics.cx - (intrinsics.width - 1) / 2
    off_centre = abs(off_px) > OFF_CENTRE * intrinsics.width
    if off_centre and abs(off_px + shift_px) < STILL_OFF * abs(off_px):
        # A camera mounted askew has its principal point in the middle; a cropped image shows
        # straight ahead where its principal point is.
        return [
            Finding(
                'error',
                drive,
                'principal point',
                f'cx looks {abs(shift_px):.0f} px too {size}: straight ahead is in the middle of '
                'the image',
                f'cx {intrinsics.cx:.0f} px, straight ahead {intrinsics.cx + shift_px:.0f} px',
                'check cx: were images cropped or mirrored after the calibration?',
            )
        ]
    return [
        Finding(
            'warning',
            drive,
            'principal point',
            f'cx looks {abs(shift_px):.0f} px too {size}, or the camera is mounted '
            f'{abs(right_deg):.0f} degrees to the {"left" if right_deg > 0 else "right"}',
            number,
            'check cx, unless the camera really looks to that side',
        )
    ]
