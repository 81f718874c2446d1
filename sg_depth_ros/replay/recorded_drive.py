"""A recorded drive to be judged: its camera, its measured depth, and its frames as judged."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.bags.bag import Bag
from sg_depth_ros.bags.bag import BagMessage
from sg_depth_ros.bags.bag import open_bag
from sg_depth_ros.bags.messages import stamp_ns
from sg_depth_ros.bags.stamped import StampedImage
from sg_depth_ros.bags.topics import CameraTopics
from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.camera import resize_image
from sg_depth_ros.errors import UserError
from sg_depth_ros.evaluation.frame_key import FrameKey
from sg_depth_ros.evaluation.judging import JudgingOptions
from sg_depth_ros.evaluation.prediction import FramePrediction
from sg_depth_ros.image_encoding import ImageEncodingError
from sg_depth_ros.image_header import ImageHeaderError
from sg_depth_ros.image_header import size_by_header
from sg_depth_ros.metrics import CAP_M
from sg_depth_ros.metrics import Crop
from sg_depth_ros.pipeline import window_of
from sg_depth_ros.rectification import RectifiedCamera
from sg_depth_ros.rectification import is_rectified_topic
from sg_depth_ros.rectification import rectified_camera
from sg_depth_ros.replay.depth_topic import depth_topic_truth
from sg_depth_ros.replay.extrinsics import read_extrinsics
from sg_depth_ros.replay.ground_truth import MAX_OFFSET_S
from sg_depth_ros.replay.ground_truth import NoTruth
from sg_depth_ros.replay.ground_truth import Truth
from sg_depth_ros.replay.ground_truth import lidar_truth

MOST_DAMAGED_FIRST = 100  # images; where a bag begins with so many, no whole one is looked for
TruthKind = Literal['auto', 'lidar', 'depth', 'none']


@dataclass(frozen=True, eq=False)
class RecordedCamera:
    """A bag's camera as its first whole image and camera_info describe it."""

    topics: CameraTopics
    info: Any  # the first sensor_msgs/CameraInfo
    is_rectified: bool  # as the node decides by the topic's name
    rectified: RectifiedCamera
    frame_id: str
    first_stamp_ns: int  # of the first whole image
    image_count: int

    @property
    def intrinsics(self) -> Intrinsics:
        """The camera of the images, undistorted, at the recorded size."""
        return self.rectified.camera


@dataclass(frozen=True)
class BagOptions:
    """What of a bag is judged, and against what; None means that the bag decides."""

    image_topic: str | None = None
    camera_info_topic: str | None = None
    lidar_topic: str | None = None
    depth_topic: str | None = None
    truth: TruthKind = 'auto'  # auto: the depth topic if one is named, else the LiDAR if any
    extrinsics: Path | None = None  # YAML with T_camera_lidar, instead of the bag's transforms
    max_frames: int | None = None
    cap_m: float = CAP_M
    crop: Crop = 'garg'
    max_lidar_offset_s: float = MAX_OFFSET_S  # and of depth images

    @property
    def judging(self) -> JudgingOptions:
        """How single frames are judged."""
        return JudgingOptions(crop=self.crop, cap_m=self.cap_m)


@dataclass(frozen=True, eq=False)
class RecordedDrive:
    """A bag's camera and the depth that was measured beside it."""

    name: str  # in tables and files
    camera: RecordedCamera
    truth: Truth

    def time_s(self, recorded: StampedImage) -> float:
        """Return when an image was taken, since the first whole one."""
        return (recorded.stamp_ns - self.camera.first_stamp_ns) * 1e-9

    def prediction(
        self,
        number: int,
        recorded: StampedImage,
        depth_m: NDArray[np.float32],
        labels: NDArray[np.uint8],
        camera: Intrinsics,
    ) -> FramePrediction:
        """
        Return what is to be judged of an image.

        :param number: of the image in the bag, from 0.
        :param depth_m: (h, w) as published.
        :param labels: (h, w) class ids.
        :param camera: of the depth image; the node may have cropped the image before the network.
        :raises UserError: where the image is not of the first one's size.
        """
        height, width = recorded.image.shape[:2]
        _check_size(recorded.stamp_ns, width, height, self.camera)
        undistortion = self.camera.rectified.undistortion
        image = recorded.image if undistortion is None else undistortion.apply(recorded.image)
        image = window_of(self.camera.intrinsics, camera).of(image)
        return FramePrediction(
            FrameKey(self.name, number),
            resize_image(image, camera.width, camera.height),
            depth_m,
            labels,
            False,
            camera,
        )

    def truth_m(self, recorded: StampedImage, camera: Intrinsics) -> NDArray[np.float32] | None:
        """
        Return the depth that was measured of what a depth image shows, or None where none was.

        :param camera: of the depth image.
        :return: (h, w) metres, 0 where nothing was measured; at the recording's resolution.
        """
        truth_m = self.truth.depth_of(recorded)
        return None if truth_m is None else window_of(self.camera.intrinsics, camera).of(truth_m)


