"""package.xml, setup.py and what lies in the folders agree, and colcon builds the package."""

import ast
import importlib
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest
import yaml

import sg_depth_ros

ROOT = Path(__file__).resolve().parents[1]
COLCON = Path(sys.executable).with_name('colcon')
PACKAGE_FILES = ('package.xml', 'setup.py', 'setup.cfg', 'LICENSE')
PACKAGE_FOLDERS = ('resource', 'launch', 'config', 'sg_depth_ros')

# Imported name -> its key in package.xml, where the two differ.
ROSDEP_KEYS = {
    'cv2': 'python3-opencv',
    'matplotlib': 'python3-matplotlib',
    'numpy': 'python3-numpy',
    'onnxruntime': 'python3-onnxruntime-pip',
    'rich': 'python3-rich',
    'rosbags': 'python3-rosbags-pip',
    'yaml': 'python3-yaml',
}
# Imported name -> its name on PyPI, where the two differ.
PYPI_NAMES = {'cv2': 'opencv-python-headless', 'yaml': 'pyyaml'}
COMMANDS = ('build_engine', 'depth_node', 'evaluate_bag', 'replay_bag')
# Used where installed, by choice of the user.
OPTIONAL = ('cuda', 'diagnostic_updater', 'tensorrt', 'vision_msgs')


def manifest() -> ElementTree.Element:
    return ElementTree.parse(ROOT / 'package.xml').getroot()


@pytest.fixture(scope='module')
def workspace(tmp_path_factory):
    """Copy the package, as git would check it out, for colcon to build."""
    if not COLCON.exists():
        pytest.skip('no colcon in this environment')
    folder = tmp_path_factory.mktemp('workspace')
    package = folder / 'src' / 'sg_depth_ros'
    package.mkdir(parents=True)
    for name in PACKAGE_FILES:
        shutil.copy(ROOT / name, package)
    for name in PACKAGE_FOLDERS:
        shutil.copytree(
            ROOT / name, package / name, ignore=shutil.ignore_patterns('__pycache__', '*.egg-info')
        )
    return folder


@pytest.fixture(scope='module')
def installed(workspace):
    """Build with colcon; return what it installed."""
    result = colcon(workspace, 'build')
    assert result.returncode == 0, result.stdout + result.stderr
    return workspace / 'install' / 'sg_depth_ros'


def colcon(workspace: Path, verb: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COLCON, '--log-base', workspace / 'log', verb],
        cwd=workspace,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_manifest_has_what_ros_asks_for():
    root = manifest()
    assert root.get('format') == '3'
    assert root.findtext('name') == 'sg_depth_ros'
    assert root.findtext('license') == 'Apache-2.0'
    assert root.findtext('export/build_type') == 'ament_python'
    assert re.fullmatch(r'[^@\s]+@[^@\s]+\.[^@\s]+', root.find('maintainer').get('email'))


def test_the_citation_has_what_its_format_requires_and_names_this_version():
    citation = yaml.safe_load((ROOT / 'CITATION.cff').read_text())
    assert set(citation) >= {'cff-version', 'message', 'title', 'authors'}
    assert citation['cff-version'] == '1.2.0'
    assert citation['version'] == sg_depth_ros.__version__
    assert citation['license'] == manifest().findtext('license')
    for reference in citation['references']:
        assert set(reference) >= {'type', 'title', 'authors', 'year', 'url'}
        assert all(
            author.keys() == {'family-names', 'given-names'} for author in reference['authors']
        )


def test_the_citation_names_the_papers_of_the_method():
    citation = (ROOT / 'CITATION.cff').read_text()
    head = (ROOT / 'docs' / 'method.md').read_text().partition('\n## ')[0]
    papers = re.findall(r'\*([^*|]+)\*, \w+ \d+, \[arXiv ([\d.]+)\]', head)
    assert len(papers) >= 5
    for title, number in papers:
        assert title in citation
        assert f'https://arxiv.org/abs/{number}' in citation


def test_the_changelog_names_this_version():
    changelog = (ROOT / 'CHANGELOG.md').read_text()
    newest = re.search(r'^## (.+?)(?=^## |\Z)', changelog, re.MULTILINE | re.DOTALL).group(1)
    assert sg_depth_ros.__version__ in newest


def test_catkin_pkg_finds_nothing_to_complain_about():
    package = pytest.importorskip('catkin_pkg.package')
    warnings: list[str] = []
    package.parse_package(str(ROOT / 'package.xml'), warnings=warnings).validate(warnings=warnings)
    assert warnings == []


