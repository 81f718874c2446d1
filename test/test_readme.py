"""The README's commands run, one after the other, on a small drive; its tables are true."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from shell_commands import page_commands
from shell_commands import split_commands

import sg_depth_ros.replay.evaluate_bag
import sg_depth_ros.replay.replay_bag
from sg_depth_ros.node.parameters import NodeParameters
from training.__main__ import VERBS
from training.__main__ import main as training_main

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / 'README.md').read_text()
BLOCK = re.compile(r'(<!-- not run by the tests: (.+?) -->\n)?```bash\n(.*?)```', re.DOTALL)

# What cannot run here: where ROS, a network or a person is missing, or minutes are too long.
NOT_RUN = (
    'make demo',
    'make venv',
    'source .venv/bin/activate',
    'cd ~/ws',
    'export PIP_BREAK_SYSTEM_PACKAGES=1',
    'rosdep install',
    'python3 -m pip',
    'colcon build',
    'source install/setup.bash',
    'ros2 run sg_depth_ros build_engine',
    'ros2 launch sg_depth_ros replay.launch.py',
    'ros2 launch sg_depth_ros depth.launch.py',
    'python -m sg_depth_ros.node.depth_node',
)
MODULES: dict[str, Callable[[list[str]], int | None]] = {
    'training': training_main,
    'sg_depth_ros.replay.evaluate_bag': sg_depth_ros.replay.evaluate_bag.main,
    'sg_depth_ros.replay.replay_bag': sg_depth_ros.replay.replay_bag.main,
}
# The same commands on smaller images.
SMALLER = {'640': '128', '192': '64'}
# The same configurations, for two steps of a narrow network.
NARROW = {
    'own_recording.yaml': {
        'trainer': {'max_steps': 2, 'precision': '32-true', 'accelerator': 'cpu'},
        'model': {
            'network': {
                'encoder_width': 16,
                'decoder_channels': [16, 16, 16, 16, 16],
                'guidance_channels': 16,
            }
        },
        'data': {'batch_size': 2, 'workers': 0},
    },
    'segment.yaml': {
        'trainer': {'max_epochs': 1, 'limit_train_batches': 2, 'accelerator': 'cpu'},
        'model': {'network': {'width': 16, 'pyramid_channels': 16}},
        'data': {'batch_size': 2, 'workers': 0},
    },
}
# What a newcomer looks for when the commands have run.
WRITTEN = (
    'dataset_check/check.html',
    'runs/segment/segmentation.ckpt',
    'runs/depth/stage_two/depth.ckpt',
    'runs/judged/report.html',
    'model.onnx',
    'runs/compared/report.html',
    'runs/evaluated/report.html',
    'runs/evaluated/metrics.json',
    'runs/evaluated/frames.csv',
    'runs/replayed/report.html',
    'runs/replayed/metrics.json',
    'runs/replayed/junit.xml',
)


def blocks(marked: bool) -> list[list[str]]:
    """Return the commands of the blocks that are marked as not run, or of the others."""
    found = []
    for mark, _, text in BLOCK.findall(README):
        if bool(mark) == marked:
            found += split_commands(text)
    return found


def merged(original: object, changes: object) -> object:
    """Return a configuration with other values for some of its keys."""
    if not (isinstance(original, dict) and isinstance(changes, dict)):
        return changes
    return original | {key: merged(original.get(key), changes[key]) for key in changes}


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Make what a reader has: a bag, labelled images and the configurations; and be there."""
    monkeypatch.chdir(tmp_path)
    size = ['--width', SMALLER['640'], '--height', SMALLER['192']]
    assert training_main(['synthesize', '--out', 'street', '--seconds', '1.2', *size]) in (0, None)
    assert training_main(['prepare', 'street', '--out', 'labelled', *size]) in (0, None)
    Path('my_bag').symlink_to('street/bag')
    for name, changes in NARROW.items():
        original = ROOT / 'config' / 'training' / name
        copy = Path('config', 'training', name)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(yaml.safe_dump(merged(yaml.safe_load(original.read_text()), changes)))
    return tmp_path


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_commands_run_one_after_the_other(home):
    for words in blocks(marked=False):
        assert words[:2] == ['python', '-m'], f'cannot run {shlex.join(words)}; mark or teach it'
        arguments = [SMALLER.get(word, word) for word in words[3:]]
        status = MODULES[words[2]](arguments)
        # Nobody knows what an untrained network reaches: limits may fail, outputs may not.
        limited = any(word.startswith('--max-') for word in words)
        assert status in ((0, None, 1) if limited else (0, None)), shlex.join(words)
    for name in WRITTEN:
        assert (home / name).exists(), name


def test_what_is_not_run_is_listed_here():
    commands = [' '.join(words) for words in blocks(marked=True)]
    for command in commands:
        assert command.startswith(NOT_RUN), f'{command}: run it, or list it'
    for start in NOT_RUN:
        assert any(command.startswith(start) for command in commands), f'{start} is not there'


def test_marks_are_understood():
    assert README.count('<!-- not run') == sum(bool(mark) for mark, _, _ in BLOCK.findall(README))
    assert README.count('```bash') == len(BLOCK.findall(README))
    assert len(blocks(marked=False)) >= 9


def test_the_verbs_of_the_journey_are_shown():
    shown = {words[3] for words in page_commands(ROOT / 'README.md') if words[2:3] == ['training']}
    assert shown >= {'prepare', 'check', 'segment', 'two_stage', 'evaluate', 'export'}
    assert shown <= set(VERBS)


def test_make_targets_exist():
    makefile = (ROOT / 'Makefile').read_text()
    targets = {words[1] for words in page_commands(ROOT / 'README.md') if words[0] == 'make'}
    targets |= set(re.findall(r'`make (\w+)', README))
    assert targets >= {'demo', 'venv'}
    for target in targets:
        assert re.search(rf'^{target}:', makefile, re.MULTILINE), target


def test_launch_arguments_exist():
    for words in page_commands(ROOT / 'README.md'):
        if words[:3] == ['ros2', 'launch', 'sg_depth_ros']:
            # A launch file declares its own arguments and names those of the files it includes.
            files = (ROOT / 'launch').glob('*.launch.py')
            assert (ROOT / 'launch' / words[3]).exists()
            text = ''.join(file.read_text() for file in files)
            for word in words[4:]:
                assert f"'{word.partition(':=')[0]}'" in text, word


def test_topics_are_those_of_the_node():
    topics = set(re.findall(r'`(~?/[\w/]+)`', README.partition('\n## Topics')[2]))
    assert len(topics) > 15
    node = ROOT / 'sg_depth_ros' / 'node'
    source = ''.join(file.read_text() for file in node.rglob('*.py'))
    for topic in topics:
        assert f"'{topic}'" in source, topic


def test_parameters_and_their_defaults_are_those_of_the_node():
    section = README.partition('\n## Parameters')[2].partition('\n## ')[0]
    rows = re.findall(r'^\| `(\w+)` \| `([^`]*)` \|', section, re.MULTILINE)
    assert len(rows) > 8
    for name, default in rows:
        assert yaml.safe_load(default) == getattr(NodeParameters(), name), name
