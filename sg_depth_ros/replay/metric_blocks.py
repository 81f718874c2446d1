"""Depth metrics as blocks of a report, tables on the terminal, and a figure over time."""

from collections.abc import Sequence
from dataclasses import asdict

from rich.table import Table as TerminalTable

from sg_depth_ros.contract import ModelContract
from sg_depth_ros.drive_metrics import DepthChange
from sg_depth_ros.drive_metrics import InfiniteDepthSummary
from sg_depth_ros.drive_metrics import TemporalScale
from sg_depth_ros.metrics import DepthMetrics
from sg_depth_ros.metrics import EvaluationSummary
from sg_depth_ros.metrics import GroupMetrics
from sg_depth_ros.metrics import ImageJudgement
from sg_depth_ros.report.figures import Limit
from sg_depth_ros.report.figures import Series
from sg_depth_ros.report.figures import line_figure
from sg_depth_ros.report.page import Block
from sg_depth_ros.report.page import Figure
from sg_depth_ros.report.page import Table
from sg_depth_ros.report.page import Tile

_NAMES = {
    'abs_rel': 'AbsRel',
    'sq_rel': 'SqRel (m)',
    'rmse': 'RMSE (m)',
    'rmse_log': 'RMSE log',
    'silog': 'SILog',
    'a1': 'a1, share within 1.25',
    'a2': 'a2, share within 1.25²',
    'a3': 'a3, share within 1.25³',
}


def metric_rows(summary: EvaluationSummary) -> tuple[tuple[str, float, float], ...]:
    """Return name, unscaled and median-scaled value of every metric; none without truth."""
    if summary.unscaled is None or summary.median_scaled is None:
        return ()
    unscaled, scaled = asdict(summary.unscaled), asdict(summary.median_scaled)
    return tuple((name, unscaled[key], scaled[key]) for key, name in _NAMES.items())


def metric_tiles(summary: EvaluationSummary) -> tuple[Tile, ...]:
    """Return the numbers that a reader looks for first."""
    if summary.unscaled is None or summary.median_scaled is None:
        return ()
    u, s = summary.unscaled, summary.median_scaled
    return (
        Tile('AbsRel', f'{u.abs_rel:.3f}', f'{s.abs_rel:.3f} median-scaled'),
        Tile('RMSE', f'{u.rmse:.2f} m', f'{s.rmse:.2f} m median-scaled'),
        Tile('a1', f'{u.a1:.3f}', f'{s.a1:.3f} median-scaled'),
        Tile(
            'Scale ratio',
            f'{summary.scale_ratio_median:.3f}',
            f'truth / prediction, relative spread {summary.scale_ratio_spread:.3f}',
        ),
    )


def metric_blocks(summary: EvaluationSummary, truth_source: str) -> tuple[Block, ...]:
    """Return the table of all metrics, and those by distance and by class."""
    crop = 'the Garg crop' if summary.crop == 'garg' else 'the whole image'
    blocks: list[Block] = [
        Table(
            ('metric', 'unscaled', 'median-scaled'),
            metric_rows(summary),
            f'Mean over {summary.images} images with ground truth from {truth_source}, within '
            f'{crop} and up to {summary.cap_m:g} m. Median-scaled: each image is first multiplied '
            'by the ratio of the medians, truth over prediction, which hides errors of scale.',
        )
    ]
    if summary.per_distance:
        blocks.append(
            _group_table('distance', summary.per_distance, 'All pixels, by measured distance.')
        )
    if summary.class_average is not None:
        groups = (*summary.per_class, summary.class_average)
        blocks.append(_group_table('class', groups, 'All pixels, by predicted class.'))
    return tuple(blocks)


def infinite_depth_tile(found: InfiniteDepthSummary) -> Tile:
    """Return how many frames hold infinite depth."""
    return Tile(
        'Infinite depth',
        f'{found.frames} of {found.all_frames} images',
        f'{found.pixels} pixels clearly below the ground',
    )


