"""What every test stands on: a ROS domain of its own, few threads, the real drives if any."""

import fcntl
import os
import tempfile
from pathlib import Path
from typing import IO

import pytest
from hypothesis import settings

# Above 101 the ports that DDS derives from the domain reach into the ephemeral ones.
LARGEST_ROS_DOMAIN = 101


def lease_ros_domain() -> tuple[int, IO[str]]:
    """
    Take a ROS domain that no other test run on this machine uses.

    :return: the domain, and the lock that holds it as long as the file is open.
    """
    for domain in range(1, LARGEST_ROS_DOMAIN + 1):
        path = Path(tempfile.gettempdir()) / f'sg_depth_ros_domain_{os.getuid()}_{domain}.lock'
        lock = path.open('w')
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        return domain, lock
    raise RuntimeError(f'all ROS domains from 1 to {LARGEST_ROS_DOMAIN} are in use by test runs')


# At import, before any test module imports rclpy or torch. Nodes that tests start inherit them.
_domain, _domain_lock = lease_ros_domain()
os.environ['ROS_DOMAIN_ID'] = str(_domain)
os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
os.environ.setdefault('OMP_NUM_THREADS', '2')
os.environ.setdefault('MPLBACKEND', 'Agg')

# On a loaded machine a single example may be slow without anything being wrong.
settings.register_profile('default', deadline=None)
settings.register_profile('ci', deadline=None, derandomize=True, print_blob=True)
settings.load_profile('ci' if os.environ.get('CI') else 'default')


@pytest.fixture(scope='session')
def shared_data() -> Path:
    """Return the folder of real drives beside the checkout; skip where there is none."""
    folder = Path(__file__).resolve().parents[2] / 'shared' / 'data'
    if not folder.is_dir():
        pytest.skip(f'no real drives in {folder}')
    return folder
