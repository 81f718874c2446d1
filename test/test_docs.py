"""What docs/ and the README point to exists, and names beside a link are in the file it names."""

import ast
import importlib
import re
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from shell_commands import page_commands
from shell_commands import verb_options

from sg_depth_ros.replay.extrinsics import read_extrinsics
from training.__main__ import VERBS
from training.__main__ import main as training_main

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / 'README.md', *(ROOT / 'docs').rglob('*.md')])
LINK = re.compile(r'\[([^\]]*)\]\(([^)\s]+)\)')
FOLDERS = ('benchmarks', 'config', 'docs', 'launch', 'sg_depth_ros', 'test', 'training')
ARCHITECTURE = ROOT / 'docs' / 'architecture.md'

pages = pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)


def links(page):
    """Return (text, target, fragment) of every link into the repository."""
    found = []
    for text, target in LINK.findall(page.read_text()):
        if not re.match(r'[a-z]+:', target):
            path, _, fragment = target.partition('#')
            found.append((text, page.parent / path if path else page, fragment))
    return found


def anchors(page):
    """Return what headings may be linked as, by GitHub's rule."""
    headings = re.findall(r'^#+ (.+)$', page.read_text(), re.MULTILINE)
    return {re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-') for heading in headings}


@pages
def test_links_lead_somewhere(page):
    for _, target, fragment in links(page):
        assert target.resolve().is_relative_to(ROOT), target
        assert target.exists(), target
        assert not fragment or fragment in anchors(target), f'{target}#{fragment}'


@pages
def test_files_that_are_named_exist(page):
    for name in re.findall(r'`([\w./-]+)`', page.read_text()):
        if name.startswith(tuple(f'{folder}/' for folder in FOLDERS)):
            assert (ROOT / name).exists(), name


@pages
def test_what_a_link_names_is_in_its_file(page):
    for text, target, _ in links(page):
        name = text.strip('`')
        if target.suffix != '.py' or name == text:
            continue
        if name.endswith('.py'):
            assert target.as_posix().endswith(name), f'{text} links to {target}'
        else:
            defined = rf'^ *(?:class|def) {re.escape(name)}\b|^{re.escape(name)}\b.* = '
            assert re.search(defined, target.read_text(), re.MULTILINE), f'{name} in {target}'


@pages
def test_verbs_exist(page):
    for verb in re.findall(r'python -m training\s+([a-z_]+)', page.read_text()):
        assert verb in VERBS, verb


@cache
def options_shown():
    """Return the options that any page gives to each module, or verb of training."""
    shown: dict[str, set[str]] = {}
    for words in (words for page in PAGES for words in page_commands(page)):
        of_verb = verb_options(words)
        if of_verb is not None:
            shown.setdefault(f'training {of_verb[0]}', set()).update(of_verb[1])
        elif words[:2] == ['python', '-m']:
            options = {w.partition('=')[0] for w in words if re.match(r'--[\w.-]+(=|$)', w)}
            shown.setdefault(words[2], set()).update(options - {'--ros-args'})
    return {name: options for name, options in shown.items() if options}


def test_the_pages_show_options_of_verbs_and_modules():
    assert len([name for name in options_shown() if name.startswith('training ')]) >= 7
    assert {'sg_depth_ros.replay.evaluate_bag', 'benchmarks.engines'} <= set(options_shown())


@pytest.mark.parametrize('name', sorted(n for n in options_shown() if 'benchmarks' not in n))
def test_options_that_pages_show_are_explained_by_help(name, capsys, monkeypatch):
    monkeypatch.setenv('COLUMNS', '200')
    module, _, verb = name.partition(' ')
    main = training_main if verb else importlib.import_module(module).main
    with pytest.raises(SystemExit) as ended:
        main([verb, '--help'] if verb else ['--help'])
    assert ended.value.code in (0, None)
    explained = capsys.readouterr().out
    if verb == 'two_stage':  # further options are those of train
        with pytest.raises(SystemExit):
            main(['train', '--help'])
        explained += capsys.readouterr().out
    for option in options_shown()[name]:
        assert option.removeprefix('--') in explained, option


@pytest.mark.parametrize('name', sorted(n for n in options_shown() if 'benchmarks' in n))
def test_options_of_benchmarks_exist(name):
    source = (ROOT / name.replace('.', '/')).with_suffix('.py').read_text()
    source += (ROOT / 'benchmarks' / 'figures.py').read_text()
    for option in options_shown()[name]:
        assert f"'{option}'" in source, option


def yaml_examples():
    """Return every block of YAML in the pages."""
    return [b for p in PAGES for b in re.findall(r'```yaml\n(.*?)```', p.read_text(), re.DOTALL)]


@pytest.mark.parametrize('example', yaml_examples())
def test_yaml_examples_can_be_read(example):
    assert isinstance(yaml.safe_load(example), dict)


def test_the_extrinsics_example_is_that_of_a_level_lidar(tmp_path):
    (example,) = (e for e in yaml_examples() if 'T_camera_lidar' in e)
    (tmp_path / 'extrinsics.yaml').write_text(example)
    T_camera_lidar = read_extrinsics(tmp_path / 'extrinsics.yaml')
    # The LiDAR: x forward, y left, z up. The camera: x right, y down, z forward.
    np.testing.assert_allclose(
        T_camera_lidar[:3, :3], [[0, -1, 0], [0, 0, -1], [1, 0, 0]], atol=1e-12
    )


def test_drawings_are_well_formed_and_have_a_background():
    for drawing in (ROOT / 'docs' / 'images').glob('*.svg'):
        root = ElementTree.parse(drawing).getroot()
        name = '{http://www.w3.org/2000/svg}'
        assert root.tag == f'{name}svg'
        width, height = (float(n) for n in root.get('viewBox').split()[2:])
        first = root.find(f'{name}rect')
        assert first.get('fill').startswith('#')  # readable on dark pages
        assert float(first.get('width')) >= width - 2
        assert float(first.get('height')) >= height - 2


def test_the_page_on_the_method_names_the_files_of_the_method():
    named = {target.resolve() for _, target, _ in links(ROOT / 'docs' / 'method.md')}
    for folder in ('objective', 'networks'):
        for name in ('objective', 'photometric', 'pac', 'guidance', 'packing', 'packnet', 'pose'):
            file = ROOT / 'training' / folder / f'{name}.py'
            assert not file.exists() or file in named, f'docs/method.md does not link {file}'


def table(page, heading):
    """Return the rows below a heading, without the head of the table: cells as written."""
    section = page.read_text().partition(f'\n## {heading}\n')[2].partition('\n## ')[0]
    rows = [line.strip('|').split('|') for line in section.splitlines() if line[:1] == '|']
    return [[cell.strip() for cell in row] for row in rows[2:]]


def packages(half):
    """Return the folders of a half that hold modules, relative to the repository."""
    return {file.parent.relative_to(ROOT).as_posix() for file in (ROOT / half).rglob('*.py')}


def imported_folders(folder):
    """Return which folders directly in sg_depth_ros a folder's modules import, '' the modules."""
    files = folder.glob('*.py') if folder.name == 'sg_depth_ros' else folder.rglob('*.py')
    found = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module.startswith('sg_depth_ros.'):
                part = node.module.split('.')[1]
                found.add(part if (ROOT / 'sg_depth_ros' / part).is_dir() else '')
    return found - {'' if folder.name == 'sg_depth_ros' else folder.name}


def test_the_page_on_the_architecture_names_every_folder():
    named = [row[0].strip('`/') for row in table(ARCHITECTURE, 'Folders')]
    assert len(named) == len(set(named))
    assert set(named) == packages('sg_depth_ros') | packages('training') | set(FOLDERS)


def test_the_page_on_the_architecture_says_who_imports_whom():
    rows = table(ARCHITECTURE, 'Who imports whom')
    folders = {path.split('/')[1] for path in packages('sg_depth_ros') if '/' in path}
    assert {row[0] for row in rows} == {
        '`sg_depth_ros/*.py`',
        *(f'`sg_depth_ros/{folder}/`' for folder in folders),
    }
    for name, imports in rows:
        folder = ROOT / name.strip('`').removesuffix('*.py')
        said = {'' if '*' in word else word for word in re.findall(r'`([^`]+)`', imports)}
        assert said == imported_folders(folder), name


def test_training_imports_neither_node_nor_replay():
    # The page says so.
    found = imported_folders(ROOT / 'training')
    assert found >= {'engines', 'bags', 'report', 'evaluation'}
    assert not found & {'node', 'replay'}


def test_ros_is_imported_where_the_page_says():
    ros = re.compile(r'^\s*(?:from|import) (?:rclpy|ament_index_python|launch|\w+_msgs)\b', re.M)
    files = [f for f in (ROOT / 'sg_depth_ros').rglob('*.py') if ros.search(f.read_text())]
    folders = {file.relative_to(ROOT / 'sg_depth_ros').as_posix() for file in files}
    assert any(name.startswith('node/') for name in folders)
    assert all(name.startswith(('node/', 'replay/live/')) for name in folders), folders


@pytest.mark.parametrize('name', ['architecture', 'node'])
def test_drawings_name_folders_files_and_classes_that_there_are(name):
    text = (ROOT / 'docs' / 'images' / f'{name}.svg').read_text()
    words = set(
        re.findall(
            r'[>\s]([\w./]+)(?=[<,\s])', re.sub(r'<style>.*?</style>', '', text, flags=re.S)
        )
    )
    halves = (ROOT, ROOT / 'training', ROOT / 'sg_depth_ros', ROOT / 'sg_depth_ros' / 'node')
    paths = {word for word in words if re.fullmatch(r'[a-z_]+(/[a-z_]*)*(/|\.py)', word)}
    assert len(paths) > 3
    for path in paths:
        assert any((half / path).exists() for half in halves), path
    source = '\n'.join(file.read_text() for file in (ROOT / 'sg_depth_ros').rglob('*.py'))
    for word in words:
        if re.fullmatch(r'([A-Z][a-z]+){2,}', word) and name == 'node':
            assert f'class {word}' in source, word
