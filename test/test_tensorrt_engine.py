"""TensorRT's engine gives what the file computes, frees what it takes, and says what went wrong."""

import logging
import sys
import threading
from dataclasses import replace

import numpy as np
import onnx
import pytest
from tensorrt_double import Gpu
from tensorrt_double import World
from tensorrt_double import installed_double
from tiny_model import RED_STEP_M
from tiny_model import tiny_contract
from tiny_model import tiny_labels
from tiny_model import tiny_ramp_m
from tiny_model import write_tiny_model

from sg_depth_ros.engines.cuda import find_cuda_device
from sg_depth_ros.engines.engine import EngineUnavailableError
from sg_depth_ros.engines.options import TensorRTOptions
from sg_depth_ros.engines.tensorrt.builder import build_plan
from sg_depth_ros.engines.tensorrt.library import load_tensorrt
from sg_depth_ros.engines.tensorrt.loaded_plan import PlanRefusedError
from sg_depth_ros.engines.tensorrt.opening import open_tensorrt_engine
from sg_depth_ros.engines.tensorrt.runtime import TensorRTEngine
from sg_depth_ros.errors import UserError
from sg_depth_ros.model_file import read_model_file


@pytest.fixture
def world(monkeypatch):
    with installed_double(monkeypatch) as world:
        yield world


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp('model') / 'model.onnx'
    write_tiny_model(path)
    return read_model_file(path)


@pytest.fixture
def options(tmp_path):
    return TensorRTOptions(cache_folder=tmp_path / 'plans')


@pytest.fixture
def engine(world, model, options):
    engine = open_tensorrt_engine(model, options)
    yield engine
    engine.close()


def picture(contract, seed=0):
    shape = (contract.height, contract.width, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def check_prediction(prediction, image, contract):
    expected_m = tiny_ramp_m(contract) + RED_STEP_M * image[..., 0]
    np.testing.assert_allclose(prediction.depth_m, expected_m, rtol=1e-5)
    np.testing.assert_array_equal(prediction.labels, tiny_labels(contract))
    np.testing.assert_array_equal(prediction.confidence, image[..., 1])
    assert prediction.depth_m.dtype == np.float32
    assert prediction.labels.dtype == prediction.confidence.dtype == np.uint8


@pytest.mark.parametrize('cuda_graph', [True, False])
def test_every_image_gives_its_own_depth(world, model, options, cuda_graph):
    engine = open_tensorrt_engine(model, replace(options, cuda_graph=cuda_graph))
    for seed in range(3):
        image = picture(engine.contract, seed)
        check_prediction(engine.infer(image), image, engine.contract)
    engine.close()
