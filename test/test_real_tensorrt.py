"""NVIDIA's real parser and builder over our graphs: what they take, refuse, tell and stop at."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from onnx import TensorProto
from onnx import helper
from real_tensorrt import QUICK
from real_tensorrt import for_ada
from real_tensorrt import needs_tensorrt
from real_tensorrt import real_library
from real_tensorrt import real_plan
from tiny_model import write_tiny_model

from sg_depth_ros.engines.engine import EngineUnavailableError
from sg_depth_ros.engines.options import TensorRTOptions
from sg_depth_ros.engines.tensorrt.progress import BuildCancelledError
from training.exporting.folding import fold_for_export
from training.exporting.half_precision import to_half_precision
from training.exporting.onnx_graph import build_graph
from training.networks.depth import DepthNetworkConfig
from training.networks.guided import GuidedDepthNetwork
from training.networks.segmentation import SegmentationConfig
from training.networks.segmentation import SegmentationNetwork
from training.torch_engine import ExportableModel

pytestmark = needs_tensorrt

ROOT = Path(__file__).resolve().parents[1]
HEIGHT, WIDTH = 64, 96
BUILDS_SLOWLY = """
import sys, time
from pathlib import Path
from real_tensorrt import real_plan

def on_progress(progress):
    print(progress.phase, flush=True)
    time.sleep(0.1)
    return True

