"""What docs/ and the README point to exists, and names beside a link are in the file it names."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from training.__main__ import VERBS

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / 'README.md', *(ROOT / 'docs').rglob('*.md')])
LINK = re.compile(r'\[([^\]]*)\]\(([^)\s]+)\)')
FOLDERS = ('benchmarks', 'config', 'docs', 'launch', 'sg_depth_ros', 'test', 'training')

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
