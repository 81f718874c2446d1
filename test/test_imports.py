"""Who may import whom: the vehicle never needs torch, and the pure modules nothing but arrays."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
VEHICLE = ROOT / 'sg_depth_ros'
TRAINING = ROOT / 'training'

# What belongs to the workstation.
TRAINING_ONLY = (
    'jsonargparse',
    'lightning',
    'onnx',
    'onnxscript',
    'pytorch_lightning',
    'tensorboard',
    'torch',
    'torchvision',
    'training',
)
# The modules directly in sg_depth_ros/ are its pure ones.
PURE = ('cv2', 'numpy', 'sg_depth_ros')
ROS = (
    'ament_index_python',
    'builtin_interfaces',
    'cv_bridge',
    'diagnostic_msgs',
    'geometry_msgs',
    'launch',
    'lifecycle_msgs',
    'nav_msgs',
    'rcl_interfaces',
    'rclpy',
    'rosgraph_msgs',
    'sensor_msgs',
    'std_msgs',
    'std_srvs',
    'vision_msgs',
)


class Import(NamedTuple):
    """One imported module and where."""

    file: Path
    line: int
    module: str

    @property
    def package(self) -> str:
        return self.module.partition('.')[0]

    def __str__(self) -> str:
        return f'{self.file.relative_to(ROOT)}:{self.line}: {self.module}'


def sources(folder: Path) -> list[Path]:
    return sorted(folder.rglob('*.py'))


def imports(file: Path) -> Iterator[Import]:
    """Find all imports of a file, those inside functions too."""
    for node in ast.walk(ast.parse(file.read_text(), str(file))):
        if isinstance(node, ast.Import):
            yield from (Import(file, node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{file}:{node.lineno}: relative import'
            # `from a import b`: b may be a module too.
            yield from (Import(file, node.lineno, f'{node.module}.{a.name}') for a in node.names)


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix('').parts
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


def import_in_fresh_process(modules: list[str], blocked: tuple[str, ...]) -> set[str]:
    """Import modules where some packages cannot be had; return the packages then loaded."""
    program = """
import importlib, json, sys
modules, blocked = json.loads(sys.argv[1])

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in blocked:
            raise ModuleNotFoundError(f'{name} is blocked by this test', name=name)

sys.meta_path.insert(0, Blocker())
for module in modules:
    importlib.import_module(module)
print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))
"""
    result = subprocess.run(
        [sys.executable, '-c', program, json.dumps([modules, blocked])],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return set(json.loads(result.stdout))


def test_there_is_something_to_check():
    assert len(sources(VEHICLE)) > 15
    assert len(sources(TRAINING)) > 15
    assert any(i.module == 'torch.nn' for f in sources(TRAINING) for i in imports(f))


def test_vehicle_never_names_torch_or_training():
    wrong = [str(i) for f in sources(VEHICLE) for i in imports(f) if i.package in TRAINING_ONLY]
    assert not wrong, '\n'.join(wrong)


def test_pure_modules_name_only_numpy_opencv_and_each_other():
    # The pipeline calls an engine and so names the protocol, which imports no engine.
    pure = {module_name(f) for f in VEHICLE.glob('*.py')} | {'sg_depth_ros.engines.engine'}
    wrong = [
        str(i)
        for f in VEHICLE.glob('*.py')
        for i in imports(f)
        if i.package not in (*PURE, *sys.stdlib_module_names)
        or (i.package == 'sg_depth_ros' and i.module.rpartition('.')[0] not in pure)
    ]
    assert not wrong, '\n'.join(wrong)


def test_only_node_and_replay_know_ros():
    wrong = [
        str(i)
        for f in sources(VEHICLE)
        if f.relative_to(VEHICLE).parts[0] not in ('node', 'replay')
        for i in imports(f)
        if i.package in ROS
    ]
    assert not wrong, '\n'.join(wrong)


def test_training_never_names_the_node():
    wrong = [
        str(i)
        for f in sources(TRAINING)
        for i in imports(f)
        if i.module.startswith('sg_depth_ros.node') or i.package in ROS
    ]
    assert not wrong, '\n'.join(wrong)


def too_new_for_numpy_1_21(node: ast.AST) -> bool:
    """Whether it makes a generic type of a class of NumPy, or chooses a method of quantiles."""
    if isinstance(node, ast.Subscript):
        module, _, name = ast.unparse(node.value).partition('.')
        return module == 'np' and isinstance(getattr(np, name, None), type)
    return (
        isinstance(node, ast.Call)
        and ast.unparse(node.func) in ('np.quantile', 'np.percentile')
        and any(keyword.arg == 'method' for keyword in node.keywords)
    )


def test_vehicle_needs_no_newer_numpy_than_humble_has():
    wrong = [
        f'{f.relative_to(ROOT)}:{getattr(node, "lineno", 0)}: {ast.unparse(node)}'
        for f in sources(VEHICLE)
        for node in ast.walk(ast.parse(f.read_text(), str(f)))
        if too_new_for_numpy_1_21(node)
    ]
    assert not wrong, '\n'.join(wrong)
    for text in ('x: np.dtype[np.void] = y', 'np.quantile(x, 0.5, method="lower")'):
        assert any(map(too_new_for_numpy_1_21, ast.walk(ast.parse(text))))


def test_vehicle_imports_without_torch_installed():
    modules = [module_name(f) for f in sources(VEHICLE)]
    loaded = import_in_fresh_process(modules, TRAINING_ONLY)
    assert {'numpy', 'rclpy', 'sg_depth_ros'} <= loaded


def test_pure_modules_and_the_bag_reader_import_without_ros_or_engines():
    modules = [module_name(f) for f in VEHICLE.glob('*.py')]
    blocked = (*TRAINING_ONLY, *ROS, 'onnxruntime', 'tensorrt', 'cuda', 'rosbags', 'matplotlib')
    loaded = import_in_fresh_process(modules, blocked)
    assert {'numpy', 'sg_depth_ros'} <= loaded
    # Reading and judging a bag needs no ROS installation either.
    offline = ['sg_depth_ros.bags.bag', 'sg_depth_ros.replay.evaluate_bag']
    import_in_fresh_process(offline, (*TRAINING_ONLY, *ROS))


def test_training_imports_without_ros_installed():
    pytest.importorskip('torch')
    modules = [module_name(f) for f in sources(TRAINING) if f.name != '__main__.py']
    loaded = import_in_fresh_process(modules, ROS)
    assert {'torch', 'training'} <= loaded


def test_a_blocked_package_is_noticed():
    with pytest.raises(AssertionError, match='is blocked by this test'):
        import_in_fresh_process(['sg_depth_ros.camera'], ('numpy',))
