"""Figures of an evaluation: over the time of each drive, and over distance."""

import math
from collections.abc import Callable
from collections.abc import Sequence

import numpy as np

from sg_depth_ros.evaluation.comparison import shared_scaling
from sg_depth_ros.evaluation.findings import Findings
from sg_depth_ros.evaluation.findings import FrameFinding
from sg_depth_ros.evaluation.findings import Scaling
from sg_depth_ros.evaluation.findings import group_errors
from sg_depth_ros.ground import GroundPlane
from sg_depth_ros.report.figures import Limit
from sg_depth_ros.report.figures import Series
from sg_depth_ros.report.figures import bar_figure
from sg_depth_ros.report.figures import line_figure
from sg_depth_ros.report.figures import thinning_words
from sg_depth_ros.report.page import Block
from sg_depth_ros.report.page import Details
from sg_depth_ros.report.page import Figure
from sg_depth_ros.report.page import number_of

MOST_OPEN_DRIVES = 3  # with more, only the first one's figures are unfolded
SCALE_RANGE = (0.8, 1.2)  # shown at least
HEIGHT_RANGE = (0.8, 1.2)  # of the median

_ERROR_WORDS = (
    'Relative error of each frame with ground truth: 0.1 is wrong by 10 % of the distance in the '
    'mean. Low and level is good; the peaks are among the worst frames below.'
)
_SCALE_WORDS = (
    'What each frame must be multiplied by to have the right scale: 1 is right, below 1 depth is '
    'too large. A level line elsewhere is a scale that one factor mends; one that wanders is not.'
)
_HEIGHT_WORDS = (
    'Height of the camera over the road that depth shows. The camera is fixed to the vehicle: a '
    'level line at its mounted height is right, and where it wanders, so does the scale.'
)
_ROAD_WORDS = (
    'Median difference of the depth of road pixels from that of the plane through them: 0.02 is a '
    'road that is flat to 2 %. Low is good; hills and bends in the road raise it too.'
)
_FLICKER_WORDS = (
    'How far depth is from the mean of the frames before and after: what moves steadily cancels '
    'out, what trembles does not. Low is good.'
)
_HOLES_WORDS = (
    'Pixels of infinite depth, clearly below the road or on vehicles that depth does not show. '
    'None is right.'
)


def distance_figure(models: tuple[Findings, ...]) -> tuple[Block, ...]:
    """Return the error by measured distance; nothing without ground truth."""
    scaling = shared_scaling(models)
    groups = [{g.name: g for g in m.summary.per_distance} for m in models]
    names = list(dict.fromkeys(name for own in groups for name in own))
    if not names:
        return ()
    series = []
    for model, own in zip(models, groups):
        errors = [group_errors(own[n], scaling).abs_rel if n in own else math.nan for n in names]
        series.append(Series(model.name, errors))
    svg = bar_figure(names, series, x_label='measured distance', y_label=f'AbsRel, {scaling}')
    caption = (
        'Relative error by distance: it usually grows with it. A high first bar says that what '
        'is near, which matters most to a vehicle, is wrong.'
    )
    return (Figure(svg, caption),)


def drive_figures(models: tuple[Findings, ...]) -> tuple[Block, ...]:
    """Return what changes over each drive, folded where there are several."""
    scaling = shared_scaling(models)
    drives = models[0].drives
    if len(drives) == 1:
        return _figures(models, scaling)
    blocks = []
    for number, drive in enumerate(drives):
        own = tuple(model.of_drive(drive) for model in models)
        figures = _figures(own, scaling)
        if figures:
            is_open = number == 0 or len(drives) <= MOST_OPEN_DRIVES
            blocks.append(Details(_summary(drive, own, scaling), figures, is_open))
    return tuple(blocks)


def _summary(drive: str, models: tuple[Findings, ...], scaling: Scaling) -> str:
    frames = f'{drive}: {number_of("frames", len(models[0].frames))}'
    if not any(m.summary.images for m in models):
        return f'{frames}, without ground truth'
    errors = []
    for model in models:
        metrics = model.errors(scaling)
        if metrics is not None:
            name = '' if len(models) == 1 else f' ({model.name})'
            errors.append(f'{metrics.abs_rel:.3f}{name}')
    return f'{frames}, AbsRel {", ".join(errors)}'


