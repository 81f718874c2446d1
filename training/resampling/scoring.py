"""Scores of all frames of a dataset, batch after batch, with a journal to go on from."""

from collections.abc import Callable
from collections.abc import Sequence
from pathlib import Path

from sg_depth_ros.engines.engine import Engine
from sg_depth_ros.evaluation.frame_key import FrameKey
from sg_depth_ros.evaluation.holes import FrameScore
from sg_depth_ros.evaluation.holes import find_holes
from sg_depth_ros.evaluation.holes import score_frame
from sg_depth_ros.evaluation.progress import with_progress
from sg_depth_ros.infinite_depth import HoleCriterion
from training.evaluation.frames import JudgedFrames
from training.evaluation.predictions import BATCH_SIZE
from training.evaluation.predictions import predict_frames
from training.resampling.score_journal import open_journal


def score_frames(
    engine: Engine,
    frames: JudgedFrames,
    targets: Sequence[FrameKey],
    criterion: HoleCriterion,
    journal_path: Path,
    work: str,
    tell: Callable[[str], None],
) -> tuple[FrameScore, ...]:
    """
    Score frames in their order; what an interrupted run has scored is taken from its journal.

    Batches begin at multiples of their size, interrupted or not, because the last bits of depth
    may depend on what else is in the batch.

    :param work: digest of all that the scores depend on.
    :param tell: takes a sentence about an earlier run.
    """
    with open_journal(journal_path, work, targets, BATCH_SIZE, tell) as (journal, done):
        scores, batch = list(done), []
        remaining = targets[len(done) :]
        predictions = predict_frames(engine, frames, remaining, batch_size=BATCH_SIZE)
        for prediction in with_progress(predictions, len(remaining), 'searching infinite depth'):
            holes = find_holes(prediction, criterion, engine.contract.metric)
            batch.append(score_frame(prediction.entry, holes))
            if len(batch) == BATCH_SIZE or len(scores) + len(batch) == len(targets):
                journal.add(batch)
                scores += batch
                batch = []
    return tuple(scores)
