"""A contract survives the way into JSON and back, and a wrong one is named and refused."""

import json
from dataclasses import fields
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from described_contract import document
from described_contract import full_contract
from described_contract import refusal
from hypothesis import given
from hypothesis import settings
from random_contracts import contracts
from tiny_model import tiny_contract

from sg_depth_ros.contract import FORMAT_VERSION
from sg_depth_ros.contract import ModelContract
from sg_depth_ros.contract import Precision
from sg_depth_ros.contract import ScaleSource
from sg_depth_ros.contract import contract_from_json
from sg_depth_ros.contract import contract_to_json
from sg_depth_ros.errors import UserError

DIGEST = 'a' * 64


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


def test_the_document_used_below_is_accepted():
    assert contract_from_json(json.dumps(document())).validation == {'abs_rel': 0.1}


@pytest.mark.parametrize('name', sorted(document()))
def test_a_missing_field_is_named(name):
    changed = document()
    del changed[name]
    assert refusal(changed) == f'contract field "{name}" is missing'


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
    assert f'"{name}' in refusal({**document(), name: wrong})


@pytest.mark.parametrize(
    'name, wrong',
    [
        ('height', 0),
        ('height', 16.0),
        ('width', -24),
        ('width', 10**6),
        ('width', 10**400),
        ('trained_height', 0),
        ('trained_width', 1 << 15),
        ('min_depth_m', 0),
        ('min_depth_m', 1000.0),  # above the greatest
        ('min_depth_m', 1e-6),
        ('max_depth_m', '100'),
        ('max_depth_m', 1e5),
        ('max_depth_m', 10**400),
        ('metric', 1),
        ('metric', False),  # with a scale
        ('scale_source', 'lidar'),
        ('scale_source', 'none'),  # but metric
        ('precision', 'int8'),
        ('class_names', []),
        ('class_names', [1] * 19),
        ('class_names', ['road']),  # with 19 colours
        ('class_names', ['road'] * 19),
        ('class_names', ['', *map(str, range(18))]),
        ('class_names', ['a' * 101, *map(str, range(18))]),
        ('class_names', [*map(str, range(256))]),  # 255 is no class
        ('palette', [[0, 0, 0]]),
        ('palette', [[0, 0]] * 19),
        ('palette', [[0, 0, 256]] * 19),
        ('palette', [[0, 0, -1]] * 19),
        ('palette', [[0, 0, True]] * 19),
        ('palette', [[0, 0, 1.0]] * 19),
        ('training_stage', 0),
        ('training_stage', 100),
        ('network', ''),
        ('network', 'n' * 101),
        ('guidance', ''),
        ('weights_sha256', 'unknown'),
        ('weights_sha256', DIGEST[1:]),
        ('weights_sha256', DIGEST + '\n'),
        ('weights_sha256', DIGEST.upper()),
        ('dataset_sha256', ''),
        ('dataset_sha256', DIGEST + 'a'),
        ('dataset_sha256', 'not known: '),
        ('config_sha256', 'weights'),
        ('config_sha256', f'weight {DIGEST}'),
        ('git_commit', 'dirty'),
        ('git_commit', 'a' * 39),
        ('git_commit', 'unknown-dirty'),
        ('data_licence', ''),
        ('weights_licence', 'l' * 10_001),
        ('validation', {'': 1.0}),
        ('validation', {'m' * 101: 1.0}),
        ('validation', {f'metric {i}': 1.0 for i in range(201)}),
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_a_field_with_a_wrong_value_is_named(name, wrong):
    assert name in refusal({**document(), name: wrong})


@pytest.mark.parametrize(
    'name, right',
    [
        ('dataset_sha256', 'not known: imported weights'),
        ('config_sha256', f'weights {DIGEST}'),
        ('git_commit', 'unknown'),
        ('git_commit', 'b' * 40),
        ('git_commit', 'b' * 64 + '-dirty'),
        ('data_licence', 'CC BY 4.0; © Zoë'),
        ('min_depth_m', 1),
        ('validation', {}),
    ],
)
def test_what_the_writers_write_is_accepted(name, right):
    assert getattr(contract_from_json(json.dumps({**document(), name: right})), name) == right


def test_sides_may_be_long_but_not_both():
    assert '"height"' in refusal({**document(), 'width': 1 << 14, 'height': 1 << 14})
    assert '"trained_h' in refusal({**document(), 'trained_width': 8192, 'trained_height': 4096})


@pytest.mark.parametrize('name', ['fx', 'fy', 'cx', 'cy'])
@pytest.mark.parametrize('wrong', [None, 'text', True, 1e6, 10**400, -25])
def test_a_wrong_intrinsic_is_named(name, wrong):
    changed = document()
    changed['intrinsics_px'][name] = wrong
    assert f'"intrinsics_px.{name}"' in refusal(changed)


@pytest.mark.parametrize('name', ['fx', 'fy'])
def test_intrinsics_that_are_shares_of_the_image_are_refused(name):
    changed = document()
    changed['intrinsics_px'][name] = 0.3
    assert f'"intrinsics_px.{name}"' in refusal(changed)


def test_a_principal_point_may_lie_beside_a_cropped_image():
    changed = document()
    changed['intrinsics_px'] |= {'cx': -10.0, 'cy': 30}
    camera = contract_from_json(json.dumps(changed)).intrinsics
    assert (camera.cx, camera.cy) == (-10.0, 30.0)


@pytest.mark.parametrize(
    'name, wrong, part',
    [
        ('validation', {'abs_rel': 'good'}, 'abs_rel'),
        ('validation', {'abs_rel': False}, 'abs_rel'),
        ('self_test', {}, 'image_png'),
        ('intrinsics_px', {}, 'fx'),
    ],
)
def test_a_wrong_part_of_a_field_is_named(name, wrong, part):
    assert f'"{name}.{part}"' in refusal({**document(), name: wrong})


@pytest.mark.parametrize('version', [0, -1, '1', True, 2.0, [1], None])
def test_a_format_version_that_is_none_is_refused_before_anything_else(version):
    message = refusal({'format_version': version})
    assert message.startswith('contract field "format_version"')
    assert 'not a version number' in message


def test_a_newer_format_version_asks_for_an_update():
    message = refusal({'format_version': FORMAT_VERSION + 1})
    assert f'"format_version" is {FORMAT_VERSION + 1}' in message
    assert 'newer' in message
    assert 'update the one here' in message


def test_an_older_format_version_asks_for_another_export():
    message = refusal({'format_version': FORMAT_VERSION - 1})
    assert f'"format_version" is {FORMAT_VERSION - 1}' in message
    assert 'older' in message
    assert 'export it again' in message


@pytest.mark.parametrize(
    'changes',
    [
        {'validation': {'abs_rel': float('nan')}},
        {'max_depth_m': float('inf')},
        {'weights_sha256': 'unknown'},
        {'data_licence': 'of\ntwo lines'},
        {'training_stage': 1.0},
        {'format_version': FORMAT_VERSION + 1},
        {'precision': 'bf16'},
        {'class_names': ('road',)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_contract_that_nobody_could_read_is_not_written(changes):
    with pytest.raises(
        UserError, match='palette' if 'class_names' in changes else next(iter(changes))
    ):
        contract_to_json(replace(full_contract(), **changes))


def test_a_self_test_of_another_size_is_not_written():
    other = tiny_contract(32, 16)
    with pytest.raises(UserError, match='image_png'):
        contract_to_json(replace(other, self_test=full_contract().self_test))


def test_the_choices_are_those_that_the_tests_try():
    assert get_args(ScaleSource) == ('speed', 'poses', 'imported', 'none')
    assert get_args(Precision) == ('fp32', 'fp16')
