"""What decides every byte of a prepared drive, so that it is known again the next time."""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import fields
from pathlib import Path
from typing import Any
from typing import NamedTuple

import cv2

from training.data.sources import Source
from training.data.sources import SourceContent

RECIPE_FILE = 'prepared.json'
# Counts up whenever the same recording and options would give other files.
RECIPE_VERSION = 1


@dataclass(frozen=True)
class Recipe:
    """A recording as it was understood, and what was asked of it."""

    recording: str  # its description, for people
    content: str  # digest of what was understood of it, and of its files' names and sizes
    width: int  # px
    height: int  # px
    min_motion_m: float
    licence: str
    lidar_topic: str | None
    version: int = RECIPE_VERSION


class _FileFacts(NamedTuple):
    name: str
    size_bytes: int
    changed_ns: int


def recipe_of(
    source: Source,
    recording: Path,
    *,
    width: int,
    height: int,
    min_motion_m: float,
    licence: str,
    lidar_topic: str | None,
) -> Recipe:
    """
    Describe what a drive is made from.

    The content is told by what the source understood (camera, stamps, motion), its first frame
    (distortion, position of the LiDAR), and the names and sizes of the recording's files, not
    by their times: a copy of a recording is the same recording.

    :raises UserError: where the first frame cannot be read.
    """
    digest = hashlib.sha256()
    understood = (
        source.description,
        asdict(source.intrinsics),
        source.frames,
        source.notes,
        [(f.name, f.size_bytes) for f in _files(recording)],
    )
    digest.update(json.dumps(understood).encode())
    first = next(source.read(), None)
    if first is not None:
        _digest_content(digest, first)
    return Recipe(
        recording=source.description,
        content=digest.hexdigest(),
        width=width,
        height=height,
        min_motion_m=min_motion_m,
        licence=licence,
        lidar_topic=lidar_topic,
    )


def work_digest(recipe: Recipe, recording: Path) -> str:
    """
    Return what must not change between the frames of one drive.

    Stricter than the recipe: a file that was written to, or another OpenCV, would leave a drive
    made half from the one and half from the other.
    """
    facts = (asdict(recipe), cv2.__version__, list(_files(recording)))
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def write_recipe(recipe: Recipe, drive_folder: Path) -> None:
    """Write the recipe beside ``drive.json``."""
    (drive_folder / RECIPE_FILE).write_text(json.dumps(asdict(recipe), indent=1) + '\n')


def read_recipe(drive_folder: Path) -> Recipe | None:
    """Return the recipe of a drive, or None where it has none that this version understands."""
    try:
        document: Any = json.loads((drive_folder / RECIPE_FILE).read_text())
    except (OSError, ValueError):
        return None
    if not isinstance(document, dict) or set(document) != {f.name for f in fields(Recipe)}:
        return None
    return Recipe(**document)


def differences(made: Recipe, wanted: Recipe) -> str:
    """Return in words what differs between two recipes, or nothing where they are the same."""
    names = [f.name for f in fields(Recipe) if getattr(made, f.name) != getattr(wanted, f.name)]
    if 'recording' in names:
        return f'made from {made.recording}'
    words = []
    for name in names:
        if name == 'content':
            words.append('from other files or topics, or the recording changed since')
        elif name == 'version':
            words.append('by another version of prepare')
        else:
            words.append(f'with {name.removesuffix("_m").replace("_", "-")} {getattr(made, name)}')
    return f'made {", ".join(words)}' if words else ''


def _digest_content(digest: 'hashlib._Hash', content: SourceContent) -> None:
    for array in (content.image, content.labels, content.lidar_m):
        digest.update(b'none' if array is None else repr(array.shape).encode() + array.tobytes())


def _files(recording: Path) -> Iterator[_FileFacts]:
    """Return the files of a recording, by name; hidden ones are not of it."""
    paths = sorted(_walk(recording)) if recording.is_dir() else [recording]
    for path in paths:
        name = path.relative_to(recording).as_posix()
        try:
            status = path.stat()
        except OSError:  # a dangling link; if it matters, reading it will say so
            yield _FileFacts(name, -1, 0)
        else:
            yield _FileFacts(name, status.st_size, status.st_mtime_ns)


def _walk(recording: Path) -> Iterator[Path]:
    """Return all files of a folder, also behind links, each folder once."""
    seen = {recording.resolve()}
    for folder, subfolders, names in os.walk(recording, followlinks=True):
        for name in sorted(subfolders):
            target = (Path(folder) / name).resolve()
            if name.startswith('.') or target in seen:
                subfolders.remove(name)
            seen.add(target)
        subfolders.sort()  # in which order they are walked
        yield from (Path(folder) / name for name in names if not name.startswith('.'))
