"""Damage to a model file is found and explained, and nothing that is in one does harm."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from small_model_files import CONTENT
from small_model_files import GRAPH
from small_model_files import entry
from small_model_files import read
from small_model_files import refusal
from small_model_files import without_metadata
from tiny_model import tiny_contract

from sg_depth_ros.contract import contract_to_json
from sg_depth_ros.errors import UserError
from sg_depth_ros.model_file import CONTRACT_KEY
from sg_depth_ros.model_file import read_model_file
from sg_depth_ros.onnx_message import encode_bytes

METADATA = st.dictionaries(st.text(max_size=12), st.text(max_size=30), max_size=3)


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    return tmp_path_factory.mktemp('model') / 'model.onnx'


def harmless_or_refused(model, content):
    """Read a damaged file: refused, or contract and graph are as they were."""
    try:
        file = read(model, content)
    except UserError as error:
        assert str(error).isprintable()
        return False
    assert contract_to_json(file.contract) == contract_to_json(tiny_contract())
    assert without_metadata(content) == without_metadata(CONTENT)
    return True


def test_every_flipped_byte_of_the_graph_and_its_surroundings_is_refused(model):
    for at in [*range(len(GRAPH) + 60), *range(len(CONTENT) - 130, len(CONTENT))]:
        for flip in (0x01 << at % 8, 0xFF):
            changed = bytearray(CONTENT)
            changed[at] ^= flip
            assert not harmless_or_refused(model, bytes(changed)), (at, flip)


def test_every_cut_is_refused(model):
    for size_bytes in [*range(len(GRAPH) + 60), *range(len(GRAPH) + 60, len(CONTENT), 9)]:
        assert not harmless_or_refused(model, CONTENT[:size_bytes])


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_any_damage_is_refused_or_harmless(model, data):
    at = data.draw(st.integers(0, len(CONTENT)))
    removed = data.draw(st.integers(0, 40))
    inserted = data.draw(st.binary(max_size=40))
    harmless_or_refused(model, CONTENT[:at] + inserted + CONTENT[at + removed :])


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([b'', GRAPH, CONTENT]))
def test_anything_may_follow(model, garbage, beginning):
    harmless_or_refused(model, beginning + garbage)


@settings(max_examples=200, deadline=None)
@given(METADATA)
def test_metadata_that_follows_is_a_tools_own(model, metadata):
    more = b''.join(entry(key.encode(), value.encode()) for key, value in metadata.items())
    assert harmless_or_refused(model, CONTENT + more)


VARINT_2_64 = b'\x80' * 9 + b'\x02'


@pytest.mark.parametrize(
    'more, reason',
    [
        (CONTENT, 'comes twice'),
        (GRAPH, 'digest is wrong'),
        (entry(CONTRACT_KEY.encode(), b'{}'), "'sg_depth_ros.contract' comes twice"),
        (entry(b'a', b'1') + entry(b'a', b'1'), "'a' comes twice"),
        (entry(b'\x1b' * 500, b'') * 2, 'comes twice'),
        (b'\x00', 'field 0'),
        (b'\x00' * 4096, 'field 0'),
        (b'\n', 'ends within a number'),
        (b'\xa3\x06', 'wire type 3'),  # the beginning of a group
        (b'\xa4\x06', 'wire type 4'),
        (b'\xa6\x06', 'wire type 6'),
        (b'\xa0\x86\x00\x01', 'too long'),  # the number 100 in more bytes than it needs
        (b'\xa0\x06\x80\x00', 'too long'),
        (b'\xa0\x06' + VARINT_2_64, 'too large'),
        (b'\xa0\x06' + b'\x80' * 11, 'too long'),
        (b'\x80\x80\x80\x80\x10\x00', 'field 536870912'),
        (b'\xa2\x06\x80\x80\x80\x80\x0c', 'beyond'),  # says to hold 3 GB
        (b'\xa2\x06' + b'\xff' * 9 + b'\x01', 'beyond'),
        (b'\xa5\x06\x00\x00\x00', '1 bytes beyond'),  # three quarters of a number of 32 bits
        (b'\x70\x01', 'metadata of another type'),
        (encode_bytes(14, encode_bytes(3, b'')), 'more than a key'),
        (encode_bytes(14, encode_bytes(1, b'a') * 2), 'more than a key'),
        (encode_bytes(14, b'\x08\x01'), 'more than a key'),
        (encode_bytes(14, encode_bytes(1, b'\xff')), 'utf-8'),
        (encode_bytes(100, b''), 'digest is wrong'),  # a field of a later ONNX
        (b'\x40\x01', 'digest is wrong'),
    ],
    ids=lambda value: ascii(value)[:24],
)
def test_what_was_appended_is_refused(model, more, reason):
    assert reason in refusal(model, CONTENT + more)


@pytest.mark.parametrize(
    'content, hint',
    [
        (b'', 'empty'),
        (b'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n', 'git lfs pull'),
        (b'<!DOCTYPE html>\n<html>', 'web page'),
        (b'\xef\xbb\xbf\r\n <html>', 'web page'),
        (b'PK\x03\x04 and so on', 'export CHECKPOINT'),
        (b'\x1f\x8b\x08', 'gzip'),
        (b'ftrt\x00\x00', 'TensorRT plan'),
        (b'vtrt\x00\x00', 'TensorRT-RTX plan'),
        (b'\x08\x09', 'no graph'),
        (b'\x38\x01', 'no graph'),  # a number where the graph should be
        (b'\xff' * 100, 'damaged'),
    ],
    ids=lambda value: ascii(value)[:24],
)
def test_another_file_is_told_by_what_it_is(model, content, hint):
    assert hint in refusal(model, content)


def test_deep_nesting_is_nothing_to_descend_into(model):
    nested = b''
    for _ in range(5_000):
        nested = encode_bytes(7, nested)
    assert 'no sg_depth_ros contract' in refusal(model, nested)


def test_a_path_that_is_no_file_is_told_by_what_it_is(tmp_path):
    os.mkfifo(tmp_path / 'pipe.onnx')
    (tmp_path / 'file').write_bytes(b'')
    for name, hint in (
        ('missing.onnx', 'no such model file'),
        ('.', 'is a folder'),
        ('pipe.onnx', 'no regular file'),
        ('file/model.onnx', 'no such model file'),
        ('a\0b', 'no such model file'),
        ('n' * 300, 'cannot be read'),
    ):
        with pytest.raises(UserError, match=hint):
            read_model_file(tmp_path / name)


def test_a_file_larger_than_onnx_can_be_is_not_read(tmp_path):
    path = tmp_path / 'model.onnx'
    with path.open('wb') as file:
        file.truncate(3 << 30)  # sparse: it takes no space
    with pytest.raises(UserError, match='2 GiB'):
        read_model_file(path)


@pytest.mark.skipif(not Path('/proc/self/mem').exists(), reason='Linux only')
def test_a_file_that_cannot_be_read_says_why():
    with pytest.raises(UserError, match='/proc/self/mem: cannot be read'):
        read_model_file('/proc/self/mem')
