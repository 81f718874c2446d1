"""A ROS domain that no other replay or test run on this machine is using."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sg_depth_ros.errors import UserError

# Above 101 the ports that DDS derives from the domain reach into the ephemeral ones.
LARGEST_ROS_DOMAIN = 101


@contextmanager
def leased_ros_domain() -> Iterator[int]:
    """
    Hold a ROS domain for the time of the ``with`` block.

    From the highest down, since people number theirs from 0 up.

    :raises UserError: where all are taken.
    """
    for domain in range(LARGEST_ROS_DOMAIN, 0, -1):
        # The lock, not the file, says that a domain is taken: a killed process leaves none.
        name = f'sg_depth_ros_domain_{os.getuid()}_{domain}.lock'
        with (Path(tempfile.gettempdir()) / name).open('w') as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield domain
            return
    raise UserError(
        f'all ROS domains from 1 to {LARGEST_ROS_DOMAIN} are in use by replays; name one with '
        '--domain-id'
    )
