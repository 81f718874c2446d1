"""Judging one model, frame by frame, at the rate of its network."""

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.contract import ModelContract
from sg_depth_ros.engines.engine import Engine
from sg_depth_ros.ground import GroundPlaneRefusal
from sg_depth_ros.infinite_depth import DEFAULT_CRITERION
from sg_depth_ros.metrics import CAP_M
from sg_depth_ros.metrics import Crop
from sg_depth_ros.metrics import judge_image
from sg_depth_ros.metrics import summarize
from sg_depth_ros.standing import StandingFrame
from sg_depth_ros.standing import judge_standing
from training.data.drive import SplitEntry
from training.evaluation.error_maps import ErrorMaps
from training.evaluation.error_maps import write_error_map
from training.evaluation.findings import Findings
from training.evaluation.findings import FrameFinding
from training.evaluation.frame_pictures import FrameView
from training.evaluation.frame_pictures import judged_truth
from training.evaluation.frames import JudgedFrames
from training.evaluation.holes import FrameScore
from training.evaluation.holes import find_holes
from training.evaluation.holes import refuse_outliers
from training.evaluation.holes import score_frame
from training.evaluation.in_order import in_order
from training.evaluation.models import NamedModel
from training.evaluation.predictions import FramePrediction
from training.evaluation.predictions import predict_frames
from training.evaluation.progress import with_progress

MOST_JUDGES = 4  # threads; beyond, they wait for one another more than they judge
WAITING_FRAMES = 32  # predictions kept while the judges are behind


class JudgingOptions(NamedTuple):
    """How to judge; the defaults are the protocol of KITTI's tables."""

    flip: bool = False
    crop: Crop = 'garg'
    cap_m: float = CAP_M


def judge_model(
    engine: Engine,
    model: NamedModel,
    frames: JudgedFrames,
    entries: Sequence[SplitEntry],
    options: JudgingOptions,
    maps: ErrorMaps,
    title: str = 'evaluating',
) -> Findings:
    """
    Judge every frame; reading ground truth and judging go on beside the network.

    Depth is judged as the network gives it, also where it sees sky, after the correction for the
    drive's focal length.

    :raises UserError: where a frame is missing or damaged, or the model gives no depth for it.
    """
    contract = engine.contract

    def judge(prediction: FramePrediction) -> FrameFinding:
        return _judge_frame(prediction, frames, contract, options, maps)

    judges = max(1, min(MOST_JUDGES, os.cpu_count() or 1))
    predictions = predict_frames(engine, frames, entries, flip=options.flip)
    judged = in_order(judge, predictions, judges, WAITING_FRAMES)
    found = list(with_progress(judged, len(entries), title))
    scores = refuse_outliers([f.score for f in found])
    judged_frames = tuple(with_score(f, score) for f, score in zip(found, scores))
    return assemble_findings(model, contract, frames, options, judged_frames)


def assemble_findings(
    model: NamedModel,
    contract: ModelContract,
    frames: JudgedFrames,
    options: JudgingOptions,
    found: tuple[FrameFinding, ...],
) -> Findings:
    """Summarize what was found in the frames."""
    judgements = [f.judgement for f in found]
    return Findings(
        name=model.name,
        file=model.path.name,
        dataset=frames.name,
        contract=contract,
        summary=summarize(
            judgements, contract.class_names, cap_m=options.cap_m, crop=options.crop
        ),
        frames=found,
        flip=options.flip,
    )


def view_frames(
    engine: Engine,
    findings: Findings,
    frames: JudgedFrames,
    entries: Sequence[SplitEntry],
    options: JudgingOptions,
) -> dict[SplitEntry, FrameView]:
    """Predict some of the judged frames again, with all that pictures need."""
    found = {f.entry: f for f in findings.frames}
    metric, views = engine.contract.metric, {}
    predictions = predict_frames(engine, frames, entries, flip=options.flip)
    for prediction in with_progress(predictions, len(entries), f'pictures of {findings.name}'):
        finding = found[prediction.entry]
        holes = find_holes(prediction, DEFAULT_CRITERION, metric).pixels
        if finding.hole_pixels == 0:  # refused since
            holes = np.zeros_like(holes)
        truth_m = None
        if finding.judgement is not None:
            truth_m = _judged_truth(frames, prediction.entry, options)
        views[finding.entry] = FrameView(
            findings.name, metric, finding, prediction, holes, truth_m
        )
    return views


def _judge_frame(
    prediction: FramePrediction,
    frames: JudgedFrames,
    contract: ModelContract,
    options: JudgingOptions,
    maps: ErrorMaps,
) -> FrameFinding:
    holes = find_holes(prediction, DEFAULT_CRITERION, contract.metric)
    truth_m, judgement = frames.truth_m(prediction.entry), None
    if truth_m is not None:
        judgement = judge_image(
            prediction.depth_m,
            truth_m,
            prediction.labels,
            cap_m=options.cap_m,
            crop=options.crop,
        )
    finding = FrameFinding(
        score=score_frame(prediction.entry, holes),
        judgement=judgement,
        standing=judge_standing(
            prediction.depth_m, prediction.labels, prediction.camera, metric=contract.metric
        ),
        median_depth=float(np.median(prediction.depth_m)),
        labels_given=prediction.labels_given,
    )
    if judgement is not None and truth_m is not None and prediction.entry in maps.entries:
        judged_m = judged_truth(truth_m, options.cap_m, options.crop)
        write_error_map(prediction, judged_m, finding, contract.metric, maps)
    return finding


def with_score(finding: FrameFinding, score: FrameScore) -> FrameFinding:
    """Take over a score; where it has no ground plane any more, no vehicle stands on one."""
    if isinstance(score.plane, GroundPlaneRefusal):
        return finding._replace(score=score, standing=StandingFrame((), score.plane))
    return finding._replace(score=score)


def _judged_truth(
    frames: JudgedFrames, entry: SplitEntry, options: JudgingOptions
) -> NDArray[np.float32]:
    truth_m = frames.truth_m(entry)
    assert truth_m is not None
    return judged_truth(truth_m, options.cap_m, options.crop)
