"""``resample``: drop the frames that would teach infinite depth, before the second stage."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any
from typing import NamedTuple

from sg_depth_ros.engines.engine import Engine
from sg_depth_ros.errors import UserError
from sg_depth_ros.ground import GroundPlaneRefusal
from training.data.drive import SplitEntry
from training.data.drive import write_split
from training.data.splits import find_split
from training.data.triplets import list_targets
from training.evaluation.frames import DatasetFrames
from training.evaluation.holes import DEFAULT_CRITERION
from training.evaluation.holes import Decision
from training.evaluation.holes import FrameScore
from training.evaluation.holes import HoleCriterion
from training.evaluation.holes import decide
from training.evaluation.holes import find_holes
from training.evaluation.holes import refuse_outliers
from training.evaluation.holes import score_frame
from training.evaluation.predictions import predict_frame
from training.evaluation.predictions import predict_frames
from training.evaluation.progress import with_progress
from training.evaluation.resample_report import MarkedFrame
from training.evaluation.resample_report import write_resample_report
from training.resample_arguments import DEFAULT_CAP
from training.resample_arguments import parse_arguments
from training.torch_engine import open_model

CONTACT_SHEET_FRAMES = 12
JSON_NAME = 'resample.json'
REPORT_NAME = 'resample.png'


class Resampling(NamedTuple):
    """One decision per target frame, and where the outcome was written."""

    decisions: tuple[Decision, ...]
    threshold_px: float  # at the network's size
    split: Path

    @property
    def kept(self) -> tuple[SplitEntry, ...]:
        """The frames of the second stage."""
        return tuple(d.score.entry for d in self.decisions if not d.dropped)

    @property
    def dropped(self) -> tuple[SplitEntry, ...]:
        """The frames that would teach infinite depth."""
        return tuple(d.score.entry for d in self.decisions if d.dropped)

    @property
    def above(self) -> int:
        """Count the frames above the threshold, which the cap may keep."""
        return sum(d.score.pixels_below > self.threshold_px for d in self.decisions)

    @property
    def refused(self) -> int:
        """Count the frames without a ground plane, which are kept."""
        return sum(isinstance(d.score.plane, GroundPlaneRefusal) for d in self.decisions)


def resample(
    model: Path,
    dataset: Path,
    split: Path,
    criterion: HoleCriterion = DEFAULT_CRITERION,
    cap: float = DEFAULT_CAP,
    candidates: Path | None = None,
) -> Resampling:
    """
    Score every target frame with a trained model and write the split of those that stay.

    ``resample.json`` and ``resample.png`` are written beside the split; the same input gives the
    same bytes.

    :param model: a depth checkpoint or ``model.onnx``.
    :param dataset: the dataset folder.
    :param split: the file to write.
    :param cap: the largest share of frames to drop.
    :param candidates: the split that stage one was trained on; None: every target frame.
    :raises UserError: where the model or the dataset does not fit; nothing is written then.
    """
    frames = DatasetFrames(dataset)
    targets = [SplitEntry(n, t) for n, d in frames.drives.items() for t in list_targets(d)]
    if candidates is not None:
        chosen = find_split(candidates, frames.drives.values(), dataset).entries
        targets = [t for t in targets if t in chosen]
    if not targets:
        raise UserError(f'{dataset}: no frame that training could use; did the camera move?')
    engine = open_model(model)
    try:
        contract = engine.contract
        scores = refuse_outliers(_scores(engine, frames, targets, criterion))
        threshold_px = criterion.threshold_at(contract.width, contract.height)
        outcome = Resampling(decide(scores, threshold_px, cap), threshold_px, split)
        sheet = tuple(_marked(engine, frames, d, criterion) for d in _worst(outcome))
    finally:
        engine.close()
    document = _document(outcome, engine, model, dataset, criterion, cap)
    split.parent.mkdir(parents=True, exist_ok=True)
    report = split.with_name(REPORT_NAME)
    write_resample_report(outcome.decisions, threshold_px, contract.metric, sheet, report)
    _replace_text(split.with_name(JSON_NAME), json.dumps(document, indent=1) + '\n')
    temporary = split.with_name(split.name + '.tmp')
    write_split(outcome.kept, temporary)
    temporary.replace(split)
    return outcome


def main(arguments: list[str]) -> int:
    """Run the verb."""
    options = parse_arguments(arguments)
    outcome = resample(
        options.model,
        options.dataset,
        options.split,
        options.criterion,
        options.cap,
        options.candidates,
    )
    for line in _summary(outcome, options.cap):
        print(line)
    return 0


def _scores(
    engine: Engine,
    frames: DatasetFrames,
    targets: list[SplitEntry],
    criterion: HoleCriterion,
) -> list[FrameScore]:
    scores = []
    predictions = predict_frames(engine, frames, targets)
    for prediction in with_progress(predictions, len(targets), 'searching infinite depth'):
        found = find_holes(prediction, criterion, engine.contract.metric)
        scores.append(score_frame(prediction.entry, found))
    return scores


def _worst(outcome: Resampling) -> list[Decision]:
    """Return the dropped frames with the most pixels; where none is dropped, the kept ones."""
    shown = [d for d in outcome.decisions if d.dropped] or list(outcome.decisions)
    shown.sort(key=lambda d: (-d.score.pixels_below, d.score.entry))
    return shown[:CONTACT_SHEET_FRAMES]


def _marked(
    engine: Engine,
    frames: DatasetFrames,
    decision: Decision,
    criterion: HoleCriterion,
) -> MarkedFrame:
    entry = decision.score.entry
    prediction = predict_frame(engine, frames, entry)
    below = find_holes(prediction, criterion, engine.contract.metric).below
    return MarkedFrame(decision, prediction.image, prediction.depth_m, below)


def _document(
    outcome: Resampling,
    engine: Engine,
    model: Path,
    dataset: Path,
    criterion: HoleCriterion,
    cap: float,
) -> dict[str, Any]:
    contract = engine.contract
    return {
        'model': model.name,
        'dataset': dataset.name,
        'criterion': {**asdict(criterion), 'cap': cap},
        'network_size': [contract.width, contract.height],
        'threshold_px_at_network_size': round(outcome.threshold_px, 3),
        'unit': 'm' if contract.metric else 'unknown scale',
        'targets': len(outcome.decisions),
        'above_threshold': outcome.above,
        'dropped': len(outcome.dropped),
        'without_ground_plane': outcome.refused,
        'frames': [_decision_json(d) for d in outcome.decisions],
    }


def _decision_json(decision: Decision) -> dict[str, Any]:
    score, plane = decision.score, decision.score.plane
    document: dict[str, Any] = {
        'drive': score.entry.drive,
        'frame': score.entry.frame,
        'decision': 'dropped' if decision.dropped else 'kept',
        'reason': decision.reason,
        'pixels_below': score.pixels_below,
        'counted': score.counted,
        'plane_from': score.plane_from,
        'plane': None,
    }
    if not isinstance(plane, GroundPlaneRefusal):
        # Rounded, so that the last bits of another processor do not show.
        document['plane'] = {
            'normal': [round(float(n), 5) for n in plane.normal],
            'camera_height': round(plane.offset_m, 5),
            'inlier_share': round(plane.inlier_share, 4),
            'residual': round(plane.residual_m, 5),
        }
    return document


def _summary(outcome: Resampling, cap: float) -> list[str]:
    total, dropped = len(outcome.decisions), len(outcome.dropped)
    lines = [
        f'{dropped} of {total} target frames dropped ({dropped / total:.1%}): more than '
        f'{outcome.threshold_px:g} pixels clearly below the ground',
    ]
    if outcome.above > dropped:
        lines.append(
            f'warning: {outcome.above} frames ({outcome.above / total:.1%}) are above the '
            f'threshold, only the worst {cap:.0%} (--cap) were dropped; look at {REPORT_NAME} '
            'whether the plane or the model fails before trusting the split'
        )
    if outcome.refused:
        lines.append(f'{outcome.refused} frames without a ground plane are kept')
    if 2 * outcome.refused > total:
        lines.append(
            'warning: most frames have no ground plane: the model does not see a flat road yet; '
            'train stage one longer, or try --road-only'
        )
    beside = outcome.split.parent
    lines.append(f'{outcome.split}, {beside / JSON_NAME}, {beside / REPORT_NAME}')
    return lines


def _replace_text(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + '.tmp')
    temporary.write_text(text)
    temporary.replace(path)
