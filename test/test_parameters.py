"""The node's parameters: described, ranged, in the YAML file, and what they mean for engines."""

from dataclasses import fields
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from sg_depth_ros.engines.options import EngineOptions
from sg_depth_ros.node.engine_opening import engine_options
from sg_depth_ros.node.parameter_docs import parameter_help
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
