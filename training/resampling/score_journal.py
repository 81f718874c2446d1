"""
The journal of an unfinished resampling: the scores of the batches that are done.

    {"work": DIGEST}                 of model, dataset, frames, criterion and program
    [[SCORE], [SCORE], ...]          one line per batch; a line is whole or does not count
"""

import hashlib
import json
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import asdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from typing import BinaryIO

import numpy as np

from sg_depth_ros.errors import UserError
from sg_depth_ros.evaluation.frame_key import FrameKey
from sg_depth_ros.evaluation.holes import FrameScore
from sg_depth_ros.ground import GroundPlane
from sg_depth_ros.ground import GroundPlaneRefusal
from sg_depth_ros.infinite_depth import HoleCriterion
from training.data.drive import DRIVE_FILE
from training.data.drive import frame_path
from training.data.drive import labels_path

_FORMAT_VERSION = 1


@dataclass(frozen=True)
class JournalContent:
    """What a journal says that was left by an earlier run."""

    work: str  # digest of what the scores are made from
    scores: tuple[FrameScore, ...]
    length_bytes: int  # what follows is of a batch that was not finished


class DamagedJournalError(Exception):
    """A journal that no run of ours can have left."""


def work_digest(
    model: Path,
    program: Sequence[str],
    dataset: Path,
    targets: Sequence[FrameKey],
    criterion: HoleCriterion,
    batch_size: int,
) -> str:
    """
    Return a digest of all that scores depend on.

    The model counts by its bytes, the files of the dataset by name, size and time of change: they
    can be too many to read.

    :param program: versions and devices that numbers may depend on.
    :raises UserError: where the model cannot be read.
    """
    digest = hashlib.sha256()
    settings = [_FORMAT_VERSION, *program, asdict(criterion), batch_size]
    digest.update(json.dumps(settings, sort_keys=True).encode())
    try:
        with model.open('rb') as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise UserError(f'{model}: cannot be read ({error.strerror})') from error
    for drive in dict.fromkeys(entry.drive for entry in targets):
        digest.update(f'\n{drive} {_state(dataset / drive / DRIVE_FILE)}'.encode())
    for drive, frame in targets:
        image, labels = frame_path(dataset / drive, frame), labels_path(dataset / drive, frame)
        digest.update(f'\n{drive} {frame} {_state(image)} {_state(labels)}'.encode())
    return digest.hexdigest()


def read_journal(path: Path) -> JournalContent | None:
    """
    Read the scores that an earlier run left; a last line without its end does not count.

    :return: None where there is no journal.
    :raises DamagedJournalError: where a whole line is no record of ours.
    """
    try:
        lines = path.read_bytes().split(b'\n')[:-1]
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f'{path}: cannot be read ({error.strerror})') from error
    scores: list[FrameScore] = []
    try:
        work = str(json.loads(lines[0])['work'])
        for line in lines[1:]:
            scores += [_score_from_json(document) for document in json.loads(line)]
    except (IndexError, ValueError, KeyError, TypeError) as error:
        raise DamagedJournalError(str(error)) from error
    return JournalContent(work, tuple(scores), sum(len(line) + 1 for line in lines))


class Journal:
    """An open journal; each batch reaches the system before the next is begun."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def add(self, scores: Sequence[FrameScore]) -> None:
        """Write down the scores of one batch."""
        self._stream.write(json.dumps([_score_to_json(s) for s in scores]).encode() + b'\n')
        self._stream.flush()


@contextmanager
def open_journal(
    path: Path,
    work: str,
    targets: Sequence[FrameKey],
    batch_size: int,
    tell: Callable[[str], None],
) -> Iterator[tuple[Journal, tuple[FrameScore, ...]]]:
    """
    Go on with the journal of the same work, or begin a new one.

    :param tell: takes a sentence about what was found.
    :return: the journal, and the scores it holds already.
    """
    content = _usable(path, work, targets, batch_size, tell)
    try:
        stream = path.open('wb' if content is None else 'r+b')
    except OSError as error:
        raise UserError(f'{path}: cannot write there ({error.strerror})') from error
    with stream:
        if content is None:
            stream.write(json.dumps({'work': work}).encode() + b'\n')
            stream.flush()
        else:
            stream.truncate(content.length_bytes)
            stream.seek(content.length_bytes)
        yield Journal(stream), () if content is None else content.scores


def _usable(
    path: Path,
    work: str,
    targets: Sequence[FrameKey],
    batch_size: int,
    tell: Callable[[str], None],
) -> JournalContent | None:
    damaged = f'{path.name} of an interrupted run is damaged: all frames are scored anew'
    try:
        content = read_journal(path)
    except DamagedJournalError:
        tell(damaged)
        return None
    if content is None:
        return None
    if content.work != work:
        tell(
            f'{path.name} is of another model, dataset or options, or of files changed since: '
            'all frames are scored anew'
        )
        return None
    count = len(content.scores)
    in_order = [s.entry for s in content.scores] == list(targets[:count])
    if not in_order or (count % batch_size and count < len(targets)):
        tell(damaged)
        return None
    if count:
        tell(f'going on after {count} of {len(targets)} frames')
    return content


def _state(path: Path) -> str:
    try:
        state = path.stat()
    except OSError:
        return 'missing'
    return f'{state.st_size} {state.st_mtime_ns}'


def _score_to_json(score: FrameScore) -> dict[str, Any]:
    plane: dict[str, Any] = {}
    if isinstance(score.plane, GroundPlaneRefusal):
        plane['refusal'] = score.plane.reason
    else:
        # json writes floats so that they come back to the bit.
        plane = {**vars(score.plane), 'normal': score.plane.normal.tolist()}
    return {**score._asdict(), 'plane': plane}


def _score_from_json(document: dict[str, Any]) -> FrameScore:
    plane = document['plane']
    return FrameScore(
        **{
            **document,
            'entry': FrameKey(*document['entry']),
            'plane': (
                GroundPlaneRefusal(plane['refusal'])
                if 'refusal' in plane
                else GroundPlane(**{**plane, 'normal': np.array(plane['normal'], np.float64)})
            ),
        }
    )
