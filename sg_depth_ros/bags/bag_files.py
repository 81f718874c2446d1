"""Which files are a rosbag2, by their names."""

from pathlib import Path

from sg_depth_ros.errors import UserError

_FILE_SUFFIXES = ('.db3', '.mcap')


def is_bag(path: Path) -> bool:
    """Return whether a path looks like a rosbag2: by its files, without opening them."""
    if path.is_dir():
        return (path / 'metadata.yaml').exists() or bool(storage_files(path))
    return path.suffix in _FILE_SUFFIXES


def bag_files(path: Path) -> list[Path]:
    """
    Return what rosbags opens: the folder, or the files of one without metadata.

    :raises UserError: where it is no rosbag2.
    """
    if not path.exists():
        raise UserError(f'{path}: no such bag')
    if path.is_dir():
        # Without metadata (a recorder that was killed) the files speak for themselves.
        files = [path] if (path / 'metadata.yaml').exists() else storage_files(path)
    else:
        files = [path] if path.suffix in _FILE_SUFFIXES else []
    if files:
        return files
    hint = '; convert ROS 1 bags with rosbags-convert' if path.suffix == '.bag' else ''
    raise UserError(
        f'{path}: no rosbag2 (a folder with metadata.yaml, or a .db3 or .mcap file){hint}'
    )


def recorded_files(path: Path) -> list[Path]:
    """Return the files of a bag that hold messages or their list; SQLite puts others beside."""
    if not path.is_dir():
        return [path]
    compressed = [p for p in path.iterdir() if p.suffix == '.zstd']
    metadata = [p for p in (path / 'metadata.yaml',) if p.exists()]
    return sorted([*metadata, *storage_files(path), *compressed])


def storage_files(path: Path) -> list[Path]:
    """Return the files of a bag that hold messages, uncompressed."""
    if not path.is_dir():
        return [path]
    return sorted(p for p in path.iterdir() if p.suffix in _FILE_SUFFIXES)
