"""
The wire format of ONNX files, walked and written without a library.

An ONNX file is one protocol buffer message. Where readers of the format could differ over what a
file says, it is refused: for what was checked here is what an engine then reads by itself.
Source: protobuf.dev, "Encoding"; onnx/onnx.proto for the fields' numbers.
"""

from collections.abc import Iterator
from typing import NamedTuple

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types; 3 and 4, groups, ONNX never had
MAX_MESSAGE_BYTES = (1 << 31) - 1  # no protocol buffer message is longer
_MAX_FIELD_NUMBER = (1 << 29) - 1

# Message -> its fields that hold messages in which a tensor may lie, at whatever depth.
_HOLDERS: dict[str, dict[int, str]] = {
    'ModelProto': {7: 'GraphProto', 20: 'TrainingInfoProto', 25: 'FunctionProto'},
    'TrainingInfoProto': {1: 'GraphProto', 2: 'GraphProto'},
    'FunctionProto': {7: 'NodeProto', 11: 'AttributeProto'},
    'GraphProto': {1: 'NodeProto', 5: 'TensorProto', 15: 'SparseTensorProto'},
    'NodeProto': {5: 'AttributeProto'},
    'AttributeProto': {
        5: 'TensorProto',
        6: 'GraphProto',
        10: 'TensorProto',
        11: 'GraphProto',
        22: 'SparseTensorProto',
        23: 'SparseTensorProto',
    },
    'SparseTensorProto': {1: 'TensorProto', 2: 'TensorProto'},
}
_TENSOR_NAME, _TENSOR_LOCATION, _EXTERNAL = 8, 14, 1


class Field(NamedTuple):
    """One field of a message; views into the message, no copies."""

    number: int
    kind: int  # its wire type
    whole: memoryview  # as it lies there, with its number and length
    value: memoryview


def walk_message(message: 'bytes | memoryview') -> Iterator[Field]:
    """
    Walk through the fields of a message.

    :raises ValueError: where it is no message, not a whole one, or one that readers could differ
        over.
    """
    view, at = memoryview(message), 0
    while at < len(view):
        start = at
        tag, at = _read_varint(view, at)
        number, kind = tag >> 3, tag & 7
        if not 1 <= number <= _MAX_FIELD_NUMBER:
            raise ValueError(f'field {number} at byte {start}')
        if kind == VARINT:
            value_at, (_, end) = at, _read_varint(view, at)
        elif kind == BYTES:
            size_bytes, value_at = _read_varint(view, at)
            end = value_at + size_bytes
        elif kind in (FIXED64, FIXED32):
            value_at, end = at, at + (8 if kind == FIXED64 else 4)
        else:
            raise ValueError(f'wire type {kind} at byte {start}')
        if end > len(view):
            raise ValueError(f'field {number} at byte {start} ends {end - len(view)} bytes beyond')
        yield Field(number, kind, view[start:end], view[value_at:end])
        at = end


def encode_bytes(number: int, value: bytes) -> bytes:
    """Return a field that holds text, bytes or a message."""
    return _to_varint(number << 3 | BYTES) + _to_varint(len(value)) + value


def find_external_tensor(model: bytes) -> str | None:
    """
    Return the name of a tensor whose values lie in another file, None where there is none.

    :param model: a ModelProto.
    :raises ValueError: where it is none.
    """
    messages: list[tuple[str, memoryview]] = [('ModelProto', memoryview(model))]
    while messages:
        kind, message = messages.pop()
        name, is_external = '', False
        for field in walk_message(message):
            held = _HOLDERS.get(kind, {}).get(field.number)
            if held is not None:
                messages.append((held, field.value))
            elif kind == 'TensorProto' and field.number == _TENSOR_NAME:
                name = bytes(field.value).decode()
            elif kind == 'TensorProto' and field.number == _TENSOR_LOCATION:
                is_external = _read_varint(field.value, 0)[0] == _EXTERNAL
        if is_external:
            return name
    return None


def _read_varint(view: memoryview, at: int) -> tuple[int, int]:
    """Return a variable-length integer of at most 64 bits, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(view):
            raise ValueError('it ends within a number')
        byte = view[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            if value >> 64 or (byte == 0 and shift > 0):
                raise ValueError(f'a number too large or too long before byte {at}')
            return value, at
    raise ValueError(f'a number too long before byte {at}')


def _to_varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
