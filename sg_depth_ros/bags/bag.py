"""
Reading rosbag2 recordings without a ROS installation.

sqlite3 and MCAP, compressed or not: a bag folder, or a bare .db3 or .mcap file.
"""

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from typing import TypeVar

from rosbags.highlevel import AnyReader

from sg_depth_ros.bags.bag_files import is_bag
from sg_depth_ros.bags.bag_files import storage_files
from sg_depth_ros.bags.broken_off import is_broken_off
from sg_depth_ros.bags.depth_image import decode_compressed_depth_image
from sg_depth_ros.bags.depth_image import decode_depth_image
from sg_depth_ros.bags.depth_image import is_depth_image
from sg_depth_ros.bags.messages import cloud_points
from sg_depth_ros.bags.messages import has_fix
from sg_depth_ros.bags.messages import position_m
from sg_depth_ros.bags.messages import speed_m_s
from sg_depth_ros.bags.messages import stamp_ns
from sg_depth_ros.bags.reader import open_reader
from sg_depth_ros.bags.reader import readable
from sg_depth_ros.bags.stamped import BagMessage
from sg_depth_ros.bags.stamped import StampedCloud
from sg_depth_ros.bags.stamped import StampedDepth
from sg_depth_ros.bags.stamped import StampedFix
from sg_depth_ros.bags.stamped import StampedImage
from sg_depth_ros.bags.stamped import StampedOdometry
from sg_depth_ros.bags.topics import CAMERA_INFO_TYPE
from sg_depth_ros.bags.topics import CLOUD_TYPE
from sg_depth_ros.bags.topics import COMPRESSED_IMAGE_TYPE
from sg_depth_ros.bags.topics import FIX_TYPE
from sg_depth_ros.bags.topics import IMAGE_TYPE
from sg_depth_ros.bags.topics import IMAGE_TYPES
from sg_depth_ros.bags.topics import ODOMETRY_TYPES
from sg_depth_ros.bags.topics import CameraTopics
from sg_depth_ros.bags.topics import Topic
from sg_depth_ros.bags.topics import TopicFinder
from sg_depth_ros.bags.transforms import frame_name
from sg_depth_ros.errors import UserError
from sg_depth_ros.image_encoding import ImageEncodingError
from sg_depth_ros.image_encoding import decode_compressed_image
from sg_depth_ros.image_encoding import decode_image

__all__ = [
    'CAMERA_INFO_TYPE',
    'CLOUD_TYPE',
    'COMPRESSED_IMAGE_TYPE',
    'FIX_TYPE',
    'IMAGE_TYPE',
    'IMAGE_TYPES',
    'ODOMETRY_TYPES',
    'Bag',
    'BagMessage',
    'CameraTopics',
    'StampedCloud',
    'StampedDepth',
    'StampedFix',
    'StampedImage',
    'StampedOdometry',
    'Topic',
    'is_bag',
    'open_bag',
]

_Item = TypeVar('_Item')


