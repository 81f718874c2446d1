"""
What a replay sent to the node and what came back, kept on disk until it is checked.

No ROS: messages come in as CDR bytes, so that receiving costs next to nothing while the node is
being measured, and are deserialised afterwards.
"""

import struct
import tempfile
from collections import Counter
from collections.abc import Iterator
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from typing import Literal
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rosbags.typesys import Stores
from rosbags.typesys import get_typestore

OutputKind = Literal['depth', 'camera_info', 'points', 'mask']

OUTPUT_TYPES: dict[OutputKind, str] = {
    'depth': 'sensor_msgs/msg/Image',
    'camera_info': 'sensor_msgs/msg/CameraInfo',
    'points': 'sensor_msgs/msg/PointCloud2',
    'mask': 'sensor_msgs/msg/Image',
}
OUTPUT_TOPICS: dict[OutputKind, str] = {  # below the node's name
    'depth': 'depth/image',
    'camera_info': 'depth/camera_info',
    'points': 'points',
    'mask': 'semantic/mask',
}


class Sent(NamedTuple):
    """One image that was published; the time is the monotonic clock's."""

    stamp_ns: int
    frame_id: str
    sent_ns: int
    late_ns: int = 0  # behind the time at which it was due


class Received(NamedTuple):
    """One message of the node; the time is the monotonic clock's."""

    kind: OutputKind
    stamp_ns: int
    received_ns: int
    place: int
    size: int  # 0: its content was not kept


class Recording:
    """Messages in a temporary file, removed on leaving the ``with`` block."""

    def __init__(self, folder: Path, clouds_kept_every: int = 1) -> None:
        """
        Make the file in ``folder``.

        :param clouds_kept_every: of clouds, which are the largest by far, every so many are kept.
        """
        self.sent: list[Sent] = []
        self.received: list[Received] = []
        self._clouds_kept_every = clouds_kept_every
        self._sent_with_stamp: Counter[int] = Counter()
        self._place_in_stamp: list[int] = []  # of each image among those of its stamp
        self._received_of: Counter[OutputKind] = Counter()
        self._by_stamp: dict[tuple[OutputKind, int], list[Received]] = {}
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # closed by __exit__
        self._end = 0
        self._store = get_typestore(Stores.ROS2_JAZZY)

    def __enter__(self) -> 'Recording':
        """Return the recording."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Remove the file."""
        self._file.close()

    def send(self, sent: Sent) -> None:
        """Note an image that is being published."""
        self.sent.append(sent)
        self._place_in_stamp.append(self._sent_with_stamp[sent.stamp_ns])
        self._sent_with_stamp[sent.stamp_ns] += 1

    def add(self, kind: OutputKind, raw: bytes, received_ns: int) -> None:
        """Keep one message."""
        stamp_ns = header_stamp_ns(raw)
        kept = raw
        if kind == 'points' and self._received_of[kind] % self._clouds_kept_every:
            kept = b''
        self._file.seek(self._end)
        self._file.write(kept)
        entry = Received(kind, stamp_ns, received_ns, self._end, len(kept))
        self._end += len(kept)
        self._received_of[kind] += 1
        self.received.append(entry)
        self._by_stamp.setdefault((kind, stamp_ns), []).append(entry)

    def count(self, kind: OutputKind, stamp_ns: int) -> int:
        """Return how many messages of a kind came with a stamp."""
        return len(self._by_stamp.get((kind, stamp_ns), ()))

    def of_kind(self, kind: OutputKind) -> Iterator[Received]:
        """Return the messages of a kind in the order in which they came."""
        return (entry for entry in self.received if entry.kind == kind)

    def by_image(self) -> Iterator[Sequence[Received]]:
        """
        Return the messages that belong together, at most one of each kind.

        They have one stamp; where several images had it, the first of each kind come first.
        """
        images: dict[tuple[int, int], list[Received]] = {}
        counted: Counter[tuple[OutputKind, int]] = Counter()
        for entry in self.received:
            nth = counted[entry.kind, entry.stamp_ns]
            counted[entry.kind, entry.stamp_ns] += 1
            images.setdefault((entry.stamp_ns, nth), []).append(entry)
        return iter(images.values())

    def message(self, entry: Received) -> Any:
        """Read and deserialise one message whose content was kept."""
        assert entry.size
        self._file.seek(entry.place)
        raw = self._file.read(entry.size)
        return self._store.deserialize_cdr(raw, OUTPUT_TYPES[entry.kind])

    def of_image(self, kind: OutputKind, number: int) -> Any | None:
        """
        Return the message of a kind that an image gave, or None.

        Images of one stamp give theirs in order; where one of them gave none, nobody knows which.

        :param number: of the image, in the order in which they were sent.
        """
        stamp_ns = self.sent[number].stamp_ns
        entries = self._by_stamp.get((kind, stamp_ns), [])
        if len(entries) < self._sent_with_stamp[stamp_ns]:
            return None
        return self.message(entries[self._place_in_stamp[number]])


def header_stamp_ns(raw: bytes) -> int:
    """Read the stamp of a message that begins with a std_msgs/Header from its CDR bytes."""
    # Four bytes of encapsulation, of which the second tells the byte order; then the stamp.
    order = '<' if raw[1] & 1 else '>'
    seconds, nanoseconds = struct.unpack_from(f'{order}iI', raw, 4)
    return int(seconds) * 10**9 + int(nanoseconds)


def image_pixels(message: Any, dtype: str) -> NDArray[Any]:
    """
    View the pixels of a single-channel sensor_msgs/Image.

    :param dtype: of one pixel, little-endian or a byte, such as ``<f4``.
    :return: (H, W).
    :raises ValueError: where the data does not fit the size.
    """
    item = np.dtype(dtype).newbyteorder('>' if message.is_bigendian else '<')
    rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
    used = np.ascontiguousarray(rows[:, : message.width * item.itemsize])
    pixels: NDArray[Any] = used.view(item).reshape(message.height, message.width)
    return pixels
