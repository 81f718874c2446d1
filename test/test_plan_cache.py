"""The cache of plans: whole ones, for this model and machine alone, built where there is none."""

import json
from pathlib import Path

import pytest
from plan_builds import KEY
from plan_builds import Builds
from plan_builds import get
from plan_builds import refuse

from sg_depth_ros.engines.engine import PlanMissingError
from sg_depth_ros.engines.tensorrt.plan_cache import cache_folder
from sg_depth_ros.engines.tensorrt.plan_key import PlanKey

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


def change_key(plan, **fields):
    description = plan.with_suffix('.json')
    document = json.loads(description.read_text())
    document['key'].update(fields)
    description.write_text(json.dumps(document))


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
