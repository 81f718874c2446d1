"""
Are the vehicles there? Models on the drives of a dataset, without LiDAR.

    python -m benchmarks.vehicles --data DATASET --model NAME=FILE ... --frame DRIVE:INDEX ...
        --out OUT

Prints per drive how far depth puts vehicles, over the distance of the road under their wheels
(sg_depth_ros/standing.py), in how many frames ``resample`` sees infinite depth at its defaults,
and in how many by the paper's plain form: any pixels below a plane through all of them. The
dataset must have labels for the models to be compared on the same vehicles.

Writes OUT/table.md, and OUT/vehicles.png: the depth of the frames named, with the outlines of what
the labels call a vehicle. No image is in it, so that it may be shown where the images may not.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.png_figures import new_figure
from benchmarks.png_figures import save_figure
from sg_depth_ros.camera import resize_labels
from sg_depth_ros.evaluation.frame_key import FrameKey
from sg_depth_ros.evaluation.holes import FrameScore
from sg_depth_ros.evaluation.holes import find_holes
from sg_depth_ros.evaluation.holes import refuse_outliers
from sg_depth_ros.evaluation.holes import score_frame
from sg_depth_ros.evaluation.models import NamedModel
from sg_depth_ros.evaluation.models import named_models
from sg_depth_ros.evaluation.prediction import FramePrediction
from sg_depth_ros.evaluation.progress import with_progress
from sg_depth_ros.ground import GroundPlaneRefusal
from sg_depth_ros.infinite_depth import DEFAULT_CRITERION
from sg_depth_ros.infinite_depth import PAPER_CRITERION
from sg_depth_ros.report.pictures import depth_picture
from sg_depth_ros.standing import VEHICLE_IDS
from sg_depth_ros.standing import StandingFrame
from sg_depth_ros.standing import StandingSummary
from sg_depth_ros.standing import judge_standing
from sg_depth_ros.standing import summarize_standing
from training.evaluation.frames import DatasetFrames
from training.evaluation.predictions import predict_frames
from training.torch_engine import open_model

CRITERIA = (DEFAULT_CRITERION, PAPER_CRITERION)
PICTURE_SIZE = (640, 192)


class DriveFinding(NamedTuple):
    """What a model makes of a drive's vehicles."""

    drive: str
    frames: int
    standing: StandingSummary
    flagged: tuple[int, ...]  # frames with holes, by each of the criteria
    without_plane: tuple[int, ...]


class ModelFinding(NamedTuple):
    """A model on all drives, and on the frames to show."""

    name: str
    drives: tuple[DriveFinding, ...]
    pictures: dict[FrameKey, NDArray[np.uint8]]


def judge(model: NamedModel, frames: DatasetFrames, shown: Sequence[FrameKey]) -> ModelFinding:
    """Predict every frame at which the camera moves."""
    engine = open_model(model.path)
    findings, pictures = [], {}
    for name, drive in frames.drives.items():
        entries = [FrameKey(name, f.index) for f in drive.frames if f.dropped is None]
        standing: list[StandingFrame] = []
        scores: list[list[FrameScore]] = [[] for _ in CRITERIA]
        predictions = predict_frames(engine, frames, entries)
        for prediction in with_progress(predictions, len(entries), f'{model.name}, {name}'):
            standing.append(_standing(prediction, engine.contract.metric))
            for criterion, kept in zip(CRITERIA, scores):
                holes = find_holes(prediction, criterion, engine.contract.metric)
                kept.append(score_frame(prediction.entry, holes))
            if prediction.entry in shown:
                pictures[prediction.entry] = outlined(prediction)
        checked = [refuse_outliers(kept) for kept in scores]
        least_px = DEFAULT_CRITERION.threshold_at(engine.contract.width, engine.contract.height)
        findings.append(
            DriveFinding(
                name,
                len(entries),
                summarize_standing(standing),
                tuple(sum(s.hole_pixels > least_px for s in kept) for kept in checked),
                tuple(
                    sum(isinstance(s.plane, GroundPlaneRefusal) for s in kept) for kept in checked
                ),
            )
        )
    engine.close()
    return ModelFinding(model.name, tuple(findings), pictures)


