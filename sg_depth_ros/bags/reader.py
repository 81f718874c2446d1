"""Opening recordings with rosbags, and its errors in words for users."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores
from rosbags.typesys import get_typestore

from sg_depth_ros.bags.bag_files import bag_files
from sg_depth_ros.bags.bag_files import storage_files
from sg_depth_ros.bags.broken_off import BrokenOffMcap
from sg_depth_ros.bags.broken_off import is_broken_off
from sg_depth_ros.errors import UserError


class DamagedBagError(UserError):
    """A bag whose bytes cannot be read, from some place on or at all."""


def open_reader(path: Path) -> AnyReader:
    """
    Open a bag; of an MCAP file that broke off, what is whole.

    :raises UserError: where it is missing or no bag; a DamagedBagError where it is damaged.
    """
    files = bag_files(path)
    with readable(path):
        parts = storage_files(path)
        if any(is_broken_off(part) for part in parts):
            # Without the metadata, which may be of the time before it broke off.
            files = [BrokenOffMcap(p) if is_broken_off(p) else p for p in parts]  # type: ignore[misc]
        # Bags of Humble and older carry no message definitions.
        reader = AnyReader(files, default_typestore=get_typestore(Stores.ROS2_HUMBLE))
        reader.open()
    return reader


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """
    Wrap whatever the pure Python readers raise over damaged bytes.

    :raises DamagedBagError: in its place.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        reason = ' '.join(str(error).split()) or repr(error)
        raise DamagedBagError(
            f'{path}: the bag cannot be read ({reason}); '
            'a recording that broke off may be mended with "ros2 bag reindex" or "mcap recover"'
        ) from error