def drive_lines(
    infinite: InfiniteDepthSummary, scale: TemporalScale | None, change: DepthChange | None
) -> tuple[str, ...]:
    """Return the metrics over a drive, or over several, as sentences; ``scale`` needs truth."""
    lines = [
        f'Infinite depth: {infinite.frames} of {infinite.all_frames} frames (more than '
        f'{infinite.threshold_px:.3g} pixels clearly below the ground), {infinite.pixels} pixels; '
        f'{infinite.frames_without_plane} frames without a ground plane.'
    ]
    if change is not None:
        lines.append(
            f'The median depth changes by {change.mean:.1%} from frame to frame '
            f'(95th percentile {change.p95:.1%}, {change.pairs} pairs).'
        )
    if scale is not None:
        line = f'The scale ratio has a relative spread of {scale.spread:.1%} within a drive'
        if scale.mean is not None and scale.p95 is not None:
            line += (
                f' and changes by {scale.mean:.1%} from frame to frame '
                f'(95th percentile {scale.p95:.1%}, {scale.pairs} pairs)'
            )
        lines.append(line + '.')
    return tuple(lines)


def _group_table(what: str, groups: Sequence[GroupMetrics], caption: str) -> Table:
    rows = tuple((g.name, g.pixels, *_short(g.unscaled), *_short(g.median_scaled)) for g in groups)
    names = ('AbsRel', 'RMSE (m)', 'a1')
    scaled = tuple(f'{name}, scaled' for name in names)
    caption = f'{caption} First unscaled, then median-scaled.'
    return Table((what, 'pixels', *names, *scaled), rows, caption)


def _short(metrics: DepthMetrics) -> tuple[float, float, float]:
    return metrics.abs_rel, metrics.rmse, metrics.a1


def error_over_time(
    times_s: Sequence[float], judgements: Sequence[ImageJudgement | None]
) -> tuple[Block, ...]:
    """Return figures of AbsRel and of the scale ratio over the drive; gaps without truth."""
    judged = [(t, j) for t, j in zip(times_s, judgements) if j is not None]
    if len(judged) < 2:
        return ()
    x = [t for t, _ in judged]
    errors = (
        Series('unscaled', [j.unscaled.abs_rel for _, j in judged]),
        Series('median-scaled', [j.median_scaled.abs_rel for _, j in judged]),
    )
    ratios = (Series('scale ratio', [j.scale_ratio for _, j in judged]),)
    one = (Limit('right scale', 1.0),)
    x_label = 'time in the bag (s)'
    return (
        Figure(
            line_figure(x, errors, x_label=x_label, y_label='AbsRel'),
            'Relative error of each image that has ground truth.',
        ),
        Figure(
            line_figure(
                x, ratios, x_label=x_label, y_label='median truth / prediction', limits=one
            ),
            'Scale over time: a metric model stays near 1, and its spread is what no constant '
            'factor can mend.',
        ),
    )


def model_table(contract: ModelContract, model: str, engine: str) -> Table:
    """Return what is known of the model."""
    scale = f'metric, from {contract.scale_source}' if contract.metric else 'up to scale only'
    camera = contract.intrinsics
    return Table(
        ('model', model),
        (
            ('network', f'{contract.network}, guidance {contract.guidance}'),
            ('input', f'{contract.width} x {contract.height}'),
            ('trained at', f'fx {camera.fx:.1f} px, {camera.horizontal_fov_deg():.0f}° wide'),
            ('depth', f'{contract.min_depth_m:g} to {contract.max_depth_m:g} m, {scale}'),
            ('training stage', contract.training_stage),
            ('engine', engine),
            ('licences', f'data {contract.data_licence}; weights {contract.weights_licence}'),
        ),
    )


def terminal_table(summary: EvaluationSummary, title: str) -> TerminalTable:
    """Return the metrics as a table for the terminal."""
    table = TerminalTable(title=title, title_justify='left')
    table.add_column('metric')
    table.add_column('unscaled', justify='right')
    table.add_column('median-scaled', justify='right')
    for name, unscaled, scaled in metric_rows(summary):
        table.add_row(name, f'{unscaled:.3f}', f'{scaled:.3f}')
    return table
