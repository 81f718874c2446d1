"""
From ROS image messages to RGB arrays, without ROS.

Works on any object with the fields of sensor_msgs/Image or CompressedImage, so on messages of
rclpy and of rosbags alike. Encodings: sensor_msgs/image_encodings.hpp.
"""

from typing import Any
from typing import NamedTuple
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.errors import UserError
from sg_depth_ros.image_header import JPEG_SIGNATURE
from sg_depth_ros.image_header import size_by_header

MAX_PIXELS = 1 << 26  # of a compressed image: 67 million, 200 MB once decoded
# Deflate shrinks to no less than a 1032nd (zlib.net/zlib_tech.html), JPEG to no less than that.
MAX_PIXELS_PER_BYTE = 1100
LONGEST_SHOWN = 40  # characters of a message's own text in an error

# OpenCV 4.11 and later decode JPEG to RGB at once, which saves a pass.
_JPEG_TO_RGB: int | None = getattr(cv2, 'IMREAD_COLOR_RGB', None)


class ImageEncodingError(UserError):
    """An image message that cannot be turned into RGB: encoding, size or data are wrong."""


class ImageMessage(Protocol):
    """The fields of sensor_msgs/Image that decoding reads."""

    height: int
    width: int
    encoding: str
    is_bigendian: Any  # bool or 0/1
    step: int
    data: Any  # bytes, array.array or ndarray of uint8


class CompressedImageMessage(Protocol):
    """The fields of sensor_msgs/CompressedImage that decoding reads."""

    format: str
    data: Any  # bytes, array.array or ndarray of uint8


class _Layout(NamedTuple):
    """How an encoding lies in memory and what makes it RGB."""

    channels: int
    bytes_per_channel: int
    to_rgb: int | None  # OpenCV conversion, None: it is RGB already


# OpenCV names a Bayer pattern by its second row, ROS by its first: rggb is OpenCV's BG.
_LAYOUTS: dict[str, _Layout] = {
    'rgb8': _Layout(3, 1, None),
    'bgr8': _Layout(3, 1, cv2.COLOR_BGR2RGB),
    'rgba8': _Layout(4, 1, cv2.COLOR_RGBA2RGB),
    'bgra8': _Layout(4, 1, cv2.COLOR_BGRA2RGB),
    'rgb16': _Layout(3, 2, None),
    'bgr16': _Layout(3, 2, cv2.COLOR_BGR2RGB),
    'rgba16': _Layout(4, 2, cv2.COLOR_RGBA2RGB),
    'bgra16': _Layout(4, 2, cv2.COLOR_BGRA2RGB),
    'mono8': _Layout(1, 1, cv2.COLOR_GRAY2RGB),
    'mono16': _Layout(1, 2, cv2.COLOR_GRAY2RGB),
    # Unnamed channels are what OpenCV programs publish: gray, BGR, BGRA.
    '8UC1': _Layout(1, 1, cv2.COLOR_GRAY2RGB),
    '8UC3': _Layout(3, 1, cv2.COLOR_BGR2RGB),
    '8UC4': _Layout(4, 1, cv2.COLOR_BGRA2RGB),
    'bayer_rggb8': _Layout(1, 1, cv2.COLOR_BayerBG2RGB),
    'bayer_bggr8': _Layout(1, 1, cv2.COLOR_BayerRG2RGB),
    'bayer_gbrg8': _Layout(1, 1, cv2.COLOR_BayerGR2RGB),
    'bayer_grbg8': _Layout(1, 1, cv2.COLOR_BayerGB2RGB),
    'bayer_rggb16': _Layout(1, 2, cv2.COLOR_BayerBG2RGB),
    'bayer_bggr16': _Layout(1, 2, cv2.COLOR_BayerRG2RGB),
    'bayer_gbrg16': _Layout(1, 2, cv2.COLOR_BayerGR2RGB),
    'bayer_grbg16': _Layout(1, 2, cv2.COLOR_BayerGB2RGB),
    'yuv422': _Layout(2, 1, cv2.COLOR_YUV2RGB_UYVY),
    'uyvy': _Layout(2, 1, cv2.COLOR_YUV2RGB_UYVY),
    'yuv422_yuy2': _Layout(2, 1, cv2.COLOR_YUV2RGB_YUY2),
    'yuyv': _Layout(2, 1, cv2.COLOR_YUV2RGB_YUY2),
}
ACCEPTED_ENCODINGS: tuple[str, ...] = tuple(_LAYOUTS)


class ImageDecoder:
    """Turns sensor_msgs/Image into RGB, in memory that is kept while the size stays."""

    def __init__(self) -> None:
        self._rgb = np.empty((0, 0, 3), np.uint8)

    def decode(self, message: ImageMessage) -> NDArray[np.uint8]:
        """
        Turn an image into RGB.

        :param message: rows may be padded; 16-bit encodings keep their upper eight bits.
        :return: RGB (H, W, 3), contiguous, valid until the next call. Of unpadded rgb8 it is the
            message's own memory and may be read-only.
        :raises ImageEncodingError: for an unknown encoding, an empty image, or too little data.
        """
        layout = _LAYOUTS.get(message.encoding)
        if layout is None:
            raise ImageEncodingError(
                f'image encoding {shown(message.encoding)} is not supported; '
                f'accepted: {", ".join(ACCEPTED_ENCODINGS)}'
            )
        pixels = _pixels(message, layout)
        if layout.to_rgb is None and pixels.flags.c_contiguous:
            return pixels
        shape = (int(message.height), int(message.width), 3)
        if self._rgb.shape != shape:
            self._rgb = np.empty(shape, np.uint8)
        if layout.to_rgb is None:
            np.copyto(self._rgb, pixels)
            return self._rgb
        try:
            cv2.cvtColor(pixels, layout.to_rgb, dst=self._rgb)
        except cv2.error as error:  # such as an odd width of 4:2:2, or a Bayer image of one row
            raise ImageEncodingError(
                f'{message.width}x{message.height} image of encoding {message.encoding!r} '
                f'cannot be converted to RGB ({error.err})'
            ) from error
        return self._rgb


