"""
The Fast DDS profile for large images, for processes that this package starts.

Without it an image above half a megabyte does not fit the shared-memory segment: lost when best
effort, and when reliable now and then only repaired by the next heartbeat, three seconds later.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version
from pathlib import Path

from sg_depth_ros.errors import UserError

_NAME = 'FASTDDS_DEFAULT_PROFILES_FILE'
_NAME_BEFORE_KILTED = 'FASTRTPS_DEFAULT_PROFILES_FILE'
_KILTED_RCLPY = 9
_FILE = Path('config') / 'fastdds_large_images.xml'


@contextmanager
def dds_profile(profile: Path | None) -> Iterator[None]:
    """
    Set the environment of this process and those it starts; enter before rclpy is initialised.

    :param profile: by default what the environment names already, else this package's.
    :raises UserError: where the named file does not exist.
    """
    if profile is not None and not profile.is_file():
        raise UserError(f'{profile}: no such DDS profile')
    if profile is None and not {_NAME, _NAME_BEFORE_KILTED} & set(os.environ):
        profile = _own_profile()
    if profile is None:
        yield
        return
    name = profile_variable()
    before = os.environ.get(name)
    os.environ[name] = str(profile.resolve())
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


def profile_variable() -> str:
    """Return the name that this distribution's Fast DDS reads without a warning."""
    try:
        major = int(version('rclpy').partition('.')[0])
    except (PackageNotFoundError, ValueError):
        return _NAME
    return _NAME if major >= _KILTED_RCLPY else _NAME_BEFORE_KILTED


def _own_profile() -> Path | None:
    """Find the profile in a checkout or in an ament installation."""
    roots = [Path(__file__).resolve().parents[2]]
    prefixes = os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)
    roots += [Path(prefix) / 'share' / 'sg_depth_ros' for prefix in prefixes if prefix]
    return next((root / _FILE for root in roots if (root / _FILE).is_file()), None)
