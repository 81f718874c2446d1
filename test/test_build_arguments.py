"""The options of build_engine: in the docs, for the node, and in the command that is advised."""

import argparse
import re
import shlex
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from sg_depth_ros.engines.build_arguments import argument_parser
from sg_depth_ros.engines.build_arguments import engine_options
from sg_depth_ros.engines.build_arguments import node_parameters
from sg_depth_ros.engines.engine import PlanMissingError
from sg_depth_ros.engines.options import TensorRTOptions
from sg_depth_ros.engines.tensorrt.builder import BuiltPlan
from sg_depth_ros.engines.tensorrt.plan_cache import cached_plan
from sg_depth_ros.engines.tensorrt.plan_key import plan_key
from sg_depth_ros.node.engine_opening import engine_options as node_engine_options
from sg_depth_ros.node.parameters import NodeParameters


def test_the_page_has_every_option_as_help_has_it():
    page = (Path(__file__).resolve().parents[1] / 'docs' / 'engines.md').read_text()
    parser = argument_parser('')
    parser.formatter_class = partial(argparse.HelpFormatter, max_help_position=80, width=1000)
    explained = re.findall(r'^  (--.*?)  +(.*)$', parser.format_help(), re.MULTILINE)
    assert len(explained) > 15
    assert re.findall(r'^\| `(--.*?)` \| (.*) \|$', page, re.MULTILINE) == explained


ALL_OPTIONS = (
    '--cache plans --optimization-level 5 --workspace-mb 64 --tf32 --hardware-compatible '
    '--version-compatible'
)


def parsed(*words):
    return engine_options(argument_parser('').parse_args(['model.onnx', *words]))


def test_without_options_everything_is_as_by_default():
    assert parsed() == node_engine_options(NodeParameters())
    assert node_parameters(parsed()) == ()


@pytest.mark.parametrize('words', [(), shlex.split(ALL_OPTIONS)])
def test_the_node_finds_the_plan_with_the_parameters_that_are_named(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = parsed(*words)
    assignments = dict(text.split(':=') for text in node_parameters(options))
    assert len(assignments) == sum(word.startswith('--') for word in words)
    kinds = {name: type(getattr(NodeParameters(), name)) for name in assignments}
    values = {
        name: text == 'true' if kinds[name] is bool else kinds[name](text)
        for name, text in assignments.items()
    }
    node = node_engine_options(replace(NodeParameters(), **values)).tensorrt
    machine = ('ab' * 32, 'TensorRT 10.3.0', 'Orin', (8, 7))
    assert plan_key(*machine, node) == plan_key(*machine, options.tensorrt)
    if words:
        assert node.cache_folder == tmp_path / 'plans'


@pytest.mark.parametrize('words', [(), shlex.split(ALL_OPTIONS)])
def test_the_command_that_a_missing_plan_names_builds_it(words, tmp_path):
    options = replace(parsed(*words).tensorrt, cache_folder=tmp_path / 'my plans')
    key = plan_key('ab' * 32, 'TensorRT 10.3.0', 'Orin', (8, 7), options)

    def build(timing_cache):
        return BuiltPlan(b'', None, 0)

    with pytest.raises(PlanMissingError) as error:
        cached_plan(key, options.cache_folder, build, model=Path('m.onnx'), allow_build=False)
    command = re.search(r'run "(.*)" first', str(error.value))[1]
    ros2, run_, package, name, *arguments = shlex.split(command)
    assert (ros2, run_, package, name) == ('ros2', 'run', 'sg_depth_ros', 'build_engine')
    named = engine_options(argument_parser('').parse_args(arguments)).tensorrt
    assert named == options
    assert named != TensorRTOptions()
