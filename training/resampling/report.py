"""The page of a resampling: what was dropped, what nearly was, and whether the planes hold."""

from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path

from sg_depth_ros.evaluation.frame_key import FrameKey
from sg_depth_ros.ground import GroundPlaneRefusal
from sg_depth_ros.output import write_picture
from sg_depth_ros.report.page import Block
from sg_depth_ros.report.page import Caution
from sg_depth_ros.report.page import Figure
from sg_depth_ros.report.page import Picture
from sg_depth_ros.report.page import Report
from sg_depth_ros.report.page import Section
from sg_depth_ros.report.page import Table
from sg_depth_ros.report.page import Text
from sg_depth_ros.report.page import Tile
from sg_depth_ros.report.page import Tiles
from sg_depth_ros.report.page import write_report
from training.resampling.decisions import Decision
from training.resampling.outcome import Resampling
from training.resampling.outcome import cautions
from training.resampling.outcome import summarize_drives
from training.resampling.score_figures import height_figure
from training.resampling.score_figures import score_figure
from training.resampling.score_figures import tilt_figure
from training.resampling.sheets import MarkedFrame
from training.resampling.sheets import sheet
from training.resampling.shown_frames import ShownFrames
from training.resampling.shown_frames import spread

MOST_IN_FILE = 12  # frames of the sheet outside the page
Pictures = Mapping[FrameKey, MarkedFrame]
LEGEND = 'Red, outlined in white: the pixels that were counted. Below each image its depth.'


def write_page(
    outcome: Resampling,
    shown: ShownFrames,
    pictures: Pictures,
    title: str,
    path: Path,
) -> None:
    """
    Write the page; the same input gives the same bytes.

    :param pictures: of all frames that are shown.
    :raises UserError: where it cannot be written.
    """
    sections = (
        Section('Outcome', _outcome(outcome)),
        Section('Dropped frames', _dropped(shown, pictures)),
        Section('Borderline frames', _borderline(shown, pictures)),
        Section('Drives', (_drives(outcome),)),
        Section('Scores', (Figure(score_figure(outcome), _SCORES),)),
        Section('Ground planes', _ground(outcome, shown, pictures)),
        Section('Settings', (_settings(outcome),)),
    )
    write_report(Report('Resampling', title, sections), path)


def write_sheet(shown: ShownFrames, pictures: Pictures, path: Path) -> None:
    """
    Write the sheet of the dropped frames as a picture; without any, of the nearest to it.

    :raises UserError: where it cannot be written.
    """
    decisions = next((group for group in shown if group), ())
    if decisions:
        write_picture(_sheet(spread(decisions, MOST_IN_FILE), pictures).image, path)
    else:
        path.unlink(missing_ok=True)


_SCORES = (
    'Pixels clearly below ground, frame by frame, both axes logarithmic. Holes stand apart from '
    'the rest: scores that pass the threshold without a gap speak of a model that sees no level '
    'road, or of a threshold that does not suit it.'
)
_PLANES = (
    'One dot per frame; without a plane at the foot. The camera is fixed to the vehicle, so dots '
    'should follow a level line. Where they leave it, on hills, in turns, or between large '
    'vehicles, a single plane fails and frames are dropped or kept by chance.'
)


def _outcome(outcome: Resampling) -> tuple[Block, ...]:
    total, dropped = len(outcome.decisions), len(outcome.dropped)
    tiles = (
        Tile('target frames', str(total)),
        Tile('dropped', str(dropped), f'{dropped / total:.1%}'),
        Tile('above the threshold', str(outcome.above), f'{outcome.threshold_px:g} pixels'),
        Tile('without a plane', str(outcome.refused), 'kept'),
    )
    return (
        Tiles(tiles),
        Text(
            'The first network was asked for the depth of every target frame. Where more than a '
            'few pixels lie clearly below the ground, or on vehicles that depth does not show '
            "where they stand, it sees infinite depth, which cars at the camera's own speed "
            'teach. These frames are dropped; the second stage trains on the rest.'
        ),
        *(Caution(text) for text in cautions(outcome)),
    )


def _dropped(shown: ShownFrames, pictures: Pictures) -> tuple[Block, ...]:
    if not shown.dropped:
        return (Text('No frame was dropped.'),)
    hint = (
        'The marks should lie on vehicles. Where they lie on far road, walls or trees, the plane '
        'or the model fails: train stage one longer.'
    )
    return (
        Text(hint),
        _sheet(shown.dropped, pictures, f'From the worst to the mildest. {LEGEND}'),
    )


def _borderline(shown: ShownFrames, pictures: Pictures) -> tuple[Block, ...]:
    groups = (
        (shown.just_dropped, 'Dropped, nearest to the threshold.'),
        (shown.just_kept, 'Kept, nearest to the threshold.'),
        (shown.capped, 'Above the threshold, but kept because of the cap: the worst.'),
    )
    blocks = [_sheet(group, pictures, caption) for group, caption in groups if group]
    return tuple(blocks) or (Text('No frame is near the threshold.'),)


def _drives(outcome: Resampling) -> Table:
    height = 'camera height (m)' if outcome.metric else 'camera height (unknown scale)'
    rows = [
        (
            number,
            d.drive,
            d.targets,
            d.above,
            d.dropped,
            f'{d.dropped_share:.1%}',
            d.without_plane,
            d.camera_height,
            d.tilt_deg,
        )
        for number, d in enumerate(summarize_drives(outcome), start=1)
    ]
    return Table(
        ('', 'drive', 'frames', 'above', 'dropped', 'share', 'no plane', height, 'tilt (degrees)'),
        tuple(rows),
        'Heights and tilts are medians over the planes that were accepted.',
        decimals=2,
    )


def _ground(outcome: Resampling, shown: ShownFrames, pictures: Pictures) -> tuple[Block, ...]:
    blocks: list[Block] = [Text(_PLANES), Figure(height_figure(outcome))]
    blocks.append(Figure(tilt_figure(outcome)))
    if not shown.refused:
        return (*blocks, Text('Every frame has a plane.'))
    rows = tuple(
        (d.score.entry.drive, f'{d.score.entry.frame:06d}', d.score.plane.reason)
        for d in shown.refused
        if isinstance(d.score.plane, GroundPlaneRefusal)
    )
    caption = f'{len(rows)} of the {outcome.refused} frames without a plane.'
    blocks.append(_sheet(shown.refused, pictures, caption))
    return (*blocks, Table(('drive', 'frame', 'why it has no plane'), rows))


def _settings(outcome: Resampling) -> Table:
    criterion = outcome.criterion
    near, far = criterion.fit_range_m
    rows = (
        ('threshold', f'{criterion.threshold_px:g} pixels up to 640x192', '--threshold'),
        ('margin', f'{criterion.limits.margin:g} camera heights', '--margin'),
        ('tolerated tilt', f'{criterion.limits.angle_deg:g} degrees', '--angle'),
        ('counted', criterion.counted, '--movable-only, --all-classes'),
        ('plane fitted to', criterion.plane_from, '--road-only, --all-pixels'),
        ('range of the fit', f'{near:g} to {far:g} m', '--near, --far'),
        ('cap', f'{outcome.cap:.0%} of the frames', '--cap'),
    )
    return Table(('setting', 'value', 'option'), rows, 'auto: as far as labels are known.')


def _sheet(decisions: Sequence[Decision], pictures: Pictures, caption: str = '') -> Picture:
    return Picture(sheet([pictures[d.score.entry] for d in decisions]), caption)
