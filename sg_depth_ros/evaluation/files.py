"""The files of an evaluation for programs: JSON of the summary, CSV per frame and per model."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sg_depth_ros.evaluation.comparison import compare
from sg_depth_ros.evaluation.findings import Findings
from sg_depth_ros.evaluation.findings import FrameFinding
from sg_depth_ros.evaluation.tables import SCALINGS
from sg_depth_ros.ground import GroundPlane
from sg_depth_ros.metrics import DepthMetrics
from sg_depth_ros.output import write_json
from sg_depth_ros.output import write_text_atomically

METRICS_NAME = 'metrics.json'
FRAMES_NAME = 'frames.csv'
MODELS_NAME = 'models.csv'
METRIC_NAMES = tuple(DepthMetrics.__dataclass_fields__)
METRIC_COLUMNS = tuple(f'{s}_{n}' for s in ('unscaled', 'median_scaled') for n in METRIC_NAMES)


def write_metrics(models: tuple[Findings, ...], out: Path) -> None:
    """Write ``metrics.json``."""
    write_json(metrics_document(models), out / METRICS_NAME)


def metrics_document(models: tuple[Findings, ...]) -> dict[str, Any]:
    """Return what ``metrics.json`` holds: the model, or several with their differences."""
    if len(models) == 1:
        return models[0].to_json()
    differences = [
        compare(model, models[0], scaling) for model in models[1:] for scaling in SCALINGS
    ]
    return {
        'models': [m.to_json() for m in models],
        'differences': [d.to_json() for d in differences if d is not None],
    }


def write_frames(models: tuple[Findings, ...], out: Path) -> None:
    """Write ``frames.csv``: one line per model and frame."""
    columns = (
        'model',
        'drive',
        'frame',
        'time_s',
        'lidar_points',
        'invalid_px',
        'scale_ratio',
        *METRIC_COLUMNS,
        'infinite_px',
        'camera_height',
        'no_plane_because',
        'road_residual',
        'vehicles',
        'vehicles_missing',
        'worst_vehicle_ratio',
        'median_depth',
        'flicker',
    )
    rows = [
        (m.name, *_frame_row(f), flicker.get(f.entry))
        for m in models
        for flicker in (m.frame_flicker(),)
        for f in m.frames
    ]
    _write_csv(columns, rows, out / FRAMES_NAME)


def write_models(models: tuple[Findings, ...], out: Path) -> None:
    """Write ``models.csv``: one line per model."""
    columns = (
        'model',
        'file',
        'metric',
        'images',
        *METRIC_COLUMNS,
        'scale_ratio_median',
        'scale_ratio_std',
        'scale_ratio_spread',
        'scale_change_per_frame',
        'class_average_abs_rel',
        'frames',
        'infinite_frames',
        'infinite_px',
        'frames_without_plane',
        'vehicles',
        'vehicle_ratio_median',
        'vehicles_missing_share',
        'depth_change_mean',
        'depth_change_p95',
        'flicker_mean',
        'flicker_p95',
        'camera_height_median',
        'camera_height_spread',
        'road_residual_median',
    )
    _write_csv(columns, [_model_row(m) for m in models], out / MODELS_NAME)


def _frame_row(finding: FrameFinding) -> list[Any]:
    judgement, plane = finding.judgement, finding.score.plane
    vehicles = finding.standing.vehicles
    return [
        *finding.entry,
        finding.time_s,
        0 if judgement is None else judgement.pixels,
        finding.invalid_pixels,
        None if judgement is None else judgement.scale_ratio,
        *_metrics(
            None if judgement is None else judgement.unscaled,
            None if judgement is None else judgement.median_scaled,
        ),
        finding.hole_pixels,
        plane.offset_m if isinstance(plane, GroundPlane) else None,
        None if isinstance(plane, GroundPlane) else plane.reason,
        None if finding.ground is None else finding.ground.residual,
        len(vehicles),
        sum(v.is_missing for v in vehicles),
        max((v.ratio for v in vehicles), default=None),
        finding.median_depth,
    ]


def _model_row(model: Findings) -> list[Any]:
    summary, infinite = model.summary, model.infinite_depth()
    stability, steadiness = model.stability(), model.temporal_scale()
    average, standing = summary.class_average, model.standing().total
    flicker, ground = model.flicker(), model.ground()
    scaled = model.scaling == 'median-scaled'
    return [
        model.name,
        model.file,
        model.contract.metric,
        summary.images,
        *_metrics(summary.unscaled, summary.median_scaled),
        summary.scale_ratio_median,
        summary.scale_ratio_std,
        summary.scale_ratio_spread,
        None if steadiness is None else steadiness.mean,
        None
        if average is None
        else (average.median_scaled if scaled else average.unscaled).abs_rel,
        len(model.frames),
        infinite.frames,
        infinite.pixels,
        infinite.frames_without_plane,
        standing.vehicles,
        standing.ratio_median,
        standing.missing_share,
        None if stability is None else stability.mean,
        None if stability is None else stability.p95,
        None if flicker is None else flicker.mean,
        None if flicker is None else flicker.p95,
        None if ground is None else ground.height_median,
        None if ground is None else ground.height_spread,
        None if ground is None else ground.residual_median,
    ]


def _metrics(unscaled: DepthMetrics | None, scaled: DepthMetrics | None) -> list[float | None]:
    values: list[float | None] = []
    for metrics in (unscaled, scaled):
        values += [None] * len(METRIC_NAMES) if metrics is None else asdict(metrics).values()
    return values


def _write_csv(columns: Sequence[str], rows: Sequence[Sequence[Any]], path: Path) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    writer.writerow(columns)
    for row in rows:
        writer.writerow([f'{v:.6g}' if isinstance(v, float) else v for v in row])
    write_text_atomically(text.getvalue(), path)
