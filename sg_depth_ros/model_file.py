"""
``model.onnx`` as a file: its contract and its digest, read and written without an ONNX library.

An ONNX file is one protocol buffer message. Of it only the outermost level is read here, which is
all that finding the metadata takes; the vehicle needs no other library for that, and whichever
engine runs the graph gets exactly the bytes whose digest was checked.
Source: protobuf.dev, Encoding; onnx/onnx.proto, ModelProto and StringStringEntryProto.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from sg_depth_ros.contract import ModelContract
from sg_depth_ros.contract import contract_from_json
from sg_depth_ros.contract import contract_to_json
from sg_depth_ros.errors import UserError

CONTRACT_KEY = 'sg_depth_ros.contract'
# sha256 of everything in the file but its metadata, then of the contract.
DIGEST_KEY = 'sg_depth_ros.sha256'

_GRAPH_FIELD, _METADATA_FIELD = 7, 14  # of ModelProto
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # protobuf's wire types


class ModelFile(NamedTuple):
    """A model file whose contract was read and whose digest was found right."""

    path: Path
    content: bytes
    sha256: str  # of the content
    contract: ModelContract


def read_model_file(path: Path) -> ModelFile:
    """
    Read a model file, its contract and all.

    The digest finds damage and careless changes. It is no signature: who can change the file can
    write another digest.

    :raises UserError: where the file is missing or no ONNX file, has no contract or one that
        cannot be read, or is not what was exported.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f'{path}: no such model file; write one with "python -m training export"')
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f'{path}: cannot be read ({error.strerror})') from error
    try:
        contract = _checked_contract(content)
    except UserError as error:
        raise UserError(f'{path}: {error}') from error
    return ModelFile(path, content, hashlib.sha256(content).hexdigest(), contract)


def with_contract_added(graph: bytes, contract: ModelContract) -> bytes:
    """
    Return the content of a model file.

    :param graph: a serialized ModelProto without metadata.
    :param contract: what the file promises.
    """
    text = contract_to_json(contract).encode()
    digest = hashlib.sha256(graph + text).hexdigest()
    entries = ((CONTRACT_KEY.encode(), text), (DIGEST_KEY.encode(), digest.encode()))
    # Messages of one kind, one after the other, are read as one: so metadata can be appended.
    return graph + b''.join(_message(_METADATA_FIELD, _entry(*entry)) for entry in entries)


def _checked_contract(content: bytes) -> ModelContract:
    metadata, digest, has_graph = {}, hashlib.sha256(), False
    try:
        for number, field, value in _fields(content):
            if number == _METADATA_FIELD:
                entry = {n: bytes(v) for n, _, v in _fields(value)}
                metadata[entry.get(1, b'').decode()] = entry.get(2, b'')
            else:
                has_graph |= number == _GRAPH_FIELD
                digest.update(field)
    except (ValueError, UnicodeDecodeError) as error:
        raise UserError(
            f'the file is damaged, cut short or no ONNX model ({error}); copy or export it again'
        ) from error
    if not has_graph:
        raise UserError('the file is empty or no ONNX model; copy or export it again')
    if CONTRACT_KEY not in metadata:
        raise UserError(
            'this ONNX file carries no sg_depth_ros contract; '
            'write it with "python -m training export CHECKPOINT --out model.onnx"'
        )
    text = metadata[CONTRACT_KEY]
    # First the contract: one of another version explains itself better than by its digest.
    try:
        contract = contract_from_json(text.decode())
    except UnicodeDecodeError as error:
        raise UserError(f'the contract is not text ({error})') from error
    digest.update(text)
    if metadata.get(DIGEST_KEY, b'') != digest.hexdigest().encode():
        raise UserError(
            'the file is not what was exported: its digest is wrong; copy or export it again'
        )
    return contract


def _fields(message: 'bytes | memoryview') -> 'Iterator[tuple[int, memoryview, memoryview]]':
    """
    Walk through a message's fields: number, the field as it lies there, and its value.

    :raises ValueError: where it is no message or not a whole one.
    """
    view, at = memoryview(message), 0
    while at < len(view):
        start = at
        tag, at = _varint(view, at)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value_at, (_, end) = at, _varint(view, at)
        elif kind == _BYTES:
            size, value_at = _varint(view, at)
            end = value_at + size
        elif kind in (_FIXED64, _FIXED32):
            value_at, end = at, at + (8 if kind == _FIXED64 else 4)
        else:
            raise ValueError(f'wire type {kind} at byte {start}')
        if end > len(view) or number == 0:
            raise ValueError(f'field {number} at byte {start} does not fit')
        yield number, view[start:end], view[value_at:end]
        at = end


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    """Return a variable-length integer and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(view):
            raise ValueError('it ends within a number')
        byte = view[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
    raise ValueError(f'a number of more than 10 bytes at byte {at}')


def _message(number: int, value: bytes) -> bytes:
    return _to_varint(number << 3 | _BYTES) + _to_varint(len(value)) + value


def _entry(key: bytes, value: bytes) -> bytes:
    return _message(1, key) + _message(2, value)


def _to_varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
