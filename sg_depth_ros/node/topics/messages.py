"""
Arrays to messages without copies: messages kept for the node's life, written in place.

Assigning ``msg.data`` converts element by element (276 ms for an ndarray of 2.8 MB); a message
whose array.array is seen through ``np.frombuffer`` is written at memory speed.
"""

import array
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import Image
from sensor_msgs.msg import PointCloud2
from sensor_msgs.msg import PointField
from std_msgs.msg import Header

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.contract import ModelContract
from sg_depth_ros.point_cloud import PointCloudBuilder


class ImageBuffer:
    """
    A sensor_msgs/Image and the array that its bytes are.

    :param encoding: of sensor_msgs/image_encodings.hpp, which ``dtype`` and ``channels`` must fit.
    """

    def __init__(self, encoding: str, dtype: type[np.generic], channels: int = 1) -> None:
        self.message = Image(encoding=encoding, is_bigendian=int(sys.byteorder == 'big'))
        self._dtype = np.dtype(dtype)
        self._channels = channels
        self._pixels: NDArray[Any] | None = None

    def pixels(self, height: int, width: int) -> NDArray[Any]:
        """
        Return the array to write the image into, kept while the size stays.

        :return: (H, W) or (H, W, C).
        """
        shape = (height, width) if self._channels == 1 else (height, width, self._channels)
        if self._pixels is None or self._pixels.shape != shape:
            self._pixels = self._allocate(shape)
        return self._pixels

    def fill(self, pixels: NDArray[np.generic], header: Header) -> Image:
        """
        Write an image (H, W) or (H, W, C) and its header into the message.

        :return: the message, valid until the next call.
        """
        np.copyto(self.pixels(*pixels.shape[:2]), pixels)
        self.message.header = header
        return self.message

    def _allocate(self, shape: tuple[int, ...]) -> NDArray[Any]:
        height, width = shape[:2]
        step = width * self._channels * self._dtype.itemsize
        message = self.message
        message.height, message.width, message.step = height, width, step
        message.data = array.array('B', bytes(height * step))
        # The setter copies, so it is the message's own array that is written from now on.
        return np.frombuffer(message.data, self._dtype).reshape(shape)


class CloudBuffer:
    """A sensor_msgs/PointCloud2 and the builder that writes into it."""

    def __init__(self, builder: PointCloudBuilder) -> None:
        self._builder = builder
        self.message = PointCloud2(
            height=builder.height,
            width=builder.width,
            fields=_point_fields(builder.dtype),
            is_bigendian=False,
            point_step=builder.point_step,
            row_step=builder.point_step * builder.width,
            is_dense=False,
            data=array.array('B', bytes(builder.byte_count)),
        )
        self._bytes = np.frombuffer(self.message.data, np.uint8)

    def fill(
        self,
        depth_m: NDArray[np.float32],
        image_rgb: NDArray[np.uint8],
        labels: NDArray[np.uint8] | None,
        header: Header,
        hidden: NDArray[np.bool_] | None = None,
    ) -> PointCloud2:
        """
        Write the cloud of a depth image, as ``PointCloudBuilder.build``.

        :return: the message, valid until the next call.
        """
        self._builder.build(depth_m, image_rgb, labels, self._bytes, hidden)
        self.message.header = header
        return self.message


def camera_info_message(camera: Intrinsics, header: Header) -> CameraInfo:
    """Return the info of a rectified image: D zero, R identity, P of K."""
    fx, fy, cx, cy = camera.fx, camera.fy, camera.cx, camera.cy
    return CameraInfo(
        header=header,
        width=camera.width,
        height=camera.height,
        distortion_model='plumb_bob',
        d=[0.0] * 5,
        k=[fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0],
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
    )


def label_info_message(contract: ModelContract, header: Header) -> Any:
    """
    Return the names of the class ids as vision_msgs/LabelInfo, None where that is not installed.

    Id 255, a pixel of no class, is not in the list: the message's definition keeps it for that.
    """
    try:
        # Late: vision_msgs is optional, and whoever runs without it should not notice.
        from vision_msgs.msg import LabelInfo
        from vision_msgs.msg import VisionClass
    except ImportError:
        return None
    classes = [
        VisionClass(class_id=number, class_name=name)
        for number, name in enumerate(contract.class_names)
    ]
    return LabelInfo(header=header, class_map=classes, threshold=0.0)


def _point_fields(dtype: 'np.dtype[np.void]') -> list[PointField]:
    kinds = {np.dtype('<f4'): PointField.FLOAT32, np.dtype('u1'): PointField.UINT8}
    assert dtype.fields is not None
    entries = [(name, entry[0], entry[1]) for name, entry in dtype.fields.items()]
    return [  # padding has a kind of its own and no field
        PointField(name=name, offset=offset, datatype=kinds[kind], count=1)
        for name, kind, offset in entries
        if kind in kinds
    ]
