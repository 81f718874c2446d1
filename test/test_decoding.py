"""Decoding received images: usual encodings by us, unusual ones by cv_bridge, errors named."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from sg_depth_ros.image_encoding import ImageEncodingError
from sg_depth_ros.node.decoding import decode


def message(encoding, channels=3):
    data = np.arange(4 * 6 * channels, dtype=np.uint8)
    return SimpleNamespace(
        encoding=encoding, height=4, width=6, step=6 * channels, is_bigendian=0, data=data
    )


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
