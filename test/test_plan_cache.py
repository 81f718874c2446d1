"""The cache of plans: one builder, whole plans or none, and nothing that belongs elsewhere."""

import fcntl
import json
import os
import resource
import stat
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from sg_depth_ros.engines.engine import PlanMissingError
from sg_depth_ros.engines.options import TensorRTOptions
from sg_depth_ros.engines.tensorrt.builder import BuiltPlan
from sg_depth_ros.engines.tensorrt.plan_cache import cache_folder
from sg_depth_ros.engines.tensorrt.plan_cache import cached_plan
from sg_depth_ros.engines.tensorrt.plan_key import PlanKey
from sg_depth_ros.engines.tensorrt.plan_key import plan_key
from sg_depth_ros.engines.tensorrt.progress import BuildCancelledError

ROOT = Path(__file__).resolve().parents[1]
MODEL = Path('model.onnx')
KEY = plan_key('ab' * 32, 'TensorRT 10.3.0', 'Orin', (8, 7), TensorRTOptions())
OTHERS = {
    'model_sha256': 'cd' * 32,
    'tensorrt': 'TensorRT 10.13.0',
    'gpu_name': 'NVIDIA L4',
    'compute_capability': '8.9',
    'optimization_level': 5,
    'workspace_mb': 256,
    'tf32': True,
    'hardware_compatible': True,
    'version_compatible': True,
}
# A process that wants the plan, tells when it builds or waits, and builds when it is told to.
WANTS_THE_PLAN = """
import sys
from pathlib import Path
from sg_depth_ros.engines.tensorrt.builder import BuiltPlan
from sg_depth_ros.engines.tensorrt.plan_cache import cached_plan
from test_plan_cache import KEY

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


class Builds:
    """Plans that tell which build they come from."""

    def __init__(self, size_bytes=1000, timing_cache=None):
        self.size_bytes, self.timing_cache = size_bytes, timing_cache
        self.given = []  # the timing caches

    def __call__(self, timing_cache):
        self.given.append(timing_cache)
        plan = b'plan %d ' % self.count
        return BuiltPlan(plan.ljust(self.size_bytes, b'.'), self.timing_cache, 12.5)

    @property
    def count(self):
        return len(self.given)


def get(folder, build, key=KEY, **options):
    return cached_plan(key, folder, build, model=MODEL, **options)


def refuse(timing_cache):
    raise AssertionError('built once more')


def change_key(plan, **fields):
    description = plan.with_suffix('.json')
    document = json.loads(description.read_text())
    document['key'].update(fields)
    description.write_text(json.dumps(document))


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


def test_a_plan_is_built_once(tmp_path):
    build = Builds()
    first = get(tmp_path, build)
    assert (first.was_built, first.note) == (True, None)
    assert first.path.read_bytes() == first.content
    second = get(tmp_path, refuse)
    assert second == first._replace(was_built=False)
    assert second.build_s == 12.5


def test_a_file_beside_the_plan_says_what_it_is_for(tmp_path):
    path = get(tmp_path, Builds()).path
    document = json.loads(path.with_suffix('.json').read_text())
    assert document['key']['gpu_name'] == 'Orin'
    assert PlanKey(**document['key']) == KEY
    assert sorted(p.suffix for p in tmp_path.iterdir()) == ['.json', '.lock', '.plan']


@pytest.mark.parametrize('field', PlanKey._fields)
def test_whatever_changes_a_plan_leads_to_another_one(tmp_path, field):
    assert set(OTHERS) == set(PlanKey._fields)
    build = Builds()
    first = get(tmp_path, build)
    second = get(tmp_path, build, KEY._replace(**{field: OTHERS[field]}))
    assert (build.count, second.note) == (2, None)
    assert second.content != first.content
    assert get(tmp_path, refuse) == first._replace(was_built=False)


@pytest.mark.parametrize(
    ('option', 'changed', 'does'),
    [
        ('hardware_compatible', {'gpu_name': 'NVIDIA L4', 'compute_capability': '8.9'}, True),
        ('hardware_compatible', {'tensorrt': 'TensorRT 10.13.0'}, False),
        ('version_compatible', {'tensorrt': 'TensorRT 10.13.0'}, True),
        ('version_compatible', {'tensorrt': 'TensorRT 11.4.0'}, False),
        ('version_compatible', {'tensorrt': 'TensorRT-RTX 10.3.0'}, False),
        ('version_compatible', {'gpu_name': 'NVIDIA L4'}, False),
    ],
)
def test_a_compatible_plan_does_where_it_should(tmp_path, option, changed, does):
    build = Builds()
    key = KEY._replace(**{option: True})
    get(tmp_path, build, key)
    assert get(tmp_path, build, key._replace(**changed)).was_built is not does


@pytest.mark.parametrize(
    'harm',
    [
        lambda plan: plan.write_bytes(plan.read_bytes()[:-1]),
        lambda plan: plan.write_bytes(plan.read_bytes().replace(b'1', b'2')),
        lambda plan: plan.write_bytes(b''),
        lambda plan: plan.with_suffix('.json').write_text('{'),
        lambda plan: plan.with_suffix('.json').write_text('[]'),
        lambda plan: plan.with_suffix('.json').write_text('{"key": {}}'),
        lambda plan: change_key(plan, tensorrt=10, version_compatible=True),
        lambda plan: plan.with_suffix('.json').write_bytes(b'\xff\x00'),
        lambda plan: (plan.unlink(), plan.mkdir()),
    ],
)
def test_a_damaged_plan_is_noticed_and_told(tmp_path, harm, caplog):
    build = Builds()
    path = get(tmp_path, build).path
    harm(path)
    with pytest.raises(PlanMissingError, match=r'plan .* run ".*_engine model.onnx .*" first'):
        get(tmp_path, refuse, allow_build=False)
    second = get(tmp_path, build)
    assert second.was_built
    assert str(path) in second.note
    assert 'it is built again' in caplog.text
    if second.path:  # a folder in its place stays
        assert get(tmp_path, refuse).content == second.content


def test_a_plan_of_elsewhere_under_this_name_is_not_used(tmp_path):
    build = Builds()
    theirs = get(tmp_path, build, KEY._replace(tensorrt='TensorRT 10.13.0', gpu_name='L4')).path
    mine = tmp_path / f'{KEY.name()}.plan'
    for suffix in ('.plan', '.json'):
        theirs.with_suffix(suffix).rename(mine.with_suffix(suffix))
    told = 'is for TensorRT 10.13.0, L4, this is TensorRT 10.3.0, Orin'
    with pytest.raises(PlanMissingError, match=told):
        get(tmp_path, refuse, allow_build=False)
    assert told in get(tmp_path, build).note
    assert build.count == 2


def test_where_building_is_not_allowed_the_nearest_plan_is_told(tmp_path):
    with pytest.raises(PlanMissingError, match=f'no TensorRT plan of this model in {tmp_path}'):
        get(tmp_path / 'not there', refuse, allow_build=False)
    assert not list(tmp_path.iterdir())
    far = KEY._replace(tensorrt='TensorRT 11.4.0', gpu_name='L4', compute_capability='8.9')
    for key in (far, KEY._replace(workspace_mb=256), far._replace(model_sha256='cd' * 32)):
        get(tmp_path, Builds(), key)
    (tmp_path / f'{KEY.model_sha256[:16]}.0.json').write_text('damaged')
    with pytest.raises(PlanMissingError, match='is for a workspace of 256 MB, this is any work'):
        get(tmp_path, refuse, allow_build=False)


def test_a_description_without_its_plan_is_no_plan(tmp_path):
    get(tmp_path, Builds()).path.unlink()
    with pytest.raises(PlanMissingError, match=f'no TensorRT plan of this model in {tmp_path};'):
        get(tmp_path, refuse, allow_build=False)
    assert get(tmp_path, Builds()).note is None


def test_a_plan_that_did_not_open_is_built_again_once(tmp_path):
    build = Builds()
    first = get(tmp_path, build)
    second = get(tmp_path, build, distrusted_sha256=first.sha256)
    assert second.was_built
    assert 'could not be opened' in second.note
    # Another process that met the first one finds the second.
    assert not get(tmp_path, refuse, distrusted_sha256=first.sha256).was_built


def test_a_plan_is_built_again_where_that_is_asked_for(tmp_path):
    build = Builds()
    get(tmp_path, build)
    again = get(tmp_path, build, rebuild=True)
    assert (again.was_built, again.note, build.count) == (True, None, 2)
    assert get(tmp_path, refuse).content == again.content


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


def test_what_a_build_measured_is_given_to_the_next_on_this_machine(tmp_path):
    build = Builds(timing_cache=b'kernel A takes 3 us')
    get(tmp_path, build)
    get(tmp_path, build, KEY._replace(model_sha256='cd' * 32))
    get(tmp_path, build, KEY._replace(tensorrt='TensorRT 10.13.0'))
    get(tmp_path, build, KEY._replace(gpu_name='L4'))
    # A plan for every GPU was still measured on this one.
    get(tmp_path, build, KEY._replace(gpu_name='L4', hardware_compatible=True))
    get(tmp_path, build, KEY._replace(optimization_level=5), timing_cache=False)
    measured = build.timing_cache
    assert build.given == [None, measured, None, None, measured, None]


def test_damaged_measurements_are_not_shown_to_tensorrt(tmp_path):
    build = Builds(timing_cache=b'kernel A takes 3 us')
    get(tmp_path, build)
    (timing,) = tmp_path.glob('*.timing')
    timing.write_bytes(timing.read_bytes()[:-1])
    get(tmp_path, build, KEY._replace(model_sha256='cd' * 32))
    assert build.given == [None, None]


def test_the_folder_is_the_users_alone(tmp_path):
    folder = tmp_path / 'a' / 'cache'
    get(folder, Builds())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ('variables', 'folder'),
    [
        ({'SG_DEPTH_ROS_CACHE': '/plans', 'XDG_CACHE_HOME': '/xdg'}, '/plans'),
        ({'SG_DEPTH_ROS_CACHE': '~/plans'}, '/home/me/plans'),
        ({'SG_DEPTH_ROS_CACHE': '', 'XDG_CACHE_HOME': '/xdg'}, '/xdg/sg_depth_ros'),
        ({'XDG_CACHE_HOME': 'relative'}, '/home/me/.cache/sg_depth_ros'),
        ({'XDG_CACHE_HOME': ''}, '/home/me/.cache/sg_depth_ros'),
        ({}, '/home/me/.cache/sg_depth_ros'),
    ],
)
def test_plans_are_kept_where_the_user_wants(variables, folder, monkeypatch):
    for name in ('SG_DEPTH_ROS_CACHE', 'XDG_CACHE_HOME'):
        monkeypatch.delenv(name, raising=False)
    for name, value in {'HOME': '/home/me', **variables}.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == Path(folder)
