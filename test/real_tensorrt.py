"""
NVIDIA's real ONNX parser and plan builder, of TensorRT-RTX, whose wheels build without a GPU.

Its Python API is TensorRT 11's. Only what builds is touched here: a Runtime ends the process where
there is no driver.
"""

import functools
import hashlib
from pathlib import Path

import pytest
from tiny_model import tiny_contract

from sg_depth_ros.engines.options import TensorRTOptions
from sg_depth_ros.engines.tensorrt.builder import build_plan
from sg_depth_ros.engines.tensorrt.library import Library
from sg_depth_ros.engines.tensorrt.library import tensorrt_log
from sg_depth_ros.model_file import ModelFile

QUICK = TensorRTOptions(optimization_level=0)


@functools.cache
def real_library():
    """Return the library, or None where it is not installed."""
    try:
        import tensorrt_rtx_bindings
    except ImportError:
        return None
    return Library(tensorrt_rtx_bindings, 'TensorRT-RTX', tensorrt_rtx_bindings.__version__)


needs_tensorrt = pytest.mark.skipif(real_library() is None, reason='no TensorRT-RTX here')


def for_ada(config):
    """Build for a GPU that need not be there."""
    config.num_compute_capabilities = 1
    assert config.set_compute_capability(real_library().trt.ComputeCapability.SM89, 0)


def model_of(graph):
    """Return a ModelProto, or bytes, as a model file."""
    content = graph if isinstance(graph, bytes) else graph.SerializeToString()
    return ModelFile(
        Path('model.onnx'), content, hashlib.sha256(content).hexdigest(), tiny_contract()
    )


def real_plan(graph, options=QUICK, on_progress=None, prepare_config=for_ada):
    """Build a plan with our builder and NVIDIA's library."""
    return build_plan(real_library(), model_of(graph), options, None, on_progress, prepare_config)


def assert_tensorrt_builds(graph):
    """Parse and build, where the library is installed."""
    if real_library() is not None:
        assert len(real_plan(graph).plan) > 1000


def assert_tensorrt_parses(graph):
    """Parse alone, which takes a tenth of the time."""
    if real_library() is None:
        return
    trt = real_library().trt
    log = tensorrt_log(trt)
    log.clear()
    typed = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = trt.Builder(log).create_network(typed)
    assert trt.OnnxParser(network, log).parse(graph.SerializeToString()), log.errors()
