"""
The launch files: what they offer and start.

ROS's launch cannot be had with pip: where it is not installed, the sources alone are looked at.
"""

import ast
import re
import shlex
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from shell_commands import page_commands

from sg_depth_ros.node.parameters import NodeParameters
from sg_depth_ros.node.parameters import documentation_of

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / 'launch'
FILES = sorted(FOLDER.glob('*.launch.py'))
PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md'))]
PARAMETERS = {entry.name for entry in fields(NodeParameters)}
# The arguments that every vehicle's launch file should know.
USUAL = {
    'params_file', 'namespace', 'node_name', 'use_sim_time', 'image', 'camera_info',
    'image_transport', 'model', 'engine', 'autostart', 'build_only', 'rviz', 'rviz_config',
    'log_level', 'dds_profile',
}  # fmt: skip

# Package -> what is started of it.
EXECUTABLES = {
    'sg_depth_ros': 'depth_node',
    'rviz2': 'rviz2',
    'tf2_ros': 'static_transform_publisher',
}

launch_files = pytest.mark.parametrize('file', FILES, ids=lambda file: file.name)


def calls(file: Path, name: str) -> list[ast.Call]:
    """Return every call of a function in a source."""
    return [
        node
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name
    ]


def keyword(call: ast.Call, name: str) -> Any:
    return next((k.value for k in call.keywords if k.arg == name), None)


def included(file: Path) -> set[Path]:
    """Return a launch file and those that it includes, by their names in its text."""
    found = {file}
    names = set(re.findall(r'(\w+)\.launch\.py', file.read_text().partition('"""\n\n')[2]))
    names |= {ast.literal_eval(call.args[0]) for call in calls(file, '_include')}
    for name in names - {file.name.partition('.')[0]}:
        found |= included(FOLDER / f'{name}.launch.py')
    return found


def declared(file: Path) -> dict[str, ast.Call]:
    """Return the arguments that a launch file itself declares."""
    return {ast.literal_eval(call.args[0]): call for call in calls(file, 'DeclareLaunchArgument')}


def arguments(file: Path) -> set[str]:
    """Return the arguments that a launch file takes."""
    return {name for each in included(file) for name in declared(each)}


@launch_files
def test_every_argument_is_described(file):
    for name, call in declared(file).items():
        description = keyword(call, 'description')
        assert description is not None, name
        assert not isinstance(description, ast.Constant) or len(description.value) > 10, name


@pytest.mark.parametrize('name', ['depth', 'replay', 'multi_camera'])
def test_the_usual_arguments_are_there(name):
    assert arguments(FOLDER / f'{name}.launch.py') >= USUAL


def test_arguments_that_stand_for_parameters_allow_what_the_parameters_do():
    compared = set()
    for name, call in declared(FOLDER / 'depth.launch.py').items():
        choices = keyword(call, 'choices')
        if name in PARAMETERS and choices is not None:
            allowed = {choice.value for choice in choices.elts} - {''}
            assert allowed == set(documentation_of(name).choices or ('true', 'false')), name
            compared.add(name)
    assert compared >= {'engine', 'image_transport', 'processing_mode', 'autostart'}


@launch_files
def test_what_it_starts_is_a_dependency(file):
    manifest = ElementTree.parse(ROOT / 'package.xml').getroot()
    known = {e.text for e in manifest if e.tag in ('depend', 'exec_depend')} | {'sg_depth_ros'}
    packages = {keyword(call, 'package').value for call in calls(file, 'Node')}
    assert packages <= known
    if "'bag'" in file.read_text():
        assert 'rosbag2' in known


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_what_pages_say_of_launch_files_is_so(page):
    for words in [*page_commands(page), *docstring_commands()]:
        if words[:3] == ['ros2', 'launch', 'sg_depth_ros']:
            file = FOLDER / words[3]
            assert file.is_file(), file
            given = {word.partition(':=')[0] for word in words[4:] if ':=' in word}
            assert given <= arguments(file), f'{words[3]} has no {given - arguments(file)}'


def docstring_commands() -> list[list[str]]:
    """Return the commands that open the launch files and the example of cameras."""
    texts = [ast.get_docstring(ast.parse(file.read_text())) or '' for file in FILES]
    texts.append((ROOT / 'config' / 'cameras.yaml').read_text().replace('#', ''))
    lines = [line for text in texts for line in re.sub(r'\\+\n\s*', ' ', text).splitlines()]
    found = [shlex.split(line) for line in lines if line.strip().startswith('ros2 launch')]
    assert len(found) >= 5
    return found


def test_the_example_of_cameras_names_arguments_of_depth():
    yaml = pytest.importorskip('yaml')
    cameras = yaml.safe_load((ROOT / 'config' / 'cameras.yaml').read_text())['cameras']
    assert len(cameras) == 2
    for given in cameras.values():
        assert set(given) <= arguments(FOLDER / 'depth.launch.py')


