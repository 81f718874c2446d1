"""Model files with a self-test, and a machine whose engines do what a test wants."""

import sys
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from tiny_model import RED_STEP_M
from tiny_model import tiny_contract
from tiny_model import tiny_ramp_m
from tiny_model import write_tiny_model

from sg_depth_ros.contract import SelfTest
from sg_depth_ros.engines import EngineUnavailableError
from sg_depth_ros.engines import onnxruntime_engine
from sg_depth_ros.engines.onnxruntime_engine import OnnxRuntimeEngine as RealEngine

NO_GPU = EngineUnavailableError('no CUDA device was found')
NO_CUDA = EngineUnavailableError('built without CUDA')


def write_model(path, precision='fp32', factor=1.0, **changes):
    """Write a tiny model with a self-test, whose depth is ``factor`` times what it computes."""
    contract = replace(tiny_contract(), precision=precision, **changes)
    shape = (contract.height, contract.width, 3)
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    depth_m = tiny_ramp_m(contract) + np.float32(RED_STEP_M) * image[..., 0]
    test = SelfTest(image, np.float32(factor) * depth_m)
    write_tiny_model(path, replace(contract, self_test=test))
    return path


def write_pair(folder):
    """Write an fp16 file with its fp32 sibling beside it; return the former."""
    write_model(folder / 'model.onnx')
    return write_model(folder / 'model.fp16.onnx', 'fp16')


class FakeEngine:
    """Runs the real file on the CPU, and notes whether it is closed."""

    def __init__(self, name, model, factor=1.0):
        self._engine = RealEngine(model, 'cpu', 1)
        self.contract, self.description = self._engine.contract, name
        self.closed, self._factor = 0, factor

    def infer(self, image):
        prediction = self._engine.infer(image)
        if isinstance(self._factor, Exception):
            raise self._factor
        return prediction._replace(depth_m=np.float32(self._factor) * prediction.depth_m)

    def run_network(self):
        self._engine.run_network()

    def close(self):
        self.closed += 1
        self._engine.close()


class Machine:
    """
    What the engines do here: an error refuses, a number scales the depth, others work.

    Keys are (library, file), where a library alone stands for all files.
    """

    def __init__(self, **behaviour):
        self.behaviour, self.tried, self.engines, self.arguments = behaviour, [], [], []
        self.on_open = lambda: None

    def open(self, library, model, *arguments):
        self.on_open()
        self.tried.append((library, model.path.name))
        self.arguments.append(arguments)
        precision = model.contract.precision
        act = self.behaviour.get(f'{library}_{precision}', self.behaviour.get(library, 1.0))
        if isinstance(act, BaseException):
            raise act
        if isinstance(act, tuple):  # fails later, in the test
            (act,) = act
        engine = FakeEngine(library, model, act)
        self.engines.append(engine)
        return engine


def installed_machine(monkeypatch: pytest.MonkeyPatch, **behaviour) -> Machine:
    """Make a machine's engines the ones that are opened."""
    made = Machine(**behaviour)
    tensorrt = SimpleNamespace(open_tensorrt_engine=partial(made.open, 'tensorrt'))
    monkeypatch.setitem(sys.modules, 'sg_depth_ros.engines.tensorrt.opening', tensorrt)
    monkeypatch.setattr(
        onnxruntime_engine,
        'OnnxRuntimeEngine',
        lambda model, device, threads, tf32: made.open(device, model, threads, tf32),
    )
    return made


def refused_names(opened):
    return [refusal.name for refusal in opened.refusals]
