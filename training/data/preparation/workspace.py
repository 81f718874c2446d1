"""
The hidden folder in which a drive grows until it is whole.

    DATASET/.prepare-NAME/.lock            held by the process that works on it
    DATASET/.prepare-NAME/.journal.jsonl   the frames that are complete
    DATASET/.prepare-NAME/.replaced/...    what the drive replaces, for the moment of the exchange
    DATASET/.prepare-NAME/NAME/...         the drive, one level deeper than others are
"""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sg_depth_ros.errors import UserError
from training.data.preparation.journal import read_journal

_LOCK_FILE = '.lock'
# The processes of a run that was just killed take a moment to end.
LOCK_PATIENCE_S = 1.0


@dataclass(frozen=True)
class Workspace:
    """The places of one unfinished drive."""

    folder: Path
    name: str

    @property
    def drive(self) -> Path:
        """Where the drive's files are written."""
        return self.folder / self.name

    @property
    def journal(self) -> Path:
        """The list of complete frames."""
        return self.folder / '.journal.jsonl'

    @property
    def finished(self) -> Path:
        """What becomes of the drive's folder in the end."""
        return self.folder.parent / self.name

    @property
    def _replaced(self) -> Path:
        return self.folder / '.replaced'

    def clear(self) -> None:
        """Remove the unfinished drive and what an exchange left."""
        self.restore_replaced()
        self.journal.unlink(missing_ok=True)
        for folder in (self.drive, self._replaced):
            if folder.exists():
                shutil.rmtree(folder)

    def holds_frames(self) -> bool:
        """Return whether there is something to go on with."""
        left = read_journal(self.journal, self.drive)
        return left is not None and bool(left.records)

    def publish(self) -> None:
        """Put the drive into its place; a drive already there is lost."""
        if self.finished.exists():
            shutil.rmtree(self._replaced, ignore_errors=True)
            self.finished.rename(self._replaced)
        self.drive.rename(self.finished)

    def restore_replaced(self) -> None:
        """Undo an exchange that was interrupted between its two renames."""
        if self._replaced.exists() and not self.finished.exists():
            self._replaced.rename(self.finished)


@contextmanager
def locked_workspace(dataset: Path, name: str) -> Iterator[Workspace]:
    """
    Give the hidden folder of a drive to one process; it stays while it holds complete frames.

    :raises UserError: where another process has it, or the dataset folder cannot be written.
    """
    workspace = Workspace(dataset / f'.prepare-{name}', name)
    try:
        descriptor = _lock(workspace.folder)
    except BlockingIOError as error:
        raise UserError(
            f'{dataset / name}: another prepare is working on it; wait for it, or give another '
            '--name'
        ) from error
    except OSError as error:
        raise UserError(f'{dataset}: cannot be written ({error.strerror})') from error
    try:
        workspace.restore_replaced()
        yield workspace
    finally:
        if not workspace.holds_frames():
            _remove(workspace)
        os.close(descriptor)


def _remove(workspace: Workspace) -> None:
    """Remove the hidden folder, the lock last."""
    with suppress(OSError):  # another process is in it already
        workspace.clear()
        (workspace.folder / _LOCK_FILE).unlink(missing_ok=True)
        workspace.folder.rmdir()


@contextmanager
def dataset_folder(dataset: Path) -> Iterator[None]:
    """Make a dataset folder for a while; it stays, with its new parents, if it is filled."""
    missing = [p for p in (dataset, *dataset.parents) if not p.exists()]
    try:
        dataset.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f'{dataset}: cannot be written ({error.strerror})') from error
    try:
        yield
    finally:
        for folder in missing:
            with suppress(OSError):  # not empty
                folder.rmdir()


def _lock(folder: Path) -> int:
    """Return the descriptor of the held lock; it is free again when the process ends, any way."""
    give_up_s = time.monotonic() + LOCK_PATIENCE_S
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            descriptor = os.open(folder / _LOCK_FILE, flags, 0o666)
        except FileNotFoundError:
            continue  # whoever held it just removed the folder
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            if time.monotonic() > give_up_s:
                raise
            time.sleep(0.05)
            continue
        except OSError:
            os.close(descriptor)
            raise
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)  # the lock of a removed file would keep nobody out
