"""An evaluation for people: tables on the terminal and a panel of pictures."""

from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from sg_depth_ros.metrics import DepthMetrics
from sg_depth_ros.metrics import GroupMetrics
from sg_depth_ros.metrics import resize_depth
from sg_depth_ros.replay.pictures import depth_picture
from sg_depth_ros.replay.pictures import error_picture
from training.evaluation.figures import new_figure
from training.evaluation.figures import save_figure
from training.evaluation.findings import Findings
from training.evaluation.findings import FrameFinding
from training.evaluation.resample_report import marked_picture

HEADINGS = ('AbsRel', 'SqRel', 'RMSE', 'RMSElog', 'SILog', 'a1', 'a2', 'a3')
WIDTH_WITHOUT_TERMINAL = 110
UNSCALED_DEPTH_M = 15.0  # the median of a street scene, to colour depth of unknown scale


class JudgedPicture(NamedTuple):
    """A frame of the panel."""

    finding: FrameFinding
    image: NDArray[np.uint8]  # [h, w, 3], RGB, at the network's size
    depth_m: NDArray[np.float32]  # [h, w]
    below: NDArray[np.bool_]  # [h, w], infinite depth
    truth_m: NDArray[np.float32] | None  # [H, W], 0 where not measured


def print_tables(findings: Findings, console: Console | None = None) -> None:
    """Print what was measured, and in one sentence what could not be."""
    if console is None:
        console = Console()
        if not console.is_terminal:
            console = Console(width=WIDTH_WITHOUT_TERMINAL)
    summary = findings.summary
    if summary.unscaled is None or summary.median_scaled is None:
        console.print(
            f'No frame of {findings.dataset} has LiDAR: how wrong its depth is, and whether its '
            'metres are metres, cannot be judged here.',
            markup=False,
        )
    else:
        unscaled = 'unscaled' if findings.contract.metric else 'unscaled (model has no scale)'
        title = (
            f'{findings.model} on {findings.dataset}: {summary.images} images with LiDAR, '
            f'{summary.crop} crop, up to {summary.cap_m:g} m'
        )
        rows = ((unscaled, summary.unscaled), ('median-scaled', summary.median_scaled))
        console.print(_table(title, 'mean over images', rows))
        console.print(
            f'scale ratio: median {summary.scale_ratio_median:.3f}, '
            f'standard deviation {summary.scale_ratio_std:.3f}'
        )
        metric = findings.contract.metric
        scaling = 'unscaled' if metric else 'median-scaled'
        groups = list(summary.per_class)
        if summary.class_average is not None:
            groups.append(summary.class_average)
            console.print(
                _groups_table(f'per class ({findings.labels_source()}), {scaling}', groups, metric)
            )
        title = f'per distance of the LiDAR, {scaling}'
        console.print(_groups_table(title, summary.per_distance, metric))
    for line in _lines_without_truth(findings):
        console.print(line)


def write_panel(pictures: Sequence[JudgedPicture], findings: Findings, path: Path) -> None:
    """
    Draw image, depth and error of frames, one row each; without ground truth no error.

    :param pictures: from the best to the worst.
    :param path: PNG to write; the same input gives the same bytes.
    """
    height, width = pictures[0].image.shape[:2]
    columns = 3 if any(p.truth_m is not None for p in pictures) else 2
    figure = new_figure(6.0 * columns, (6.0 * height / width + 0.45) * len(pictures) + 0.4)
    metric = findings.contract.metric
    figure.suptitle(
        'colours: depth from 2 m (red) to 80 m (blue); error: blue too near, red too far, '
        'full at 50 %; red pixels in the image: infinite depth',
        fontsize=9,
    )
    for row, picture in enumerate(pictures):
        scale = _display_scale(picture, metric)
        cells = [
            (_title(picture.finding), marked_picture(picture.image, picture.below)),
            (
                'depth' if metric else 'depth, scaled to look at',
                depth_picture(picture.depth_m * scale),
            ),
        ]
        if picture.truth_m is not None:
            depth_m = resize_depth(picture.depth_m * scale, picture.truth_m.shape)
            error = error_picture(depth_m, picture.truth_m)
            cells.append(('error' if metric else 'error after median scaling', error))
        for column, (title, cell) in enumerate(cells):
            axes = figure.add_subplot(len(pictures), columns, row * columns + column + 1)
            axes.imshow(cell, interpolation='nearest', aspect='auto')
            axes.set_title(title, fontsize=8)
            axes.set_axis_off()
    save_figure(figure, path)


def _display_scale(picture: JudgedPicture, metric: bool) -> float:
    if metric:
        return 1.0
    if picture.finding.judgement is not None:
        return picture.finding.judgement.scale_ratio
    return UNSCALED_DEPTH_M / picture.finding.median_depth


def _title(finding: FrameFinding) -> str:
    title = f'{finding.entry.drive} {finding.entry.frame:06d}'
    if finding.judgement is not None:
        title += f': AbsRel {finding.judgement.unscaled.abs_rel:.3f} unscaled, '
        title += f'{finding.judgement.median_scaled.abs_rel:.3f} median-scaled'
    return title + (f', {finding.pixels_below} px infinite' if finding.pixels_below else '')


def _table(title: str, first: str, rows: Sequence[tuple[str, DepthMetrics]]) -> Table:
    table = Table(title=title, title_justify='left')
    table.add_column(first)
    for heading in HEADINGS:
        table.add_column(heading, justify='right')
    for name, metrics in rows:
        table.add_row(name, *(f'{value:.3f}' for value in astuple(metrics)))
    return table


def _groups_table(title: str, groups: Sequence[GroupMetrics], metric: bool) -> Table:
    return _table(
        title,
        'group (LiDAR points)',
        [(f'{g.name} ({g.pixels})', g.unscaled if metric else g.median_scaled) for g in groups],
    )


def _lines_without_truth(findings: Findings) -> list[str]:
    infinite, stability = findings.infinite_depth(), findings.stability()
    lines = [
        f'infinite depth: {infinite.frames} of {len(findings.frames)} frames '
        f'(more than {infinite.threshold_px:g} pixels clearly below the ground), '
        f'{infinite.pixels} pixels; {infinite.frames_without_plane} frames without a ground plane'
    ]
    if stability is not None:
        lines.append(
            f'median depth changes by {stability.mean:.1%} from frame to frame '
            f'(95th percentile {stability.p95:.1%}, {stability.pairs} pairs)'
        )
    return lines
