"""``resample``: drop the frames that would teach infinite depth, before the second stage."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any
from typing import NamedTuple

from sg_depth_ros.engines.engine import Engine
from sg_depth_ros.errors import UserError
from sg_depth_ros.ground import BELOW_GROUND
from sg_depth_ros.ground import BelowGround
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
from training.evaluation.predictions import predict_frame
from training.evaluation.predictions import predict_frames
from training.evaluation.progress import with_progress
from training.evaluation.resample_report import MarkedFrame
from training.evaluation.resample_report import write_resample_report
from training.torch_engine import open_model

DEFAULT_CAP = 0.25
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
    options = _parser().parse_args(arguments)
    if options.near >= options.far:
        raise UserError(f'--near {options.near:g} is not less than --far {options.far:g}')
    criterion = HoleCriterion(
        threshold_px=options.threshold,
        limits=BelowGround(options.margin, options.angle),
        fit_range_m=(options.near, options.far),
        road_only=options.road_only,
        movable_only=options.movable_only,
        seed=options.seed,
    )
    outcome = resample(
        options.checkpoint, options.data, options.out, criterion, options.cap, options.split
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
        scores.append(FrameScore(prediction.entry, int(found.below.sum()), found.plane))
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


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f'{text} is no share between 0 and 1')
    return value


def _not_negative(text: str) -> float:
    value = float(text)
    if not 0 <= value < float('inf'):
        raise argparse.ArgumentTypeError(f'{text} must not be negative')
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='python -m training resample',
        description='Drop the frames in which a trained network sees infinite depth: more than a '
        'few pixels clearly below the ground plane. Writes the split of the frames that stay, '
        f'{JSON_NAME} and {REPORT_NAME} beside it.',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    required = parser.add_argument_group('required')
    for name, metavar, help_text in (
        ('--checkpoint', 'MODEL', 'checkpoint of stage one, or model.onnx'),
        ('--data', 'DATASET', 'dataset folder'),
        ('--out', 'SPLIT', 'split file to write'),
    ):
        required.add_argument(
            name,
            type=Path,
            required=True,
            metavar=metavar,
            help=help_text,
            default=argparse.SUPPRESS,
        )
    parser.add_argument(
        '--split',
        type=Path,
        help='choose among the frames of this split only: the one that stage one was trained on',
    )
    criterion = parser.add_argument_group('when a frame is dropped')
    criterion.add_argument(
        '--threshold',
        type=_not_negative,
        default=10.0,
        help="pixels below ground that a frame may have at 640x192 (the authors' 10); other "
        'network sizes scale it by their area',
    )
    criterion.add_argument(
        '--margin',
        type=_not_negative,
        default=BELOW_GROUND.margin,
        help='how far below the plane is clearly below, in camera heights',
    )
    criterion.add_argument(
        '--angle',
        type=_not_negative,
        default=BELOW_GROUND.angle_deg,
        metavar='DEGREES',
        help='tolerated tilt of the plane: the margin grows by depth x tan(angle); 0 turns it off',
    )
    criterion.add_argument(
        '--cap', type=_share, default=DEFAULT_CAP, help='largest share of frames to drop'
    )
    criterion.add_argument(
        '--movable-only',
        action='store_true',
        help='count only pixels of classes that can move (given labels, else predicted)',
    )
    plane = parser.add_argument_group('the ground plane')
    source = plane.add_mutually_exclusive_group()
    source.add_argument('--road-only', action='store_true', help='fit it to road pixels only')
    source.add_argument(
        '--all-pixels', dest='road_only', action='store_false', help='fit it to all pixels'
    )
    default_near, default_far = DEFAULT_CRITERION.fit_range_m
    limits = 'depth to fit to, metres (without metric scale: the same range in camera heights)'
    plane.add_argument('--near', type=_not_negative, default=default_near, help=f'least {limits}')
    plane.add_argument('--far', type=_not_negative, default=default_far, help=f'greatest {limits}')
    plane.add_argument('--seed', type=int, default=0, help='of the random hypotheses')
    return parser
