"""A stored self-test that is damaged, of another size or a trap is refused."""

import base64
import json
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest
from described_contract import document
from described_contract import refusal

from sg_depth_ros.contract import contract_from_json


def with_self_test(**changes):
    changed = document()
    changed['self_test'].update(changes)
    return changed


DEPTH = np.full((16, 24), 3.0, '<f2').tobytes()


def packed(content):
    return base64.b64encode(content).decode()


@pytest.mark.parametrize(
    'changes',
    [
        {'image_png': 'no base64!'},
        {'image_png': packed(b'no PNG')},
        {'image_png': packed(b'')},
        {'image_png': 7},
        {'depth_m_f16_zlib': packed(b'not compressed')},
        {'depth_m_f16_zlib': packed(b'')},
        {'depth_m_f16_zlib': packed(zlib.compress(b'\x00' * 10))},
        {'depth_m_f16_zlib': packed(zlib.compress(b'\x00' * 11))},
        {'depth_m_f16_zlib': packed(zlib.compress(DEPTH)[:-1])},
        {'depth_m_f16_zlib': packed(zlib.compress(DEPTH) + b'more')},
        {'depth_m_f16_zlib': packed(zlib.compress(DEPTH + DEPTH[:2]))},
        {'depth_m_f16_zlib': 'größer'},
        {'depth_m_f16_zlib': None},
    ],
    ids=lambda changes: str(changes)[:40],
)
def test_a_damaged_self_test_is_refused(changes):
    message = refusal(with_self_test(**changes))
    assert f'"self_test.{next(iter(changes))}"' in message


def test_the_depth_used_above_is_accepted():
    changed = with_self_test(depth_m_f16_zlib=packed(zlib.compress(DEPTH)))
    depth_m = contract_from_json(json.dumps(changed)).self_test.depth_m
    np.testing.assert_array_equal(depth_m, np.full((16, 24), 3.0, np.float32))


def test_an_image_cut_short_is_refused():
    png = base64.b64decode(document()['self_test']['image_png'])
    assert 'image_png' in refusal(with_self_test(image_png=packed(png[:100])))


def test_a_self_test_of_another_size_is_refused():
    changed = {**document(), 'width': 25}
    assert 'self_test' in refusal(changed)
    ok, png = cv2.imencode('.png', np.zeros((8, 8, 3), np.uint8))
    assert ok
    assert 'self_test' in refusal(with_self_test(image_png=packed(png.tobytes())))


def test_depth_that_cannot_be_compared_with_is_refused():
    for value in (0.0, -1.0, np.nan, np.inf):
        depth = np.full((16, 24), value, '<f2')
        changed = with_self_test(depth_m_f16_zlib=packed(zlib.compress(depth.tobytes())))
        assert 'self_test' in refusal(changed)


def test_depth_that_would_inflate_to_256_mib_is_refused_without_inflating_it():
    packer = zlib.compressobj(9)
    block = bytes(1 << 20)
    bomb = b''.join(packer.compress(block) for _ in range(256)) + packer.flush()
    changed = with_self_test(depth_m_f16_zlib=packed(bomb))
    tracemalloc.start()
    try:
        message = refusal(changed)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 'self_test' in message
    assert peak_bytes < 16 << 20


def test_an_image_of_another_size_is_refused_without_decoding_it(monkeypatch):
    """A PNG of some kilobytes can decode to gigabytes."""
    ok, png = cv2.imencode('.png', np.zeros((2000, 2000, 3), np.uint8))
    assert ok
    changed = with_self_test(image_png=packed(png.tobytes()))
    monkeypatch.setattr(cv2, 'imdecode', None)
    assert 'self_test' in refusal(changed)
