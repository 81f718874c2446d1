"""Judging predictions frame by frame, of a dataset and of a bag alike."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.contract import ModelContract
from sg_depth_ros.evaluation.findings import Findings
from sg_depth_ros.evaluation.findings import FrameFinding
from sg_depth_ros.evaluation.frame_pictures import FrameView
from sg_depth_ros.evaluation.frame_pictures import judged_truth
from sg_depth_ros.evaluation.holes import FrameScore
from sg_depth_ros.evaluation.holes import find_holes
from sg_depth_ros.evaluation.holes import refuse_outliers
from sg_depth_ros.evaluation.holes import score_frame
from sg_depth_ros.evaluation.models import NamedModel
from sg_depth_ros.evaluation.prediction import FramePrediction
from sg_depth_ros.evaluation.published import judge_published
from sg_depth_ros.evaluation.without_truth import cell_depths
from sg_depth_ros.evaluation.without_truth import ground_fit
from sg_depth_ros.ground import GroundPlaneRefusal
from sg_depth_ros.infinite_depth import DEFAULT_CRITERION
from sg_depth_ros.metrics import CAP_M
from sg_depth_ros.metrics import Crop
from sg_depth_ros.metrics_summary import summarize
from sg_depth_ros.standing import StandingFrame
from sg_depth_ros.standing import judge_standing


class JudgingOptions(NamedTuple):
    """How to judge; the defaults are the protocol of KITTI's tables."""

    flip: bool = False
    crop: Crop = 'garg'
    cap_m: float = CAP_M


def judge_frame(
    prediction: FramePrediction,
    truth_m: NDArray[np.float32] | None,
    contract: ModelContract,
    options: JudgingOptions,
    time_s: float | None = None,
) -> FrameFinding:
    """
    Judge one frame, against measured depth where there is any.

    :param truth_m: (h, w) metres of what the image shows, of any size, 0 where not measured.
    :param contract: of the model: what is published as infinitely far is at least that far.
    :param time_s: since the beginning of the drive.
    """
    near = nearest_possible(prediction, contract)
    published = None
    if truth_m is not None:
        published = judge_published(
            prediction.depth_m,
            truth_m,
            prediction.labels,
            cap_m=options.cap_m,
            crop=options.crop,
        )
    score = score_frame(prediction.entry, find_holes(near, DEFAULT_CRITERION, contract.metric))
    return FrameFinding(
        score=score,
        judgement=None if published is None else published.judgement,
        standing=judge_standing(near.depth_m, near.labels, near.camera, metric=contract.metric),
        median_depth=_median(near.depth_m),
        labels_given=prediction.labels_given,
        invalid_pixels=0 if published is None else published.invalid_pixels,
        time_s=time_s,
        ground=ground_fit(near.depth_m, near.labels, near.camera, score.plane),
        cell_depths=cell_depths(prediction.depth_m, contract.max_depth_m),
    )


def nearest_possible(prediction: FramePrediction, contract: ModelContract) -> FramePrediction:
    """
    Return a published prediction with the model's largest depth in the place of infinity.

    +Inf is published for all beyond the model's range, also for far road: as near as it may be,
    road is no hole, and the holes of near vehicles still are.
    """
    depth_m = prediction.depth_m
    far = np.isposinf(depth_m)
    if not far.any():
        return prediction
    return prediction._replace(depth_m=np.where(far, np.float32(contract.max_depth_m), depth_m))


def view_frame(
    name: str,
    finding: FrameFinding,
    prediction: FramePrediction,
    truth_m: NDArray[np.float32] | None,
    contract: ModelContract,
    options: JudgingOptions,
) -> FrameView:
    """
    Put together all that pictures of a judged frame need.

    :param name: of the model.
    :param truth_m: as ``judge_frame`` took it.
    """
    near = nearest_possible(prediction, contract)
    holes = find_holes(near, DEFAULT_CRITERION, contract.metric).pixels
    if finding.hole_pixels == 0:  # refused since
        holes = np.zeros_like(holes)
    judged_m = None
    if finding.judgement is not None:
        assert truth_m is not None
        judged_m = judged_truth(truth_m, options.cap_m, options.crop)
    return FrameView(name, contract.metric, finding, prediction, holes, judged_m)


def assemble_findings(
    model: NamedModel,
    contract: ModelContract,
    dataset: str,
    options: JudgingOptions,
    found: Sequence[FrameFinding],
) -> Findings:
    """Summarize what was found in the frames, which come in the order of their drives."""
    scores = refuse_outliers([f.score for f in found])
    frames = tuple(with_score(f, score) for f, score in zip(found, scores))
    return Findings(
        name=model.name,
        file=model.path.name,
        dataset=dataset,
        contract=contract,
        summary=summarize(
            [f.judgement for f in frames],
            contract.class_names,
            cap_m=options.cap_m,
            crop=options.crop,
        ),
        frames=frames,
        flip=options.flip,
    )


def with_score(finding: FrameFinding, score: FrameScore) -> FrameFinding:
    """Take over a score; where it has no ground plane any more, no vehicle stands on one."""
    if isinstance(score.plane, GroundPlaneRefusal):
        return finding._replace(score=score, standing=StandingFrame((), score.plane), ground=None)
    return finding._replace(score=score)


def _median(depth_m: NDArray[np.float32]) -> float | None:
    valid = ~np.isnan(depth_m)
    return float(np.median(depth_m[valid])) if valid.any() else None
