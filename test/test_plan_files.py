"""Plans as files: one builder at a time, killed processes, folders that cannot be written."""

import fcntl
import os
import resource
import stat
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from plan_builds import KEY
from plan_builds import Builds
from plan_builds import get
from plan_builds import refuse

from sg_depth_ros.engines.tensorrt.progress import BuildCancelledError

ROOT = Path(__file__).resolve().parents[1]
# A process that wants the plan, tells when it builds or waits, and builds when it is told to.
WANTS_THE_PLAN = """
import sys
from pathlib import Path
from sg_depth_ros.engines.tensorrt.builder import BuiltPlan
from sg_depth_ros.engines.tensorrt.plan_cache import cached_plan
from plan_builds import KEY

def build(timing_cache):
    print('building', flush=True)
    return BuiltPlan(sys.stdin.readline().strip().encode(), None, 1.0)

waited = []

def on_wait(waited_s):
    waited or print('waiting', flush=True)
    waited.append(waited_s)
    return True

plan = cached_plan(KEY, Path(sys.argv[1]), build, model=Path('m.onnx'), on_wait=on_wait)
print(plan.content.decode(), 'built' if plan.was_built else 'found', flush=True)
"""


@contextmanager
def unwritable(folder):
    """Let the folder be read and nothing else, also where root runs the tests."""
    user, before = os.geteuid(), Path.cwd()
    folder.chmod(0o555)
    os.chdir(folder)  # the folders above it may be root's alone
    try:
        if user == 0:
            os.seteuid(65534)
        yield Path()
    finally:
        os.seteuid(user)
        os.chdir(before)
        folder.chmod(0o755)


@pytest.fixture
def process():
    """Start processes that want the plan, and leave none behind."""
    started = []

    def start(folder):
        child = subprocess.Popen(
            [sys.executable, '-c', WANTS_THE_PLAN, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, 'PYTHONPATH': f'{ROOT}{os.pathsep}{ROOT / "test"}'},
        )
        started.append(child)
        return child

    yield start
    for child in started:
        child.kill()
        child.communicate()


def test_a_build_that_fails_leaves_nothing_and_no_lock(tmp_path):
    def fail(timing_cache):
        raise RuntimeError('no')

    with pytest.raises(RuntimeError):
        get(tmp_path, fail)
    assert [p.suffix for p in tmp_path.iterdir()] == ['.lock']
    assert get(tmp_path, Builds()).was_built


def test_of_two_processes_one_builds_and_the_other_waits_for_it(tmp_path, process):
    builder = process(tmp_path)
    assert builder.stdout.readline() == 'building\n'
    waiter = process(tmp_path)
    assert waiter.stdout.readline() == 'waiting\n'
    assert not list(tmp_path.glob('*.plan'))
    assert builder.communicate('theplan\n')[0] == 'theplan built\n'
    assert waiter.communicate()[0] == 'theplan found\n'


def test_a_killed_builder_leaves_no_half_plan_and_no_lock(tmp_path, process):
    builder = process(tmp_path)
    assert builder.stdout.readline() == 'building\n'
    waiter = process(tmp_path)
    assert waiter.stdout.readline() == 'waiting\n'
    builder.kill()
    assert waiter.stdout.readline() == 'building\n'
    assert waiter.communicate('theplan\n')[0] == 'theplan built\n'
    assert get(tmp_path, refuse).content == b'theplan'


def test_what_a_process_killed_while_writing_leaves_is_not_used_and_goes(tmp_path):
    build = Builds()
    path = get(tmp_path, build).path
    # Killed within the write; and between the plan and its description.
    path.with_name(f'{path.name}.tmp').write_bytes(b'half')
    path.write_bytes(b'new plan')
    assert get(tmp_path, build).was_built
    assert sorted(p.suffix for p in tmp_path.iterdir()) == ['.json', '.lock', '.plan']


def test_a_wait_can_be_given_up(tmp_path):
    waited = []

    def give_up(waited_s):
        waited.append(waited_s)
        return len(waited) < 3

    with (tmp_path / f'{KEY.name()}.lock').open('w') as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(BuildCancelledError):
            get(tmp_path, refuse, on_wait=give_up)
    assert waited == sorted(waited)
    assert len(waited) == 3
    assert get(tmp_path, Builds()).was_built


def test_a_folder_that_cannot_be_made_costs_the_cache_not_the_engine(tmp_path, caplog):
    (tmp_path / 'file').touch()
    plan = get(tmp_path / 'file' / 'cache', Builds())
    assert plan.content.startswith(b'plan 1')
    assert (plan.was_built, plan.path) == (True, None)
    assert 'used but not kept' in plan.note
    assert 'Not a directory' in plan.note
    assert 'used but not kept' in caplog.text


def test_a_folder_that_cannot_be_written_costs_the_cache_not_the_engine(tmp_path):
    with unwritable(tmp_path) as folder:
        plan = get(folder, Builds())
    assert (plan.was_built, plan.path) == (True, None)
    assert 'Permission denied' in plan.note


def test_a_plan_is_found_where_nothing_can_be_written(tmp_path):
    get(tmp_path, Builds())
    with unwritable(tmp_path) as folder:
        assert not get(folder, refuse).was_built


def test_a_plan_that_does_not_fit_on_the_disk_is_used_but_not_kept(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))  # Python ignores the signal
    try:
        plan = get(tmp_path, Builds(size_bytes=100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(plan.content) == 100_000
    assert (plan.was_built, plan.path) == (True, None)
    assert 'File too large' in plan.note
    assert [p.suffix for p in tmp_path.iterdir()] == ['.lock']
    assert get(tmp_path, Builds(size_bytes=100_000)).path is not None


def test_the_folder_is_the_users_alone(tmp_path):
    folder = tmp_path / 'a' / 'cache'
    get(folder, Builds())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