def imported_packages(*folders: str) -> set[str]:
    """Return what is imported that is neither Python's, ours nor optional."""
    used = set()
    for file in (f for folder in folders for f in (ROOT / folder).rglob('*.py')):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                used |= {alias.name.partition('.')[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                used.add(node.module.partition('.')[0])
    return used - {*sys.stdlib_module_names, 'sg_depth_ros', *OPTIONAL}


def test_every_import_of_the_vehicle_is_a_dependency_of_ros():
    declared = {e.text for e in manifest() if e.tag in ('depend', 'exec_depend')}
    used = imported_packages('sg_depth_ros', 'launch')
    missing = {ROSDEP_KEYS.get(name, name) for name in used} - declared
    assert not missing, f'package.xml lacks {sorted(missing)}'


def test_every_import_of_the_vehicle_that_is_not_of_ros_is_a_dependency_of_pip():
    setup = (ROOT / 'setup.py').read_text()
    declared = re.findall(r"^        '([\w-]+)>=", setup, re.MULTILINE)
    used = imported_packages('sg_depth_ros') & set(ROSDEP_KEYS)
    assert len(used) > 5
    missing = {PYPI_NAMES.get(name, name) for name in used} - set(declared)
    assert not missing, f'install_requires in setup.py lacks {sorted(missing)}'


def test_every_requirement_is_pinned_for_every_python():
    constraints = (ROOT / 'constraints.txt').read_text()
    pinned = re.findall(
        r'^([a-z0-9-]+)==\S+(?: ; python_version (<|>=) \'3\.11\')?$', constraints, re.M
    )
    lines = [s for s in constraints.splitlines() if s and not s.startswith('#')]
    assert len(pinned) == len(lines), 'a line of constraints.txt is not NAME==VERSION'
    always = {name for name, mark in pinned if not mark}
    halves = {name for name, mark in pinned if mark == '<'} & {n for n, m in pinned if m == '>='}
    setup = ast.parse((ROOT / 'setup.py').read_text())
    wanted = {
        re.match(r'[A-Za-z0-9-]+', requirement.value).group().lower()
        for keyword in ast.walk(setup)
        if isinstance(keyword, ast.keyword)
        and keyword.arg in ('install_requires', 'extras_require')
        for requirement in ast.walk(keyword.value)
        if isinstance(requirement, ast.Constant)
    } - {'ros', 'training', 'test'}
    assert len(wanted) > 20
    assert wanted <= always | halves


def test_colcon_knows_the_package_as_ament_python(workspace):
    result = colcon(workspace, 'list')
    assert result.returncode == 0, result.stderr
    name, _, kind = result.stdout.split()
    assert (name, kind) == ('sg_depth_ros', '(ros.ament_python)')


def test_colcon_installs_everything(installed):
    share = installed / 'share'
    assert (share / 'ament_index/resource_index/packages/sg_depth_ros').is_file()
    assert (share / 'sg_depth_ros/package.xml').is_file()
    for file in [*(ROOT / 'launch').glob('*.launch.py'), *(ROOT / 'config').glob('*.*')]:
        assert (share / 'sg_depth_ros' / file.relative_to(ROOT)).is_file(), file.name
    (library,) = installed.glob('lib/python3*/site-packages')
    for file in (ROOT / 'sg_depth_ros').rglob('*.py'):
        assert (library / file.relative_to(ROOT)).is_file(), file
    assert not (library / 'training').exists()


def test_version_and_entry_points_are_the_real_ones(installed):
    (metadata,) = installed.glob('lib/python3*/site-packages/sg_depth_ros-*.egg-info')
    distribution = PathDistribution(metadata)
    assert distribution.version == manifest().findtext('version') == sg_depth_ros.__version__
    commands = {e.name: e for e in distribution.entry_points}
    assert set(commands) == set(COMMANDS)
    for name, command in commands.items():
        # Where `ros2 run` looks.
        assert (installed / 'lib' / 'sg_depth_ros' / name).is_file()
        assert callable(getattr(importlib.import_module(command.module), command.attr))


@pytest.mark.parametrize('name', COMMANDS)
def test_installed_commands_explain_themselves(installed, name):
    (library,) = installed.glob('lib/python3*/site-packages')
    result = subprocess.run(
        [sys.executable, installed / 'lib' / 'sg_depth_ros' / name, '--help'],
        env={'PYTHONPATH': str(library), 'PATH': '/usr/bin:/bin', 'HOME': str(installed)},
        cwd=installed,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert 'usage' in result.stdout.lower()
    assert len(result.stdout.splitlines()) > 5
