"""Threads are counted by what a process may really use, also in a container."""

import os

import pytest

from sg_depth_ros.engines.cores import cpu_quota
from sg_depth_ros.engines.cores import usable_cores

AFFINITY = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()


@pytest.fixture
def machine(tmp_path):
    """Return a function that writes control groups and says where they are."""

    def write(membership, files):
        (tmp_path / 'membership').write_text(membership)
        for name, text in files.items():
            path = tmp_path / 'groups' / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path / 'groups', tmp_path / 'membership'

    return write


@pytest.mark.parametrize(
    ('text', 'quota'),
    [
        ('max 100000\n', None),
        ('200000 100000\n', 2.0),
        ('50000 100000\n', 0.5),
        ('', None),
        ('text\n', None),
        ('100000 0\n', None),
    ],
)
def test_a_quota_of_version_2(machine, text, quota):
    assert cpu_quota(*machine('0::/\n', {'cpu.max': text})) == quota


@pytest.mark.parametrize(('quota_us', 'quota'), [('-1', None), ('150000', 1.5), ('0', None)])
def test_a_quota_of_version_1(machine, quota_us, quota):
    files = {
        'cpu/box/cpu.cfs_quota_us': quota_us,
        'cpu/box/cpu.cfs_period_us': '100000',
        # In this group the process is for its memory only.
        'cpu/shop/cpu.cfs_quota_us': '10000',
        'cpu/shop/cpu.cfs_period_us': '100000',
    }
    found = machine('5:memory:/shop\n4:cpu,cpuacct:/box\n', files)
    assert cpu_quota(*found) == quota


def test_the_tightest_of_all_groups_above_counts(machine):
    found = machine(
        '0::/slice/service/box\n',
        {
            'slice/cpu.max': '100000 100000',
            'slice/service/cpu.max': '400000 100000',
            'slice/service/box/cpu.max': 'max 100000',
            'slice/other/cpu.max': '10000 100000',
        },
    )
    assert cpu_quota(*found) == 1.0


def test_in_a_container_that_is_named_by_the_hosts_path_its_root_counts(machine):
    assert cpu_quota(*machine('0::/docker/0123\n', {'cpu.max': '300000 100000'})) == 3.0
    assert cpu_quota(*machine('0::/../../box\n', {'cpu.max': '300000 100000'})) == 3.0


def test_where_nothing_is_told_the_affinity_counts(tmp_path, machine):
    assert usable_cores(tmp_path / 'none', tmp_path / 'none') == AFFINITY
    assert usable_cores(*machine('nonsense\n', {})) == AFFINITY


@pytest.mark.parametrize(('quota', 'cores'), [(100000, 1), (20000, 1), (199999, 1)])
def test_a_quota_is_rounded_down_but_never_to_nothing(machine, quota, cores):
    assert usable_cores(*machine('0::/\n', {'cpu.max': f'{quota} 100000'})) == cores


def test_a_quota_above_the_affinity_changes_nothing(machine):
    assert usable_cores(*machine('0::/\n', {'cpu.max': '99900000 100000'})) == AFFINITY


def test_this_machine_has_a_core():
    assert 1 <= usable_cores() <= AFFINITY
