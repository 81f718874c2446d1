"""A contract survives the way into a model file and back, and a wrong one is named and refused."""

import base64
import json
import tracemalloc
import zlib
from dataclasses import fields
from dataclasses import replace
from typing import get_args

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from tiny_model import tiny_contract

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.contract import FORMAT_VERSION
from sg_depth_ros.contract import ModelContract
from sg_depth_ros.contract import Precision
from sg_depth_ros.contract import ScaleSource
from sg_depth_ros.contract import SelfTest
from sg_depth_ros.contract import contract_from_json
from sg_depth_ros.contract import contract_to_json
from sg_depth_ros.errors import UserError

NUMBERS = st.floats(1e-3, 1e6)
FOCAL_PX = st.floats(1.0, 1e6)
# An ONNX Runtime session leaves its thread unable to say numbers below 1e-308, for speed.
ANY_NUMBERS = st.floats(-1e9, 1e9, allow_subnormal=False)
TEXTS = st.text(max_size=30)


@st.composite
def self_tests(draw, width, height):
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return SelfTest(
        random.integers(0, 256, (height, width, 3), np.uint8),
        random.uniform(0.1, 200, (height, width)).astype(np.float32),
    )


@st.composite
def contracts(draw):
    width, height = draw(st.integers(1, 48)), draw(st.integers(1, 48))
    names = draw(st.lists(TEXTS, min_size=1, max_size=25))
    byte = st.integers(0, 255)
    min_depth_m = draw(NUMBERS)
    scale_source = draw(st.sampled_from(get_args(ScaleSource)))
    return ModelContract(
        intrinsics=Intrinsics(
            draw(FOCAL_PX), draw(FOCAL_PX), draw(NUMBERS), -draw(NUMBERS), width, height
        ),
        min_depth_m=min_depth_m,
        max_depth_m=2 * min_depth_m,
        metric=scale_source != 'none',
        scale_source=scale_source,
        class_names=tuple(names),
        palette=tuple(draw(st.tuples(byte, byte, byte)) for _ in names),
        network=draw(TEXTS),
        guidance=draw(TEXTS),
        precision=draw(st.sampled_from(get_args(Precision))),
        training_stage=draw(st.integers(1, 9)),
        weights_sha256=draw(TEXTS),
        trained_width=draw(st.integers(1, 48)),
        trained_height=draw(st.integers(1, 48)),
        dataset_sha256=draw(TEXTS),
        config_sha256=draw(TEXTS),
        git_commit=draw(TEXTS),
        validation=draw(st.dictionaries(TEXTS, ANY_NUMBERS, max_size=4)),
        data_licence=draw(TEXTS),
        weights_licence=draw(TEXTS),
        self_test=draw(st.none() | self_tests(width, height)),
    )


@settings(max_examples=150, deadline=None)
@given(contracts())
def test_every_contract_comes_back_as_it_went(contract):
    text = contract_to_json(contract)
    back = contract_from_json(text)
    for field in fields(ModelContract):
        if field.name != 'self_test':
            assert getattr(back, field.name) == getattr(contract, field.name), field.name
    if contract.self_test is None:
        assert back.self_test is None
    else:
        np.testing.assert_array_equal(back.self_test.image, contract.self_test.image)
        # Stored with half precision.
        np.testing.assert_allclose(back.self_test.depth_m, contract.self_test.depth_m, rtol=2**-11)
        assert back.self_test.depth_m.dtype == np.float32
    # Stable to the byte, also after a round trip.
    assert contract_to_json(back) == text


def full_contract():
    base = tiny_contract(24, 16)
    image = np.arange(24 * 16 * 3, dtype=np.uint32).reshape(16, 24, 3).astype(np.uint8)
    depth_m = np.linspace(1, 80, 24 * 16, dtype=np.float32).reshape(16, 24)
    return replace(base, self_test=SelfTest(image, depth_m), validation={'abs_rel': 0.1})


def document():
    return json.loads(contract_to_json(full_contract()))


