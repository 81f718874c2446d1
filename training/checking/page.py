"""The check as one HTML page that needs no network, in light and dark."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal
from typing import NamedTuple

import numpy as np

from sg_depth_ros.report.figures import Limit
from sg_depth_ros.report.figures import Series
from sg_depth_ros.report.figures import line_figure
from sg_depth_ros.report.page import Block
from sg_depth_ros.report.page import Caution
from sg_depth_ros.report.page import Command
from sg_depth_ros.report.page import Figure
from sg_depth_ros.report.page import Picture
from sg_depth_ros.report.page import Report
from sg_depth_ros.report.page import Section
from sg_depth_ros.report.page import Table
from sg_depth_ros.report.page import Text
from sg_depth_ros.report.page import Tile
from sg_depth_ros.report.page import Tiles
from sg_depth_ros.report.page import write_report
from training.checking.calibration import CERTAIN_RISE
from training.checking.calibration import Curve
from training.checking.camera import describe_camera
from training.checking.drive_check import DriveCheck
from training.checking.finding import LEVELS
from training.checking.finding import Finding
from training.checking.finding import by_weight
from training.checking.finding import percent
from training.checking.panel import Panel
from training.checking.pictures import epipolar_picture
from training.checking.pictures import frames_picture
from training.checking.speed import SpeedComparison
from training.checking.summary import HEADINGS
from training.checking.summary import metres_per_frame
from training.checking.summary import number_text
from training.checking.summary import summary_row
from training.data.triplets import list_triplets

HIGHEST_RISE = 60.0  # of the curves: what lies above is out of the question
COLUMNS = ('level', 'drive', 'what', 'measured', 'what to do')


class CheckedDrive(NamedTuple):
    """A drive and its reprojections, of which there may be none."""

    check: DriveCheck
    panels: tuple[Panel, ...] = ()


def write_page(drives: Sequence[CheckedDrive], dataset: Path, command: str, path: Path) -> None:
    """
    Write the page.

    :raises UserError: where it cannot be written.
    """
    checks = [d.check for d in drives]
    found = by_weight(f for check in checks for f in check.findings)
    counts = {level: sum(f.level == level for f in found) for level in LEVELS}
    sections = [
        Section(
            'Findings',
            (
                Tiles(
                    (
                        Tile('drives', str(len(drives))),
                        Tile('errors', str(counts['error']), '', _verdict(counts['error'])),
                        Tile('warnings', str(counts['warning'])),
                        Tile('notes', str(counts['note'])),
                    )
                ),
                findings_table(found, COLUMNS),
                Table(HEADINGS, tuple(summary_row(c) for c in checks), 'The drives.'),
                Command(command),
            ),
        ),
        *(Section(d.check.drive.name, _drive_blocks(d)) for d in drives),
    ]
    subtitle = 'What was understood of it, and what speaks against training on it as it is.'
    write_report(Report(f'Check of {dataset.name}', subtitle, tuple(sections)), path)


def findings_table(findings: Sequence[Finding], columns: tuple[str, ...]) -> Table:
    """Return findings as a table, with or without the drive's name."""
    rows = [
        (f.level, *((f.drive,) if 'drive' in columns else ()), f.what, f.number, f.advice)
        for f in findings
    ]
    return Table(columns, tuple(rows))


def _verdict(errors: int) -> Literal['good', 'bad']:
    return 'bad' if errors else 'good'


def _drive_blocks(drive: CheckedDrive) -> tuple[Block, ...]:
    check = drive.check
    blocks: list[Block] = [Text(f'{describe_camera(check.drive)}. From {check.drive.source}.')]
    blocks += [
        Caution(f'{f.what} ({f.number}). {f.advice}'.strip() + '.')
        for f in check.findings
        if f.level == 'error'
    ]
    columns = tuple(c for c in COLUMNS if c != 'drive')
    blocks += [Tiles(_tiles(check)), findings_table(check.findings, columns)]
    frames = frames_picture(check.folder, check.drive, check.sample)
    if frames is not None:
        blocks.append(Picture(frames, 'Frames along the drive.'))
    blocks += _motion_blocks(check)
    blocks += _camera_blocks(check)
    blocks += [Picture(p.picture, p.caption) for p in drive.panels]
    return tuple(blocks)


