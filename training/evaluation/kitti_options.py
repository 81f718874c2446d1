"""The options of verbs that judge a model on KITTI raw as it is published."""

import argparse
from pathlib import Path
from typing import get_args

from sg_depth_ros.errors import UserError
from training.data.sources.kitti_raw import CAMERAS
from training.data.splits import EIGEN
from training.data.splits import read_named_split
from training.evaluation.kitti_frames import KittiFrames
from training.evaluation.kitti_frames import Truth


def add_kitti_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--kitti`` and what goes with it; ``--drive`` is the verb's own."""
    group = parser.add_argument_group('KITTI raw instead of a dataset folder')
    group.add_argument(
        '--kitti', type=Path, metavar='ROOT', help='folder of the days, as KITTI raw unpacks'
    )
    group.add_argument(
        '--list',
        metavar='FILE',
        help=f'frames to judge, in any format that train reads; "{EIGEN}": the 697 of Eigen et '
        'al. (default: every frame of the drives)',
    )
    group.add_argument(
        '--camera',
        choices=sorted(CAMERAS),
        help='of the drives, where there is no list (default: 02)',
    )
    group.add_argument(
        '--truth',
        choices=get_args(Truth),
        help='velodyne: the scan projected where it belongs (default); published: as the code '
        'behind the published tables projects it, a pixel off and measured from the scanner; '
        "improved: KITTI's annotated depth maps",
    )
    group.add_argument(
        '--improved',
        type=Path,
        metavar='DIR',
        help='folder of the annotated depth maps, with train/ and val/ (default: ROOT)',
    )
    group.add_argument(
        '--strict', action='store_true', help='stop where a frame of the list is missing'
    )


def kitti_frames_from(given: argparse.Namespace) -> KittiFrames | None:
    """
    Return the frames that the options name, and print what of them is missing.

    :return: None where ``--kitti`` is not among them.
    :raises UserError: where they do not fit together, or nothing is left to judge.
    """
    if given.kitti is None:
        for option in ('list', 'camera', 'truth', 'improved', 'strict'):
            if getattr(given, option):
                raise UserError(f'--{option} goes with --kitti ROOT')
        return None
    if given.list is not None and given.camera is not None:
        raise UserError('--camera: the list says which camera; leave one of them out')
    truth: Truth = given.truth or ('velodyne' if given.improved is None else 'improved')
    if given.improved is not None and truth != 'improved':
        raise UserError(f'--improved goes with --truth improved, not {truth}')
    frames = KittiFrames(
        given.kitti,
        None if given.list is None else read_named_split(given.list),
        drives=given.drive,
        camera=given.camera or '02',
        truth=truth,
        improved=given.improved,
        list_name=given.list or 'drives',
        strict=given.strict,
    )
    for caution in frames.cautions:
        print(f'caution: {caution}', flush=True)
    return frames
