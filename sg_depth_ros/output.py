"""A command's output folder, and files in it that are never seen half-written."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.errors import UserError


@contextmanager
def output_folder(path: Path) -> Iterator[Path]:
    """
    Make the folder; after an exception, remove what was newly made and is still empty.

    :raises UserError: where a file is in the way or the folder cannot be made.
    """
    missing = [p for p in (path, *path.parents) if not p.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f'{path}: no folder can be made there ({error.strerror})') from error
    try:
        yield path
    except BaseException:
        for folder in missing:
            if any(folder.iterdir()):
                break
            folder.rmdir()
        raise


def write_json(document: dict[str, Any], path: Path) -> None:
    """Write JSON in one step."""
    write_text_atomically(json.dumps(document, indent=2, allow_nan=False) + '\n', path)


def write_text_atomically(text: str, path: Path) -> None:
    """Write a text file in one step."""
    write_atomically(text.encode(), path)


def write_picture(image: NDArray[np.uint8], path: Path) -> None:
    """Write RGB (H, W, 3) in one step, in the format of the path's suffix."""
    ok, data = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    assert ok, f'OpenCV could not encode a {path.suffix}'
    write_atomically(data.tobytes(), path)


def write_atomically(data: bytes, path: Path) -> None:
    """
    Write a file through a temporary sibling.

    :raises UserError: where the folder does not exist or cannot be written.
    """
    try:
        handle, name = tempfile.mkstemp(prefix=f'.{path.name}.', dir=path.parent)
    except OSError as error:
        raise UserError(f'{path}: cannot write there ({error.strerror})') from error
    temporary = Path(name)
    try:
        with os.fdopen(handle, 'wb') as file:
            file.write(data)
        temporary.chmod(0o644)  # mkstemp's 0600 would hide the file from a web server
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise UserError(f'{path}: cannot be written ({error.strerror})') from error
        raise
