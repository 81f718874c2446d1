"""``to_bag``: KITTI or synthetic drives as the rosbag2 that a vehicle would have recorded."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from rich.console import Console
from rich.progress import Progress

from sg_depth_ros.bags.bag import is_bag
from sg_depth_ros.bags.writer import BagStorage
from sg_depth_ros.errors import UserError
from training.data.sources.kitti_odometry import is_kitti_odometry
from training.data.sources.kitti_raw import is_kitti_raw
from training.data.sources.synthetic import is_synthetic
from training.data.vehicle_bag.kitti import kitti_odometry_recording
from training.data.vehicle_bag.kitti import kitti_raw_recording
from training.data.vehicle_bag.recording import Recording
from training.data.vehicle_bag.synthetic import synthetic_recording
from training.data.vehicle_bag.writing import Written
from training.data.vehicle_bag.writing import write_recording


def main(arguments: list[str]) -> int | None:
    """Run ``to_bag`` with its command line."""
    options = _parser().parse_args(arguments)
    recordings = [_open(path, options.camera, options.depth) for path in options.drives]
    bags = _bag_paths(recordings, options.out)
    for bag in bags:
        if bag.exists():
            raise UserError(f'{bag}: exists already; name another --out or remove it')
    with Progress(console=Console(), transient=True) as progress:
        for recording, bag in zip(recordings, bags):
            task = progress.add_task(recording.name, total=recording.frame_count)
            written = write_recording(
                recording,
                bag,
                options.storage,
                options.compressed,
                lambda task=task: progress.advance(task),  # type: ignore[misc]
            )
            # Plain: rich would break a path at the terminal's width.
            print(_summary(recording, bag, written))
    return None


def _open(path: Path, camera: str | None, with_depth: bool) -> Recording:
    if not path.exists():
        raise UserError(f'{path}: no such drive')
    if is_synthetic(path):
        if camera is not None:
            raise UserError(
                f'--camera {camera}: {path} is a synthetic drive, which has one camera'
            )
        return synthetic_recording(path, with_depth)
    if with_depth:
        raise UserError(f'--depth: {path} is no synthetic drive; only those know every pixel')
    if is_kitti_raw(path):
        return kitti_raw_recording(path, camera)
    if is_kitti_odometry(path):
        return kitti_odometry_recording(path, camera)
    if is_bag(path):
        raise UserError(f'{path}: is a rosbag2 already')
    raise UserError(
        f'{path}: is no KITTI raw drive (image_02/data), no sequence of KITTI odometry (image_2 '
        'and calib.txt) and no synthetic drive (synthetic.json)'
    )


def _bag_paths(recordings: Sequence[Recording], out: Path) -> list[Path]:
    """Return OUT for one drive, and a bag within it for each of several."""
    if len(recordings) == 1:
        return [out]
    names = [recording.name for recording in recordings]
    twice = next((n for n in names if names.count(n) > 1), None)
    if twice is not None:
        raise UserError(f'two drives are called {twice}; write them to different --out')
    return [out / name for name in names]


def _summary(recording: Recording, bag: Path, written: Written) -> str:
    held = [f'{written.images} images', f'{written.clouds} scans', f'{written.poses} poses']
    if written.depth_images:
        held.append(f'{written.depth_images} depth images')
    notes = ''.join(f'\n  {note}' for note in recording.notes)
    return f'{bag}: {", ".join(held)} of {recording.description}{notes}'


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='python -m training to_bag',
        description='Write drives as rosbag2, with the topics of a vehicle: /camera/image_raw, '
        '/camera/camera_info, the LiDAR where there is one, /odometry, /tf (odom to base_link), '
        'and /tf_static (base_link to camera_optical and to the LiDAR). prepare, evaluate_bag, '
        'replay_bag, RViz and Foxglove read them.',
    )
    parser.add_argument(
        'drives',
        type=Path,
        nargs='+',
        metavar='DRIVE',
        help='a KITTI raw drive, a sequence of KITTI odometry or a synthetic drive',
    )
    parser.add_argument(
        '--out',
        type=Path,
        required=True,
        metavar='BAG',
        help='the new bag folder; of several drives, the folder of their bags',
    )
    parser.add_argument('--camera', help='KITTI: such as 02 or 03 (default: left colour)')
    parser.add_argument(
        '--storage',
        choices=get_args(BagStorage),
        default='sqlite3',
        help='storage of the bag (default: %(default)s)',
    )
    parser.add_argument(
        '--compressed',
        action='store_true',
        help="images as CompressedImage: KITTI's files as they are, synthetic ones as PNG",
    )
    parser.add_argument(
        '--depth',
        action='store_true',
        help='synthetic: the true depth of every pixel too, as /camera/depth/image_raw (32FC1)',
    )
    return parser
