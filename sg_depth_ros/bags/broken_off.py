"""
MCAP files that broke off, because the recorder was killed or a copy was not finished.

Such a file lacks its end: the index and the footer (mcap.dev/spec). Shown with an empty end behind
its last whole record, it reads like one that was never indexed. Nothing is written.
"""

import io
import os
import struct
from pathlib import Path
from typing import Any
from typing import BinaryIO

_MAGIC = b'\x89MCAP0\r\n'
# A footer without summary: opcode, length, start of summary, start of its offsets, CRC.
_END = struct.pack('<BQQQI', 0x02, 20, 0, 0, 0) + _MAGIC
_RECORD = struct.Struct('<BQ')  # opcode and length
_DATA_END = 0x0F


class BrokenOffMcap:
    """The path of an MCAP file without an end, as rosbags wants paths: opened, it has one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.suffix = path.suffix
        self.name = path.name

    def __str__(self) -> str:
        """Return the path."""
        return str(self._path)

    def exists(self) -> bool:
        """Tell whether the file exists."""
        return self._path.exists()

    def is_dir(self) -> bool:
        """Return False."""
        return False

    def open(self, *args: Any, **kwargs: Any) -> BinaryIO:
        """Open the whole records, and an end."""
        file = self._path.open('rb')
        return io.BufferedReader(_WithEnd(file, _whole_records(file)))


def is_broken_off(path: Path) -> bool:
    """Tell whether an MCAP file has a beginning but no end."""
    if path.suffix != '.mcap':
        return False
    with path.open('rb') as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            return False
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - len(_MAGIC)))
        return size < 2 * len(_MAGIC) or file.read() != _MAGIC


def _whole_records(file: BinaryIO) -> int:
    """Return where the last whole record of the data ends."""
    size = file.seek(0, os.SEEK_END)
    end = len(_MAGIC)
    while True:
        file.seek(end)
        head = file.read(_RECORD.size)
        if len(head) < _RECORD.size:
            return end
        opcode, length = _RECORD.unpack(head)
        after = end + _RECORD.size + length
        if after > size or opcode == _DATA_END:
            return end
        end = after


class _WithEnd(io.RawIOBase):
    """The first bytes of a file, and an end behind them."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._place}.get(whence, self._size + len(_END))
        # rosbags takes the place it gets for the place that there is.
        self._place = min(max(0, start + offset), self._size + len(_END))
        return self._place

    def readinto(self, buffer: Any) -> int:
        wanted = len(buffer)
        if self._place < self._size:
            self._file.seek(self._place)
            data = self._file.read(min(wanted, self._size - self._place))
        else:
            behind = self._place - self._size
            data = _END[behind : behind + wanted]
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()
