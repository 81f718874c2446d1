"""Recordings of every kind, and how they are told apart."""

from collections.abc import Callable
from dataclasses import fields
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from sg_depth_ros.bags.bag import is_bag
from sg_depth_ros.errors import UserError
from training.data.sources.images import is_image_folder
from training.data.sources.images import open_image_folder
from training.data.sources.kitti_odometry import is_kitti_odometry
from training.data.sources.kitti_odometry import kitti_odometry_cameras
from training.data.sources.kitti_odometry import open_kitti_odometry
from training.data.sources.kitti_raw import is_kitti_raw
from training.data.sources.kitti_raw import kitti_raw_cameras
from training.data.sources.kitti_raw import open_kitti_raw
from training.data.sources.rosbag import open_rosbag
from training.data.sources.rosbag import rosbag_cameras
from training.data.sources.source import Source
from training.data.sources.source import SourceContent
from training.data.sources.source import SourceFrame
from training.data.sources.source import SourceOptions
from training.data.sources.synthetic import is_synthetic
from training.data.sources.synthetic import open_synthetic
from training.data.sources.synthetic import synthetic_cameras
from training.data.sources.video import VIDEO_SUFFIXES
from training.data.sources.video import is_video
from training.data.sources.video import open_video

__all__ = [
    'SOURCE_KINDS',
    'Source',
    'SourceContent',
    'SourceFrame',
    'SourceKind',
    'SourceOptions',
    'list_cameras',
    'open_source',
    'options_of_camera',
]

_TOPICS = ('image_topic', 'camera_info_topic', 'odometry_topic', 'lidar_topic')
_FILES = ('camera_info', 'speed')


class SourceKind(NamedTuple):
    """One kind of recording."""

    name: str
    looks_like: str  # for the message that nothing fits
    recognises: Callable[[Path], bool]
    open: Callable[[Path, SourceOptions], Source]
    cameras: Callable[[Path], tuple[str, ...]] | None  # None: it has one, without a name
    takes: tuple[str, ...]  # which of the SourceOptions

    @property
    def camera_option(self) -> str | None:
        """The option that chooses one of the cameras."""
        return next((o for o in ('image_topic', 'camera') if o in self.takes), None)


# Asked in this order: a synthetic drive holds a bag.
SOURCE_KINDS: tuple[SourceKind, ...] = (
    SourceKind(
        'synthetic drive',
        'synthetic.json',
        is_synthetic,
        open_synthetic,
        synthetic_cameras,
        (*_TOPICS, *_FILES),
    ),
    SourceKind(
        'rosbag2',
        'metadata.yaml, or a .db3 or .mcap file',
        is_bag,
        open_rosbag,
        rosbag_cameras,
        (*_TOPICS, *_FILES),
    ),
    SourceKind(
        'KITTI raw drive',
        'image_02/data or image_03/data',
        is_kitti_raw,
        open_kitti_raw,
        kitti_raw_cameras,
        ('camera',),
    ),
    SourceKind(
        'KITTI odometry sequence',
        'image_2 (or 3, 0, 1) and calib.txt',
        is_kitti_odometry,
        open_kitti_odometry,
        kitti_odometry_cameras,
        ('camera',),
    ),
    SourceKind(
        'video', ', '.join(VIDEO_SUFFIXES), is_video, open_video, None, (*_FILES, 'rate_hz')
    ),
    SourceKind(
        'folder of images',
        'png, jpg or jpeg files',
        is_image_folder,
        open_image_folder,
        None,
        (*_FILES, 'rate_hz'),
    ),
)


def open_source(path: Path, options: SourceOptions) -> Source:
    """
    Find out what a recording is and open it.

    :raises UserError: where the path is missing, nothing fits, or an option does not apply.
    """
    kind = _kind_of(path)
    _refuse_idle_options(path, kind, options)
    return kind.open(path, options)


def list_cameras(path: Path) -> tuple[str, ...]:
    """
    Return what the cameras of a recording are called: topics, or KITTI's numbers.

    :return: empty where there is one, which has no name: videos and folders of images.
    :raises UserError: where the path is missing or nothing fits.
    """
    cameras = _kind_of(path).cameras
    return () if cameras is None else cameras(path)


def options_of_camera(path: Path, camera: str, options: SourceOptions) -> SourceOptions:
    """
    Return the options that open one of ``list_cameras``.

    Drives opened with them have different names.

    :raises UserError: where the path is missing or nothing fits.
    """
    kind = _kind_of(path)
    if kind.camera_option == 'image_topic':
        return replace(options, image_topic=camera)
    return options if kind.camera_option is None else replace(options, camera=camera)


def _kind_of(path: Path) -> SourceKind:
    if not path.exists():
        raise UserError(f'{path}: no such file or folder')
    kind = next((k for k in SOURCE_KINDS if k.recognises(path)), None)
    if kind is None:
        looked_for = '; '.join(f'{k.name}: {k.looks_like}' for k in SOURCE_KINDS)
        raise UserError(f'{path}: unknown kind of recording. Looked for {looked_for}')
    return kind


def _refuse_idle_options(path: Path, kind: SourceKind, options: SourceOptions) -> None:
    """Refuse what was named and would not be looked at."""
    if options.rate_hz is not None and not 0 < options.rate_hz < float('inf'):
        raise UserError(f'--rate {options.rate_hz:g}: is no number of images per second')
    if options.speed is not None and options.odometry_topic is not None:
        raise UserError('--speed and --odometry-topic: the speed comes from one of them')
    if options.camera_info is not None and options.camera_info_topic is not None:
        raise UserError('--camera-info and --camera-info-topic: intrinsics come from one of them')
    for field in fields(SourceOptions):
        if getattr(options, field.name) is None or field.name in kind.takes:
            continue
        if field.name in _TOPICS:
            hint = '; choose with --camera' if 'camera' in kind.takes else ''
            raise UserError(f'{path} is a {kind.name}, which has no topics{hint}')
        if field.name == 'camera' and 'image_topic' in kind.takes:
            raise UserError(f'{path} is a {kind.name}; choose its camera with --image-topic')
        named = '--rate' if field.name == 'rate_hz' else f'--{field.name.replace("_", "-")}'
        taken = ', '.join(k.name for k in SOURCE_KINDS if field.name in k.takes)
        raise UserError(f'{path} is a {kind.name}: {named} does not apply; it is for: {taken}')
