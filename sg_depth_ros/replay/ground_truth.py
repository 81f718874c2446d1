"""
Measured depth for a camera's images, from the LiDAR or a depth camera of the same bag.

The bag is read once more beside its images, as far as they go: of an hour's recording a few
seconds of sparse depth are in memory.
"""

from collections import deque
from collections.abc import Callable
from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.bags.bag import CLOUD_TYPE
from sg_depth_ros.bags.bag import Bag
from sg_depth_ros.bags.connecting import transformed_frames
from sg_depth_ros.bags.connecting import transforms_between
from sg_depth_ros.bags.stamped import StampedImage
from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.camera import sparse_depth_image

# At 15 m/s a vehicle moves 0.3 m in this time; a LiDAR at 10 Hz is never exactly simultaneous.
MAX_OFFSET_S = 0.02
# How much earlier or later than its image a measurement may have been received: drivers send a
# cloud when its turn is complete.
RECEIVED_WITHIN_NS = 1_000_000_000
FARTHEST_READ_ON_NS = 10_000_000_000  # over a longer gap between images, it is sought
FrameToCamera = Callable[[int], NDArray[np.float64] | None]  # stamp_ns -> T_camera_lidar


class Truth(Protocol):
    """Measured depth of a drive's images; cheapest in the order in which they were received."""

    @property
    def source(self) -> str:
        """Where it comes from: a topic; empty where there is none."""
        ...

    @property
    def why_not(self) -> str | None:
        """Why there is none, in one sentence for people; None where there is some."""
        ...

    @property
    def max_offset_s(self) -> float:
        """How far the stamps of an image and its measurement may lie apart."""
        ...

    def depth_of(self, image: StampedImage) -> NDArray[np.float32] | None:
        """
        Return the depth measured when an image was taken, or None where none was.

        :return: depth_m (H, W) at the original image's size, 0 where nothing was measured.
        """
        ...


@dataclass(frozen=True)
class NoTruth:
    """A drive without measured depth, and the reason."""

    why_not: str | None
    source: str = ''
    max_offset_s: float = 0.0

    def depth_of(self, image: StampedImage) -> None:
        """Return None."""
        del image


class Measurement(NamedTuple):
    """One cloud or depth image, and how it becomes depth in the camera."""

    stamp_ns: int
    received_ns: int
    depth_m: Callable[[], NDArray[np.float32] | None]  # (H, W)


Measurements = Generator[Measurement, None, None]


class StreamedTruth:
    """
    Measurements read beside the images, of which those around the present one are kept.

    :param read: gives the measurements that were received from a time on, in that order. The last
        iterator that it gave is closed before it is called again.
    """

    why_not: str | None = None

    def __init__(
        self,
        source: str,
        read: Callable[[int], Measurements],
        max_offset_s: float,
    ) -> None:
        self.source = source
        self.max_offset_s = max_offset_s
        self._max_offset_ns = round(max_offset_s * 1e9)
        self._read = read
        self._measurements: Measurements | None = None
        self._near: deque[Measurement] = deque()
        self._last_image_ns: int | None = None  # when it was received

    def depth_of(self, image: StampedImage) -> NDArray[np.float32] | None:
        """Return the depth measured nearest in time to an image; see ``Truth``."""
        last_ns = self._last_image_ns
        if last_ns is None or not 0 <= image.received_ns - last_ns <= FARTHEST_READ_ON_NS:
            self._seek(image)
        self._last_image_ns = image.received_ns
        while self._near and self._near[0].received_ns < image.received_ns - RECEIVED_WITHIN_NS:
            self._near.popleft()
        self._read_up_to(image)
        nearest = min(self._near, key=lambda m: abs(m.stamp_ns - image.stamp_ns), default=None)
        if nearest is None or abs(nearest.stamp_ns - image.stamp_ns) > self._max_offset_ns:
            return None
        return nearest.depth_m()

    def _seek(self, image: StampedImage) -> None:
        if self._measurements is not None:
            self._measurements.close()
        self._near.clear()
        self._measurements = self._read(image.received_ns - RECEIVED_WITHIN_NS)

    def _read_up_to(self, image: StampedImage) -> None:
        assert self._measurements is not None
        while not self._near or self._may_be_nearer(self._near[-1], image):
            measurement = next(self._measurements, None)
            if measurement is None:
                return
            self._near.append(measurement)

    def _may_be_nearer(self, last: Measurement, image: StampedImage) -> bool:
        """Tell whether something received after the last measurement may be nearer to an image."""
        if last.received_ns > image.received_ns + RECEIVED_WITHIN_NS:
            return False
        # Up to the image in any case: stamps may jump back, as in a bag that was looped.
        if last.received_ns <= image.received_ns:
            return True
        return last.stamp_ns < image.stamp_ns + self._max_offset_ns


