"""``resample``: drop the frames that would teach infinite depth, before the second stage."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sg_depth_ros import __version__
from sg_depth_ros.engines.engine import Engine
from sg_depth_ros.errors import UserError
from sg_depth_ros.evaluation.frame_key import FrameKey
from sg_depth_ros.evaluation.holes import find_holes
from sg_depth_ros.evaluation.holes import refuse_outliers
from sg_depth_ros.infinite_depth import DEFAULT_CRITERION
from sg_depth_ros.infinite_depth import HoleCriterion
from sg_depth_ros.output import write_text_atomically
from training.data.drive import write_split
from training.data.splits import find_split
from training.data.triplets import list_targets
from training.evaluation.frames import DatasetFrames
from training.evaluation.predictions import BATCH_SIZE
from training.evaluation.predictions import predict_frames
from training.resampling.arguments import DEFAULT_CAP
from training.resampling.arguments import parse_arguments
from training.resampling.decisions import decide
from training.resampling.outcome import Resampling
from training.resampling.outcome import cautions
from training.resampling.outcome import resample_document
from training.resampling.report import write_page
from training.resampling.report import write_sheet
from training.resampling.score_journal import work_digest
from training.resampling.scoring import score_frames
from training.resampling.sheets import MarkedFrame
from training.resampling.shown_frames import ShownFrames
from training.resampling.shown_frames import choose_shown
from training.torch_engine import open_model

JSON_NAME = 'resample.json'
PAGE_NAME = 'resample.html'
SHEET_NAME = 'resample.png'
JOURNAL_SUFFIX = '.journal.jsonl'


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

    ``resample.json``, ``resample.html`` and ``resample.png`` are written beside the split, which
    comes last; the same input gives the same bytes. Scores are journalled beside it meanwhile, so
    that an interrupted run goes on.

    :param model: a depth checkpoint or ``model.onnx``.
    :param dataset: the dataset folder.
    :param split: the file to write.
    :param cap: the largest share of frames to drop.
    :param candidates: the split that stage one was trained on; None: every target frame.
    :raises UserError: where the model or the dataset does not fit; nothing is written then.
    """
    frames = DatasetFrames(dataset)
    targets = _targets(frames, dataset, candidates)
    _refuse_folder(split)
    with _opened(model) as engine:
        program = (__version__, engine.description)
        work = work_digest(model, program, dataset, targets, criterion, BATCH_SIZE)
        journal = _prepare_journal(split)
        scores = score_frames(engine, frames, targets, criterion, journal, work, _tell)
        contract = engine.contract
        threshold_px = criterion.threshold_at(contract.width, contract.height)
        decisions = decide(refuse_outliers(scores), threshold_px, cap)
        outcome = Resampling(decisions, threshold_px, criterion, cap, contract.metric, split)
        shown = choose_shown(outcome)
        pictures = _marked_frames(engine, frames, outcome, shown)
    title = f'{model.name} on {dataset.resolve().name}'
    write_page(outcome, shown, pictures, title, split.with_name(PAGE_NAME))
    write_sheet(shown, pictures, split.with_name(SHEET_NAME))
    document = resample_document(outcome, contract, model, dataset)
    write_text_atomically(json.dumps(document, indent=1) + '\n', split.with_name(JSON_NAME))
    write_split(outcome.kept, split)
    journal.unlink()
    return outcome


def main(arguments: list[str]) -> int:
    """Run the verb."""
    options = parse_arguments(arguments)
    try:
        outcome = resample(
            options.model,
            options.dataset,
            options.split,
            options.criterion,
            options.cap,
            options.candidates,
        )
    except KeyboardInterrupt:
        _tell('the same command goes on from here')
        raise
    for line in _summary(outcome):
        print(line)
    return 0


def _targets(
    frames: DatasetFrames, dataset: Path, candidates: Path | None
) -> tuple[FrameKey, ...]:
    targets = [FrameKey(n, t) for n, d in frames.drives.items() for t in list_targets(d)]
    if candidates is not None:
        match = find_split(candidates, frames.drives.values(), dataset)
        for caution in match.cautions(candidates):
            _tell(caution)
        targets = [t for t in targets if t in match.entries]
        if not targets:
            raise UserError(f'{candidates}: none of its frames is one that training could use')
    if not targets:
        raise UserError(f'{dataset}: no frame that training could use; did the camera move?')
    return tuple(targets)


def _refuse_folder(split: Path) -> None:
    if split.is_dir():
        raise UserError(f'{split}: is a folder; name the split file to write, such as split.txt')


@contextmanager
def _opened(model: Path) -> Iterator[Engine]:
    engine = open_model(model)
    try:
        yield engine
    finally:
        engine.close()


def _prepare_journal(split: Path) -> Path:
    try:
        split.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f'{split.parent}: cannot be made ({error.strerror})') from error
    return split.with_name(split.name + JOURNAL_SUFFIX)


def _marked_frames(
    engine: Engine, frames: DatasetFrames, outcome: Resampling, shown: ShownFrames
) -> dict[FrameKey, MarkedFrame]:
    """Predict the frames to show once more, for the pixels that were not kept in memory."""
    decisions = {d.score.entry: d for d in outcome.decisions}
    marked = {}
    for prediction in predict_frames(engine, frames, shown.entries):
        decision = decisions[prediction.entry]
        holes = find_holes(prediction, outcome.criterion, outcome.metric).pixels
        marked[prediction.entry] = MarkedFrame(
            decision, prediction.image, prediction.depth_m, holes
        )
    return marked


def _summary(outcome: Resampling) -> list[str]:
    total, dropped, split = len(outcome.decisions), len(outcome.dropped), outcome.split
    lines = [
        f'{dropped} of {total} target frames dropped ({dropped / total:.1%}): more than '
        f'{outcome.threshold_px:g} pixels of infinite depth'
    ]
    if outcome.refused:
        lines.append(f'{outcome.refused} frames without a ground plane are kept')
    lines += [f'warning: {caution}' for caution in cautions(outcome)]
    beside = ', '.join(str(split.with_name(n)) for n in (JSON_NAME, PAGE_NAME))
    return [*lines, f'{split}, {beside}']


def _tell(sentence: str) -> None:
    print(f'resample: {sentence}', file=sys.stderr)