class Bag:
    """
    An open bag; ``open_bag`` makes it.

    ``broken_off`` tells that the end of a file is missing: what was recorded there is not known.
    """

    def __init__(self, reader: AnyReader, path: Path) -> None:
        """Take over an opened reader."""
        self.path = path
        self.broken_off = any(is_broken_off(part) for part in storage_files(path))
        self._reader = reader
        self.topics: tuple[Topic, ...] = tuple(
            sorted(
                Topic(name, info.msgtype or 'several types', info.msgcount)
                for name, info in reader.topics.items()
            )
        )
        self._found = TopicFinder(path, self.topics)

    def messages(
        self, *topics: str, only: Sequence[int] | None = None, since_ns: int | None = None
    ) -> Iterator[BagMessage]:
        """
        Return the messages of the topics in the order they were received.

        Finish one iteration before the next: rosbags reads a file for one at a time. One message
        at a time is in memory, whatever the size of the bag.

        :param only: positions in that order, ascending; the other messages are passed over
            unread, and after the last one nothing is read.
        :param since_ns: what was received earlier is left out, and not counted by ``only``.
        :raises UserError: where a topic is missing; a DamagedBagError where the bag is damaged.
        """
        for topic in topics:
            self._found.named(topic)
        connections = [c for c in self._reader.connections if c.topic in topics]
        if not connections:  # to rosbags, no connection means all of them
            return
        with readable(self.path):
            received = self._reader.messages(connections, start=since_ns)
            for connection, received_ns, raw in received if only is None else _at(received, only):
                message = self._reader.deserialize(raw, connection.msgtype)
                yield BagMessage(
                    connection.topic, connection.msgtype, received_ns, message, bytes(raw)
                )

    def camera(
        self,
        image_topic: str | None = None,
        camera_info_topic: str | None = None,
        other_than: str | None = None,
    ) -> CameraTopics:
        """
        Find the camera: by type, or as named.

        Of an image topic and its own ``/compressed`` the raw one is taken. Depth images (32FC1,
        16UC1) beside others are not a camera's. ``camera_info`` is the one beside the image
        (image_transport's convention), else the bag's only one, else None.

        :param other_than: a topic of images that is not looked for, such as one of depth.
        :raises UserError: where there is no camera, or several and none is named.
        """
        others = {other_than or '', *self._depth_topics()} if image_topic is None else ()
        return self._found.camera(image_topic, camera_info_topic, others)

    def cameras(self) -> tuple[str, ...]:
        """Return the image topic of each camera, by name; raw before its own ``/compressed``."""
        depth = self._depth_topics()
        return tuple(c for c in self._found.cameras() if c not in depth)

    def _depth_topics(self) -> set[str]:
        """Return the raw image topics, if there are others, whose first message is of depth."""
        found = self._found.cameras()
        if len(found) < 2:
            return set()
        raw = {t.name for t in self.topics_of(IMAGE_TYPE)}
        firsts = {name: next(self.messages(name), None) for name in found if name in raw}
        return {name for name, m in firsts.items() if m and is_depth_image(m.message)}

    def topics_of(self, *types: str) -> tuple[Topic, ...]:
        """Return the topics of these types that hold messages."""
        return self._found.of(*types)

    def images(
        self, camera: CameraTopics, only: Sequence[int] | None = None
    ) -> Iterator[StampedImage]:
        """
        Return the camera's images in the order they were received.

        :param only: positions in that order, as for ``messages``; no other is decoded.
        :raises UserError: where one cannot be decoded, naming topic and stamp.
        """
        for entry in self.messages(camera.image, only=only):
            yield self.decoded(entry, camera)

    def decoded(self, entry: BagMessage, camera: CameraTopics) -> StampedImage:
        """
        Return the image of one of the camera's messages.

        :raises ImageEncodingError: where it cannot be decoded, naming topic and stamp.
        """
        decode = decode_compressed_image if camera.compressed else decode_image
        header = entry.message.header
        stamp = stamp_ns(header)
        try:
            image = decode(entry.message)
        except ImageEncodingError as error:
            raise ImageEncodingError(
                f'{self.path}: image of {camera.image} at {stamp * 1e-9:.3f} s: {error}'
            ) from error
        return StampedImage(
            stamp, entry.received_ns, frame_name(header.frame_id), image, entry.message
        )

    def camera_info(self, camera: CameraTopics) -> Any:
        """
        Return the camera's first sensor_msgs/CameraInfo.

        :raises UserError: where the bag holds none.
        """
        if camera.camera_info is not None:
            for entry in self.messages(camera.camera_info):
                return entry.message
        raise UserError(
            f'{self.path}: no camera_info for {camera.image}, so no intrinsics; record it too, or '
            f'name its topic. Topics: {self._found}'
        )

    def clouds(
        self,
        topic: str | None = None,
        only: Sequence[int] | None = None,
        since_ns: int | None = None,
    ) -> Iterator[StampedCloud]:
        """
        Return the clouds of a topic, or of the bag's only PointCloud2 topic.

        :param only: positions among them, as for ``messages``; no other is decoded.
        :param since_ns: what was received earlier is left out.
        :raises UserError: where the topic is missing, ambiguous, or holds no x, y, z.
        """
        name = self._found.named_or_only(topic, CLOUD_TYPE)
        for entry in self.messages(name, only=only, since_ns=since_ns):
            header = entry.message.header
            try:
                points = cloud_points(entry.message)
            except ValueError as error:
                raise UserError(f'{self.path}: cloud of {name}: {error}') from error
            yield StampedCloud(
                stamp_ns(header), entry.received_ns, frame_name(header.frame_id), points
            )

    def depth_images(self, topic: str, since_ns: int | None = None) -> Iterator[StampedDepth]:
        """
        Return the depth images of a topic, raw or of the transport ``compressedDepth``.

        They are decoded when their depth is asked for.

        :param since_ns: what was received earlier is left out.
        :raises UserError: where the topic is missing or of another type.
        """
        is_raw = self._found.named(topic, *IMAGE_TYPES).type == IMAGE_TYPE
        decode = decode_depth_image if is_raw else decode_compressed_depth_image
        for entry in self.messages(topic, since_ns=since_ns):
            header = entry.message.header
            yield StampedDepth(
                stamp_ns(header),
                entry.received_ns,
                frame_name(header.frame_id),
                partial(decode, entry.message),
            )

    def camera_info_beside(self, topic: str) -> Any | None:
        """Return the first camera_info that lies beside a topic of images, or None."""
        name = self._found.beside(topic)
        if name is None:
            return None
        return next((entry.message for entry in self.messages(name)), None)

    def odometry(self, topic: str | None = None) -> Iterator[StampedOdometry]:
        """
        Return the motion of a topic, or of the bag's only one of the best type it has.

        :raises UserError: where the topic is missing or ambiguous.
        """
        held = [t for t in ODOMETRY_TYPES if self.topics_of(t)]
        best = ODOMETRY_TYPES if topic is not None else held[:1] or ODOMETRY_TYPES
        name = self._found.named_or_only(topic, *best)
        for entry in self.messages(name):
            yield StampedOdometry(
                stamp_ns(entry.message.header),
                entry.received_ns,
                speed_m_s(entry.message),
                position_m(entry.message),
            )

    def fixes(self, topic: str | None = None) -> Iterator[StampedFix]:
        """
        Return the positions of a topic, or of the bag's only NavSatFix topic.

        :raises UserError: where the topic is missing or ambiguous.
        """
        name = self._found.named_or_only(topic, FIX_TYPE)
        for entry in self.messages(name):
            fix = entry.message
            yield StampedFix(
                stamp_ns(fix.header),
                entry.received_ns,
                float(fix.latitude),
                float(fix.longitude),
                has_fix(fix),
            )


@contextmanager
def open_bag(path: Path) -> Iterator[Bag]:
    """
    Open a rosbag2: its folder, or a bare .db3 or .mcap file.

    Of an MCAP file that broke off, the messages that are whole are there.

    :raises UserError: where it is missing, no bag, damaged, or holds no message.
    """
    reader = open_reader(path)
    try:
        bag = Bag(reader, path)
        if reader.message_count == 0:
            why = 'it broke off before the first' if bag.broken_off else 'no messages'
            raise UserError(f'{path}: the bag is empty ({why})')
        yield bag
    finally:
        reader.close()


def _at(items: Iterable[_Item], positions: Sequence[int]) -> Iterator[_Item]:
    """Return the items at ascending positions."""
    wanted = iter(positions)
    position = next(wanted, None)
    if position is None:
        return
    for number, item in enumerate(items):
        if number == position:
            yield item
            position = next(wanted, None)
            if position is None:
                return
