"""How many CPU cores this process may use: by affinity, and by the quota of a container."""

import os
from collections.abc import Iterator
from pathlib import Path

CGROUP_MOUNT = Path('/sys/fs/cgroup')
CGROUP_MEMBERSHIP = Path('/proc/self/cgroup')


def usable_cores(mount: Path = CGROUP_MOUNT, membership: Path = CGROUP_MEMBERSHIP) -> int:
    """
    Return the number of CPU cores that this process may keep busy, at least 1.

    A container's quota (``docker run --cpus 2``) takes nothing away from the affinity: more
    threads than it pays for run fast until it is spent, then stand still until the next period.

    :param mount: where control groups are found.
    :param membership: tells which of them this process is in.
    """
    if hasattr(os, 'sched_getaffinity'):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    quota = cpu_quota(mount, membership)
    # Rounded down: half a core more than there is costs every image a wait.
    return max(1, cores if quota is None else min(cores, int(quota)))


def cpu_quota(mount: Path = CGROUP_MOUNT, membership: Path = CGROUP_MEMBERSHIP) -> float | None:
    """
    Return the smallest CPU quota of this process's control groups in cores, or None.

    Source: Linux, Documentation/admin-guide/cgroup-v2.rst (cpu.max) and
    Documentation/scheduler/sched-bwc.rst (cpu.cfs_quota_us).
    """
    quotas = []
    for folder in _cpu_groups(mount, membership):
        for read in (_quota_of_version_2, _quota_of_version_1):
            try:
                quota = read(folder)
            except (OSError, ValueError, ZeroDivisionError):
                continue  # a group of the other version, or none that can be read
            if quota is not None and quota > 0:
                quotas.append(quota)
    return min(quotas, default=None)


def _cpu_groups(mount: Path, membership: Path) -> Iterator[Path]:
    """List the control groups that may limit this process: its own and all above them."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = (line.split(':', 2) + ['', ''])[:3]
        if controllers == '':
            root = mount  # version 2
        elif 'cpu' in controllers.split(','):
            root = mount / 'cpu'  # of version 1 a link, whatever it is mounted together with
        else:
            continue
        group = Path(path.lstrip('/'))
        # In a container the path may be the host's, with the own group mounted as the root.
        yield from (root / part for part in (group, *group.parents))


def _quota_of_version_2(folder: Path) -> float | None:
    quota, period = (folder / 'cpu.max').read_text().split()
    return None if quota == 'max' else int(quota) / int(period)


def _quota_of_version_1(folder: Path) -> float | None:
    quota_us = int((folder / 'cpu.cfs_quota_us').read_text())
    return quota_us / int((folder / 'cpu.cfs_period_us').read_text())  # -1: none
