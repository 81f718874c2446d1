"""What ``prepare`` understood of a recording, as a table for people."""

import math

import numpy as np
from rich.console import Console
from rich.table import Table

from training.data.drive import Drive
from training.data.preparation.prepare import PreparedDrive

_GAP_FACTOR = 1.5  # a step this much longer than the median is a gap


def print_summary(prepared: PreparedDrive, console: Console) -> None:
    """Print size, camera, rate, motion and what was kept of a drive."""
    drive = prepared.drive
    camera, original = drive.intrinsics, drive.original_intrinsics
    kept = sum(f.dropped is None for f in drive.frames)
    table = Table(title=f'{drive.source} -> {prepared.folder}', show_header=False, title_style='')
    rows = (
        ('image size', f'{camera.width}x{camera.height} (was {original.width}x{original.height})'),
        ('field of view', field_of_view(drive)),
        (
            'focal length, principal point',
            f'{camera.fx:.1f}, {camera.fy:.1f} px; ({camera.cx:.1f}, {camera.cy:.1f}) px, '
            f'{100 * (camera.cx + 0.5) / camera.width:.0f} % right, '
            f'{100 * (camera.cy + 0.5) / camera.height:.0f} % down',
        ),
        ('rate', rate(drive)),
        ('speed', speed_range(drive)),
        ('frames', f'{kept} kept of {len(drive.frames)}{dropped_reasons(drive)}'),
        ('labels', _count(prepared.labelled_frames, len(drive.frames))),
        ('LiDAR', _count(prepared.lidar_frames, len(drive.frames))),
        ('licence', drive.licence),
    )
    for name, value in rows:
        table.add_row(name, value)
    console.print(table)
    for note in prepared.notes:
        console.print(f'  {note}', highlight=False)


def field_of_view(drive: Drive) -> str:
    """Return the horizontal and vertical field of view."""
    camera = drive.intrinsics
    vertical = math.atan2(camera.cy + 0.5, camera.fy)
    vertical += math.atan2(camera.height - 0.5 - camera.cy, camera.fy)
    return f'{camera.horizontal_fov_deg():.1f} x {math.degrees(vertical):.1f} degrees'


def rate(drive: Drive) -> str:
    """Return the rate and the gaps in it."""
    steps_s = np.diff([f.stamp_ns - drive.frames[0].stamp_ns for f in drive.frames]) * 1e-9
    if not steps_s.size:
        return 'unknown: a single frame'
    median_s = float(np.median(steps_s))
    gaps = steps_s[steps_s > _GAP_FACTOR * median_s]
    text = f'{1 / median_s:.1f} Hz over {steps_s.sum():.1f} s'
    if not gaps.size:
        return f'{text}, no gaps'
    plural = '' if gaps.size == 1 else 's'
    return f'{text}, {gaps.size} gap{plural} of up to {gaps.max():.2f} s'


def speed_range(drive: Drive) -> str:
    """Return the range of the speed, measured or from poses."""
    known = [f.speed_m_s for f in drive.frames if f.speed_m_s is not None]
    if known:
        missing = len(drive.frames) - len(known)
        text = f'{min(known):.1f} to {max(known):.1f} m/s'
        return f'{text}, unknown for {missing} frames' if missing else text
    speeds = []
    for before, after in zip(drive.frames, drive.frames[1:]):
        moved_m = drive.displacement_m(before.index, after.index)
        if moved_m is not None:
            speeds.append(moved_m / ((after.stamp_ns - before.stamp_ns) * 1e-9))
    if speeds:
        return f'{min(speeds):.1f} to {max(speeds):.1f} m/s, from poses'
    return 'unknown: scale will be unknown'


def dropped_reasons(drive: Drive) -> str:
    """Return how many frames were dropped for what, or nothing."""
    reasons: dict[str, int] = {}
    for frame in drive.frames:
        if frame.dropped is not None:
            kind = frame.dropped.partition(':')[0]
            reasons[kind] = reasons.get(kind, 0) + 1
    return ''.join(f', {count} dropped ({kind})' for kind, count in reasons.items())


def _count(count: int, total: int) -> str:
    return f'on {count} of {total} frames' if count else 'none'
