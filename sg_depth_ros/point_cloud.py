"""
Depth, colour and labels to an organised point cloud, in the bytes of sensor_msgs/PointCloud2.

No ROS here: the node hands in the bytes of its message, so that a cloud is written once, in place.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import Intrinsics

POINT_DTYPE: 'np.dtype[np.void]' = np.dtype(
    [('x', '<f4'), ('y', '<f4'), ('z', '<f4'), ('rgb', '<f4')]
)
# The label has bytes of its own: in the spare byte of rgb it would change rgb's float.
LABELLED_POINT_DTYPE: 'np.dtype[np.void]' = np.dtype(
    [('x', '<f4'), ('y', '<f4'), ('z', '<f4'), ('rgb', '<f4'), ('label', 'u1'), ('', 'V3')]
)


class PointCloudBuilder:
    """
    Builds the organised cloud of one camera, as often as wanted, without allocating.

    Points lie in the camera's optical frame; a pixel without a finite positive depth is a point of
    NaN (REP 117), so that the cloud keeps the image's rows and columns.
    """

    def __init__(self, camera: Intrinsics, stride: int = 1, *, with_labels: bool = False) -> None:
        """
        Prepare the rays and the buffers.

        :param camera: of the depth image.
        :param stride: takes every stride-th row and column, beginning with the first.
        :param with_labels: gives every point a ``label`` behind its colour.
        """
        if stride < 1:
            raise ValueError(f'stride is {stride}, it must be 1 or more')
        self.camera = camera
        self.stride = stride
        self.dtype = LABELLED_POINT_DTYPE if with_labels else POINT_DTYPE
        rays = camera.rays()[::stride, ::stride]
        self.height, self.width = rays.shape[:2]
        # Two contiguous planes: striding over (H, W, 3) for each axis costs twice the time.
        self._ray_x = np.ascontiguousarray(rays[..., 0])
        self._ray_y = np.ascontiguousarray(rays[..., 1])
        # A plane for each four bytes of a point; writing fields with gaps costs twice the time.
        planes = np.zeros((self.point_step // 4, self.height, self.width), '<f4')
        self._x, self._y, self._z = planes[:3]
        self._packed = planes[3].view('<u4')
        self._bgra = planes[3].view(np.uint8).reshape(self.height, self.width, 4)
        self._labels = planes[4].view('<u4') if with_labels else None
        self._bits = tuple(planes.view(np.int32))
        self._nan = np.full((self.height, self.width), np.nan, '<f4')
        self._invalid = np.empty((self.height, self.width), np.bool_)
        self._part = np.empty_like(self._invalid)
        self._rgb = np.empty((self.height, self.width, 3), np.uint8)
        self._own = np.zeros(self.byte_count, np.uint8)

    @property
    def point_step(self) -> int:
        """Bytes of one point."""
        return int(self.dtype.itemsize)

    @property
    def byte_count(self) -> int:
        """Bytes of one cloud."""
        return int(self.height * self.width * self.point_step)

    def build(
        self,
        depth_m: NDArray[np.float32],
        image_rgb: NDArray[np.uint8],
        labels: NDArray[np.uint8] | None = None,
        out: NDArray[np.uint8] | None = None,
        hidden: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.void]:
        """
        Write the cloud of one depth image.

        :param depth_m: (H, W) metres along z; NaN, infinite and not positive mean no point.
        :param image_rgb: (H, W, 3), of the depth's size.
        :param labels: (H, W) class ids, exactly where the builder was made ``with_labels``.
        :param out: ``byte_count`` contiguous bytes to write into; by default the builder's own,
            which the next call overwrites.
        :param hidden: (H, W) pixels that make no point, such as flying ones.
        :return: a view (height, width) of the bytes with fields x, y, z, rgb (and label).
        :raises ValueError: where an array does not fit the camera.
        """
        self._check(depth_m, image_rgb, labels)
        buffer = self._own if out is None else out
        if buffer.dtype != np.uint8 or buffer.shape != (self.byte_count,):
            raise ValueError(f'out is {buffer.dtype} {buffer.shape}, not uint8 {self.byte_count}')
        s = self.stride
        np.copyto(self._z, depth_m[::s, ::s])
        np.greater(self._z, 0, out=self._invalid)
        np.less(self._z, np.inf, out=self._part)
        np.logical_and(self._invalid, self._part, out=self._invalid)
        np.logical_not(self._invalid, out=self._invalid)
        if hidden is not None:
            np.logical_or(self._invalid, hidden[::s, ::s], out=self._invalid)
        cv2.copyTo(_bits(self._nan), self._invalid.view(np.uint8), _bits(self._z))

        np.multiply(self._ray_x, self._z, out=self._x)
        np.multiply(self._ray_y, self._z, out=self._y)
        # PCL and RViz read rgb as the bytes b, g, r, 0 of a little-endian float.
        rgb = image_rgb
        if s > 1:  # OpenCV takes no gaps between pixels
            rgb = self._rgb
            np.copyto(rgb, image_rgb[::s, ::s])
        cv2.cvtColor(rgb, cv2.COLOR_RGB2BGRA, dst=self._bgra)
        np.bitwise_and(self._packed, 0x00FFFFFF, out=self._packed)
        if labels is not None and self._labels is not None:
            np.copyto(self._labels, labels[::s, ::s])
        points = buffer.view(np.int32).reshape(self.height, self.width, len(self._bits))
        cv2.merge(self._bits, dst=points)
        return buffer.view(self.dtype).reshape(self.height, self.width)

    def _check(
        self,
        depth_m: NDArray[np.float32],
        image_rgb: NDArray[np.uint8],
        labels: NDArray[np.uint8] | None,
    ) -> None:
        size = (self.camera.height, self.camera.width)
        if depth_m.shape != size or image_rgb.shape != (*size, 3):
            raise ValueError(
                f'depth {depth_m.shape} and image {image_rgb.shape} do not fit the camera {size}'
            )
        if (labels is not None) != (self.dtype is LABELLED_POINT_DTYPE):
            raise ValueError('labels go with a builder made with_labels, and only with one')
        if labels is not None and labels.shape != size:
            raise ValueError(f'labels {labels.shape} do not fit the camera {size}')


def _bits(array: NDArray[Any]) -> NDArray[np.int32]:
    """Return 32-bit numbers as OpenCV moves them about: without looking at what they mean."""
    return array.view(np.int32)
