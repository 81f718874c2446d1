"""
A rosbag2 of a vehicle: camera and camera_info, if recorded odometry, LiDAR and /tf_static.

Stamps come from the messages' headers. The bag is read twice: for the stamps, then for the pixels.
"""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.bags.bag import CLOUD_TYPE
from sg_depth_ros.bags.bag import Bag
from sg_depth_ros.bags.bag import CameraTopics
from sg_depth_ros.bags.bag import StampedCloud
from sg_depth_ros.bags.bag import StampedImage
from sg_depth_ros.bags.bag import open_bag
from sg_depth_ros.bags.connecting import static_transforms
from sg_depth_ros.bags.messages import stamp_ns
from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.camera import sparse_depth_image
from sg_depth_ros.errors import UserError
from sg_depth_ros.rectification import RectifiedCamera
from sg_depth_ros.rectification import is_rectified_topic
from training.data.sources.camera_file import read_camera_file
from training.data.sources.odometry_speed import speeds_at
from training.data.sources.pinhole import file_camera
from training.data.sources.pinhole import pinhole_camera
from training.data.sources.pinhole import undistorted
from training.data.sources.source import SourceContent
from training.data.sources.source import SourceFrame
from training.data.sources.source import SourceOptions
from training.data.sources.speed_file import speeds_of_file


@dataclass(frozen=True, eq=False)
class LidarMatch:
    """Which cloud belongs to which image, by their positions in their topics."""

    topic: str
    cloud_of_image: Mapping[int, int]
    T_camera_lidar: NDArray[np.float64]  # [4, 4]


@dataclass(frozen=True, eq=False)
class RosbagDrive:
    """One camera of a bag."""

    path: Path
    name: str
    description: str
    frames: tuple[SourceFrame, ...]
    notes: tuple[str, ...]
    camera_topics: CameraTopics
    camera: RectifiedCamera
    positions: tuple[int, ...]  # of the frames among the topic's images
    lidar: LidarMatch | None
    licence: str = 'not stated'

    @property
    def intrinsics(self) -> Intrinsics:
        """The camera after rectification."""
        return self.camera.camera

    def read(self, first: int = 0) -> Iterator[SourceContent]:
        """Return rectified image and projected cloud of each frame."""
        positions = self.positions[first:]
        # Two readers: rosbags allows one iteration over a file at a time.
        with open_bag(self.path) as bag, open_bag(self.path) as lidar_bag:
            clouds = self._matched_clouds(lidar_bag, positions)
            images = bag.images(self.camera_topics, only=positions)
            for position, stamped in zip(positions, images):
                image = self._rectify(stamped)
                matched = self.lidar is not None and position in self.lidar.cloud_of_image
                cloud = next(clouds, None) if matched else None
                yield SourceContent(image, lidar_m=self._project(cloud))

    def _matched_clouds(self, bag: Bag, positions: tuple[int, ...]) -> Iterator[StampedCloud]:
        """Return the clouds of the images at these positions that have one, in their order."""
        if self.lidar is None:
            return iter(())
        matches = self.lidar.cloud_of_image
        return bag.clouds(self.lidar.topic, only=[matches[p] for p in positions if p in matches])

    def _rectify(self, stamped: StampedImage) -> NDArray[np.uint8]:
        height, width = stamped.image.shape[:2]
        if (width, height) != (self.intrinsics.width, self.intrinsics.height):
            raise UserError(
                f'{self.path}: {self.camera_topics.image} changes its size to {width}x{height} '
                f'at {stamped.stamp_ns * 1e-9:.3f} s; record one size'
            )
        return undistorted(stamped.image, self.camera)

    def _project(self, cloud: StampedCloud | None) -> NDArray[np.float32] | None:
        if cloud is None or self.lidar is None:
            return None
        return sparse_depth_image(cloud.points, self.intrinsics, self.lidar.T_camera_lidar)


def rosbag_cameras(path: Path) -> tuple[str, ...]:
    """
    Return the image topic of each camera of a bag.

    :raises UserError: where it is damaged or empty.
    """
    with open_bag(path) as bag:
        return bag.cameras()


def open_rosbag(path: Path, options: SourceOptions) -> RosbagDrive:
    """
    Open a bag and understand what it holds.

    :raises UserError: where it has no camera, no intrinsics, or topics are ambiguous.
    """
    with open_bag(path) as bag:
        topics = bag.camera(options.image_topic, options.camera_info_topic)
        cameras = bag.cameras()
        notes: list[str] = []
        stamps, positions, first = _image_stamps(bag, topics, notes)
        height, width = first.image.shape[:2]
        camera = _camera(bag, topics, options.camera_info, width, height, notes)
        speeds = (
            speeds_at(bag, options.odometry_topic, stamps, notes)
            if options.speed is None
            else speeds_of_file(options.speed, stamps, absolute=True, notes=notes)
        )
        lidar = _match_lidar(bag, options.lidar_topic, first.frame_id, stamps, positions, notes)
    name = path.stem if path.is_file() else path.resolve().name
    if options.image_topic is not None:
        name += _name_part(topics.image, cameras)
    return RosbagDrive(
        path=path,
        name=name,
        description=f'rosbag2 {path.resolve().name}, {topics.image}',
        frames=tuple(SourceFrame(int(s), v) for s, v in zip(stamps, speeds)),
        notes=tuple(notes),
        camera_topics=topics,
        camera=camera,
        positions=positions,
        lidar=lidar,
    )