def _standing(prediction: FramePrediction, metric: bool) -> StandingFrame:
    return judge_standing(prediction.depth_m, prediction.labels, prediction.camera, metric=metric)


def outlined(prediction: FramePrediction) -> NDArray[np.uint8]:
    """Colour depth, and draw the outlines of what the labels call a vehicle."""
    width, height = PICTURE_SIZE
    depth_m = cv2.resize(prediction.depth_m, PICTURE_SIZE, interpolation=cv2.INTER_LINEAR)
    picture = depth_picture(np.asarray(depth_m, np.float32))
    labels = resize_labels(prediction.labels, width, height)
    vehicles = np.isin(labels, VEHICLE_IDS).astype(np.uint8)
    contours, _ = cv2.findContours(vehicles, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    large = [c for c in contours if cv2.contourArea(c) > 100]
    cv2.drawContours(picture, large, -1, (255, 255, 255), 1)
    return picture


def table(findings: Sequence[ModelFinding]) -> str:
    """Return what was found as markdown."""
    lines = [
        '| model | drive | vehicles judged | depth / road under them, median (10 - 90 %) '
        '| missing | frames with holes | by the plain form | frames without a plane, both |',
        '|---|---|---|---|---|---|---|---|',
    ]
    for model in findings:
        for drive in model.drives:
            total = drive.standing.total
            ratio = missing = '-'
            if total.ratio_median is not None and total.missing_share is not None:
                ratio = f'{total.ratio_median:.2f} ({total.ratio_p10:.2f} - {total.ratio_p90:.2f})'
                missing = f'{total.missing_share:.0%}'
            ours, plain = (f'{count} of {drive.frames}' for count in drive.flagged)
            planes = ', '.join(map(str, drive.without_plane))
            cells = (model.name, drive.drive, total.vehicles, ratio, missing, ours, plain, planes)
            lines.append(f'| {" | ".join(map(str, cells))} |')
    return '\n'.join(lines) + '\n'


def draw(findings: Sequence[ModelFinding], shown: Sequence[FrameKey], path: Path) -> None:
    """Draw a row per frame and a column per model."""
    width, height = PICTURE_SIZE
    cell_in = 14.0 / len(findings)
    figure = new_figure(14.0, (cell_in * height / width + 0.25) * len(shown) + 0.2)
    grid = figure.add_gridspec(len(shown), len(findings))
    for row, entry in enumerate(shown):
        for column, model in enumerate(findings):
            axes = figure.add_subplot(grid[row, column])
            axes.imshow(model.pictures[entry])
            title = model.name if row == 0 else ''
            if column == 0:
                title = f'{entry.drive} {entry.frame}' + f'\n{title}' * bool(title)
            axes.set_title(title, fontsize=8)
            axes.set_axis_off()
    save_figure(figure, path)


def _frame(text: str) -> FrameKey:
    drive, _, index = text.rpartition(':')
    return FrameKey(drive, int(index))


def main() -> None:
    """Judge the models and write what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--data', type=Path, required=True, help='dataset folder')
    parser.add_argument('--model', nargs='+', required=True, metavar='NAME=FILE')
    parser.add_argument('--frame', nargs='*', type=_frame, default=[], metavar='DRIVE:INDEX')
    parser.add_argument('--out', type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    frames = DatasetFrames(options.data)
    findings = [judge(model, frames, options.frame) for model in named_models(options.model)]
    if options.frame:
        draw(findings, options.frame, options.out / 'vehicles.png')
    text = table(findings)
    (options.out / 'table.md').write_text(text)
    print(text)


if __name__ == '__main__':
    main()
