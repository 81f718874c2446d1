"""``prepare``: turn a recording into a drive of a dataset folder."""

import argparse
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn
from rich.progress import MofNCompleteColumn
from rich.progress import Progress
from rich.progress import TextColumn
from rich.progress import TimeRemainingColumn

from sg_depth_ros.errors import UserError
from training.data.prepare import PrepareOptions
from training.data.prepare import prepare_drive
from training.data.prepare_summary import print_summary
from training.data.sources import SOURCE_KINDS
from training.data.sources import SourceOptions
from training.data.sources import open_source
from training.data.static_frames import DEFAULT_MIN_MOTION_M
from training.data.static_frames import MIN_FLOW_PX


def main(arguments: list[str]) -> int | None:
    """Run ``prepare`` with its command line."""
    options = _parser().parse_args(arguments)
    source_path, dataset = options.source, options.out
    if dataset.resolve().is_relative_to(source_path.resolve()):
        raise UserError(f'--out {dataset} lies in the recording {source_path}; it stays untouched')
    if dataset.exists() and not dataset.is_dir():
        raise UserError(f'--out {dataset} is no folder')
    source = open_source(
        source_path,
        SourceOptions(
            camera=options.camera,
            image_topic=options.image_topic,
            camera_info_topic=options.camera_info_topic,
            odometry_topic=options.odometry_topic,
            lidar_topic=options.lidar_topic,
        ),
    )
    console = Console()
    with Progress(
        TextColumn('{task.description}'),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    ) as progress:
        prepared = prepare_drive(
            source,
            dataset,
            PrepareOptions(
                width=options.width,
                height=options.height,
                name=options.name,
                licence=options.licence,
                min_motion_m=options.min_motion,
                overwrite=options.overwrite,
            ),
            progress,
        )
    print_summary(prepared, console)
    return None


def _parser() -> argparse.ArgumentParser:
    kinds = '; '.join(f'{k.name} ({k.looks_like})' for k in SOURCE_KINDS)
    parser = argparse.ArgumentParser(
        prog='python -m training prepare',
        description='Turn a recording into a drive of a dataset folder: images resized once, '
        'intrinsics carried along, motion, labels and LiDAR where the recording has them. '
        'Calls with the same --out add drives.',
        epilog=f'Recordings: {kinds}.',
    )
    parser.add_argument('source', type=Path, metavar='SOURCE', help='the recording')
    parser.add_argument(
        '--out', type=Path, required=True, metavar='DATASET', help='dataset folder to add to'
    )
    parser.add_argument(
        '--width',
        type=int,
        help='image width in pixels, a multiple of 32 (default: by --height, else 640 or, for '
        'smaller images, the largest multiple that fits)',
    )
    parser.add_argument(
        '--height',
        type=int,
        help='image height in pixels, a multiple of 32 (default: by the aspect of the recording)',
    )
    parser.add_argument('--name', help='name of the drive folder (default: from the recording)')
    parser.add_argument('--overwrite', action='store_true', help='make a drive of that name again')
    parser.add_argument(
        '--licence', help='licence of the recording, kept in the dataset and in trained models'
    )
    parser.add_argument(
        '--min-motion',
        type=float,
        default=DEFAULT_MIN_MOTION_M,
        metavar='METRES',
        help='frames around which the camera moves less are marked static and not trained on '
        f'(default: %(default)s; where motion is unknown, {MIN_FLOW_PX} px of median optical '
        'flow at 640 px width)',
    )
    parser.add_argument(
        '--camera', help='KITTI: which camera, such as 02 or 03 (default: left colour)'
    )
    topics = parser.add_argument_group('topics of a bag (default: found by type)')
    topics.add_argument('--image-topic', help='Image or CompressedImage')
    topics.add_argument('--camera-info-topic', help='CameraInfo (default: beside the image)')
    topics.add_argument('--odometry-topic', help='Odometry or TwistStamped, for the speed')
    topics.add_argument('--lidar-topic', help='PointCloud2, for evaluation')
    return parser