@pytest.fixture
def launched(monkeypatch, tmp_path):
    """Return what tells the commands that a launch file would start; nothing is started."""
    pytest.importorskip('launch_ros')
    launch = pytest.importorskip('launch')
    for package, executable in EXECUTABLES.items():
        marker = tmp_path / 'share' / 'ament_index' / 'resource_index' / 'packages' / package
        program = tmp_path / 'lib' / package / executable
        for file in (marker, program):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        program.chmod(0o755)
    monkeypatch.setenv('AMENT_PREFIX_PATH', str(tmp_path))
    commands: list[list[str]] = []

    def execute(action: Any, context: Any) -> None:
        action.prepare(context)
        commands.append(action.process_description.final_cmd)

    monkeypatch.setattr(launch.actions.ExecuteLocal, 'execute', execute)

    def visit(entity: Any, context: Any) -> None:
        for child in entity.visit(context) or []:
            visit(child, context)

    def run(name: str, **given: str) -> Callable[[str], list[str]]:
        source = launch.launch_description_sources.PythonLaunchDescriptionSource(
            str(FOLDER / f'{name}.launch.py')
        )
        include = launch.actions.IncludeLaunchDescription(source, launch_arguments=given.items())
        visit(include, launch.LaunchContext())
        # Of an executable, one line each.
        return lambda program: [' '.join(c) for c in commands if Path(c[0]).name == program]

    return run


def test_depth_starts_the_node_alone(launched):
    started = launched('depth', model='my.onnx', image='/a/b', camera_info='/a/c')
    (node,) = started('depth_node')
    assert '-r __node:=depth_node' in node and '-r __ns:=/' in node
    assert '~/image:=/a/b' in node and '~/camera_info:=/a/c' in node
    assert started('rviz2') == started('static_transform_publisher') == []


@pytest.mark.parametrize('namespace', ['front', '/front', '/front/'])
def test_rviz_shows_the_node_of_a_namespace(launched, namespace):
    started = launched(
        'depth', namespace=namespace, node_name='seer', rviz='true', static_tf='true'
    )
    (rviz,) = started('rviz2')
    assert '/depth_node/points:=/front/seer/points' in rviz
    assert '/depth_node/depth/camera_info:=/front/seer/depth/camera_info' in rviz
    base, optical = started('static_transform_publisher')
    assert '--frame-id base_link --child-frame-id camera_link' in base
    assert '--frame-id camera_link --child-frame-id camera_optical_frame' in optical


def test_what_one_camera_sets_does_not_reach_the_next(launched):
    started = launched('multi_camera', model='shared.onnx')
    front, rear = started('depth_node')
    assert '__ns:=/front' in front and '/front/image_raw' in front
    assert '__ns:=/rear' in rear and '/rear/image_raw' in rear
    assert len(started('static_transform_publisher')) == 2  # of the rear camera


@pytest.fixture
def bag(tmp_path):
    """Return a bag of a camera in whose transforms the vehicle is not."""
    pytest.importorskip('launch_ros')
    from tiny_bag import write_tiny_bag
    from tiny_model import tiny_contract

    write_tiny_bag(tmp_path / 'bag', tiny_contract(), frames=2)
    return str(tmp_path / 'bag')


def test_replay_finds_the_camera_in_the_bag(launched, bag):
    started = launched('replay', bag=bag, rviz='true')
    (node,) = started('depth_node')
    assert '~/image:=/camera/image_raw' in node and '~/camera_info:=/camera/camera_info' in node
    _, optical = started('static_transform_publisher')
    assert '--frame-id camera_link --child-frame-id camera' in optical
    (rviz,) = started('rviz2')
    assert '-f base_link' in rviz


def test_replay_waits_for_the_node_before_it_plays(launched, bag):
    started = launched('replay', bag=bag, namespace='front', node_name='seer')
    (waiting,) = started(Path(sys.executable).name)
    assert waiting.endswith('sg_depth_ros.node.wait_until_active /front/seer')
    assert started('ros2') == []


def test_replay_publishes_no_place_that_it_is_told_not_to(launched, bag):
    started = launched('replay', bag=bag, static_tf='false', rviz='true')
    assert started('static_transform_publisher') == []
    (rviz,) = started('rviz2')
    assert '-f camera ' in rviz  # nothing is above it


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        ('{}', 'no cameras'),
        ('cameras: []', 'no cameras'),
        ('cameras: {front: }', 'arguments of depth.launch.py expected'),
        ('cameras: {front: {imag: /a}}', 'imag: no argument of depth.launch.py'),
        ('cameras: [', 'while parsing'),
    ],
)
def test_mistakes_in_the_file_of_cameras_are_named(launched, tmp_path, content, words):
    file = tmp_path / 'cameras.yaml'
    file.write_text(content)
    with pytest.raises(RuntimeError, match=re.escape(words)):
        launched('multi_camera', cameras=str(file))


@pytest.mark.parametrize(
    ('given', 'words'),
    [
        ({'params_file': '/no/such'}, 'params_file: /no/such'),
        ({'dds_profile': '/no/such'}, 'dds_profile: /no/such'),
        ({'rviz_config': '/no/such', 'rviz': 'true'}, 'rviz_config: /no/such'),
        ({'mount_xyz': '1 2', 'static_tf': 'true'}, 'not three numbers'),
        ({'engine': 'tensorflow'}, 'tensorflow'),
    ],
)
def test_mistakes_on_the_command_line_are_named(launched, given, words):
    with pytest.raises(RuntimeError, match=re.escape(words)):
        launched('depth', **given)