def refusal(changed):
    with pytest.raises(UserError) as refused:
        contract_from_json(json.dumps(changed))
    message = str(refused.value)
    assert '\n' not in message
    assert len(message) < 400
    return message


def test_the_document_used_below_is_accepted():
    assert contract_from_json(json.dumps(document())).validation == {'abs_rel': 0.1}


@pytest.mark.parametrize('name', sorted(set(document()) - {'self_test'}))
def test_a_missing_field_is_named(name):
    changed = document()
    del changed[name]
    assert name in refusal(changed)


WRONG_KINDS = ([[1]], {'a': [1]}, 'text', -1, True, None)


@pytest.mark.parametrize(
    'name, wrong',
    [
        (name, wrong)
        for name, right in sorted(document().items())
        for wrong in WRONG_KINDS
        if not isinstance(wrong, type(right)) and (name, wrong) != ('self_test', None)
    ],
)
def test_a_field_of_the_wrong_kind_is_named(name, wrong):
    assert f'"{name}"' in refusal({**document(), name: wrong})


@pytest.mark.parametrize(
    'name, wrong',
    [
        ('height', 0),
        ('height', 16.0),
        ('width', -24),
        ('width', None),
        ('min_depth_m', 0),
        ('min_depth_m', float('nan')),
        ('min_depth_m', 1000.0),  # above the greatest
        ('max_depth_m', float('inf')),
        ('max_depth_m', '100'),
        ('metric', 1),
        ('metric', False),  # with a scale
        ('scale_source', 'lidar'),
        ('scale_source', 'none'),  # but metric
        ('class_names', []),
        ('class_names', [1] * 19),
        ('class_names', ['road']),  # with 19 colours
        ('palette', [[0, 0, 0]]),
        ('palette', [[0, 0]] * 19),
        ('palette', [[0, 0, 256]] * 19),
        ('palette', [[0, 0, True]] * 19),
        ('palette', [[0, 0, 1.0]] * 19),
        ('training_stage', 0),
        ('width', 10**6),
        ('width', 10**400),
        ('max_depth_m', 10**400),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_field_with_a_wrong_value_is_named(name, wrong):
    assert name in refusal({**document(), name: wrong})


@pytest.mark.parametrize('name', ['fx', 'fy', 'cx', 'cy'])
@pytest.mark.parametrize('wrong', [None, 'text', float('nan'), float('inf'), True])
def test_a_wrong_intrinsic_is_named(name, wrong):
    changed = document()
    changed['intrinsics_px'][name] = wrong
    assert f'"{name}"' in refusal(changed)


@pytest.mark.parametrize(
    'name, wrong, part',
    [
        ('validation', {'abs_rel': 'good'}, 'abs_rel'),
        ('validation', {'abs_rel': float('nan')}, 'abs_rel'),
        ('self_test', {}, 'image_png'),
        ('intrinsics_px', {}, 'fx'),
    ],
)
def test_a_wrong_part_of_a_field_is_named(name, wrong, part):
    assert f'"{part}"' in refusal({**document(), name: wrong})


@pytest.mark.parametrize('version', [None, 0, FORMAT_VERSION + 1, '1', True, 1.5, [1]])
def test_an_unknown_format_version_is_refused_before_anything_else(version):
    message = refusal({'format_version': version})
    assert 'format_version' in message
    assert str(FORMAT_VERSION) in message


@pytest.mark.parametrize('text', ['', '{', '[]', 'null', '"text"', '\x00\x01', '[' * 100_000])
def test_what_is_no_json_object_is_refused(text):
    with pytest.raises(UserError):
        contract_from_json(text)


def with_self_test(**changes):
    changed = document()
    changed['self_test'].update(changes)
    return changed


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
        {'depth_m_f16_zlib': None},
    ],
    ids=lambda changes: str(changes)[:40],
)
def test_a_damaged_self_test_is_refused(changes):
    message = refusal(with_self_test(**changes))
    assert 'self_test' in message or next(iter(changes)) in message


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
