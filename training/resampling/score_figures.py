"""Drawings of a resampling: how far scores are from the threshold, and planes over time."""

from typing import TYPE_CHECKING

import numpy as np

from sg_depth_ros.ground import GroundPlane
from sg_depth_ros.report.svg import SERIES_COLORS
from sg_depth_ros.report.svg import SOFT
from sg_depth_ros.report.svg import drawing
from training.resampling.outcome import Resampling
from training.resampling.outcome import plane_tilt_deg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KEPT_COLOR, DROPPED_COLOR = SERIES_COLORS[0], SERIES_COLORS[1]
REFUSED_COLOR = '#d13b3b'
NONE_PX = 0.5  # stands for no pixel on a logarithmic axis
BINS = 36
MOST_NUMBERED_DRIVES = 40


def score_figure(outcome: Resampling) -> str:
    """Draw the histogram of scores on logarithmic axes; return SVG text."""
    scores = np.array([d.score.hole_pixels for d in outcome.decisions], np.float64)
    dropped = np.array([d.dropped for d in outcome.decisions], np.bool_)
    highest = max(float(scores.max()), outcome.threshold_px, 1.0) * 1.3
    edges = np.geomspace(0.8 * NONE_PX, highest, BINS)
    shown = np.maximum(scores, NONE_PX)
    with drawing('scores') as (axes, svg):
        axes.hist(
            [shown[~dropped], shown[dropped]],
            list(edges),
            stacked=True,
            color=[KEPT_COLOR, DROPPED_COLOR],
            label=['kept', 'dropped'],
        )
        limit = f'threshold {outcome.threshold_px:g}'
        axes.axvline(outcome.threshold_px, color=SOFT, linestyle='--', linewidth=1, label=limit)
        axes.set_xscale('log')
        axes.set_yscale('symlog', linthresh=1)
        axes.set_ylim(0, 8 * axes.get_ylim()[1])  # room for the legend
        ticks = [NONE_PX, *(t for t in (1, 10, 100, 1000, 10_000, 100_000) if t <= highest)]
        axes.set_xticks(ticks, ['none', *(f'{t:g}' for t in ticks[1:])])
        axes.minorticks_off()
        axes.set_xlabel('pixels clearly below ground')
        axes.set_ylabel('frames')
        axes.legend(loc='upper left', ncols=3)
    return svg[0]


def height_figure(outcome: Resampling) -> str:
    """Draw the camera's height over each frame's plane; return SVG text."""
    unit = 'm' if outcome.metric else 'unknown scale'
    with drawing('heights') as (axes, svg):
        _draw_planes(axes, outcome, [p.offset_m if p else None for p in _planes(outcome)])
        axes.set_ylabel(f'camera height ({unit})')
    return svg[0]


def tilt_figure(outcome: Resampling) -> str:
    """Draw the angle of each frame's plane to the camera's vertical; return SVG text."""
    with drawing('tilts') as (axes, svg):
        _draw_planes(axes, outcome, [plane_tilt_deg(p) if p else None for p in _planes(outcome)])
        axes.set_ylabel('tilt of the plane (degrees)')
    return svg[0]


def _planes(outcome: Resampling) -> list[GroundPlane | None]:
    planes = (d.score.plane for d in outcome.decisions)
    return [p if isinstance(p, GroundPlane) else None for p in planes]


def _draw_planes(axes: 'Axes', outcome: Resampling, values: list[float | None]) -> None:
    """Draw one dot per frame: blue kept, orange dropped, red at the foot without a plane."""
    groups: tuple[tuple[str, str, list[int], list[float]], ...] = (
        ('kept', KEPT_COLOR, [], []),
        ('dropped', DROPPED_COLOR, [], []),
        ('without a plane', REFUSED_COLOR, [], []),
    )
    for number, (value, decision) in enumerate(zip(values, outcome.decisions)):
        group = groups[2 if value is None else int(decision.dropped)]
        group[2].append(number)
        group[3].append(0.0 if value is None else value)
    for label, color, numbers, heights in groups:
        if numbers:
            # Rasterized: a dataset of 100,000 frames must not make a page of 100 MB.
            axes.plot(numbers, heights, '.', ms=4, color=color, label=label, rasterized=True)
    axes.set_ylim(bottom=0, top=1.25 * max(v for v in (*values, 0.1) if v is not None))
    axes.set_xlim(-1, len(values))
    _number_drives(axes, outcome)
    axes.legend(loc='upper left', ncols=3)


def _number_drives(axes: 'Axes', outcome: Resampling) -> None:
    drives = [d.score.entry.drive for d in outcome.decisions]
    starts = [i for i, name in enumerate(drives) if i == 0 or drives[i - 1] != name]
    if len(starts) > MOST_NUMBERED_DRIVES:
        axes.set_xlabel('target frames, in the order of the dataset')
        return
    for start in starts[1:]:
        axes.axvline(start - 0.5, color=SOFT, linewidth=0.8)
    middles = [(a + b) / 2 for a, b in zip(starts, [*starts[1:], len(drives)])]
    axes.set_xticks(middles, [str(i) for i in range(1, len(starts) + 1)])
    axes.grid(False, axis='x')
    axes.set_xlabel('target frames of the drives, numbered as in the table')
