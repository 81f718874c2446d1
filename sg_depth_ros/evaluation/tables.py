"""What an evaluation found, as tables: the same ones on the terminal, on the page, in Markdown."""

from collections.abc import Sequence
from dataclasses import astuple

from sg_depth_ros.evaluation.comparison import ALIKE
from sg_depth_ros.evaluation.comparison import compare
from sg_depth_ros.evaluation.comparison import rounded
from sg_depth_ros.evaluation.comparison import shared_scaling
from sg_depth_ros.evaluation.findings import Findings
from sg_depth_ros.evaluation.findings import Scaling
from sg_depth_ros.evaluation.findings import group_errors
from sg_depth_ros.metrics import DepthMetrics
from sg_depth_ros.metrics_summary import CLASS_AVERAGE_PIXELS
from sg_depth_ros.metrics_summary import GroupMetrics
from sg_depth_ros.report.page import Cell
from sg_depth_ros.report.page import Table
from sg_depth_ros.report.page import number_of
from sg_depth_ros.standing import MISSING_RATIO

HEADINGS = ('AbsRel', 'SqRel', 'RMSE', 'RMSElog', 'SILog', 'a1', 'a2', 'a3')
STEADINESS = ('camera height', 'spread', 'road residual', 'flicker', '95 %', 'depth change')
SCALINGS: tuple[Scaling, ...] = ('median-scaled', 'unscaled')


def metric_tables(models: tuple[Findings, ...]) -> tuple[Table, ...]:
    """Return the errors against ground truth; none without it."""
    if not _is_measured(models):
        return ()
    summary = models[0].summary
    crop = 'Garg crop' if summary.crop == 'garg' else 'whole image'
    flip = ', averaged with the mirrored image' if models[0].flip else ''
    *fewer, most = sorted({m.summary.images for m in models})
    images = ''.join(f'{n} or ' for n in fewer) + number_of('images', most)
    protocol = f'mean over {images}, {crop}, up to {summary.cap_m:g} m{flip}'
    if len(models) == 1:
        unscaled = _unscaled_name(models[0])
        rows = (
            (unscaled, *_numbers(summary.unscaled)),
            ('median-scaled', *_numbers(summary.median_scaled)),
        )
        return (Table((models[0].name, *HEADINGS), rows, _sentence(protocol)),)
    return tuple(_ranking(models, scaling, protocol) for scaling in SCALINGS)


def difference_sentences(models: tuple[Findings, ...]) -> tuple[str, ...]:
    """Say frame by frame what each model gains over the first."""
    differences = [
        compare(model, models[0], scaling)
        for model in models[1:]
        for scaling in SCALINGS
        if scaling == 'median-scaled' or shared_scaling((models[0], model)) == 'unscaled'
    ]
    return tuple(_sentence(d.sentence()) for d in differences if d is not None)


def class_table(models: tuple[Findings, ...]) -> Table | None:
    """Return the errors per class that has enough pixels, and their average; None without."""
    groups = [
        tuple(g for g in m.summary.per_class if g.pixels >= CLASS_AVERAGE_PIXELS)
        + ((m.summary.class_average,) if m.summary.class_average is not None else ())
        for m in models
    ]
    labels = {m.labels_source() for m in models}
    caption = f'Per class ({" or ".join(sorted(labels))} labels)'
    if len(models) > 1 and labels != {'given'}:
        caption += ', each model by its own labels, so that pixels differ'
    return _group_table('class', models, groups, caption)


def distance_table(models: tuple[Findings, ...]) -> Table | None:
    """Return the errors per measured distance; None without."""
    groups = [m.summary.per_distance for m in models]
    return _group_table('distance', models, groups, 'Per measured distance')


