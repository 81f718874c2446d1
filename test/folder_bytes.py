"""All there is in a folder, to compare: for tests."""

from pathlib import Path


def tree(folder: Path) -> dict[str, bytes | None]:
    """Return the content of each file, and None for each folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob('*'))
    }
