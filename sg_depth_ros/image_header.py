"""
The size of a compressed image by its header alone, before anything is decoded.

A few bytes can claim an image of 60000x60000, for which a decoder would take gigabytes.
"""

import struct
from typing import NamedTuple

from sg_depth_ros.errors import UserError

JPEG_SIGNATURE = b'\xff\xd8\xff'
PNG_SIGNATURE = b'\x89PNG\r\n\x1a\n'
TIFF_SIGNATURES = (b'II*\x00', b'MM\x00*')

# JPEG, ISO 10918-1 table B.1: frames that decoders know, and markers without a length.
_START_OF_FRAME = frozenset({0xC0, 0xC1, 0xC2})
_OTHER_FRAMES = frozenset({0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
_START_OF_SCAN = 0xDA

# TIFF 6.0, section 8: tags, and the formats of their values.
_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257
_TIFF_TYPES: dict[int, str] = {3: 'H', 4: 'I'}


class ImageHeaderError(UserError):
    """The header is of no known kind, or damaged."""


class ImageSize(NamedTuple):
    """Width and height in pixels."""

    width: int
    height: int


def size_by_header(data: bytes) -> ImageSize:
    """
    Read the size of a JPEG, PNG or TIFF image: what image_transport compresses with.

    :raises ImageHeaderError: for any other kind and for damaged headers.
    """
    try:
        if data.startswith(JPEG_SIGNATURE):
            return _jpeg_size(data)
        if data.startswith(PNG_SIGNATURE):
            return _png_size(data)
        if data.startswith(TIFF_SIGNATURES):
            return _tiff_size(data)
    except (struct.error, IndexError) as error:
        raise ImageHeaderError('truncated or damaged image header') from error
    raise ImageHeaderError('empty, damaged or unknown image data; accepted: JPEG, PNG, TIFF')


def _png_size(data: bytes) -> ImageSize:
    if data[12:16] != b'IHDR':
        raise ImageHeaderError('damaged PNG header')
    # OpenCV sets aside what a chunk claims to hold, up to 2 GB, before it looks for it.
    at, kind = len(PNG_SIGNATURE), b''
    while kind != b'IEND':
        length, kind = struct.unpack_from('>I4s', data, at)
        at += 12 + length
        if at > len(data):
            raise ImageHeaderError('truncated or damaged PNG image')
    return ImageSize(*struct.unpack_from('>II', data, 16))


def _jpeg_size(data: bytes) -> ImageSize:
    at = 2
    while True:
        # As libjpeg does: whatever lies before a marker is skipped, any number of FF lead to it.
        at = data.find(b'\xff', at)
        if at < 0:
            raise ImageHeaderError('truncated JPEG image')
        while data[at] == 0xFF:
            at += 1
        marker = data[at]
        at += 1
        if marker in _START_OF_FRAME:
            height, width = struct.unpack_from('>HH', data, at + 3)
            return ImageSize(width, height)
        if marker in _OTHER_FRAMES or marker == _START_OF_SCAN:
            raise ImageHeaderError(f'JPEG image of a kind that is not supported ({marker:#x})')
        if marker and marker not in _WITHOUT_LENGTH:
            at += struct.unpack_from('>H', data, at)[0]


def _tiff_size(data: bytes) -> ImageSize:
    order = '<' if data.startswith(b'II') else '>'
    (at,) = struct.unpack_from(f'{order}I', data, 4)
    (count,) = struct.unpack_from(f'{order}H', data, at)
    values = {_TIFF_WIDTH: 0, _TIFF_HEIGHT: 0}
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind = struct.unpack_from(f'{order}HH', data, entry)
        if tag in values and kind in _TIFF_TYPES:
            (value,) = struct.unpack_from(f'{order}{_TIFF_TYPES[kind]}', data, entry + 8)
            values[tag] = max(values[tag], value)
    return ImageSize(values[_TIFF_WIDTH], values[_TIFF_HEIGHT])