def _tiles(check: DriveCheck) -> tuple[Tile, ...]:
    camera, motions, speed = check.drive.intrinsics, check.motions, check.speed
    height_m = math.nan if speed is None else speed.camera_height_m
    moving = percent(float(motions.moving.mean())) if len(motions.frames) else '–'
    return (
        Tile('field of view', f'{camera.horizontal_fov_deg():.0f}°', 'horizontal'),
        Tile(
            'targets', f'{len(list_triplets(check.drive))}', f'of {len(check.drive.frames)} frames'
        ),
        Tile('rate', f'{number_text(check.stamps.rate_hz)} Hz', f'{len(check.stamps.gaps)} gaps'),
        Tile('way', metres_per_frame(check), 'm per frame'),
        Tile('parallax in', moving, 'of the pairs read'),
        Tile(
            'camera height',
            '–' if math.isnan(height_m) else f'{height_m:.2f} m',
            'by speed and road: measure yours',
        ),
    )


def _motion_blocks(check: DriveCheck) -> list[Block]:
    motions, brightness, speed = check.motions, check.brightness, check.speed
    blocks: list[Block] = []
    if len(motions.frames):
        series = [
            Series('flow', motions.flow_px.tolist()),
            Series('left without the turn', motions.parallax_px.tolist()),
        ]
        svg = line_figure(
            motions.frames.tolist(), series, x_label='frame', y_label='px at 640 wide'
        )
        caption = (
            'How far the image moves to the next frame (median), and how far when the turn of the '
            'camera is taken out (80th percentile): only what is left shows depth.'
        )
        blocks.append(Figure(svg, caption))
    if speed is not None:
        blocks += _speed_blocks(speed)
    if len(brightness.frames):
        series = [
            Series('brightness', brightness.mean.tolist()),
            Series('clipped, %', (100 * brightness.clipped).tolist()),
        ]
        svg = line_figure(brightness.frames.tolist(), series, x_label='frame', y_label='of 255; %')
        blocks.append(Figure(svg, 'Mean brightness, and pixels that are black or white.'))
    return blocks


def _speed_blocks(speed: SpeedComparison) -> list[Block]:
    seen = speed.seen_heights_s * speed.camera_height_m
    series = [Series('measured', speed.measured_m_s.tolist())]
    caption = 'The measured speed. No road was recognised to compare it with.'
    if np.isfinite(seen).any():
        series.append(Series('seen on the road', seen.tolist()))
        caption = (
            'The measured speed, and what the road ahead says, scaled by a camera height of '
            f'{speed.camera_height_m:.2f} m. Their shapes must agree.'
        )
    svg = line_figure(speed.time_s.tolist(), series, x_label='time, s', y_label='m/s')
    blocks: list[Block] = [Figure(svg, caption)]
    if len(speed.offsets_s):
        svg = line_figure(
            speed.offsets_s.tolist(),
            [Series('disagreement', (100 * speed.disagreement).tolist())],
            x_label='seconds added to the stamps of the speed',
            y_label='%',
        )
        blocks.append(Figure(svg, 'The minimum belongs at 0.'))
    return blocks


def _camera_blocks(check: DriveCheck) -> list[Block]:
    blocks: list[Block] = []
    lines = epipolar_picture(check.sample, check.drive.intrinsics, check.motions)
    if lines is not None:
        caption = (
            'Matched points: each must lie on its line, which follows from the camera and its '
            'motion; the lines meet where the camera travels to. Points of other traffic do not.'
        )
        blocks.append(Picture(lines, caption))
    calibration = check.calibration
    if not calibration.curves:
        blocks.append(Text(f'Focal length not testable here: {calibration.reason}.'))
    captions = {
        'focal length': 'fx and fy together: true over stated. A flat curve knows nothing.',
        'fx alone': 'fx with fy kept: true over stated.',
        'cx': 'Principal point: what to add to cx, in % of the width.',
    }
    for curve in calibration.curves:
        svg = line_figure(
            _curve_x(curve),
            [Series('rise', np.minimum(curve.rise, HIGHEST_RISE).tolist())],
            x_label='to add to cx, %' if curve.quantity == 'cx' else 'true / stated',
            y_label='worse fit of the paths',
            limits=(Limit('excluded above', CERTAIN_RISE),),
        )
        blocks.append(Figure(svg, captions[curve.quantity]))
    return blocks


def _curve_x(curve: Curve) -> list[float]:
    return [100 * v for v in curve.values] if curve.quantity == 'cx' else list(curve.values)
