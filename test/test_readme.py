"""The README's commands exist, with the options it names; its links and files are there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from shell_commands import page_commands

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / 'README.md').read_text()


def commands():
    """Return every command line of the README's code blocks, as words."""
    return page_commands(ROOT / 'README.md')


def python_commands():
    """Return (module words, options) of every ``python -m``, options of one verb joined."""
    options: dict[tuple[str, ...], set[str]] = {}
    for words in commands():
        if words[:2] == ['python', '-m']:
            length = 2 if words[2] == 'training' else 1
            module = tuple(words[2 : 2 + length])
            named = {word.partition('=')[0] for word in words if word.startswith('--')}
            options.setdefault(module, set()).update(named)
    return options


def test_the_readme_names_every_command():
    modules = {module for module in python_commands() if module[0] == 'training'}
    assert {verb for _, verb in modules} >= {
        'prepare',
        'segment',
        'two_stage',
        'evaluate',
        'export',
    }
    assert ('sg_depth_ros.replay.evaluate_bag',) in python_commands()
    assert ('sg_depth_ros.replay.replay_bag',) in python_commands()


@pytest.mark.parametrize('module', python_commands(), ids=' '.join)
def test_every_option_that_the_readme_names_is_explained_by_help(module):
    run = subprocess.run(
        [sys.executable, '-m', *module, '--help'],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, 'COLUMNS': '200'},
        check=False,
    )
    assert run.returncode == 0, run.stderr
    for option in python_commands()[module]:
        assert option.removeprefix('--') in run.stdout, f'{option} is not an option of {module}'


def test_configurations_scripts_and_links_exist():
    for words in commands():
        for word in words:
            if word.startswith(('config/', 'launch/')):
                assert (ROOT / word).exists(), word
    for link in re.findall(r'\]\(([^)#:]+)\)', README):
        assert (ROOT / link).exists(), link


def test_make_targets_exist():
    makefile = (ROOT / 'Makefile').read_text()
    targets = {words[1] for words in commands() if words[0] == 'make'}
    targets |= set(re.findall(r'`make (\w+)`', README))
    assert targets >= {'demo', 'test'}
    for target in targets:
        assert re.search(rf'^{target}:', makefile, re.MULTILINE), target
