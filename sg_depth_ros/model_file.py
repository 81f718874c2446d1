"""
``model.onnx`` as a file: its contract and its digest, read and written without an ONNX library.

Of the file only the outermost level is read here, which is all that finding the metadata takes;
the vehicle needs no other library for that, and whichever engine runs the graph gets exactly the
bytes whose digest was checked.

The digest covers everything in the file but metadata, and the contract. Metadata of other keys is
a tool's own: it may come and go, and nothing here reads it. So a file that a tool wrote anew,
with the same graph and other metadata, is still the model.
"""

import hashlib
import os
import stat
from pathlib import Path
from typing import NamedTuple

from sg_depth_ros.contract import ModelContract
from sg_depth_ros.contract import contract_from_json
from sg_depth_ros.contract import contract_to_json
from sg_depth_ros.contract import other_version
from sg_depth_ros.errors import UserError
from sg_depth_ros.onnx_message import BYTES
from sg_depth_ros.onnx_message import MAX_MESSAGE_BYTES
from sg_depth_ros.onnx_message import Field
from sg_depth_ros.onnx_message import encode_bytes
from sg_depth_ros.onnx_message import find_external_tensor
from sg_depth_ros.onnx_message import walk_message

CONTRACT_KEY = 'sg_depth_ros.contract'
# sha256 of everything in the file but its metadata, then of the contract.
DIGEST_KEY = 'sg_depth_ros.sha256'

_GRAPH_FIELD, _METADATA_FIELD = 7, 14  # of ModelProto; their wire type is BYTES
_KEY_FIELD, _VALUE_FIELD = 1, 2  # of StringStringEntryProto

_EXPORT = 'write one with "python -m training export CHECKPOINT --out model.onnx"'
# How other files begin that are taken for a model, what they are, and what to do. None can begin
# a model that an ONNX library wrote.
_OTHER_FILES = (
    (b'version https://git-lfs', 'a pointer of Git LFS, not the file itself; run "git lfs pull"'),
    (b'<', 'a web page or other markup; download the file itself, such as its "raw" link'),
    (b'PK\x03\x04', f'a ZIP archive, such as a checkpoint; {_EXPORT}'),
    (b'\x1f\x8b', 'compressed with gzip; unpack it'),
    (b'ftrt', 'a TensorRT plan; give the model.onnx that it was built from'),
    (b'ptrt', 'a TensorRT plan; give the model.onnx that it was built from'),
    (b'vtrt', 'a TensorRT-RTX plan; give the model.onnx that it was built from'),
)


class ModelFile(NamedTuple):
    """A model file whose contract was read and whose digest was found right."""

    path: Path
    content: bytes
    sha256: str  # of the content
    contract: ModelContract


class _Envelope(NamedTuple):
    metadata: dict[str, bytes]
    digest: 'hashlib._Hash'  # of everything but metadata
    sha256: str


def read_model_file(path: Path) -> ModelFile:
    """
    Read a model file, its contract and all.

    The digest finds damage and careless changes. It is no signature: who can change the file can
    write another digest.

    :raises UserError: where the file is missing or no ONNX file, has no contract or one that
        cannot be read, or is not what was exported.
    """
    path = Path(path)
    content = _read(path)
    try:
        envelope = _open_envelope(content)
        contract = _checked_contract(envelope)
    except UserError as error:
        raise UserError(f'{path}: {error}') from error
    return ModelFile(path, content, envelope.sha256, contract)


def with_contract_added(graph: bytes, contract: ModelContract) -> bytes:
    """
    Return the content of a model file.

    :param graph: a serialized ModelProto, perhaps with metadata of its own.
    :param contract: what the file promises.
    :raises ValueError: where the graph has a contract already, or keeps weights in another file:
        engines would look for that one wherever they happen to run, and no digest covers it.
    :raises UserError: naming the contract's field that no reader would accept.
    """
    envelope = _open_envelope(graph)
    if {CONTRACT_KEY, DIGEST_KEY} & set(envelope.metadata):
        raise ValueError('the graph has a contract already')
    external = find_external_tensor(graph)
    if external is not None:
        raise ValueError(f'tensor "{external}" lies in another file; a model is one file')
    text = contract_to_json(contract).encode()
    envelope.digest.update(text)
    digest = envelope.digest.hexdigest().encode()
    # Messages of one kind, one after the other, are read as one: so metadata can be appended.
    content = graph + _metadata_entry(CONTRACT_KEY, text) + _metadata_entry(DIGEST_KEY, digest)
    if len(content) > MAX_MESSAGE_BYTES:
        raise ValueError(f'{len(content)} bytes are more than an ONNX file can hold')
    return content


