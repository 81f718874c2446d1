"""Sizes read from headers alone."""

from contextlib import suppress

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sg_depth_ros.image_header import ImageHeaderError
from sg_depth_ros.image_header import size_by_header

FLAGS: dict[str, list[list[int]]] = {
    '.jpg': [[], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1], [cv2.IMWRITE_JPEG_RST_INTERVAL, 4]],
    '.png': [[]],
    '.tiff': [[]],
}
KINDS = [(suffix, flags) for suffix, variants in FLAGS.items() for flags in variants]


def encoded(suffix, width, height, flags=(), channels=3):
    image = np.zeros((height, width, channels), np.uint8)
    return cv2.imencode(suffix, image, list(flags))[1].tobytes()


@pytest.mark.parametrize(('suffix', 'flags'), KINDS)
@pytest.mark.parametrize('channels', [1, 3])
def test_width_and_height_are_what_was_written(suffix, flags, channels):
    assert size_by_header(encoded(suffix, 37, 21, flags, channels)) == (37, 21)


def test_a_thumbnail_is_not_the_image():
    thumbnail, data = encoded('.jpg', 8, 8), encoded('.jpg', 64, 48)
    segment = b'\xff\xe1' + (len(thumbnail) + 2).to_bytes(2, 'big') + thumbnail
    assert size_by_header(data[:2] + segment + data[2:]) == (64, 48)


def test_padding_and_rubbish_before_a_marker_are_skipped_as_decoders_do():
    data = encoded('.jpg', 64, 48)
    odd = data[:2] + b'\xff\xff' + data[3:]
    assert cv2.imdecode(np.frombuffer(odd, np.uint8), cv2.IMREAD_COLOR).shape == (48, 64, 3)
    assert size_by_header(odd) == (64, 48)


def test_a_big_endian_tiff_is_read():
    entries = [(256, 4, 60000), (257, 3, 1234 << 16)]
    body = b''.join(
        tag.to_bytes(2, 'big') + kind.to_bytes(2, 'big') + b'\0\0\0\1' + value.to_bytes(4, 'big')
        for tag, kind, value in entries
    )
    assert size_by_header(b'MM\0*\0\0\0\x08\0\x02' + body) == (60000, 1234)


@pytest.mark.parametrize('data', [b'', b'\xff\xd8', b'BM' + bytes(60), b'II+\0' + bytes(60)])
def test_other_kinds_are_refused(data):
    with pytest.raises(ImageHeaderError, match='JPEG, PNG, TIFF'):
        size_by_header(data)


def test_a_png_chunk_that_claims_more_than_there_is_is_refused():
    data = bytearray(encoded('.png', 64, 48))
    data[33:35] = b'\x7f\xff'
    with pytest.raises(ImageHeaderError, match='damaged PNG'):
        size_by_header(bytes(data))


@pytest.mark.parametrize('suffix', list(FLAGS))
def test_truncated_headers_are_refused(suffix):
    data = encoded(suffix, 64, 48)
    start = data.index(b'\xff\xc0') if suffix == '.jpg' else 0
    # OpenCV writes the directory of a TIFF behind the image.
    lengths = range(4, len(data), 97) if suffix == '.tiff' else range(4, start + 20)
    for length in lengths:
        with suppress(ImageHeaderError):
            assert size_by_header(data[:length]) == (64, 48)
    with pytest.raises(ImageHeaderError):
        size_by_header(data[:16])


@given(st.sampled_from(list(FLAGS)), st.data())
def test_damage_is_refused_or_survived(suffix, draw):
    data = bytearray(encoded(suffix, 16, 16))
    for _ in range(draw.draw(st.integers(1, 6))):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    with suppress(ImageHeaderError):
        size_by_header(bytes(data))