def _image_stamps(
    bag: Bag, topics: CameraTopics, notes: list[str]
) -> tuple[NDArray[np.int64], tuple[int, ...], StampedImage]:
    """Return the stamps that increase, their positions in the topic, and the first image."""
    first = next(bag.images(topics), None)
    if first is None:
        raise UserError(f'{bag.path}: {topics.image} holds no images')
    stamps: list[int] = []
    positions: list[int] = []
    count = 0
    for position, entry in enumerate(bag.messages(topics.image)):
        count += 1
        stamp = stamp_ns(entry.message.header)
        if not stamps or stamp > stamps[-1]:
            stamps.append(stamp)
            positions.append(position)
    if count > 1 and len(stamps) == 1:
        raise UserError(
            f'{bag.path}: the {count} images of {topics.image} all carry the stamp '
            f'{stamps[0] * 1e-9:.3f} s; the driver must stamp them'
        )
    if len(stamps) < count:
        notes.append(f'{count - len(stamps)} images left out: their stamp does not increase.')
    return np.array(stamps, np.int64), tuple(positions), first


def _name_part(topic: str, cameras: Sequence[str]) -> str:
    """Return what tells the drive of a topic from those of the other cameras."""
    part = topic.replace('/', '_')
    alike = [c for c in cameras if c.replace('/', '_') == part]
    return f'{part}_{alike.index(topic) + 1}' if len(alike) > 1 and topic in alike else part


def _camera(
    bag: Bag, topics: CameraTopics, file: Path | None, width: int, height: int, notes: list[str]
) -> RectifiedCamera:
    """Return the camera as a file describes it, or the bag's camera_info."""
    if file is not None:
        notes.append(f'Intrinsics are those of {file.name}, not of the bag.')
        where = f'{bag.path}: {topics.image}'
        return file_camera(read_camera_file(file), file, where, width, height, notes)
    where = f'{bag.path}: {topics.camera_info or topics.image}'
    rectified = is_rectified_topic(topics.image)
    return pinhole_camera(bag.camera_info(topics), where, width, height, notes, rectified)


def _match_lidar(
    bag: Bag,
    topic: str | None,
    camera_frame: str,
    stamps: NDArray[np.int64],
    positions: tuple[int, ...],
    notes: list[str],
) -> LidarMatch | None:
    """Give each cloud to the nearest image within half a frame period."""
    if topic is None:
        found = bag.topics_of(CLOUD_TYPE)
        if len(found) != 1:
            names = ', '.join(t.name for t in found)
            notes.append(
                f'Several clouds, LiDAR left out; name one with --lidar-topic: {names}.'
                if found
                else 'No PointCloud2: no LiDAR.'
            )
            return None
        topic = found[0].name
    cloud_stamps, lidar_frame = [], None
    for cloud in bag.clouds(topic):
        cloud_stamps.append(cloud.stamp_ns)
        lidar_frame = lidar_frame or cloud.frame_id
    if lidar_frame is None:
        notes.append(f'{topic} holds no clouds: no LiDAR.')
        return None
    T_camera_lidar = static_transforms(bag).lookup(camera_frame, lidar_frame)
    if T_camera_lidar is None:
        notes.append(
            f'/tf_static does not connect {camera_frame!r} and {lidar_frame!r}: LiDAR left out.'
        )
        return None
    matches = match_clouds(stamps, np.array(cloud_stamps, np.int64))
    return LidarMatch(topic, {positions[i]: cloud for i, cloud in matches.items()}, T_camera_lidar)


def match_clouds(
    image_stamps_ns: NDArray[np.int64], cloud_stamps_ns: NDArray[np.int64]
) -> dict[int, int]:
    """
    Match each cloud to its nearest image within half a frame period.

    :param image_stamps_ns: (N,) increasing.
    :param cloud_stamps_ns: (M,) in the order of the topic.
    :return: image -> cloud, both ascending; of several clouds the nearest.
    """
    if len(image_stamps_ns) < 2:
        half_period_ns = 50_000_000.0
    else:
        half_period_ns = 0.5 * float(np.median(np.diff(image_stamps_ns)))
    matches: dict[int, int] = {}
    distance_ns: dict[int, int] = {}
    for cloud, stamp in enumerate(cloud_stamps_ns.tolist()):
        after = int(np.searchsorted(image_stamps_ns, stamp))
        near = [i for i in (after - 1, after) if 0 <= i < len(image_stamps_ns)]
        image = min(near, key=lambda i: abs(int(image_stamps_ns[i]) - stamp))
        distance = abs(int(image_stamps_ns[image]) - stamp)
        if distance <= half_period_ns and distance < distance_ns.get(image, distance + 1):
            matches[image], distance_ns[image] = cloud, distance
    # A cloud that was received late would be behind its reader already.
    ascending: dict[int, int] = {}
    last = -1
    for image in sorted(matches):
        if matches[image] > last:
            last = ascending[image] = matches[image]
    return ascending