def _read(path: Path) -> bytes:
    try:
        refusal = _refusal(path.stat())
        if refusal is None:
            return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # ValueError: \0 in it
        raise UserError(f'{path}: no such model file; {_EXPORT}') from error
    except OSError as error:
        raise UserError(f'{path}: cannot be read ({error.strerror or error})') from error
    raise UserError(f'{path}: is {refusal}')


def _refusal(status: os.stat_result) -> str | None:
    if stat.S_ISDIR(status.st_mode):
        return 'a folder; name the model file in it'
    if not stat.S_ISREG(status.st_mode):
        return 'no regular file'  # and reading it may never end
    if status.st_size > MAX_MESSAGE_BYTES:
        return 'larger than an ONNX file can be (2 GiB)'
    return None


def _open_envelope(content: bytes) -> _Envelope:
    metadata: dict[str, bytes] = {}
    has_graph = False
    digest = hashlib.sha256()
    whole = None  # the content's own digest, once it is no longer the same
    try:
        for field in walk_message(content):
            is_metadata = field.number == _METADATA_FIELD
            if is_metadata:
                key, value = _read_entry(field)
                if key in metadata:
                    raise ValueError(f'metadata {ascii(key)[:60]} comes twice')
                metadata[key] = value
                whole = whole or digest.copy()
            if whole is not None:
                whole.update(field.whole)
            if not is_metadata:
                digest.update(field.whole)
                has_graph |= field.number == _GRAPH_FIELD and field.kind == BYTES
    except ValueError as error:  # also of text that is no UTF-8
        raise UserError(_explain_damage(content, str(error))) from error
    if not has_graph:
        raise UserError(_explain_damage(content, 'it holds no graph'))
    return _Envelope(metadata, digest, (whole or digest).hexdigest())


def _read_entry(field: Field) -> tuple[str, bytes]:
    if field.kind != BYTES:
        raise ValueError('metadata of another type')
    parts = list(walk_message(field.value))
    values = {part.number: bytes(part.value) for part in parts if part.kind == BYTES}
    if len(values) < len(parts) or not set(values) <= {_KEY_FIELD, _VALUE_FIELD}:
        raise ValueError('metadata that is more than a key and a value')
    return values.get(_KEY_FIELD, b'').decode(), values.get(_VALUE_FIELD, b'')


def _explain_damage(content: bytes, reason: str) -> str:
    if not content:
        return 'the file is empty; copy or export it again'
    beginning = content[:64].lstrip(b'\xef\xbb\xbf \t\r\n')
    for known, meaning in _OTHER_FILES:
        if beginning.startswith(known):
            return f'is no model but {meaning}'
    return f'the file is damaged, cut short or no ONNX model ({reason}); copy or export it again'


def _checked_contract(envelope: _Envelope) -> ModelContract:
    if CONTRACT_KEY not in envelope.metadata:
        raise UserError(f'this ONNX file carries no sg_depth_ros contract; {_EXPORT}')
    content = envelope.metadata[CONTRACT_KEY]
    envelope.digest.update(content)
    if envelope.metadata.get(DIGEST_KEY, b'') != envelope.digest.hexdigest().encode():
        # Another version explains itself better than by its digest, which may be made otherwise.
        raise UserError(
            other_version(content.decode(errors='replace'))
            or 'the file is not what was exported: its digest is wrong; copy or export it again'
        )
    try:
        return contract_from_json(content.decode())
    except UnicodeDecodeError as error:
        raise UserError(f'the contract is not text ({error})') from error


def _metadata_entry(key: str, value: bytes) -> bytes:
    entry = encode_bytes(_KEY_FIELD, key.encode()) + encode_bytes(_VALUE_FIELD, value)
    return encode_bytes(_METADATA_FIELD, entry)
