"""A command's output folder: made when something goes in, removed if that was nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
