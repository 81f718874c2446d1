"""What the command lines of ``evaluate_bag`` and ``replay_bag`` have in common."""

import argparse
from pathlib import Path
from typing import NamedTuple
from typing import get_args

from sg_depth_ros.errors import UserError
from sg_depth_ros.metrics import CAP_M
from sg_depth_ros.metrics import Crop
from sg_depth_ros.replay.ground_truth import MAX_OFFSET_S
from sg_depth_ros.replay.recorded_drive import BagOptions
from sg_depth_ros.replay.recorded_drive import TruthKind


class _OfUse(NamedTuple):
    """What a kind of ground truth takes."""

    words: str
    arguments: tuple[str, ...]


_OF_USE = {
    'lidar': _OfUse('the LiDAR', ('--lidar-topic', '--extrinsics')),
    'depth': _OfUse('depth images', ('--depth-topic',)),
    'none': _OfUse('nothing', ()),
}


def add_judging_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one bag, one model, and how they are judged."""
    add = parser.add_argument
    add('bag', type=Path, help='rosbag2: its folder, or a .mcap or .db3 file')
    add('--model', type=Path, required=True, help='model.onnx with its contract')
    add('--out', type=Path, required=True, metavar='DIR', help='folder for what is written')
    add_topic_arguments(parser)
    add_protocol_arguments(parser)


def add_topic_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what of a bag is read."""
    group = parser.add_argument_group('what of a bag is read')
    add = group.add_argument
    add(
        '--image-topic',
        metavar='TOPIC',
        help="Image or CompressedImage (default: the bag's only camera)",
    )
    add(
        '--camera-info-topic',
        metavar='TOPIC',
        help='CameraInfo (default: the one beside the image topic)',
    )
    add(
        '--lidar-topic',
        metavar='TOPIC',
        help="PointCloud2 for ground truth (default: the bag's only one)",
    )
    add(
        '--depth-topic',
        metavar='TOPIC',
        help='depth images for ground truth, aligned with the camera: Image of 32FC1 (metres) or '
        '16UC1 (millimetres), or compressedDepth',
    )
    add(
        '--truth',
        choices=get_args(TruthKind),
        default='auto',
        help='what depth is judged against; auto: --depth-topic if given, else the LiDAR if the '
        'bag has one; lidar and depth: no evaluation without; none: only what needs no ground '
        'truth (default: %(default)s)',
    )
    add(
        '--extrinsics',
        type=Path,
        metavar='FILE',
        help='YAML that tells where the LiDAR sits, instead of /tf_static and /tf: '
        '"T_camera_lidar:" with xyz: [x, y, z] in metres and quaternion: [x, y, z, w], rpy_deg: '
        "[roll, pitch, yaw] or rpy: (radians), or a 4x4 matrix; it takes the LiDAR's points to "
        "the camera's optical frame (x right, y down, z forward)",
    )
    add(
        '--max-lidar-offset',
        type=positive_float,
        default=MAX_OFFSET_S,
        metavar='SECONDS',
        help='how far the stamps of an image and its cloud or depth image may lie apart '
        '(default: %(default)s)',
    )
    add(
        '--max-frames',
        type=positive_int,
        metavar='N',
        help='stop after so many images of a bag (default: all)',
    )


def add_protocol_arguments(parser: argparse.ArgumentParser) -> None:
    """Add how depth is judged."""
    group = parser.add_argument_group('how depth is judged')
    group.add_argument(
        '--cap',
        type=positive_float,
        default=CAP_M,
        metavar='METRES',
        help='judge what is measured nearer than this (default: %(default)s)',
    )
    group.add_argument(
        '--crop',
        choices=get_args(Crop),
        default='garg',
        help="part of the image that is judged: garg, that of KITTI's LiDAR, or none: all of it "
        '(default: %(default)s)',
    )


def bag_options_of(arguments: argparse.Namespace) -> BagOptions:
    """
    Return what the arguments of this module were parsed to.

    :raises UserError: where two of them contradict each other.
    """
    truth, depth_topic = arguments.truth, arguments.depth_topic
    given = {
        '--lidar-topic': arguments.lidar_topic,
        '--depth-topic': depth_topic,
        '--extrinsics': arguments.extrinsics,
    }
    judged = truth if truth != 'auto' else 'lidar' if depth_topic is None else 'depth'
    of_use = _OF_USE[judged]
    for name, value in given.items():
        if value is not None and name not in of_use.arguments:
            raise UserError(f'{name} is of no use: depth is judged against {of_use.words}')
    if truth == 'depth' and depth_topic is None:
        raise UserError('--truth depth needs --depth-topic')
    return BagOptions(
        image_topic=arguments.image_topic,
        camera_info_topic=arguments.camera_info_topic,
        lidar_topic=arguments.lidar_topic,
        depth_topic=depth_topic,
        truth=truth,
        extrinsics=arguments.extrinsics,
        max_frames=arguments.max_frames,
        cap_m=arguments.cap,
        crop=arguments.crop,
        max_lidar_offset_s=arguments.max_lidar_offset,
    )


def positive_int(text: str) -> int:
    """Parse a number of things."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f'{text} is not positive')
    return value


def positive_float(text: str) -> float:
    """Parse a positive number; infinity and NaN are none."""
    value = float(text)
    if not 0 < value < float('inf'):
        raise argparse.ArgumentTypeError(f'{text} is not positive and finite')
    return value
