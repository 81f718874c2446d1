"""
From depth images of ROS to metres.

32FC1 is metres and 16UC1 millimetres (REP 118, ros.org/reps/rep-0118.html). ``compressedDepth`` is
a PNG behind a header of 12 bytes: an int32 that is unused, and two float32 by which 32-bit depth
was turned into 16-bit inverse depth (ros-perception/image_transport_plugins).
"""

import struct
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.image_encoding import MAX_PIXELS
from sg_depth_ros.image_encoding import ImageEncodingError
from sg_depth_ros.image_encoding import shown
from sg_depth_ros.image_header import size_by_header

_HEADER = struct.Struct('<iff')
_PIXELS = {'32FC1': 'f4', '16UC1': 'u2', 'mono16': 'u2'}


def is_depth_image(message: Any) -> bool:
    """Tell whether a sensor_msgs/Image is one of depth; ``mono16`` may also be a camera's."""
    return message.encoding in ('32FC1', '16UC1')


def decode_depth_image(message: Any) -> NDArray[np.float32]:
    """
    Turn a sensor_msgs/Image of encoding 32FC1, 16UC1 or mono16 into metres.

    :return: (H, W), 0 where nothing was measured (0, NaN or infinite in the message).
    :raises ImageEncodingError: for another encoding, or where the data does not fit the size.
    """
    kind = _PIXELS.get(message.encoding)
    if kind is None:
        raise ImageEncodingError(
            f'encoding {shown(message.encoding)} is no depth image; accepted: {", ".join(_PIXELS)}'
        )
    item = np.dtype(kind).newbyteorder('>' if message.is_bigendian else '<')
    height, width, step = int(message.height), int(message.width), int(message.step)
    data = np.frombuffer(message.data, np.uint8)
    if min(height, width) < 1 or step < width * item.itemsize or data.size < height * step:
        raise ImageEncodingError(
            f'{data.size} bytes with a step of {step} are no {width}x{height} {message.encoding}'
        )
    rows = data[: height * step].reshape(height, step)[:, : width * item.itemsize]
    return _metres(np.ascontiguousarray(rows).view(item))


def decode_compressed_depth_image(message: Any) -> NDArray[np.float32]:
    """
    Turn a sensor_msgs/CompressedImage of the transport ``compressedDepth`` (PNG) into metres.

    :return: (H, W), 0 where nothing was measured.
    :raises ImageEncodingError: where it is none, or damaged.
    """
    encoding, data = message.format.partition(';')[0].strip(), bytes(message.data)
    png = data[_HEADER.size :]
    if 'compressedDepth' not in message.format or not png.startswith(b'\x89PNG'):
        raise ImageEncodingError(
            f'compressed format {shown(message.format)} is no compressedDepth of PNG; record the '
            'raw depth topic, or this one with PNG'
        )
    width, height = size_by_header(png)
    if not 0 < width * height <= MAX_PIXELS or b'IEND' not in png[-64:]:
        raise ImageEncodingError('damaged or truncated PNG of a depth image')
    pixels = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16 or pixels.ndim != 2:
        raise ImageEncodingError('the PNG of a depth image is damaged or not of 16 bits')
    if encoding != '32FC1':
        return _metres(pixels)
    _, quantum, offset = _HEADER.unpack_from(data)
    with np.errstate(all='ignore'):
        depth_m = np.float32(quantum) / (pixels.astype(np.float32) - np.float32(offset))
    return _metres(np.where(pixels > 0, depth_m, np.float32(0)))


def _metres(pixels: NDArray[Any]) -> NDArray[np.float32]:
    depth_m = pixels.astype(np.float32)
    if pixels.dtype.kind == 'u':
        depth_m *= np.float32(1e-3)
    return np.where(np.isfinite(depth_m) & (depth_m > 0), depth_m, np.float32(0))