def decode_image(message: ImageMessage) -> NDArray[np.uint8]:
    """
    Turn a sensor_msgs/Image into RGB, as ``ImageDecoder.decode``.

    :return: RGB (H, W, 3), contiguous. For unpadded rgb8 it shares the message's memory and may be
        read-only.
    :raises ImageEncodingError: for an unknown encoding, an empty image, or data that is too short.
    """
    return ImageDecoder().decode(message)


def decode_compressed_image(message: CompressedImageMessage) -> NDArray[np.uint8]:
    """
    Turn a sensor_msgs/CompressedImage (JPEG, PNG or TIFF) into RGB.

    :return: RGB (H, W, 3), owned by the caller.
    :raises ImageEncodingError: for depth transports, damaged or truncated data, and headers that
        claim more than ``MAX_PIXELS`` or than the data can hold.
    """
    if 'compressedDepth' in message.format:
        raise ImageEncodingError(
            f'compressed format {shown(message.format)} is a depth image; name the colour topic'
        )
    data = bytes(message.data)
    try:
        width, height = size_by_header(data)
        if not 0 < width * height <= min(MAX_PIXELS, MAX_PIXELS_PER_BYTE * len(data)):
            raise ImageEncodingError(
                f'its header claims {width}x{height} pixels in {len(data)} bytes'
            )
        return decode_image_file(data)
    except UserError as error:
        raise ImageEncodingError(f'compressed format {shown(message.format)}: {error}') from error


def decode_image_file(data: bytes, upright: bool = False) -> NDArray[np.uint8]:
    """
    Decode the bytes of a JPEG, PNG or other image file into RGB.

    :param upright: turn it as its EXIF data say, as viewers do; else as the sensor saw it.
    :return: RGB (H, W, 3); gray and 16-bit images are converted.
    :raises ImageEncodingError: where the data is no image or ends early.
    """
    is_jpeg = data.startswith(JPEG_SIGNATURE)
    # OpenCV fills what is missing of a truncated file with gray and does not say so.
    if is_jpeg and data.rfind(b'\xff\xd9') < data.rfind(b'\xff\xda'):
        raise ImageEncodingError('truncated JPEG image')
    if data.startswith(b'\x89PNG') and b'IEND' not in data[-64:]:
        raise ImageEncodingError('truncated PNG image')
    to_rgb = _JPEG_TO_RGB if is_jpeg else None
    flags = cv2.IMREAD_COLOR if to_rgb is None else to_rgb
    flags |= 0 if upright else cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
        if image is not None and to_rgb is None:
            image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)  # OpenCV 4.5.4: not of a single pixel
    except cv2.error as error:
        raise ImageEncodingError(f'damaged image ({error.err})') from error
    if image is None:
        raise ImageEncodingError('empty, damaged or unknown image data')
    return np.asarray(image, np.uint8)


def shown(text: str) -> str:
    """Return what a message says of itself, short enough for a log."""
    return repr(text) if len(text) <= LONGEST_SHOWN else f'{text[:LONGEST_SHOWN]!r}...'


def _pixels(message: ImageMessage, layout: _Layout) -> NDArray[np.uint8]:
    """Return the image as (H, W) or (H, W, C), eight bits per channel."""
    height, width, step = int(message.height), int(message.width), int(message.step)
    if height <= 0 or width <= 0:
        raise ImageEncodingError(f'image of size {width}x{height} is empty')
    row_bytes = width * layout.channels * layout.bytes_per_channel
    if step < row_bytes:
        raise ImageEncodingError(
            f'image step of {step} bytes is shorter than a row of {width} pixels of '
            f'{message.encoding!r} ({row_bytes} bytes)'
        )
    # The last row's padding may be left out.
    needed, there = step * (height - 1) + row_bytes, len(message.data)
    if there < needed:
        raise ImageEncodingError(
            f'image data ends early: {there} bytes, not the {needed} of '
            f'{width}x{height} {message.encoding!r} with a step of {step}'
        )
    data = np.frombuffer(message.data, np.uint8)
    channels, size = layout.channels, layout.bytes_per_channel
    strides = (step, channels * size, size)
    if size == 2 and not message.is_bigendian:
        data = data[1:]  # the upper byte comes second
    shape = (height, width, channels)
    pixels = np.lib.stride_tricks.as_strided(data, shape, strides, writeable=False)
    pixels = pixels[..., 0] if channels == 1 else pixels
    # OpenCV takes padded rows as they are, but no gaps between pixels.
    return pixels if size == 1 else np.ascontiguousarray(pixels)