def drive_table(models: tuple[Findings, ...]) -> Table | None:
    """Return the key numbers of every drive, a line per model; None of a single drive."""
    if len(models[0].drives) < 2:
        return None
    is_measured = _is_measured(models)
    scaling = shared_scaling(models)
    rows: list[tuple[Cell, ...]] = []
    for drive in (*models[0].drives, None):
        for model in models:
            found = model if drive is None else model.of_drive(drive)
            vehicles = (found.standing().total.vehicles, found.missing_vehicles())
            rows.append(
                (
                    (drive or 'all drives') if model is models[0] else '',
                    *((model.name,) if len(models) > 1 else ()),
                    len(found.frames),
                    *(_measured(found, scaling) if is_measured else _steadiness(found)[:4]),
                    found.infinite_depth().frames,
                    *vehicles,
                )
            )
    names = ('drive', 'model') if len(models) > 1 else ('drive',)
    measured = ('with truth', 'AbsRel', 'RMSE', 'a1', 'scale ratio')
    columns = ('frames', *(measured if is_measured else STEADINESS[:4]))
    errors = f', {scaling}: means over its frames with ground truth' if is_measured else ''
    caption = (
        f'Each drive{errors}. Infinite: frames with infinite depth. Vehicles: those whose contact '
        'with the road is seen; missing: which depth does not show'
    )
    columns = (*names, *columns, 'infinite', 'vehicles', 'missing')
    return Table(columns, tuple(rows), _sentence(caption))


def _measured(model: Findings, scaling: Scaling) -> tuple[Cell, ...]:
    summary, errors = model.summary, model.errors(scaling)
    metrics = (None, None, None) if errors is None else (errors.abs_rel, errors.rmse, errors.a1)
    return (summary.images, *metrics, summary.scale_ratio_median)


def scale_table(models: tuple[Findings, ...]) -> Table | None:
    """Return what median scaling had to multiply, and how steady that is; None without truth."""
    rows: list[tuple[Cell, ...]] = []
    for model in models:
        summary, steadiness = model.summary, model.temporal_scale()
        if summary.scale_ratio_median is not None:
            spread = None if steadiness is None else steadiness.spread
            change = None if steadiness is None else steadiness.mean
            rows.append(
                (
                    model.name,
                    'yes' if model.contract.metric else 'no',
                    summary.scale_ratio_median,
                    summary.scale_ratio_spread,
                    spread,
                    change,
                )
            )
    if not rows:
        return None
    columns = ('model', 'metric', 'scale ratio', 'spread', 'within a drive', 'frame to frame')
    caption = (
        'Scale: median of truth over prediction; its standard deviation over the median, of all '
        'images and within drives; mean change from a frame to the next, |ln|.'
    )
    return Table(columns, tuple(rows), caption)


def infinite_table(models: tuple[Findings, ...]) -> Table:
    """Return how much infinite depth there is; it needs no ground truth."""
    rows: list[tuple[Cell, ...]] = []
    for model in models:
        found = model.infinite_depth()
        counts = (found.frames, found.pixels, model.counted(), found.frames_without_plane)
        rows.append((model.name, *counts))
    thresholds = sorted({f'{m.infinite_depth().threshold_px:.3g}' for m in models})
    caption = (
        f'Infinite depth, over {number_of("frames", len(models[0].frames))}: those with more than '
        f'{" or ".join(thresholds)} pixels clearly below the ground or on missing vehicles, by '
        'the size of the network, of classes that can move where labels are given or predicted. '
        'Frames without a ground plane cannot be judged'
    )
    columns = ('model', 'infinite frames', 'pixels', 'of classes', 'frames without a plane')
    return Table(columns, tuple(rows), _sentence(caption))


def steadiness_table(models: tuple[Findings, ...]) -> Table | None:
    """Return how steady depth is and how flat the road; None where neither can be told."""
    rows = tuple((model.name, *_steadiness(model)) for model in models)
    if not any(value is not None for row in rows for value in row[1:]):
        return None
    caption = (
        'Steadiness. Camera height over the road that depth shows, in metres where depth is, and '
        'its spread within drives: the camera is fixed, so it is that of the scale. Road '
        'residual: median difference of road depth from its plane, as a share. Flicker: how '
        'far depth is from the mean of the frames before and after, |ln|. Depth change: of the '
        'median depth from a frame to the next, |ln|; never 0 while driving. All but the '
        'height are better low'
    )
    columns = ('model', *STEADINESS)
    return Table(columns, rows, _sentence(caption), low_is_best=STEADINESS[1:-1])


def _steadiness(model: Findings) -> tuple[Cell, ...]:
    """Return the cells below ``STEADINESS``."""
    ground, flicker, change = model.ground(), model.flicker(), model.stability()
    return (
        None if ground is None else ground.height_median,
        None if ground is None else ground.height_spread,
        None if ground is None else ground.residual_median,
        None if flicker is None else flicker.mean,
        None if flicker is None else flicker.p95,
        None if change is None else change.mean,
    )


