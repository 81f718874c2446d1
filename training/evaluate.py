"""``evaluate``: measure a checkpoint or ``model.onnx`` against a dataset's LiDAR."""

import argparse
import json
from pathlib import Path
from typing import NamedTuple
from typing import get_args

import numpy as np

from sg_depth_ros.engines.engine import Engine
from sg_depth_ros.errors import UserError
from sg_depth_ros.metrics import CAP_M
from sg_depth_ros.metrics import Crop
from sg_depth_ros.metrics import judge_image
from sg_depth_ros.metrics import summarize
from training.arguments import positive_number
from training.evaluation.evaluation_report import JudgedPicture
from training.evaluation.evaluation_report import print_tables
from training.evaluation.evaluation_report import write_panel
from training.evaluation.findings import Findings
from training.evaluation.findings import FrameFinding
from training.evaluation.frames import DatasetFrames
from training.evaluation.holes import DEFAULT_CRITERION
from training.evaluation.holes import FrameScore
from training.evaluation.holes import find_holes
from training.evaluation.holes import refuse_outliers
from training.evaluation.predictions import FramePrediction
from training.evaluation.predictions import predict_frame
from training.evaluation.predictions import predict_frames
from training.evaluation.progress import with_progress
from training.torch_engine import open_model

METRICS_NAME = 'metrics.json'
PANEL_NAME = 'evaluation.png'
FRAMES_OF_A_KIND = 2  # in the panel: so many of the best, so many of the worst


class EvaluationOptions(NamedTuple):
    """How to judge; the defaults are the protocol of KITTI's tables."""

    drives: tuple[str, ...] = ()  # none: all
    flip: bool = False
    lidar_only: bool = False  # leave out frames without ground truth
    crop: Crop = 'garg'
    cap_m: float = CAP_M


DEFAULT_OPTIONS = EvaluationOptions()


def evaluate(
    model: Path, dataset: Path, out: Path, options: EvaluationOptions = DEFAULT_OPTIONS
) -> Findings:
    """
    Judge every frame, and write ``metrics.json`` and ``evaluation.png``.

    Depth is judged as the network gives it, also where it sees sky, after the correction for the
    drive's focal length.

    :param model: a depth checkpoint or ``model.onnx``.
    :param dataset: the dataset folder.
    :param out: the folder to write into.
    :raises UserError: where the model or the dataset does not fit; nothing is written then.
    """
    dataset_frames = DatasetFrames(dataset, options.drives)
    entries = [
        entry
        for entry in dataset_frames.entries
        if not options.lidar_only or dataset_frames.has_truth(entry)
    ]
    if not entries:
        raise UserError(f'{dataset}: no frame has LiDAR; leave out --lidar-only')
    engine = open_model(model)
    try:
        predictions = predict_frames(engine, dataset_frames, entries, flip=options.flip)
        found = [
            _judge_frame(engine, dataset_frames, prediction, options)
            for prediction in with_progress(predictions, len(entries), 'evaluating')
        ]
        scores = refuse_outliers([f.score for f in found])
        frames = tuple(f._replace(score=s) for f, s in zip(found, scores))
        summary = summarize(
            [f.judgement for f in frames],
            engine.contract.class_names,
            cap_m=options.cap_m,
            crop=options.crop,
        )
        findings = Findings(
            model.name, dataset.name, engine.contract, summary, frames, options.flip
        )
        pictures = [_picture(engine, dataset_frames, f, options) for f in _shown(findings)]
    finally:
        engine.close()
    out.mkdir(parents=True, exist_ok=True)
    write_panel(pictures, findings, out / PANEL_NAME)
    temporary = out / (METRICS_NAME + '.tmp')
    temporary.write_text(json.dumps(findings.to_json(), indent=1, allow_nan=False) + '\n')
    temporary.replace(out / METRICS_NAME)
    return findings


def main(arguments: list[str]) -> int:
    """Run the verb."""
    given = _parser().parse_args(arguments)
    options = EvaluationOptions(
        tuple(given.drive), given.flip, given.lidar_only, given.crop, given.cap
    )
    out = given.out or given.model.parent / 'evaluation'
    findings = evaluate(given.model, given.data, out, options)
    print_tables(findings)
    print(f'{out / METRICS_NAME}, {out / PANEL_NAME}')
    return 0


def _judge_frame(
    engine: Engine, frames: DatasetFrames, prediction: FramePrediction, options: EvaluationOptions
) -> FrameFinding:
    holes = find_holes(prediction, DEFAULT_CRITERION, engine.contract.metric)
    truth_m, judgement = frames.truth_m(prediction.entry), None
    if truth_m is not None:
        judgement = judge_image(
            prediction.depth_m,
            truth_m,
            prediction.labels,
            cap_m=options.cap_m,
            crop=options.crop,
        )
    return FrameFinding(
        score=FrameScore(prediction.entry, int(holes.below.sum()), holes.plane),
        judgement=judgement,
        median_depth=float(np.median(prediction.depth_m)),
        labels_given=prediction.labels_given,
    )


def _shown(findings: Findings) -> list[FrameFinding]:
    """Return the best and the worst frames; without ground truth, those with the most holes."""
    judged = [f for f in findings.frames if f.judgement is not None]
    if judged:
        judged.sort(key=lambda f: (f.abs_rel(findings.contract.metric), f.entry))
    else:
        judged = sorted(findings.frames, key=lambda f: (f.pixels_below, f.entry))
    if len(judged) <= 2 * FRAMES_OF_A_KIND:
        return judged
    return judged[:FRAMES_OF_A_KIND] + judged[-FRAMES_OF_A_KIND:]


def _picture(
    engine: Engine,
    frames: DatasetFrames,
    finding: FrameFinding,
    options: EvaluationOptions,
) -> JudgedPicture:
    prediction = predict_frame(engine, frames, finding.entry, flip=options.flip)
    below = find_holes(prediction, DEFAULT_CRITERION, engine.contract.metric).below
    if finding.pixels_below == 0:  # refused since
        below = np.zeros_like(below)
    truth = None if finding.judgement is None else frames.truth_m(finding.entry)
    return JudgedPicture(finding, prediction.image, prediction.depth_m, below, truth)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='python -m training evaluate',
        description='Measure depth against the LiDAR of a dataset, at its full resolution, with '
        'and without per-image median scaling, per class and per distance; and what needs no '
        f'LiDAR: frames with infinite depth, temporal stability. Writes {METRICS_NAME} and '
        f'{PANEL_NAME}.',
    )
    parser.add_argument('--model', type=Path, required=True, help='depth checkpoint or model.onnx')
    parser.add_argument(
        '--data', type=Path, required=True, metavar='DATASET', help='dataset folder'
    )
    parser.add_argument(
        '--out', type=Path, metavar='DIR', help='default: the folder "evaluation" beside the model'
    )
    parser.add_argument(
        '--drive',
        action='append',
        default=[],
        metavar='NAME',
        help='judge this drive only; may be repeated (default: all)',
    )
    parser.add_argument(
        '--flip', action='store_true', help='average with the prediction of the mirrored image'
    )
    parser.add_argument(
        '--lidar-only', action='store_true', help='leave out the frames without LiDAR'
    )
    parser.add_argument(
        '--crop',
        choices=get_args(Crop),
        default='garg',
        help="part of the image to judge (default: garg, what KITTI's LiDAR covers)",
    )
    parser.add_argument(
        '--cap',
        type=positive_number,
        default=CAP_M,
        metavar='M',
        help=f'judge LiDAR nearer than this (default: {CAP_M:g} m)',
    )
    return parser
