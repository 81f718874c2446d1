"""The journal of an unfinished drive: which frames are complete, and what was found in them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from training.data.drive import frame_path
from training.data.drive import labels_path
from training.data.drive import lidar_path


@dataclass(frozen=True)
class FrameRecord:
    """One frame whose files are all written."""

    index: int
    image_bytes: int
    labels_bytes: int | None = None
    lidar_bytes: int | None = None
    lidar_points: int | None = None
    flow_px: float | None = None  # median from the frame before, of an image 640 wide


@dataclass(frozen=True)
class JournalContent:
    """What a journal says that was left by an earlier run."""

    work: str  # digest of what the frames are made from
    records: tuple[FrameRecord, ...]
    length_bytes: int  # what follows is of a frame that was not finished


class Journal:
    """An open journal; each record reaches the system before the next frame is begun."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def add(self, record: FrameRecord) -> None:
        """Write down a frame whose files are complete."""
        self._stream.write(json.dumps(asdict(record)).encode() + b'\n')
        self._stream.flush()


def read_journal(path: Path, drive_folder: Path) -> JournalContent | None:
    """
    Read what an earlier run left, as far as journal and files agree.

    Files and journal of a killed process survive; after a power failure the last files may be
    missing or short, which their sizes tell.

    :return: None where there is no journal.
    """
    try:
        lines = path.read_bytes().split(b'\n')[:-1]
    except OSError:
        return None
    records: list[FrameRecord] = []
    try:
        work = str(json.loads(lines[0])['work'])
        length_bytes = len(lines[0]) + 1
    except (IndexError, ValueError, KeyError, TypeError):
        return None
    for line in lines[1:]:
        try:
            record = FrameRecord(**json.loads(line))
        except (ValueError, TypeError):
            break
        if record.index != len(records) or not _files_agree(record, drive_folder):
            break
        records.append(record)
        length_bytes += len(line) + 1
    return JournalContent(work, tuple(records), length_bytes)


@contextmanager
def new_journal(path: Path, work: str) -> Iterator[Journal]:
    """Begin a journal."""
    with path.open('wb') as stream:
        stream.write(json.dumps({'work': work}).encode() + b'\n')
        stream.flush()
        yield Journal(stream)


@contextmanager
def continued_journal(path: Path, content: JournalContent) -> Iterator[Journal]:
    """Go on with a journal behind its last complete record."""
    with path.open('r+b') as stream:
        stream.truncate(content.length_bytes)
        stream.seek(content.length_bytes)
        yield Journal(stream)


def record_frame(
    drive_folder: Path,
    index: int,
    *,
    has_labels: bool,
    lidar_points: int | None,
    flow_px: float | None,
) -> FrameRecord:
    """Describe a frame whose files have been written."""
    return FrameRecord(
        index=index,
        image_bytes=frame_path(drive_folder, index).stat().st_size,
        labels_bytes=labels_path(drive_folder, index).stat().st_size if has_labels else None,
        lidar_bytes=(
            None if lidar_points is None else lidar_path(drive_folder, index).stat().st_size
        ),
        lidar_points=lidar_points,
        flow_px=flow_px,
    )


def _files_agree(record: FrameRecord, drive_folder: Path) -> bool:
    sizes_bytes = (
        (frame_path(drive_folder, record.index), record.image_bytes),
        (labels_path(drive_folder, record.index), record.labels_bytes),
        (lidar_path(drive_folder, record.index), record.lidar_bytes),
    )
    for path, size_bytes in sizes_bytes:
        if size_bytes is None:
            continue
        try:
            if path.stat().st_size != size_bytes:
                return False
        except OSError:
            return False
    return True