def standing_table(models: tuple[Findings, ...]) -> Table | None:
    """Return vehicles against the ground under them; None where no vehicle can be judged."""
    rows: list[tuple[Cell, ...]] = []
    for model in models:
        summary = model.standing()
        all_of, frames = summary.total, summary.frames_with_vehicles
        ratios = (all_of.ratio_median, all_of.ratio_p10, all_of.ratio_p90)
        shares = (all_of.missing_share, all_of.beyond_share)
        rows.append((model.name, all_of.vehicles, frames, *ratios, *shares))
    if not any(row[1] for row in rows):
        return None
    columns = ('model', 'vehicles', 'in frames', 'median', '10 %', '90 %', 'missing', 'beyond')
    caption = (
        'Vehicles against the ground where they stand (no LiDAR): depth on a vehicle over the '
        'distance of the road under its wheels, 1 is right; missing: the share of vehicles above '
        f'{MISSING_RATIO:g}, where depth shows what is behind; beyond: that of their pixels.'
    )
    return Table(columns, tuple(rows), caption)


def all_tables(models: tuple[Findings, ...]) -> tuple[Table, ...]:
    """Return every table, the most asked for first."""
    tables = (
        *metric_tables(models),
        drive_table(models),
        scale_table(models),
        infinite_table(models),
        standing_table(models),
        steadiness_table(models),
        class_table(models),
        distance_table(models),
    )
    return tuple(table for table in tables if table is not None)


def _ranking(models: tuple[Findings, ...], scaling: Scaling, protocol: str) -> Table:
    """Return one row per model, and how each does against the first."""
    rows: list[tuple[Cell, ...]] = []
    for model in models:
        name = model.name
        if scaling == 'unscaled' and not model.contract.metric:
            name += ' (has no scale)'
        against: tuple[Cell, ...] = (None, None, None)
        difference = None if model is models[0] else compare(model, models[0], scaling)
        if difference is not None:
            mean = rounded(difference.mean, 3)
            against = (mean, difference.better_frames, difference.worse_frames)
        rows.append((name, *_numbers(model.errors(scaling)), *against))
    columns = (scaling, *HEADINGS, 'Δ', 'better', 'worse')
    caption = (
        f'{scaling}, {protocol}. Δ: AbsRel less that of {models[0].name}; better, worse: in so '
        f'many frames, by more than {ALIKE:g}'
    )
    low, high = HEADINGS[:5], HEADINGS[5:]
    return Table(columns, tuple(rows), _sentence(caption), low_is_best=low, high_is_best=high)


def _group_table(
    what: str,
    models: tuple[Findings, ...],
    groups: Sequence[Sequence[GroupMetrics]],
    caption: str,
) -> Table | None:
    """Return all metrics of one model's groups, or AbsRel of several models' groups."""
    if not any(groups):
        return None
    scaling = shared_scaling(models)
    if len(models) == 1:
        rows = tuple((g.name, g.pixels, *astuple(group_errors(g, scaling))) for g in groups[0])
        return Table((what, 'points', *HEADINGS), rows, f'{caption}, {scaling}.')
    names = list(dict.fromkeys(g.name for own in groups for g in own))
    by_name = [{g.name: g for g in own} for own in groups]
    several = tuple(
        (
            name,
            max(own[name].pixels for own in by_name if name in own),
            *(
                group_errors(own[name], scaling).abs_rel if name in own else None
                for own in by_name
            ),
        )
        for name in names
    )
    columns = (what, 'points', *(m.name for m in models))
    return Table(columns, several, f'{caption}: AbsRel, {scaling}.')


def _is_measured(models: tuple[Findings, ...]) -> bool:
    """Tell whether any of them was judged: of a model that gives no valid depth nothing is."""
    return any(m.summary.images for m in models)


def _numbers(errors: DepthMetrics | None) -> tuple[float | None, ...]:
    return (None,) * len(HEADINGS) if errors is None else astuple(errors)


def _unscaled_name(model: Findings) -> str:
    return 'unscaled' if model.contract.metric else 'unscaled (model has no scale)'


def _sentence(text: str) -> str:
    return f'{text[0].upper()}{text[1:]}.'
