"""The configurations: they are understood, and what they and the pages tell to type exists."""

import importlib
import re

import pytest
import yaml
from shell_commands import CONFIGURATIONS
from shell_commands import ROOT
from shell_commands import header
from shell_commands import header_commands
from shell_commands import page_commands
from shell_commands import verb_options

from training import segment
from training import train
from training.__main__ import VERBS

DEPTH = [path for path in CONFIGURATIONS if not path.stem.startswith('segment')]
KITTI = [path for path in DEPTH if path.stem.startswith('kitti')]
PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md'))]

configurations = pytest.mark.parametrize('path', CONFIGURATIONS, ids=lambda path: path.stem)
depth = pytest.mark.parametrize('path', DEPTH, ids=lambda path: path.stem)


def printed_config(path, capsys):
    """Return the whole configuration that a file stands for, as its verb understands it."""
    verb = train if path in DEPTH else segment
    with pytest.raises(SystemExit) as exit_status:
        verb.main(['--config', str(path), '--data.root', 'dataset', '--print_config'])
    assert exit_status.value.code == 0
    return yaml.safe_load(capsys.readouterr().out)


@configurations
def test_every_setting_is_known_and_kept(path, capsys):
    def check(given, whole, where):
        for key, value in given.items():
            if isinstance(value, dict) and isinstance(whole[key], dict):
                check(value, whole[key], f'{where}.{key}')
            else:
                assert whole[key] == value, f'{where}.{key}'

    check(yaml.safe_load(path.read_text()), printed_config(path, capsys), path.stem)


@configurations
def test_it_opens_with_its_command(path):
    named = f'config/training/{path.name}'
    used = [verb_options(words) for words in header_commands(path) if named in words]
    verbs = {'train', 'two_stage'} if path in DEPTH else {'segment'}
    assert verbs & {found[0] for found in used if found}


@pytest.mark.parametrize(
    'path', [p for p in DEPTH if p.stem != 'demo'], ids=lambda path: path.stem
)
def test_it_says_what_to_expect(path):
    assert 'Runtime: ' in header(path)
    assert 'Result' in header(path)


@depth
def test_it_trains_on_one_device_unless_told_otherwise(path, capsys):
    # Several GPUs without having asked for them would be another batch.
    trainer = printed_config(path, capsys)['trainer']
    assert trainer['devices'] == 1 or trainer['accelerator'] == 'cpu'


def test_the_schedules_are_those_of_the_papers(capsys):
    rates = {p.stem: printed_config(p, capsys)['model']['optimizer'] for p in KITTI}
    assert sorted(rates) == ['kitti_packnet', 'kitti_packnet_hr', 'kitti_resnet18']
    monodepth2 = rates['kitti_resnet18']
    assert (monodepth2['lr'], monodepth2['drop_at'], monodepth2['drop_to']) == (1e-4, 0.75, 0.1)
    for stem in ('kitti_packnet', 'kitti_packnet_hr'):
        assert (rates[stem]['lr'], rates[stem]['halve_every_epochs']) == (2e-4, 60)


def commands():
    """Yield where every command of a page or a configuration stands, and its words."""
    for page in PAGES:
        yield from ((page.name, words) for words in page_commands(page))
    for path in CONFIGURATIONS:
        yield from ((path.name, words) for words in header_commands(path))


def test_files_and_verbs_that_commands_name_exist():
    for where, words in commands():
        if (found := verb_options(words)) is not None:
            assert found[0] in VERBS, f'{where}: {found[0]}'
        for word in words:
            if word.startswith(('config/', 'launch/')):
                assert (ROOT / word).exists(), f'{where}: {word}'


def help_of(verb, capsys):
    """Return what a verb says to --help; two_stage takes the options of train too."""
    with pytest.raises(SystemExit):
        importlib.import_module(VERBS[verb][0]).main(['--help'])
    return capsys.readouterr().out + (help_of('train', capsys) if verb == 'two_stage' else '')


@pytest.mark.parametrize('verb', sorted(VERBS))
def test_options_that_commands_give_to_a_verb_exist(verb, capsys):
    known = help_of(verb, capsys)
    for where, words in commands():
        found = verb_options(words)
        for option in found[1] if found is not None and found[0] == verb else ():
            assert re.search(rf'(?<!\S){re.escape(option)}(?![\w.-])', known), f'{where}: {option}'
