"""Recordings of every kind, and how they are told apart."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from sg_depth_ros.errors import UserError
from sg_depth_ros.replay.bags import is_bag
from training.data.sources.kitti_odometry import is_kitti_odometry
from training.data.sources.kitti_odometry import open_kitti_odometry
from training.data.sources.kitti_raw import is_kitti_raw
from training.data.sources.kitti_raw import open_kitti_raw
from training.data.sources.rosbag import open_rosbag
from training.data.sources.source import Source
from training.data.sources.source import SourceContent
from training.data.sources.source import SourceFrame
from training.data.sources.source import SourceOptions
from training.data.sources.synthetic import is_synthetic
from training.data.sources.synthetic import open_synthetic

__all__ = [
    'SOURCE_KINDS',
    'Source',
    'SourceContent',
    'SourceFrame',
    'SourceKind',
    'SourceOptions',
    'open_source',
]


class SourceKind(NamedTuple):
    """One kind of recording."""

    name: str
    looks_like: str  # for the message that nothing fits
    recognises: Callable[[Path], bool]
    open: Callable[[Path, SourceOptions], Source]
    has_topics: bool  # else cameras


# Asked in this order: a synthetic drive holds a bag.
SOURCE_KINDS: tuple[SourceKind, ...] = (
    SourceKind('synthetic drive', 'synthetic.json', is_synthetic, open_synthetic, True),
    SourceKind('rosbag2', 'metadata.yaml, or a .db3 or .mcap file', is_bag, open_rosbag, True),
    SourceKind(
        'KITTI raw drive', 'image_02/data or image_03/data', is_kitti_raw, open_kitti_raw, False
    ),
    SourceKind(
        'KITTI odometry sequence',
        'image_2 (or 3, 0, 1) and calib.txt',
        is_kitti_odometry,
        open_kitti_odometry,
        False,
    ),
)


def open_source(path: Path, options: SourceOptions) -> Source:
    """
    Find out what a recording is and open it.

    :raises UserError: where the path is missing, nothing fits, or an option does not apply.
    """
    if not path.exists():
        raise UserError(f'{path}: no such file or folder')
    kind = next((k for k in SOURCE_KINDS if k.recognises(path)), None)
    if kind is None:
        looked_for = '; '.join(f'{k.name}: {k.looks_like}' for k in SOURCE_KINDS)
        raise UserError(f'{path}: unknown kind of recording. Looked for {looked_for}')
    topics = (
        options.image_topic,
        options.camera_info_topic,
        options.odometry_topic,
        options.lidar_topic,
    )
    if not kind.has_topics and any(t is not None for t in topics):
        raise UserError(f'{path} is a {kind.name}, which has no topics; choose with --camera')
    if kind.has_topics and options.camera is not None:
        raise UserError(f'{path} is a {kind.name}; choose its camera with --image-topic')
    return kind.open(path, options)
