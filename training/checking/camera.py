"""The intrinsics as understood, and what about them cannot be right whatever the images show."""

import math
from dataclasses import replace

from sg_depth_ros.camera import Intrinsics
from training.checking.finding import Finding
from training.checking.finding import percent
from training.data.drive import Drive

NARROWEST_DEG, WIDEST_DEG = 15.0, 150.0
CENTRE_SHARE = (0.07, 0.2)  # of width and height: images are cropped above and below more often
SQUARE = (0.05, 0.3)  # |ln(fx / fy)| of the original: a warning, an error
OTHER_SIZE = (0.2, 0.12)  # how exactly, relative, a centre must be that of another image size
RESIZED = 0.02


def vertical_fov_deg(camera: Intrinsics) -> float:
    """Return the vertical field of view in degrees."""
    turned = Intrinsics(camera.fy, camera.fx, camera.cy, camera.cx, camera.height, camera.width)
    return turned.horizontal_fov_deg()


def describe_camera(drive: Drive) -> str:
    """Return the intrinsics in one line."""
    camera, original = drive.intrinsics, drive.original_intrinsics
    return (
        f'{camera.width}x{camera.height} (recorded at {original.width}x{original.height}), '
        f'fx {camera.fx:.1f}, fy {camera.fy:.1f} px, {camera.horizontal_fov_deg():.1f} x '
        f'{vertical_fov_deg(camera):.1f} degrees, principal point ({camera.cx:.1f}, '
        f'{camera.cy:.1f}) px, {percent((camera.cx + 0.5) / camera.width)} right and '
        f'{percent((camera.cy + 0.5) / camera.height)} down'
    )


def judge_camera(drive: Drive) -> list[Finding]:
    """Judge field of view, principal point, pixel aspect and the resizing."""
    camera, name = drive.intrinsics, drive.name
    findings = [*_field_of_view(name, camera), *_principal_point(name, camera)]
    # Resizing may squeeze pixels; the recording's are square.
    original = drive.original_intrinsics
    ratio = original.fx / original.fy
    if abs(math.log(ratio)) > SQUARE[0]:
        findings.append(
            Finding(
                'error' if abs(math.log(ratio)) > SQUARE[1] else 'warning',
                name,
                'focal length',
                'fx and fy of the recording differ: pixels are hardly ever that far from square',
                f'fx / fy = {ratio:.2f}',
                'check the calibration; were images squeezed before they were calibrated?',
            )
        )
    findings += _resizing(name, camera, original)
    return findings


def _field_of_view(name: str, camera: Intrinsics) -> list[Finding]:
    degrees = camera.horizontal_fov_deg()
    if NARROWEST_DEG <= degrees <= WIDEST_DEG:
        return []
    size = 'large' if degrees < NARROWEST_DEG else 'small'
    return [
        Finding(
            'error',
            name,
            'focal length',
            f'the field of view is implausible: fx looks far too {size}',
            f'{degrees:.1f} degrees for fx {camera.fx:.0f} px of {camera.width} px',
            'give the calibration of this camera at this image size; 1000 px is no calibration',
        )
    ]


def _principal_point(name: str, camera: Intrinsics) -> list[Finding]:
    off_x = (camera.cx + 0.5) / camera.width - 0.5
    off_y = (camera.cy + 0.5) / camera.height - 0.5
    factor_x, factor_y = 1 + 2 * off_x, 1 + 2 * off_y
    other = abs(factor_x - 1) > OTHER_SIZE[0] and factor_x > 0 and factor_y > 0
    if other and abs(math.log(factor_x / factor_y)) < OTHER_SIZE[1]:
        bigger = 'large' if factor_x > 1 else 'small'
        times = factor_x if factor_x > 1 else 1 / factor_x
        return [
            Finding(
                'error',
                name,
                'focal length',
                f'the calibration is for images {factor_x:.2f} times this size: '
                f'fx, fy, cx and cy look {times:.2f}x too {bigger}',
                f'principal point {percent(0.5 + off_x)} right, {percent(0.5 + off_y)} down',
                f'divide fx, fy, cx and cy by {factor_x:.2f}, or calibrate at this image size',
            )
        ]
    if abs(off_x) <= CENTRE_SHARE[0] and abs(off_y) <= CENTRE_SHARE[1]:
        return []
    return [
        Finding(
            'warning',
            name,
            'principal point',
            'the principal point is far from the middle of the image',
            f'{percent(0.5 + off_x)} right, {percent(0.5 + off_y)} down',
            'right only for images cropped to one side; else check cx and cy',
        )
    ]


def _resizing(name: str, camera: Intrinsics, original: Intrinsics) -> list[Finding]:
    expected = original.resized(camera.width, camera.height)
    apart = max(abs(math.log(camera.fx / expected.fx)), abs(math.log(camera.fy / expected.fy)))
    shifted = max(
        abs(camera.cx - expected.cx) / camera.width, abs(camera.cy - expected.cy) / camera.height
    )
    if apart > RESIZED or shifted > RESIZED:
        shown = replace(expected, fx=round(expected.fx, 1), fy=round(expected.fy, 1))
        return [
            Finding(
                'error',
                name,
                'camera',
                'intrinsics of the resized images do not follow from those of the recording',
                f'fx {camera.fx:.1f}, fy {camera.fy:.1f} instead of {shown.fx}, {shown.fy}',
                'run prepare again; do not edit intrinsics_px alone',
            )
        ]
    stretch = (camera.width / original.width) / (camera.height / original.height)
    if abs(math.log(stretch)) > 0.1:
        return [
            Finding(
                'warning',
                name,
                'camera',
                'images were squeezed by resizing',
                f'{original.width}x{original.height} to {camera.width}x{camera.height}: '
                f'{stretch:.2f} times wider',
                'choose --width and --height of prepare by the aspect of the recording',
            )
        ]
    return []