class _SparseDepth(NamedTuple):
    """A sparse depth image, small enough to keep a few seconds of them."""

    pixels: NDArray[np.uint32]  # [N], indices into the flat image
    depth_m: NDArray[np.float32]  # [N]
    height: int
    width: int

    def dense(self) -> NDArray[np.float32]:
        """Return depth_m (H, W), 0 where nothing was measured."""
        depth_m = np.zeros(self.height * self.width, np.float32)
        depth_m[self.pixels] = self.depth_m
        return depth_m.reshape(self.height, self.width)


def lidar_truth(
    bag: Bag,
    camera: Intrinsics,
    camera_frame: str,
    topic: str | None = None,
    *,
    T_camera_lidar: NDArray[np.float64] | None = None,
    max_offset_s: float = MAX_OFFSET_S,
) -> Truth:
    """
    Project a bag's LiDAR into the camera.

    :param bag: opened for this alone: it is read while the images are read from another one.
    :param camera: of the original images, undistorted.
    :param camera_frame: their frame_id, an optical frame.
    :param topic: by default the bag's only PointCloud2.
    :param T_camera_lidar: (4, 4); None: what /tf_static and /tf say.
    :param max_offset_s: how far the stamps of an image and its cloud may lie apart.
    :raises UserError: where the named topic is missing, or several could be meant.
    """
    if topic is None and not bag.topics_of(CLOUD_TYPE):
        return NoTruth('The bag has no LiDAR (no sensor_msgs/msg/PointCloud2 topic).')
    first = next(bag.clouds(topic, only=(0,)), None)
    if first is None:
        return NoTruth(f'The LiDAR topic {topic} holds no message.')
    place: FrameToCamera
    if T_camera_lidar is not None:
        given = T_camera_lidar

        def place(stamp_ns: int) -> NDArray[np.float64] | None:
            return given
    else:
        connected = transforms_between(bag, camera_frame, first.frame_id)
        if connected is None:
            known = ', '.join(transformed_frames(bag)) or 'none'
            return NoTruth(
                f"The bag's /tf_static and /tf do not connect the LiDAR's frame "
                f'"{first.frame_id}" with the camera\'s "{camera_frame}" (frames there: {known}); '
                'tell where the LiDAR sits with --extrinsics.'
            )
        place = connected.at
    source = topic or bag.topics_of(CLOUD_TYPE)[0].name
    read = partial(_projected, bag, topic, first.frame_id, camera, place)
    return StreamedTruth(source, read, max_offset_s)


def _projected(
    bag: Bag,
    topic: str | None,
    frame_id: str,
    camera: Intrinsics,
    place: FrameToCamera,
    since_ns: int,
) -> Measurements:
    for cloud in bag.clouds(topic, since_ns=since_ns):
        T_camera_lidar = place(cloud.stamp_ns)
        if T_camera_lidar is None or cloud.frame_id != frame_id:
            continue
        depth_m = sparse_depth_image(cloud.points, camera, T_camera_lidar).reshape(-1)
        pixels = np.flatnonzero(depth_m)
        sparse = _SparseDepth(
            pixels.astype(np.uint32), depth_m[pixels], camera.height, camera.width
        )
        yield Measurement(cloud.stamp_ns, cloud.received_ns, sparse.dense)
