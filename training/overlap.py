"""``overlap``: what two splits share, so that no test frame is trained on unawares."""

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table

from training.data.drive import list_drives
from training.data.drive import read_drive
from training.data.overlap import MARGIN_FRAMES
from training.data.overlap import Kinship
from training.data.overlap import Overlap
from training.data.overlap import SideCounts
from training.data.overlap import open_split
from training.data.overlap import overlap
from training.data.splits import EIGEN

WIDTH_WITHOUT_TERMINAL = 150
# --fail-on -> the farthest kinship that fails
FAIL_ON: dict[str, Kinship | None] = {
    'same': Kinship.SAME,
    'instant': Kinship.INSTANT,
    'near': Kinship.NEAR,
    'drive': Kinship.DRIVE,
    'never': None,
}


def main(arguments: list[str]) -> int:
    """Run the verb: 1 where the splits share what they must not, else 0."""
    given = _parser().parse_args(arguments)
    drives = {}
    if given.data is not None:
        drives = {folder.name: read_drive(folder) for folder in list_drives(given.data)}
    first, second = (open_split(name, drives) for name in given.splits)
    found = overlap(first, second, given.margin, given.examples)
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH_WITHOUT_TERMINAL)
    print_overlap(found, console)
    limit = given.fail_on or ('drive' if EIGEN in given.splits else 'instant')
    failed = found.reaches(FAIL_ON[limit])
    console.print(f'exit status {int(failed)} (--fail-on {limit})', markup=False, highlight=False)
    return int(failed)


def print_overlap(found: Overlap, console: Console) -> None:
    """Print how many frames of each split are how near to the other, per drive, and examples."""
    first, second = found.first, found.second
    for split, counts in ((first, found.of_first), (second, found.of_second)):
        text = f'{split.name}: {len(split.rows)} rows, {counts.frames} frames of '
        text += f'{len(split.recordings)} drives'
        console.print(text, markup=False, highlight=False)
    for caution in (*first.cautions, *second.cautions):
        console.print(f'caution: {caution}', markup=False, highlight=False)
    total = Table(title='each frame counts once, as the nearest it is', title_justify='left')
    total.add_column('split', overflow='fold')
    for heading in (*_headings(found.margin), 'other drives'):
        total.add_column(heading, justify='right')
    for split, counts in ((first, found.of_first), (second, found.of_second)):
        total.add_row(split.short_name, *_cells(counts), str(counts.apart))
    console.print(total)
    if found.drives:
        console.print(_drives_table(found))
    for row, kinship in found.examples:
        text = f'{first.short_name}, for example: {row}: {_headings(found.margin)[1 + kinship]}'
        console.print(text, markup=False, highlight=False)


def _headings(margin: int) -> tuple[str, ...]:
    near = f'within {margin} frames'
    return ('frames', 'same image', 'same instant, other camera', near, 'same drive')


def _cells(counts: SideCounts) -> tuple[str, ...]:
    return tuple(str(value) for value in counts[:-1])


def _drives_table(found: Overlap) -> Table:
    table = Table(title='drives that both hold: first / second split', title_justify='left')
    table.add_column('drive')
    for heading in _headings(found.margin):
        table.add_column(heading, justify='right')
    for drive in found.drives:
        cells = zip(_cells(drive.first), _cells(drive.second))
        table.add_row(drive.recording, *(f'{first} / {second}' for first, second in cells))
    return table


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='python -m training overlap',
        description='Tell how many frames two splits share: the same image, the same instant '
        'seen by another camera, close by in time, the same drive. Frames of KITTI odometry are '
        'found in the raw drives that they were cut from. Exit status 1 where something is '
        'shared that must not be, so that it can guard a script.',
    )
    parser.add_argument(
        'splits',
        nargs=2,
        metavar='SPLIT',
        help=f'split file of any format that train reads, the word "{EIGEN}" (the test list of '
        'Eigen et al.), or a dataset folder, that stands for all its frames',
    )
    parser.add_argument(
        '--data',
        type=Path,
        metavar='DATASET',
        help='dataset folder that the lines "DRIVE 000123" are of: tells what they show',
    )
    parser.add_argument(
        '--margin',
        type=_frames,
        default=MARGIN_FRAMES,
        metavar='FRAMES',
        help=f'how near in time counts as near (default: {MARGIN_FRAMES}, a second of KITTI)',
    )
    parser.add_argument(
        '--fail-on',
        choices=tuple(FAIL_ON),
        help='the farthest that makes exit status 1 (default: instant; drive where one split is '
        f'"{EIGEN}", because no table compares that was trained on a test drive)',
    )
    parser.add_argument(
        '--examples', type=_frames, default=5, metavar='N', help='rows to show (default: 5)'
    )
    return parser


def _frames(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f'{text} is negative')
    return value
