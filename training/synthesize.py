"""``synthesize``: make a drive through a procedural street, with ground truth, as a rosbag2."""

import argparse
from pathlib import Path
from typing import get_args

from rich.console import Console
from rich.progress import BarColumn
from rich.progress import MofNCompleteColumn
from rich.progress import Progress
from rich.progress import TextColumn
from rich.progress import TimeRemainingColumn

from sg_depth_ros.bags.writer import BagStorage
from training.data.synthetic.layout import SyntheticDrive
from training.data.synthetic.recording import Recipe
from training.data.synthetic.recording import record


def main(arguments: list[str]) -> int | None:
    """Run ``synthesize`` with its command line."""
    options = _parser().parse_args(arguments)
    recipe = Recipe(
        seconds=options.seconds,
        seed=options.seed,
        width=options.width,
        height=options.height,
        rate_hz=options.rate,
        storage=options.storage,
    )
    recipe.check()
    console = Console()
    with Progress(
        TextColumn('{task.description}'),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    ) as progress:
        task = progress.add_task('synthesize', total=recipe.frame_count)
        drive = record(recipe, options.out, lambda: progress.advance(task))
    # Plain: rich would break a path at the terminal's width.
    print(_summary(drive))
    return None


def _summary(drive: SyntheticDrive) -> str:
    speeds = [frame.speed_m_s for frame in drive.frames]
    along = sum(frame.same_speed_car for frame in drive.frames)
    camera = drive.intrinsics
    return (
        f'{len(drive.frames)} frames of {camera.width}x{camera.height} at {drive.rate_hz:g} Hz, '
        f'{camera.horizontal_fov_deg():.0f} degrees, {min(speeds):.1f} to {max(speeds):.1f} m/s; '
        f'a car at the same speed ahead in {along}\n{drive.folder}'
    )


def _parser() -> argparse.ArgumentParser:
    recipe = Recipe()
    parser = argparse.ArgumentParser(
        prog='python -m training synthesize',
        description='Make a drive through a procedural street: images, camera_info, odometry and '
        'LiDAR as a rosbag2, and depth, labels and poses as ground truth. '
        'The same options make the same images.',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    required = argparse.SUPPRESS  # has no default to show
    parser.add_argument(
        '--out', type=Path, required=True, metavar='DIR', default=required, help='a new folder'
    )
    parser.add_argument(
        '--seconds', type=float, default=recipe.seconds, help='length of the drive'
    )
    parser.add_argument(
        '--seed', type=int, default=recipe.seed, help='chooses road, street, cars and motion'
    )
    parser.add_argument('--width', type=int, default=recipe.width, help='of the images, pixels')
    parser.add_argument('--height', type=int, default=recipe.height, help='of the images, pixels')
    parser.add_argument('--rate', type=float, default=recipe.rate_hz, help='images per second')
    parser.add_argument(
        '--storage', choices=get_args(BagStorage), default=recipe.storage, help='of the bag'
    )
    return parser
