"""The contract's JSON is read strictly, and what it holds can be printed."""

import json

import pytest
from described_contract import document
from described_contract import refusal
from described_contract import refusal_of
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from sg_depth_ros.contract import contract_from_json
from sg_depth_ros.contract import contract_to_json
from sg_depth_ros.errors import UserError


@pytest.mark.parametrize('name', ['data_licence', 'network', 'class_names'])
@pytest.mark.parametrize(
    'letter', ['\n', '\x1b[2J', '\x00', '\ud800', '\u2028', '\x85'], ids=ascii
)
def test_text_that_no_terminal_prints_on_one_line_is_refused(name, letter):
    text = f'road{letter}'
    assert f'"{name}"' in refusal({**document(), name: [text] if name[-1] == 's' else text})


def test_a_validation_whose_name_no_terminal_prints_is_refused():
    assert '"validation.a\\x1b"' in refusal({**document(), 'validation': {'a\x1b': 1.0}})


@pytest.mark.parametrize('within', [None, 'intrinsics_px', 'self_test'])
def test_a_field_that_this_version_does_not_know_is_refused(within):
    changed = document()
    (changed[within] if within else changed)['skew'] = 0.0
    path = f'{within}.skew' if within else 'skew'
    assert refusal(changed) == f'contract field "{path}" is unknown to this version'


def test_the_name_of_an_unknown_field_is_not_printed_as_it_is():
    assert len(refusal({**document(), '\x1b[2J\n' * 1000: 1})) < 200


NO_OBJECTS = (
    '',
    '{',
    '[]',
    'null',
    '"a"',
    '\x00\x01',
    '[' * 100_000,
    f'[{"9" * 10_000}]',
    '\ufeff{}',
)


@pytest.mark.parametrize('text', NO_OBJECTS, ids=lambda text: ascii(text)[:20])
def test_what_is_no_json_object_is_refused(text):
    refusal_of(text)


@pytest.mark.parametrize('literal', ['NaN', 'Infinity', '-Infinity'])
def test_literals_that_are_no_json_are_refused(literal):
    changed = json.dumps({**document(), 'validation': {'abs_rel': 12321}})
    assert literal in refusal_of(changed.replace('12321', literal))


@pytest.mark.parametrize('number', ['1e999', '-1e999'])
def test_a_number_beyond_all_is_not_finite(number):
    changed = json.dumps({**document(), 'validation': {'abs_rel': 12321}})
    message = refusal_of(changed.replace('12321', number))
    assert '"validation.abs_rel"' in message
    assert 'not finite' in message


@pytest.mark.parametrize('name', ['width', 'fx', 'abs_rel', 'image_png'])
def test_a_name_given_twice_is_refused(name):
    text = json.dumps(document())
    assert text.count(f'"{name}": ') == 1
    message = refusal_of(text.replace(f'"{name}": ', f'"{name}": 1, "{name}": '))
    assert message == f'contract field "{name}" is given twice'


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(document())), st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5)
    | st.floats(allow_subnormal=False, allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
))  # fmt: skip
def test_whatever_a_field_holds_is_read_or_refused(name, value):
    try:
        contract = contract_from_json(json.dumps({**document(), name: value}))
    except UserError as error:
        # Maybe another's, with which this one disagrees: its depth, its number of classes.
        assert 'contract field "' in str(error)
    else:
        assert contract_to_json(contract)