def _figures(models: tuple[Findings, ...], scaling: Scaling) -> tuple[Block, ...]:
    """Return the figures of one drive."""
    metric = tuple(m for m in models if m.contract.metric)
    blocks: list[Block] = []
    blocks += _figure(
        models,
        lambda f, _: None if f.judgement is None else f.metrics(scaling).abs_rel,
        f'AbsRel, {scaling}',
        _ERROR_WORDS,
    )
    if metric:
        blocks += _figure(
            metric,
            lambda f, _: None if f.judgement is None else f.judgement.scale_ratio,
            'scale: truth / depth',
            _SCALE_WORDS,
            limits=(Limit('right', 1.0),),
            least_y=SCALE_RANGE,
        )
    if not any(m.summary.images for m in models):
        blocks += _figures_without_truth(models, metric or models)
    if any(f.hole_pixels for m in models for f in m.frames):
        blocks += _figure(
            models,
            lambda f, m: 100 * f.hole_pixels / (m.contract.width * m.contract.height),
            'infinite depth (% of pixels)',
            _HOLES_WORDS,
        )
    return tuple(blocks)


def _figures_without_truth(
    models: tuple[Findings, ...], of_one_unit: tuple[Findings, ...]
) -> tuple[Block, ...]:
    """
    Return the figures of a drive that nobody measured.

    :param of_one_unit: of the models, those whose heights share an axis.
    """
    flicker = {m.name: m.frame_flicker() for m in models}
    return (
        *_height_figure(of_one_unit),
        *_figure(
            models,
            lambda f, _: None if f.ground is None else f.ground.residual,
            'road residual (share)',
            _ROAD_WORDS,
        ),
        *_figure(models, lambda f, m: flicker[m.name].get(f.entry), 'flicker', _FLICKER_WORDS),
    )


def _height_figure(models: tuple[Findings, ...]) -> tuple[Block, ...]:
    heights = [h for m in models for f in m.frames if (h := _camera_height(f)) is not None]
    if not heights:
        return ()
    median = float(np.median(heights))
    unit = 'm' if models[0].contract.metric else 'unknown scale'
    return _figure(
        models,
        lambda f, _: _camera_height(f),
        f'camera height ({unit})',
        _HEIGHT_WORDS,
        limits=(Limit(f'median {median:.2f}', median),),
        least_y=(HEIGHT_RANGE[0] * median, HEIGHT_RANGE[1] * median),
    )


def _camera_height(finding: FrameFinding) -> float | None:
    plane = finding.score.plane
    return plane.offset_m if isinstance(plane, GroundPlane) else None


def _figure(
    models: tuple[Findings, ...],
    value: Callable[[FrameFinding, Findings], float | None],
    y_label: str,
    caption: str,
    limits: Sequence[Limit] = (),
    least_y: tuple[float, float] | None = None,
) -> tuple[Block, ...]:
    """Draw a curve per model over the frames of a drive; nothing where fewer than two have it."""
    values = [[value(f, model) for f in model.frames] for model in models]
    known = max(sum(v is not None for v in own) for own in values)
    if known < 2:
        return ()
    times = [f.time_s for f in models[0].frames]
    is_timed = None not in times
    x = [t for t in times if t is not None] if is_timed else _numbers(models[0])
    svg = line_figure(
        x,
        [
            Series(model.name, [math.nan if v is None else v for v in own])
            for model, own in zip(models, values)
        ],
        x_label='time in the drive (s)' if is_timed else 'frame of the drive',
        y_label=y_label,
        limits=limits,
        y_from_zero=least_y is None,
        least_y=least_y,
    )
    return (Figure(svg, caption + thinning_words(known)),)


def _numbers(model: Findings) -> list[float]:
    return [f.entry.frame for f in model.frames]
