"""One drive in one row."""

import math

import numpy as np

from training.checking.drive_check import DriveCheck
from training.checking.finding import percent
from training.checking.motion_findings import repeated_images
from training.data.triplets import list_triplets

HEADINGS = (
    'drive',
    'frames (read)',
    'triplets',
    'Hz',
    'm per frame',
    'flow px',
    'static',
    'turning only',
    'repeated',
    'brightness',
    'clipped',
    'camera height',
)


def summary_row(check: DriveCheck) -> tuple[str, ...]:
    """Return the row under ``HEADINGS``."""
    drive, motions = check.drive, check.motions
    static = {f.index for f in drive.frames if f.dropped is not None}
    static |= set(motions.frames[motions.still].tolist())
    height_m = math.nan if check.speed is None else check.speed.camera_height_m
    return (
        drive.name,
        f'{len(drive.frames)} ({check.sample.frame_count})',
        str(len(list_triplets(drive))),
        number_text(check.stamps.rate_hz),
        metres_per_frame(check),
        _range(motions.flow_px),
        percent(len(static) / max(len(drive.frames), 1)),
        _share(motions.rotation_only),
        _share(repeated_images(motions)),
        _range(check.brightness.mean, decimals=0),
        _mean_percent(check.brightness.clipped),
        '–' if math.isnan(height_m) else f'{height_m:.2f} m',
    )


def metres_per_frame(check: DriveCheck) -> str:
    """Return the range of the way from a frame to the next."""
    drive = check.drive
    moved = [drive.displacement_m(i, i + 1) for i in range(len(drive.frames) - 1)]
    return _range(np.array([math.nan if m is None else m for m in moved]), decimals=2)


def number_text(value: float, decimals: int = 1) -> str:
    """Return a number, or a dash where there is none."""
    return f'{value:.{decimals}f}' if math.isfinite(value) else '–'


def _range(values: np.ndarray, decimals: int = 1) -> str:
    known = values[np.isfinite(values)]
    if not len(known):
        return '–'
    return f'{known.min():.{decimals}f} to {known.max():.{decimals}f}'


def _share(marked: np.ndarray) -> str:
    return percent(float(marked.mean())) if len(marked) else '–'


def _mean_percent(shares: np.ndarray) -> str:
    return percent(float(shares.mean())) if len(shares) else '–'
