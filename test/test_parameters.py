"""The node's parameters: described, ranged, in the YAML file, and what they mean for engines."""

import re
from dataclasses import fields
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from rclpy.parameter import Parameter

from sg_depth_ros.engines.options import EngineOptions
from sg_depth_ros.errors import UserError
from sg_depth_ros.node.engine_opening import engine_options
from sg_depth_ros.node.parameter_docs import SECTIONS
from sg_depth_ros.node.parameter_docs import parameter_help
from sg_depth_ros.node.parameter_docs import parameter_page
from sg_depth_ros.node.parameter_server import SettingsBox
from sg_depth_ros.node.parameter_server import changed_parameters
from sg_depth_ros.node.parameter_server import parameter_descriptor
from sg_depth_ros.node.parameters import NodeParameters

ROOT = Path(__file__).resolve().parents[1]
# Decided by whoever starts the node, not by a file.
NOT_IN_THE_FILE = {'autostart', 'exit_on_failure', 'build_only'}


def documentation(entry):
    return entry.metadata['documentation']


def test_the_file_has_every_parameter_with_its_default():
    document = yaml.safe_load((ROOT / 'config' / 'depth_node.yaml').read_text())
    (node,) = document.values()
    assert node['ros__parameters'] == {
        entry.name: entry.default
        for entry in fields(NodeParameters)
        if entry.name not in NOT_IN_THE_FILE
    }


@pytest.mark.parametrize('entry', fields(NodeParameters), ids=lambda entry: entry.name)
def test_every_parameter_is_described_and_every_number_has_a_range(entry):
    described = documentation(entry)
    assert described.description.endswith('.')
    assert f'  {entry.name} (default ' in parameter_help()
    if type(entry.default) in (int, float):
        assert described.minimum <= entry.default <= described.maximum
    if described.choices:
        assert entry.default in described.choices


def test_defaults_leave_the_choice_to_the_engines():
    options = engine_options(NodeParameters())
    # So that the node finds the plan that build_engine builds without options.
    assert options == EngineOptions()


@pytest.mark.parametrize(
    ('change', 'where'),
    [
        ({'engine_threads': 3}, ('onnxruntime', 'threads', 3)),
        ({'engine_device': 'cuda'}, ('onnxruntime', 'device', 'cuda')),
        ({'engine_cache': '/plans'}, ('tensorrt', 'cache_folder', Path('/plans'))),
        ({'engine_workspace_mb': 512}, ('tensorrt', 'workspace_mb', 512)),
        ({'engine_optimization_level': 5}, ('tensorrt', 'optimization_level', 5)),
        ({'engine_tf32': True}, ('tensorrt', 'tf32', True)),
        ({'engine_hardware_compatible': True}, ('tensorrt', 'hardware_compatible', True)),
        ({'engine_version_compatible': True}, ('tensorrt', 'version_compatible', True)),
        ({'allow_engine_build': False}, ('tensorrt', 'allow_build', False)),
    ],
)
def test_parameters_reach_the_engines(change, where):
    part, name, value = where
    assert getattr(getattr(engine_options(NodeParameters()), part), name) != value
    options = engine_options(replace(NodeParameters(), **change))
    assert getattr(getattr(options, part), name) == value


def test_fallback_can_be_forbidden():
    assert not engine_options(
        replace(NodeParameters(), allow_engine_fallback=False)
    ).allow_fallback


def test_the_reference_is_made_from_the_declarations():
    page = (ROOT / 'docs' / 'parameters.md').read_text()
    command = 'python -m sg_depth_ros.node.parameter_docs > docs/parameters.md'
    assert page == parameter_page(), f'run {command}'


def test_the_reference_names_every_parameter_under_a_heading():
    sections = parameter_page().split('\n## ')[1:]
    assert [section.splitlines()[0] for section in sections] == list(SECTIONS.values())
    names = re.findall(r'^\| `(\w+)` \|', '\n'.join(sections), re.MULTILINE)
    assert names == [entry.name for entry in fields(NodeParameters)]


@pytest.mark.parametrize('entry', fields(NodeParameters), ids=lambda entry: entry.name)
def test_ros_is_told_what_a_parameter_may_be(entry):
    described, descriptor = documentation(entry), parameter_descriptor(entry.name)
    assert descriptor.description == described.description
    assert descriptor.read_only == (described.applies == 'at start')
    for choice in described.choices:
        assert choice in descriptor.additional_constraints
    ranges = [*descriptor.integer_range, *descriptor.floating_point_range]
    limits = [(described.minimum, described.maximum)] if described.minimum is not None else []
    assert [(r.from_value, r.to_value) for r in ranges] == limits


class TestChanges:
    def change(self, configured, **values):
        changes = [Parameter(name, value=value) for name, value in values.items()]
        return changed_parameters(NodeParameters(), changes, configured)

    @pytest.mark.parametrize('configured', [True, False])
    def test_what_applies_at_once_is_taken(self, configured):
        expected = replace(NodeParameters(), cloud_stride=3, max_depth_m=80.0)
        assert self.change(configured, cloud_stride=3, max_depth_m=80.0) == expected

    def test_what_is_read_when_configuring_is_refused_while_configured(self):
        assert self.change(False, engine='tensorrt').engine == 'tensorrt'
        with pytest.raises(UserError, match=r'engine: read when configuring; .*clean up'):
            self.change(True, cloud_stride=3, engine='tensorrt')

    def test_a_value_set_again_is_no_change(self):
        defaults = NodeParameters()
        assert self.change(True, engine='auto', processing_mode='latest') == defaults

    def test_parameters_of_others_are_left_alone(self):
        assert self.change(True, use_sim_time=True) == NodeParameters()

    @pytest.mark.parametrize('configured', [True, False])
    @pytest.mark.parametrize(
        'entry',
        [entry for entry in fields(NodeParameters) if documentation(entry).choices],
        ids=lambda entry: entry.name,
    )
    def test_only_choices_are_taken(self, entry, configured):
        with pytest.raises(UserError, match=rf'{entry.name}.*other.*not one of'):
            self.change(configured, **{entry.name: 'other'})

    def test_who_holds_the_box_sees_the_change_as_another_object(self):
        box = SettingsBox(NodeParameters())
        before = box.current
        assert box() is before
        box.put(self.change(True, cloud_stride=3))
        assert box.current is not before
        assert (before.cloud_stride, box().cloud_stride) == (1, 3)


def test_a_model_in_the_home_folder_may_be_named_with_a_tilde(monkeypatch):
    monkeypatch.setenv('HOME', '/home/somebody')
    path = replace(NodeParameters(), model='~/model.onnx').model_path
    assert path == Path('/home/somebody/model.onnx')