def recorded_camera(bag: Bag, options: BagOptions) -> RecordedCamera:
    """
    Find a bag's camera and read what it is.

    :raises UserError: where there is no camera, no camera_info, no image that can be decoded
        among the first, or they do not fit together.
    """
    topics = bag.camera(options.image_topic, options.camera_info_topic, options.depth_topic)
    info = bag.camera_info(topics)
    first = _first_image(bag, topics)
    height, width = first.image.shape[:2]
    count = next(t.count for t in bag.topics if t.name == topics.image)
    is_rectified = is_rectified_topic(topics.image)
    return RecordedCamera(
        topics=topics,
        info=info,
        is_rectified=is_rectified,
        rectified=rectified_camera(info, width, height, is_rectified),
        frame_id=first.frame_id,
        first_stamp_ns=first.stamp_ns,
        image_count=min(count, options.max_frames or count),
    )


def _first_image(bag: Bag, topics: CameraTopics) -> StampedImage:
    """Return the first image that can be decoded: the node leaves those before it out."""

    def decoded(entry: BagMessage) -> StampedImage | None:
        with suppress(ImageEncodingError):
            return bag.decoded(entry, topics)
        return None

    entries = bag.messages(topics.image, only=range(MOST_DAMAGED_FIRST))
    whole = next(filter(None, map(decoded, entries)), None)
    return whole or next(bag.images(topics))  # which says what is wrong with the very first


@contextmanager
def recorded_drive(
    name: str, bag: Bag, camera: RecordedCamera, options: BagOptions
) -> Iterator[RecordedDrive]:
    """
    Open a bag once more, to read what was measured beside its images.

    :param name: of the drive in tables and files.
    :raises UserError: where the named topic is missing or does not fit, or several could be meant.
    """
    with open_bag(bag.path) as beside:
        yield RecordedDrive(name, camera, _truth(beside, camera, options))


def _truth(bag: Bag, camera: RecordedCamera, options: BagOptions) -> Truth:
    if options.truth == 'none':
        return NoTruth('Ground truth was not wanted.')
    if options.truth == 'depth' or (options.truth == 'auto' and options.depth_topic is not None):
        if options.depth_topic is None:
            raise UserError('ground truth from depth images needs --depth-topic')
        return depth_topic_truth(
            bag,
            camera.rectified,
            camera.frame_id,
            options.depth_topic,
            max_offset_s=options.max_lidar_offset_s,
        )
    T_camera_lidar = None if options.extrinsics is None else read_extrinsics(options.extrinsics)
    truth = lidar_truth(
        bag,
        camera.intrinsics,
        camera.frame_id,
        options.lidar_topic,
        T_camera_lidar=T_camera_lidar,
        max_offset_s=options.max_lidar_offset_s,
    )
    if options.truth == 'lidar' and truth.why_not is not None:
        raise UserError(f'{bag.path}: {truth.why_not}')
    return truth


def check_size_of_message(entry: BagMessage, camera: RecordedCamera) -> None:
    """
    Refuse a drive whose images change their size: one camera_info cannot describe both.

    By the header alone; an image that has none is left to who decodes it.

    :param entry: an image of the camera.
    :raises UserError: naming both sizes.
    """
    message = entry.message
    if camera.topics.compressed:
        try:
            width, height = size_by_header(bytes(message.data))
        except ImageHeaderError:
            return
    else:
        width, height = message.width, message.height
    _check_size(stamp_ns(message.header), width, height, camera)


def _check_size(taken_ns: int, width: int, height: int, camera: RecordedCamera) -> None:
    c = camera.intrinsics
    if (width, height) != (c.width, c.height):
        raise UserError(
            f'{camera.topics.image}: the image at {taken_ns * 1e-9:.3f} s is '
            f'{width}x{height}, the first one was {c.width}x{c.height}; '
            'cut the bag where the size changes'
        )
