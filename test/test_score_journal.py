"""What an interrupted resampling has scored is used again, and nothing else is."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_dataset import write_dataset
from tiny_dataset import write_road_model

from sg_depth_ros.errors import UserError
from sg_depth_ros.evaluation.frame_key import FrameKey
from sg_depth_ros.evaluation.holes import FrameScore
from sg_depth_ros.ground import GroundPlane
from sg_depth_ros.ground import GroundPlaneRefusal
from sg_depth_ros.infinite_depth import DEFAULT_CRITERION
from training.resampling.score_journal import open_journal
from training.resampling.score_journal import work_digest

TARGETS = tuple(FrameKey('a', i) for i in range(5))
WORK = 'digest'
BATCH = 2


def scores(first: int, count: int) -> list[FrameScore]:
    normal = np.array([0.1, -0.9, 1 / 3])
    plane = GroundPlane(normal, 1.65000000000001, 2 / 3, 0.1, confidence=1 / 7)
    found = [FrameScore(e, 7, plane, 'road', 'movable') for e in TARGETS[first : first + count]]
    found[0] = found[0]._replace(hole_pixels=0, plane=GroundPlaneRefusal('too few "points"'))
    return found


def plain(found) -> list:
    """Return scores as values that == compares, arrays and all."""
    return [
        (s._replace(plane=None), s.plane if isinstance(s.plane, tuple) else repr(vars(s.plane)))
        for s in found
    ]


def journal_of_two_batches(path: Path) -> None:
    with open_journal(path, WORK, TARGETS, BATCH, lambda _: None) as (journal, done):
        assert done == ()
        journal.add(scores(0, 2))
        journal.add(scores(2, 2))


def left_by(path: Path, work: str = WORK, targets=TARGETS) -> tuple[list, list[str]]:
    told: list[str] = []
    with open_journal(path, work, targets, BATCH, told.append) as (_, done):
        return plain(done), told


def test_scores_come_back_to_the_bit(tmp_path: Path):
    path = tmp_path / 'journal'
    journal_of_two_batches(path)
    done, told = left_by(path)
    assert done == plain(scores(0, 2) + scores(2, 2))
    assert told == ['going on after 4 of 5 frames']


def test_a_batch_whose_line_is_not_whole_is_scored_again(tmp_path: Path):
    path = tmp_path / 'journal'
    journal_of_two_batches(path)
    path.write_bytes(path.read_bytes()[:-30])
    told: list[str] = []
    with open_journal(path, WORK, TARGETS, BATCH, told.append) as (journal, done):
        assert plain(done) == plain(scores(0, 2))
        journal.add(scores(2, 2))
        journal.add(scores(4, 1))
    assert left_by(path)[0] == plain(scores(0, 2) + scores(2, 2) + scores(4, 1))


def _garbled(lines: list[bytes]) -> list[bytes]:
    return [lines[0], b'{"no": "scores"}', lines[2]]


def _swapped(lines: list[bytes]) -> list[bytes]:
    return [lines[0], lines[2], lines[1]]


def _half_a_batch(lines: list[bytes]) -> list[bytes]:
    return [lines[0], json.dumps(json.loads(lines[1])[:1]).encode()]


def _headless(lines: list[bytes]) -> list[bytes]:
    return lines[1:]


@pytest.mark.parametrize('damage', [_garbled, _swapped, _half_a_batch, _headless])
def test_a_damaged_journal_is_begun_anew_with_a_sentence(tmp_path: Path, damage):
    path = tmp_path / 'journal'
    journal_of_two_batches(path)
    path.write_bytes(b'\n'.join(damage(path.read_bytes().splitlines())) + b'\n')
    done, told = left_by(path)
    assert done == []
    assert told == ['journal of an interrupted run is damaged: all frames are scored anew']
    assert left_by(path) == ([], [])


def test_a_journal_of_other_work_is_begun_anew_with_a_sentence(tmp_path: Path):
    path = tmp_path / 'journal'
    journal_of_two_batches(path)
    done, told = left_by(path, work='another')
    assert done == []
    assert 'another model, dataset or options' in told[0]


def test_the_work_is_another_when_anything_that_scores_depend_on_changes(tmp_path: Path):
    model, data = tmp_path / 'model.onnx', tmp_path / 'data'
    write_road_model(model)
    write_dataset(data, drive='a', frames=5, with_labels=True)

    def digest(program='1', targets=TARGETS, criterion=DEFAULT_CRITERION, batch=BATCH) -> str:
        return work_digest(model, (program,), data, targets, criterion, batch)

    first = digest()
    assert digest() == first
    others = [
        digest(program='2'),
        digest(targets=TARGETS[1:]),
        digest(criterion=replace(DEFAULT_CRITERION, seed=1)),
        digest(batch=4),
    ]
    for file in ('a/drive.json', 'a/frames/000002.jpg', 'a/labels/000002.png'):
        os.utime(data / file, ns=(0, 0))
        others.append(digest())
    (data / 'a' / 'labels' / '000003.png').unlink()
    others.append(digest())
    model.write_bytes(model.read_bytes() + b'\0')
    others.append(digest())
    assert len({first, *others}) == 1 + len(others)


def test_a_journal_that_cannot_be_written_is_one_line(tmp_path: Path):
    with pytest.raises(UserError, match='cannot write there'):
        left_by(tmp_path / 'no folder' / 'journal')
