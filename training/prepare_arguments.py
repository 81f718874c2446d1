"""The command line of ``prepare``, by subject."""

import argparse
from pathlib import Path

from training.arguments import positive_number
from training.data.preparation.static_frames import DEFAULT_MIN_MOTION_M
from training.data.preparation.static_frames import MIN_FLOW_PX
from training.data.sources import SOURCE_KINDS


def prepare_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    kinds = '; '.join(f'{k.name} ({k.looks_like})' for k in SOURCE_KINDS)
    parser = argparse.ArgumentParser(
        prog='python -m training prepare',
        description='Turn recordings into drives of a dataset folder: images resized once, '
        'intrinsics carried along, motion, labels and LiDAR where the recording has them. '
        'Calls with the same --out add drives. Interrupted in any way, the same command goes on '
        'where it was; the result is the same to the byte.',
        epilog=f'Recordings: {kinds}.',
    )
    parser.add_argument(
        'sources',
        type=Path,
        nargs='+',
        metavar='SOURCE',
        help='a recording; of several, each becomes a drive',
    )
    parser.add_argument(
        '--out', type=Path, required=True, metavar='DATASET', help='dataset folder to add to'
    )
    parser.add_argument(
        '--jobs',
        type=_positive_count,
        metavar='N',
        help='how many drives at once (default: all, but not more than there are CPU cores)',
    )
    _add_drive_options(parser)
    _add_camera_options(parser)
    _add_motion_options(parser)
    _add_topics(parser)
    return parser


def _add_drive_options(parser: argparse.ArgumentParser) -> None:
    drive = parser.add_argument_group('the drive')
    drive.add_argument(
        '--width',
        type=int,
        help='image width in pixels, a multiple of 32 (default: by --height, else 640 or, for '
        'smaller images, the largest multiple that fits)',
    )
    drive.add_argument(
        '--height',
        type=int,
        help='image height in pixels, a multiple of 32 (default: by the aspect of the recording)',
    )
    drive.add_argument('--name', help='name of the drive folder (default: from the recording)')
    drive.add_argument('--overwrite', action='store_true', help='make a drive of that name again')
    drive.add_argument(
        '--licence', help='licence of the recording, kept in the dataset and in trained models'
    )


def _add_camera_options(parser: argparse.ArgumentParser) -> None:
    camera = parser.add_argument_group('the camera')
    camera.add_argument(
        '--camera', help='KITTI: which camera, such as 02 or 03 (default: left colour)'
    )
    camera.add_argument(
        '--all-cameras',
        action='store_true',
        help='make a drive of each camera of a recording (default: its only one, or the named)',
    )
    camera.add_argument(
        '--camera-info',
        type=Path,
        metavar='FILE',
        help='intrinsics and distortion in the YAML of camera_calibration: of a video or a folder '
        'of images, or instead of what a bag holds',
    )


def _add_motion_options(parser: argparse.ArgumentParser) -> None:
    motion = parser.add_argument_group('time and motion')
    motion.add_argument(
        '--speed',
        type=Path,
        metavar='CSV',
        help='lines below the header "time_s,speed_m_s" (from the first image) or '
        '"stamp_ns,speed_m_s": of a video or a folder of images, or instead of what a bag holds',
    )
    motion.add_argument(
        '--rate',
        type=positive_number,
        metavar='HZ',
        help='images per second of a folder of images without timestamps, or of a video whose '
        'own are wrong',
    )
    motion.add_argument(
        '--min-motion',
        type=float,
        default=DEFAULT_MIN_MOTION_M,
        metavar='METRES',
        help='frames around which the camera moves less are marked static and not trained on '
        f'(default: %(default)s; where motion is unknown, {MIN_FLOW_PX} px of median optical '
        'flow at 640 px width)',
    )


def _add_topics(parser: argparse.ArgumentParser) -> None:
    topics = parser.add_argument_group('topics of a bag (default: found by type)')
    topics.add_argument('--image-topic', help='Image or CompressedImage')
    topics.add_argument('--camera-info-topic', help='CameraInfo (default: beside the image)')
    topics.add_argument(
        '--odometry-topic', help='Odometry, TwistStamped or NavSatFix, for the speed'
    )
    topics.add_argument('--lidar-topic', help='PointCloud2, for evaluation')


def _positive_count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f'{text} is not positive')
    return count