real_plan(Path(sys.argv[1]).read_bytes(), on_progress=on_progress)
"""


@pytest.fixture(scope='module')
def exported():
    """Export one network; test_export_combinations shows them all to TensorRT."""
    torch.manual_seed(3)
    config = DepthNetworkConfig(
        architecture='resnet18',
        encoder_width=8,
        decoder_channels=(16, 16, 8, 8, 8),
        guidance='pac',
        guided_strides=(2,),
        guidance_channels=16,
    )
    semantic = SegmentationNetwork(SegmentationConfig(18, width=8, pyramid_channels=16))
    network = GuidedDepthNetwork(config, semantic).eval()
    folded, _ = fold_for_export(network, HEIGHT, WIDTH)
    return build_graph(ExportableModel(folded).eval(), HEIGHT, WIDTH)


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
    return write_tiny_model(tmp_path_factory.mktemp('tiny') / 'model.onnx')


def graph_of(*nodes, initializers=()):
    """Return a graph from a float x (1, 3, 4, 4) to a float y of the same shape."""
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, (1, 3, 4, 4)) for n in 'xy')
    graph = helper.make_graph(nodes, 'graph', [x], [y], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=9)


@pytest.mark.parametrize('precision', ['fp32', 'fp16'])
def test_it_takes_what_we_export(exported, precision, caplog):
    graph = exported if precision == 'fp32' else to_half_precision(exported)
    seen = []
    built = real_plan(graph, on_progress=lambda p: seen.append(p) or True)
    weights = sum(len(w.raw_data) for w in graph.graph.initializer)
    assert len(built.plan) > 0.9 * weights
    shares = [p.share for p in seen]
    assert shares == sorted(shares)
    assert [s for s in shares if s == 1] == [1]
    assert len({round(s, 2) for s in shares}) > 10
    assert {'Building engine', 'Optimizing graph'} <= {p.phase for p in seen}
    assert [r for r in caplog.records if r.levelname == 'ERROR'] == []


def test_every_node_that_it_refuses_is_named(caplog):
    graph = graph_of(
        helper.make_node('NoSuchOperator', ['x'], ['a'], name='/decoder/first'),
        helper.make_node('Relu', ['a'], ['b'], name='/decoder/relu'),
        helper.make_node('Unique', ['b'], ['c'], name='/decoder/second'),
        helper.make_node('StringNormalizer', ['c'], ['d']),
        helper.make_node('Relu', ['d'], ['y']),
    )
    with pytest.raises(EngineUnavailableError) as refusal:
        real_plan(graph)
    text = str(refusal.value)
    library = real_library()
    assert text.startswith(f'model.onnx: {library.name} {library.version} does not take it: node ')
    assert 'node "/decoder/first" (NoSuchOperator): INVALID_NODE, ' in text
    assert 'node "/decoder/second" (Unique): UNSUPPORTED_NODE; ' in text
    assert text.endswith('node number 3 (StringNormalizer): UNSUPPORTED_NODE')
    assert 'relu' not in text
    assert '\n' not in text


def test_the_types_in_the_file_are_those_it_computes_in():
    """Weakly typed, TensorRT would take this and choose types by itself."""
    graph = graph_of(
        helper.make_node('Cast', ['x'], ['half'], name='/cast', to=TensorProto.FLOAT16),
        helper.make_node('Add', ['x', 'half'], ['y'], name='/sum'),
    )
    with pytest.raises(EngineUnavailableError, match='/sum'):
        real_plan(graph)


def test_a_file_that_is_no_graph_is_refused(tiny):
    with pytest.raises(EngineUnavailableError, match='MODEL_DESERIALIZE_FAILED'):
        real_plan(tiny.read_bytes()[:3000])


def test_what_the_builder_says_is_told():
    graph = graph_of(helper.make_node('Relu', ['x'], ['y']))
    del graph.graph.output[:]
    with pytest.raises(EngineUnavailableError, match=r'cannot build .* at least one output'):
        real_plan(graph)


@pytest.mark.parametrize('error', [ValueError('mine'), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize('at', [0, 3])
def test_what_a_callback_raises_comes_out_of_the_build(tiny, error, at):
    seen = []

    def on_progress(progress):
        seen.append(progress)
        if len(seen) > at:
            raise error
        return True

    with pytest.raises(type(error)) as raised:
        real_plan(tiny.read_bytes(), on_progress=on_progress)
    assert raised.value is error
    assert len(seen) == at + 1
    assert real_plan(tiny.read_bytes()).plan


def test_a_callback_cancels(tiny):
    seen = []
    with pytest.raises(BuildCancelledError):
        real_plan(tiny.read_bytes(), on_progress=lambda p: seen.append(p) or len(seen) < 3)
    assert len(seen) == 3


def test_ctrl_c_stops_a_build(tiny):
    process = subprocess.Popen(
        [sys.executable, '-c', BUILDS_SLOWLY, str(tiny)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, 'PYTHONPATH': f'{ROOT}{os.pathsep}{ROOT / "test"}'},
        # Python takes no interest in SIGINT where its parent ignored it, as behind "&" in a shell.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        assert process.stdout.readline() == 'Building engine\n'
        process.send_signal(signal.SIGINT)
        told, errors = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == -signal.SIGINT
    assert errors.rstrip().endswith('KeyboardInterrupt')
    assert 'Computing profile costs' not in told  # what it does seconds later


def test_options_arrive(tiny):
    trt, seen = real_library().trt, {}

    def look(config):
        for_ada(config)
        seen[config.get_flag(trt.BuilderFlag.TF32)] = (
            config.builder_optimization_level,
            config.get_memory_pool_limit(trt.MemoryPoolType.WORKSPACE),
        )

    for options in (QUICK, TensorRTOptions(optimization_level=5, workspace_mb=64, tf32=True)):
        real_plan(tiny.read_bytes(), options, prepare_config=look)
    assert seen[True] == (5, 64 << 20)
    assert seen[False][0] == 0
    assert seen[False][1] > 1 << 32  # its own default: all there is


@pytest.mark.parametrize(
    ('options', 'reason'),
    [
        (TensorRTOptions(hardware_compatible=True), 'leave hardware_compatible off'),
        (TensorRTOptions(version_compatible=True), 'Unable to load library: libnvinfer_lean'),
    ],
)
def test_compatible_plans_are_refused_where_it_has_none(tiny, options, reason):
    with pytest.raises(EngineUnavailableError, match=reason):
        real_plan(tiny.read_bytes(), options)
