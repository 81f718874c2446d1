"""Decoding received images: usual encodings by us, unusual ones by cv_bridge, errors named."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image

from sg_depth_ros.image_encoding import ACCEPTED_ENCODINGS
from sg_depth_ros.image_encoding import ImageEncodingError
from sg_depth_ros.node.topics.decoding import MessageDecoder

PREFIXES = [b'', b'\xff\xd8\xff', b'\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR', b'II*\0', b'MM\0*', b'BM']


def message(encoding, channels=3):
    data = np.arange(4 * 6 * channels, dtype=np.uint8)
    return SimpleNamespace(
        encoding=encoding, height=4, width=6, step=6 * channels, is_bigendian=0, data=data
    )


def decode(received):
    return MessageDecoder().decode(received)


def cv_bridge_that(answer):
    return SimpleNamespace(CvBridge=lambda: SimpleNamespace(imgmsg_to_cv2=answer))


def test_usual_encodings_need_no_cv_bridge(monkeypatch):
    monkeypatch.setitem(sys.modules, 'cv_bridge', None)
    assert decode(message('rgb8')).reshape(-1).tolist() == list(range(72))
    assert decode(message('bgr8'))[0, 0].tolist() == [2, 1, 0]


def test_unusual_encodings_are_left_to_cv_bridge(monkeypatch):
    asked = []
    picture = np.full((4, 6, 3), 7, np.uint8)

    def answer(received, encoding):
        asked.append((received.encoding, encoding))
        return picture

    monkeypatch.setitem(sys.modules, 'cv_bridge', cv_bridge_that(answer))
    assert decode(message('nv21', 1)) is picture
    assert asked == [('nv21', 'rgb8')]


@pytest.mark.parametrize('missing', [True, False])
def test_what_nobody_decodes_names_the_encoding(monkeypatch, missing):
    def refuse(received, encoding):
        raise KeyError(received.encoding)

    module = None if missing else cv_bridge_that(refuse)
    monkeypatch.setitem(sys.modules, 'cv_bridge', module)
    with pytest.raises(ImageEncodingError, match='no_such'):
        decode(message('no_such'))


def test_an_answer_of_another_size_is_refused(monkeypatch):
    half = cv_bridge_that(lambda received, encoding: np.zeros((2, 3, 3), np.uint8))
    monkeypatch.setitem(sys.modules, 'cv_bridge', half)
    with pytest.raises(ImageEncodingError, match='6x4'):
        decode(message('nv21', 1))


def test_the_installed_cv_bridge_refuses_in_words_not_with_a_traceback():
    pytest.importorskip('cv_bridge')
    with pytest.raises(ImageEncodingError, match='no_such'):
        decode(message('no_such'))


@pytest.mark.parametrize(
    'fields', [{'height': 0}, {'width': 0}, {'height': 6}, {'step': 2**32 - 1}, {'width': 2**31}]
)
def test_malformed_messages_never_reach_cv_bridge(monkeypatch, fields):
    def answer(received, encoding):
        raise AssertionError('cv_bridge was asked')

    monkeypatch.setitem(sys.modules, 'cv_bridge', cv_bridge_that(answer))
    with pytest.raises(ImageEncodingError, match=r'malformed|empty'):
        decode(SimpleNamespace(**{**vars(message('nv21', 1)), **fields}))


def test_long_names_of_encodings_are_shortened():
    with pytest.raises(ImageEncodingError) as raised:
        decode(message('x' * 10**6))
    assert len(str(raised.value)) < 1000


def test_memory_is_kept_from_image_to_image():
    decoder = MessageDecoder()
    first = decoder.decode(message('bgr8'))
    assert decoder.decode(message('rgba8', 4)) is first
    assert decoder.decode(message('mono8', 1)) is first
    received = message('rgb8')
    assert np.shares_memory(decoder.decode(received), received.data)
    # What was handed out of a message is not written to by the next.
    before = received.data.copy()
    decoder.decode(message('bgr8'))
    np.testing.assert_array_equal(received.data, before)


SIZES = st.one_of(st.integers(0, 9), st.sampled_from([2**16, 2**31, 2**32 - 1]))
STEPS = st.one_of(st.integers(0, 40), st.sampled_from([2**31, 2**32 - 1]))


@given(
    st.one_of(
        st.sampled_from([*ACCEPTED_ENCODINGS, '32FC1', 'nv21', '8SC3']), st.text(max_size=9)
    ),
    SIZES,
    SIZES,
    STEPS,
    st.integers(0, 255),
    st.binary(max_size=400),
)
def test_any_image_message_is_decoded_or_refused_in_words(
    encoding, height, width, step, is_bigendian, data
):
    received = Image(height=height, width=width, step=step, is_bigendian=is_bigendian)
    received.encoding = encoding
    received.data.frombytes(data)
    try:
        rgb = decode(received)
    except ImageEncodingError:
        return
    assert rgb.shape == (height, width, 3) and rgb.dtype == np.uint8
    assert rgb.flags.c_contiguous and step * (height - 1) <= len(data)


@given(st.text(max_size=30), st.binary(max_size=200), st.sampled_from(PREFIXES))
def test_any_compressed_message_is_decoded_or_refused_in_words(text, data, prefix):
    received = CompressedImage(format=text)
    received.data.frombytes(prefix + data)
    with pytest.raises(ImageEncodingError):
        decode(received)
