"""``check``: judge a prepared dataset before hours are spent on it."""

import argparse
import shlex
from pathlib import Path

import cv2
from rich.console import Console
from rich.progress import BarColumn
from rich.progress import Progress
from rich.progress import TextColumn

from sg_depth_ros.errors import UserError
from training.arguments import positive_number
from training.checking.drive_check import check_drive
from training.checking.drive_check import steps_of
from training.checking.page import CheckedDrive
from training.checking.page import write_page
from training.checking.panel import Panel
from training.checking.sharing import check_splits
from training.checking.terminal import print_check
from training.data.drive import list_drives
from training.data.drive import read_drive

PAGE_NAME = 'check.html'
WIDTH_WITHOUT_TERMINAL = 150


def check(
    dataset: Path,
    out: Path,
    *,
    drives: tuple[str, ...] = (),
    checkpoint: Path | None = None,
    camera_height_m: float | None = None,
    command: str = '',
) -> tuple[CheckedDrive, ...]:
    """
    Measure and judge drives, and write ``check.html``.

    :param dataset: the dataset folder.
    :param out: the folder to write into.
    :param drives: names; none means all.
    :param checkpoint: of ``train``, for pictures of frames rebuilt from their neighbours.
    :param camera_height_m: of the camera above the road, where it was measured.
    :param command: shown on the page.
    :raises UserError: where dataset, drive or checkpoint is missing or damaged.
    """
    folders = _chosen(dataset, drives)
    reprojector = None
    if checkpoint is not None:
        from training.checking.reprojection import Reprojector  # torch, only where it is needed

        reprojector = Reprojector(checkpoint)
    described = [(folder, read_drive(folder)) for folder in folders]
    out.mkdir(parents=True, exist_ok=True)
    checked = []
    with Progress(
        TextColumn('{task.description}'),
        BarColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as progress:
        total = sum(steps_of(drive) for _, drive in described)
        task = progress.add_task('checking', total=total)
        for folder, drive in described:
            progress.update(task, description=f'checking {drive.name}')
            found = check_drive(
                folder, drive, lambda n: progress.advance(task, n), camera_height_m
            )
            panels: tuple[Panel, ...] = ()
            if reprojector is not None and not found.sample.damaged:
                panels = reprojector.panels(folder, drive)
            checked.append(CheckedDrive(found, panels))
    write_page(checked, dataset, command, out / PAGE_NAME)
    return tuple(checked)


def main(arguments: list[str]) -> int:
    """Run the verb: 1 where there are errors or splits share an instant, else 0."""
    given = _parser().parse_args(arguments)
    # Threads of OpenCV cost more than they gain on images of this size.
    cv2.setNumThreads(1)
    # Beside the dataset: no step writes into the input of another.
    folder = given.dataset.resolve()
    out = given.out or folder.with_name(f'{folder.name}_check')
    splits = None
    if given.split:  # first: a mistake there is told before minutes of measuring
        drives = {f.name: read_drive(f) for f in list_drives(given.dataset)}
        splits = check_splits(given.split, drives, given.dataset)
    checked = check(
        given.dataset,
        out,
        drives=tuple(given.drive),
        checkpoint=given.checkpoint,
        camera_height_m=given.camera_height,
        command=shlex.join(['python', '-m', 'training', 'check', *arguments]),
    )
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH_WITHOUT_TERMINAL)
    print_check([c.check for c in checked], console)
    print(out / PAGE_NAME)
    failed = any(f.level == 'error' for c in checked for f in c.check.findings)
    if splits is not None:
        print('\n'.join(splits.sentences))
        failed |= splits.share_an_instant
    return int(failed)


def _chosen(dataset: Path, names: tuple[str, ...]) -> list[Path]:
    folders = {folder.name: folder for folder in list_drives(dataset)}
    for name in names:
        if name not in folders:
            known = ', '.join(folders)
            raise UserError(f'{dataset}: no drive {name!r}; there are: {known}')
    return [folder for name, folder in folders.items() if not names or name in names]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='python -m training check',
        description='Judge a prepared dataset before training on it: intrinsics against the '
        'motion of points, speed against the road, stamps, brightness, repeated images, standing '
        'and turning on the spot. Prints what was found and writes a page with pictures. Exit '
        'status 1 where something is wrong, also where splits share an instant.',
    )
    parser.add_argument('dataset', type=Path, metavar='DATASET', help='folder made by prepare')
    parser.add_argument(
        '--drive',
        action='append',
        default=[],
        metavar='NAME',
        help='check this drive only; may be repeated (default: all)',
    )
    parser.add_argument(
        '--split',
        type=Path,
        action='append',
        default=[],
        metavar='FILE',
        help='tell how much of a split the dataset holds; may be repeated, as for training and '
        'validation: tell also what each two share (see the verb overlap)',
    )
    parser.add_argument(
        '--checkpoint',
        type=Path,
        metavar='CKPT',
        help='of train: also show frames rebuilt from their neighbours through its depth',
    )
    parser.add_argument(
        '--camera-height',
        type=positive_number,
        metavar='M',
        help='measured height of the camera above the road: tests the unit of the speed and fy',
    )
    parser.add_argument(
        '--out', type=Path, metavar='DIR', help=f'for {PAGE_NAME} (default: DATASET_check)'
    )
    return parser
