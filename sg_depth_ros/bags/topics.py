"""Finding the topics of a recording: by their type, or as the user names them."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sg_depth_ros.errors import UserError

IMAGE_TYPE = 'sensor_msgs/msg/Image'
COMPRESSED_IMAGE_TYPE = 'sensor_msgs/msg/CompressedImage'
CAMERA_INFO_TYPE = 'sensor_msgs/msg/CameraInfo'
CLOUD_TYPE = 'sensor_msgs/msg/PointCloud2'
FIX_TYPE = 'sensor_msgs/msg/NavSatFix'  # of the vehicle's position only
TF_TYPE = 'tf2_msgs/msg/TFMessage'
IMAGE_TYPES = (IMAGE_TYPE, COMPRESSED_IMAGE_TYPE)
# The best source of speed first.
ODOMETRY_TYPES = (
    'nav_msgs/msg/Odometry',
    'geometry_msgs/msg/TwistStamped',
    'geometry_msgs/msg/TwistWithCovarianceStamped',
)


@dataclass(frozen=True, order=True)
class Topic:
    """One topic of a bag."""

    name: str
    type: str  # such as sensor_msgs/msg/Image
    count: int


class CameraTopics(NamedTuple):
    """The topics of one camera."""

    image: str
    camera_info: str | None
    compressed: bool


class TopicFinder:
    """The topics of one bag, and clear words where the wanted one is not among them."""

    def __init__(self, path: Path, topics: tuple[Topic, ...]) -> None:
        """Take the bag's name, for messages, and all of its topics."""
        self._path = path
        self._topics = topics

    def __str__(self) -> str:
        """List all topics."""
        return ', '.join(f'{t.name} ({t.type}, {t.count})' for t in self._topics) or 'none'

    def of(self, *types: str) -> tuple[Topic, ...]:
        """Return the topics of these types that hold messages."""
        return tuple(t for t in self._topics if t.type in types and t.count > 0)

    def named(self, name: str, *types: str) -> Topic:
        """
        Return a topic that may be without messages.

        :raises UserError: where it is missing or of none of the types, if any are given.
        """
        for topic in self._topics:
            if topic.name == name:
                if types and topic.type not in types:
                    raise UserError(
                        f'{self._path}: topic {name} is {topic.type}, not {" or ".join(types)}'
                    )
                return topic
        raise UserError(f'{self._path}: no topic {name}; topics: {self}')

    def named_or_only(self, name: str | None, *types: str) -> str:
        """
        Return the named topic, or the only one of these types that holds messages.

        :raises UserError: where it is missing, of another type, or there are several.
        """
        if name is not None:
            return self.named(name, *types).name
        found = self.of(*types)
        if len(found) == 1:
            return found[0].name
        kinds = ' or '.join(types)
        if not found:
            raise UserError(f'{self._path}: no topic of {kinds}; topics: {self}')
        names = ', '.join(t.name for t in found)
        raise UserError(f'{self._path}: several topics of {kinds}; name one of: {names}')

    def camera(
        self,
        image_topic: str | None = None,
        camera_info_topic: str | None = None,
        other_than: Collection[str] = (),
    ) -> CameraTopics:
        """Find the camera, as ``Bag.camera`` describes; ``other_than`` are no topics of one."""
        if image_topic is None:
            image_topic = self._only_image_topic(other_than)
        topic = self.named(image_topic, *IMAGE_TYPES)
        if camera_info_topic is not None:
            self.named(camera_info_topic, CAMERA_INFO_TYPE)
        else:
            camera_info_topic = self._camera_info_topic(image_topic)
        return CameraTopics(topic.name, camera_info_topic, topic.type == COMPRESSED_IMAGE_TYPE)

    def cameras(self) -> tuple[str, ...]:
        """Return the image topic of each camera that holds messages, by name."""
        found = [t for t in self.of(*IMAGE_TYPES) if not t.name.endswith('compressedDepth')]
        raw = [t.name for t in found if t.type == IMAGE_TYPE]
        # A raw topic's own compressed transports are the same camera.
        return tuple(t.name for t in found if not any(t.name.startswith(f'{r}/') for r in raw))

    def _only_image_topic(self, other_than: Collection[str]) -> str:
        cameras = [c for c in self.cameras() if c not in other_than]
        if len(cameras) == 1:
            return cameras[0]
        if not cameras:
            raise UserError(
                f'{self._path}: no images (no topic of {" or ".join(IMAGE_TYPES)} with messages); '
                f'topics: {self}'
            )
        beside = [c for c in cameras if self.beside(c) is not None]
        likely = beside or [c for c in cameras if _is_named_like_a_camera(c)]
        hint = f' (most likely {likely[0]})' if len(likely) == 1 else ''
        raise UserError(
            f'{self._path}: several cameras; name one image topic{hint} of: {", ".join(cameras)}'
        )

    def beside(self, image_topic: str) -> str | None:
        """
        Return the camera_info topic that image_transport's convention puts beside an image's.

        That of /camera/image_raw/compressed is /camera/camera_info.
        """
        infos = [t.name for t in self.of(CAMERA_INFO_TYPE)]
        namespace = image_topic
        for _ in range(2):
            namespace = namespace.rpartition('/')[0]
            if f'{namespace}/camera_info' in infos:
                return f'{namespace}/camera_info'
        return None

    def _camera_info_topic(self, image_topic: str) -> str | None:
        beside = self.beside(image_topic)
        if beside is not None:
            return beside
        infos = [t.name for t in self.of(CAMERA_INFO_TYPE)]
        if len(infos) > 1:
            raise UserError(
                f'{self._path}: none of the camera_info topics lies beside {image_topic}; '
                f'name one of: {", ".join(infos)}'
            )
        return infos[0] if infos else None


def _is_named_like_a_camera(image_topic: str) -> bool:
    """Tell whether a topic has a name of image_pipeline's, such as image_raw or image_rect."""
    name = image_topic.removesuffix('/compressed').rpartition('/')[2]
    return name.startswith(('image_raw', 'image_rect', 'image_color', 'image_mono'))
