"""Puts the double where ``import`` finds it."""

import contextlib
import functools
import importlib.machinery
import sys
import types

from tensorrt_double.building import Builder
from tensorrt_double.cuda import CudaDouble
from tensorrt_double.enums import ENUMS
from tensorrt_double.messages import ILogger
from tensorrt_double.messages import IProgressMonitor
from tensorrt_double.messages import Logger
from tensorrt_double.parsing import OnnxParser
from tensorrt_double.running import Runtime
from tensorrt_double.world import World

NAMES = ('tensorrt', 'tensorrt_rtx')


@contextlib.contextmanager
def installed_double(monkeypatch, world=None, device=None):
    """
    Give a world whose TensorRT and CUDA the code under test imports.

    :param world: version and GPU to play; by default TensorRT 10.13.
    :param device: a ``RealCuda`` to work with a real device; None plays CUDA, too.
    :raises Misuse: at the end, telling everything that went wrong or was not freed.
    """
    world = world or World()
    world.device = device or CudaDouble(world)
    if device is None:
        _install(monkeypatch, 'cuda.bindings.runtime', world.device.module())
    for name in NAMES:
        monkeypatch.setitem(sys.modules, name, None)
    _install(monkeypatch, world.name, tensorrt_module(world))
    yield world
    world.close(world.device.leaks())


def tensorrt_module(world):
    """Return the double of the module ``tensorrt``."""
    module = types.ModuleType(world.name)
    module.__version__ = world.version
    module.ILogger, module.Logger, module.IProgressMonitor = ILogger, Logger, IProgressMonitor
    module.Builder = functools.partial(Builder, world)
    module.OnnxParser = functools.partial(OnnxParser, world)
    module.Runtime = functools.partial(Runtime, world)
    for kind in ENUMS:
        setattr(module, kind.__name__, kind)
    return module


def _install(monkeypatch, name, module):
    """Put a module, and packages around it, where ``import`` looks first."""
    parts = name.split('.')
    for end in range(len(parts), 0, -1):
        full_name = '.'.join(parts[:end])
        module.__spec__ = importlib.machinery.ModuleSpec(full_name, None)
        monkeypatch.setitem(sys.modules, full_name, module)
        if end > 1:
            package = types.ModuleType('.'.join(parts[: end - 1]))
            package.__path__ = []
            setattr(package, parts[end - 1], module)
            module = package
