"""Hypothesis strategies of image and camera_info messages that nobody should send."""

from typing import Any
from typing import NamedTuple

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from hypothesis import strategies as st
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image
from sensor_msgs.msg import RegionOfInterest
from std_msgs.msg import Header

from sg_depth_ros.image_encoding import ACCEPTED_ENCODINGS

UINT32 = 2**32 - 1
# Of an image's data: a batch must not overrun the shared memory of Fast DDS, half a megabyte.
MOST_BYTES = 20_000
UNUSUAL_ENCODINGS = (
    '', 'RGB8', 'rgb8 ', 'rgb', '8UC2', '8SC3', '16UC1', '16UC3', '16SC1', '32FC1', '32FC3',
    '32SC4', '64FC1', '64FC4', 'bayer_rggb', 'nv12', 'nv21', 'nv24', '12UC7', '8UC999999999999',
    '%s%n', 'mono8; compressedDepth', '\u6df1\u3055',
)  # fmt: skip
FORMATS = (
    'jpeg', 'png', 'rgb8; jpeg compressed bgr8', 'bgr8; png compressed bgr8', '', 'tiff', 'h264',
    '16UC1; compressedDepth png', 'mono8; jpeg compressed ',
)  # fmt: skip
MODELS = ('plumb_bob', 'rational_polynomial', 'equidistant', 'fisheye', 'thin_prism', '', 'x' * 99)

text = st.text(st.characters(codec='utf-8', exclude_characters='\0'), max_size=12)
sizes = st.one_of(st.integers(0, 80), st.sampled_from([2**15, 2**16, 2**31, UINT32]))
numbers = st.sampled_from(
    [0.0, 1.0, -1.0, 0.5, 31.5, 64.0, 1e-300, 1e-9, 1e9, 1e300, -1e300, -0.0, 5e-324]
    + [float('nan'), float('inf'), -float('inf')]
)


class Stamped(NamedTuple):
    """A header: stamps go back and forth, and are no times at all."""

    sec: int
    nanosec: int
    frame_id: str

    def header(self) -> Header:
        return Header(stamp=Time(sec=self.sec, nanosec=self.nanosec), frame_id=self.frame_id)


headers = st.builds(
    Stamped,
    st.one_of(st.integers(-(2**31), 2**31 - 1), st.integers(0, 200)),
    st.integers(8, UINT32),  # a good image has 7
    st.one_of(st.just('front_camera_optical'), st.just(''), text),
)


def noise(length: int, seed: int) -> bytes:
    return np.random.default_rng(seed).integers(0, 256, length, np.uint8).tobytes()


class BadImage(NamedTuple):
    """An Image whose size, step, encoding and data need not agree."""

    width: int
    height: int
    encoding: str
    is_bigendian: int
    step: int  # beside the one that the size asks for; a huge one is taken as it is
    length: int  # of the data, likewise
    seed: int
    header: Stamped

    def message(self) -> Image:
        row = self.width * (1 if 'mono8' in self.encoding or 'bayer' in self.encoding else 3)
        step = self.step if self.step > 2**16 else max(0, min(row + self.step, UINT32))
        length = max(0, min(step * self.height + self.length, MOST_BYTES))
        message = Image(
            header=self.header.header(),
            width=self.width,
            height=self.height,
            encoding=self.encoding,
            is_bigendian=self.is_bigendian,
            step=step,
        )
        message.data.frombytes(noise(length, self.seed))
        return message


bad_images = st.builds(
    BadImage,
    sizes,
    sizes,
    st.one_of(st.sampled_from(ACCEPTED_ENCODINGS), st.sampled_from(UNUSUAL_ENCODINGS), text),
    st.sampled_from([0, 1, 255]),
    st.one_of(st.just(0), st.integers(-400, 400), st.sampled_from([2**31, UINT32])),
    st.one_of(st.just(0), st.integers(-5000, 500), st.just(-MOST_BYTES)),
    st.integers(0, 99),
    headers,
)


