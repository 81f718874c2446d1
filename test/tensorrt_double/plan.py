"""The double's plans: who made it for whom, and the ONNX file itself."""

import json
import zlib

MAGIC = b'TENSORRT DOUBLE\n'


def pack(about, model):
    body = json.dumps(about, sort_keys=True).encode() + b'\n' + model
    return MAGIC + zlib.crc32(body).to_bytes(4, 'little') + body


def unpack(content):
    """Return what was packed; ValueError saying why it is not one."""
    if not content.startswith(MAGIC):
        raise ValueError('Serialization assertion stdArchiveReader->header == magic failed')
    body = content[len(MAGIC) + 4 :]
    if zlib.crc32(body) != int.from_bytes(content[len(MAGIC) :][:4], 'little'):
        raise ValueError('Serialization assertion checksum == expected failed')
    about, _, model = body.partition(b'\n')
    return json.loads(about), model
