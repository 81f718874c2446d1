"""Measured depth for a camera's images, from the LiDAR of the same bag."""

import bisect
from dataclasses import dataclass
from dataclasses import field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.bags.bag import CLOUD_TYPE
from sg_depth_ros.bags.bag import Bag
from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.camera import sparse_depth_image

# At 15 m/s a vehicle moves 0.3 m in this time; a LiDAR at 10 Hz is never exactly simultaneous.
MAX_OFFSET_S = 0.02


class _SparseDepth(NamedTuple):
    """A sparse depth image, small enough to keep one per frame of a long drive."""

    pixels: NDArray[np.uint32]  # [N], indices into the flat image
    depth_m: NDArray[np.float32]  # [N]


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """
    The projected clouds of a bag, by stamp.

    :param why_not: where there is none: the reason, in one sentence for people.
    """

    source: str = ''
    why_not: str | None = None
    height: int = 0
    width: int = 0
    max_offset_ns: int = 0
    stamps_ns: tuple[int, ...] = ()  # ascending
    clouds: tuple[_SparseDepth, ...] = field(default=(), repr=False)

    def depth_at(self, stamp_ns: int) -> NDArray[np.float32] | None:
        """
        Return the depth measured at a stamp, or None where no cloud is near enough in time.

        :return: depth_m (H, W) at the original image's size, 0 where nothing was measured.
        """
        place = bisect.bisect_left(self.stamps_ns, stamp_ns)
        near = [i for i in (place - 1, place) if 0 <= i < len(self.stamps_ns)]
        if not near:
            return None
        nearest = min(near, key=lambda i: abs(self.stamps_ns[i] - stamp_ns))
        if abs(self.stamps_ns[nearest] - stamp_ns) > self.max_offset_ns:
            return None
        depth_m = np.zeros(self.height * self.width, np.float32)
        depth_m[self.clouds[nearest].pixels] = self.clouds[nearest].depth_m
        return depth_m.reshape(self.height, self.width)


def lidar_ground_truth(
    bag: Bag,
    camera: Intrinsics,
    camera_frame: str,
    lidar_topic: str | None = None,
    max_offset_s: float = MAX_OFFSET_S,
) -> GroundTruth:
    """
    Project a bag's LiDAR into the camera through /tf_static.

    :param camera: of the original images.
    :param camera_frame: their frame_id, an optical frame.
    :param lidar_topic: by default the bag's only PointCloud2.
    :param max_offset_s: how far the stamps of an image and its cloud may lie apart.
    :raises UserError: where the named topic is missing, or several could be meant.
    """
    if lidar_topic is None and not bag.topics_of(CLOUD_TYPE):
        return GroundTruth(why_not='The bag has no LiDAR (no sensor_msgs/msg/PointCloud2 topic).')
    transforms = bag.static_transforms()
    sparse: dict[int, _SparseDepth] = {}
    for cloud in bag.clouds(lidar_topic):
        T_camera_lidar = transforms.lookup(camera_frame, cloud.frame_id)
        if T_camera_lidar is None:
            known = ', '.join(transforms.frames) or 'none'
            return GroundTruth(
                why_not=f"The bag's /tf_static does not connect the LiDAR's frame "
                f'"{cloud.frame_id}" with the camera\'s "{camera_frame}" (frames there: {known}).'
            )
        depth_m = sparse_depth_image(cloud.points, camera, T_camera_lidar).reshape(-1)
        pixels = np.flatnonzero(depth_m)
        sparse[cloud.stamp_ns] = _SparseDepth(pixels.astype(np.uint32), depth_m[pixels])
    stamps_ns = tuple(sorted(sparse))
    return GroundTruth(
        source=lidar_topic or bag.topics_of(CLOUD_TYPE)[0].name,
        height=camera.height,
        width=camera.width,
        max_offset_ns=round(max_offset_s * 1e9),
        stamps_ns=stamps_ns,
        clouds=tuple(sparse[s] for s in stamps_ns),
    )