class BadCompressedImage(NamedTuple):
    """A picture file that is cut, garbled, or lies about its size."""

    kind: str
    width: int
    height: int
    channels: int
    keep: float  # the share of the file that is sent
    garbled: tuple[tuple[float, int], ...]  # where, and what is put there
    claims: int  # width and height that the header claims; 0: the true ones
    format: str
    header: Stamped

    def message(self) -> CompressedImage:
        data = bytearray(_file(self.kind, self.width, self.height, self.channels))
        if self.claims:
            _claim(data, self.kind, self.claims)
        for share, value in self.garbled:
            data[int(share * (len(data) - 1))] = value
        message = CompressedImage(header=self.header.header(), format=self.format)
        message.data.frombytes(bytes(data[: int(self.keep * len(data))]))
        return message


def _file(kind: str, width: int, height: int, channels: int) -> bytes:
    if kind == 'noise':
        return noise(1 + width * height, width)
    shape = (height, width, channels) if channels > 1 else (height, width)
    pixels = np.frombuffer(noise(height * width * channels, height), np.uint8).reshape(shape)
    return bytes(cv2.imencode(kind, pixels)[1])


def _claim(data: bytearray, kind: str, size: int) -> None:
    """Write another size into the header of a PNG, JPEG or BMP file."""
    if kind == '.png':
        data[16:24] = size.to_bytes(4, 'big') * 2
    elif kind == '.bmp':
        data[18:26] = size.to_bytes(4, 'little') * 2
    elif kind == '.jpg':
        frame = data.find(b'\xff\xc0')
        data[frame + 5 : frame + 9] = (size & 0xFFFF).to_bytes(2, 'big') * 2


bad_compressed_images = st.builds(
    BadCompressedImage,
    st.sampled_from(['.jpg', '.jpg', '.png', '.bmp', '.webp', '.tiff', 'noise']),
    st.integers(1, 130),
    st.integers(1, 70),
    st.sampled_from([1, 3]),
    st.one_of(st.just(1.0), st.floats(0, 1)),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=4).map(tuple),
    st.sampled_from([0, 0, 0, 1, 20_000, 30_000, 60_000, 2**31 - 1]),
    st.sampled_from(FORMATS),
    headers,
)


def numbers_in(count: int) -> st.SearchStrategy[list[float]]:
    return st.lists(numbers, min_size=count, max_size=count)


class BadInfo(NamedTuple):
    """A CameraInfo: that of a good camera with some fields replaced by anything."""

    replaced: tuple[str, ...]
    width: int
    height: int
    distortion_model: str
    d: list[float]
    k: list[float]
    r: list[float]
    p: list[float]
    binning: tuple[int, int]
    region: tuple[int, int, int, int]
    header: Stamped

    def message(self) -> CameraInfo:
        fields: dict[str, Any] = {
            'width': 128,
            'height': 64,
            'distortion_model': 'plumb_bob',
            'd': [0.0] * 5,
            'k': [64.0, 0.0, 63.5, 0.0, 64.0, 31.5, 0.0, 0.0, 1.0],
            'r': [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
            'p': [64.0, 0.0, 63.5, 0.0, 0.0, 64.0, 31.5, 0.0, 0.0, 0.0, 1.0, 0.0],
        }
        for name in self.replaced:
            if name == 'binning':
                fields |= {'binning_x': self.binning[0], 'binning_y': self.binning[1]}
            elif name == 'roi':
                x, y, width, height = self.region
                fields['roi'] = RegionOfInterest(
                    x_offset=x, y_offset=y, width=width, height=height
                )
            else:
                fields[name] = getattr(self, name)
        return CameraInfo(header=self.header.header(), **fields)


REPLACEABLE = ('width', 'height', 'distortion_model', 'd', 'k', 'r', 'p', 'binning', 'roi')
bad_infos = st.builds(
    BadInfo,
    st.lists(st.sampled_from(REPLACEABLE), max_size=4, unique=True).map(tuple),
    sizes,
    sizes,
    st.sampled_from(MODELS),
    st.integers(0, 16).flatmap(numbers_in),
    numbers_in(9),
    numbers_in(9),
    numbers_in(12),
    st.tuples(st.sampled_from([0, 1, 2, 3, 1000, UINT32]), st.sampled_from([0, 1, 2, UINT32])),
    st.tuples(sizes, sizes, sizes, sizes),
    headers,
)
