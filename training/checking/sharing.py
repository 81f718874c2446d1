"""Drives that published tables are measured on, and splits that share frames."""

from collections.abc import Mapping
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from training.checking.finding import Finding
from training.data.drive import Drive
from training.data.eigen import find_test_drives
from training.data.overlap import Kinship
from training.data.overlap import open_split
from training.data.overlap import overlap
from training.data.splits import EIGEN
from training.data.splits import find_split


class SplitsCheck(NamedTuple):
    """What is to be said of splits, and whether two of them share what they must not."""

    sentences: tuple[str, ...]
    share_an_instant: bool


def judge_origin(drive: Drive) -> list[Finding]:
    """Find a drive that published tables are measured on."""
    return [
        Finding(
            'warning',
            drive.name,
            'test drive',
            'published tables are measured on this drive of KITTI (Eigen et al.)',
            origin.drive + (f', odometry {origin.sequence}' if origin.sequence else ''),
            'evaluate on it, do not train on it: train refuses it unless allowed',
        )
        for _, origin in find_test_drives([drive])
    ]


def check_splits(
    splits: Sequence[Path], drives: Mapping[str, Drive], dataset: Path
) -> SplitsCheck:
    """
    Tell what of each split can be used, and what every two of them and Eigen's test list share.

    :param drives: of the dataset, by name.
    :raises UserError: where a split cannot be read or names nothing of the dataset.
    """
    sentences: list[str] = []
    for split in splits:
        match = find_split(split, drives.values(), dataset)
        sentences.append(f'{split}: {len(match.entries)} frames of {dataset}')
        sentences += match.cautions(split)
    opened = [open_split(str(split), drives) for split in splits]
    share_an_instant = False
    for first, second in combinations(opened, 2):
        found = overlap(first, second)
        sentences.append(found.sentence())
        share_an_instant |= found.reaches(Kinship.INSTANT)
    for split_frames in opened:
        found = overlap(split_frames, open_split(EIGEN, drives))
        if found.reaches(Kinship.DRIVE):
            sentences.append(f'test drives: {found.sentence()}')
    return SplitsCheck(tuple(sentences), share_an_instant)
