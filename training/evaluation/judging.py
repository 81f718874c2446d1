"""Judging one model, frame by frame, at the rate of its network."""

import os
from collections.abc import Sequence
from dataclasses import asdict

from sg_depth_ros.contract import ModelContract
from sg_depth_ros.engines.engine import Engine
from sg_depth_ros.evaluation.error_maps import ErrorMaps
from sg_depth_ros.evaluation.error_maps import write_error_map
from sg_depth_ros.evaluation.findings import Findings
from sg_depth_ros.evaluation.findings import FrameFinding
from sg_depth_ros.evaluation.finished import fingerprint
from sg_depth_ros.evaluation.frame_key import FrameKey
from sg_depth_ros.evaluation.frame_pictures import FrameView
from sg_depth_ros.evaluation.frame_pictures import judged_truth
from sg_depth_ros.evaluation.in_order import in_order
from sg_depth_ros.evaluation.judging import JudgingOptions
from sg_depth_ros.evaluation.judging import assemble_findings
from sg_depth_ros.evaluation.judging import judge_frame
from sg_depth_ros.evaluation.judging import view_frame
from sg_depth_ros.evaluation.models import NamedModel
from sg_depth_ros.evaluation.prediction import FramePrediction
from sg_depth_ros.evaluation.progress import with_progress
from training.evaluation.frames import JudgedFrames
from training.evaluation.predictions import predict_frames

MOST_JUDGES = 4  # threads; beyond, they wait for one another more than they judge
WAITING_FRAMES = 32  # predictions kept while the judges are behind


def judge_model(
    engine: Engine,
    model: NamedModel,
    frames: JudgedFrames,
    entries: Sequence[FrameKey],
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
    found = tuple(with_progress(judged, len(entries), title))
    return assemble_findings(model, contract, frames.name, options, found)


def evaluation_key(
    model: NamedModel,
    frames: JudgedFrames,
    entries: Sequence[FrameKey],
    options: JudgingOptions,
    maps: ErrorMaps,
) -> str:
    """Return a hash of all that what is found of a model depends on."""
    files = []
    for entry in entries:
        path = frames.path(entry)
        state = path.stat() if path.exists() else None  # a missing one is reported when it is read
        changed = None if state is None else (state.st_size, state.st_mtime_ns)
        files.append([*entry, changed, asdict(frames.camera(entry))])
    told = [model.name, frames.name, files, options, sorted(maps.entries)]
    return fingerprint(told, model.path)


def view_frames(
    engine: Engine,
    findings: Findings,
    frames: JudgedFrames,
    entries: Sequence[FrameKey],
    options: JudgingOptions,
) -> dict[FrameKey, FrameView]:
    """Predict some of the judged frames again, with all that pictures need."""
    found = {f.entry: f for f in findings.frames}
    predictions = predict_frames(engine, frames, entries, flip=options.flip)
    shown = with_progress(predictions, len(entries), f'pictures of {findings.name}')
    return {
        prediction.entry: view_frame(
            findings.name,
            found[prediction.entry],
            prediction,
            frames.truth_m(prediction.entry),
            engine.contract,
            options,
        )
        for prediction in shown
    }


def _judge_frame(
    prediction: FramePrediction,
    frames: JudgedFrames,
    contract: ModelContract,
    options: JudgingOptions,
    maps: ErrorMaps,
) -> FrameFinding:
    truth_m = frames.truth_m(prediction.entry)
    time_s = frames.time_s(prediction.entry)
    finding = judge_frame(prediction, truth_m, contract, options, time_s)
    if finding.judgement is not None and truth_m is not None and prediction.entry in maps.entries:
        judged_m = judged_truth(truth_m, options.cap_m, options.crop)
        write_error_map(prediction, judged_m, finding, contract.metric, maps)
    return finding
