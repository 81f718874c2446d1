"""Plans that are not for this model, TensorRT or GPU are refused, in the words of TensorRT."""

import onnx
import pytest
from tensorrt_double import Gpu
from tensorrt_double import World
from tensorrt_double import installed_double
from tiny_model import tiny_contract
from tiny_model import write_tiny_model

from sg_depth_ros.engines.cuda import find_cuda_device
from sg_depth_ros.engines.engine import EngineUnavailableError
from sg_depth_ros.engines.options import TensorRTOptions
from sg_depth_ros.engines.tensorrt.builder import build_plan
from sg_depth_ros.engines.tensorrt.library import load_tensorrt
from sg_depth_ros.engines.tensorrt.loaded_plan import PlanRefusedError
from sg_depth_ros.engines.tensorrt.runtime import TensorRTEngine
from sg_depth_ros.model_file import read_model_file


@pytest.fixture
def world(monkeypatch):
    with installed_double(monkeypatch) as world:
        yield world


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    return read_model_file(write_tiny_model(tmp_path_factory.mktemp('model') / 'model.onnx'))


DEFAULTS = TensorRTOptions()


def open_plan(plan, contract, options=DEFAULTS):
    return TensorRTEngine(load_tensorrt(), plan, contract, find_cuda_device(), options)


def built(model, options=DEFAULTS):
    return build_plan(load_tensorrt(), model, options).plan


@pytest.mark.parametrize('share', [0.0, 0.5, 0.99])
def test_a_plan_cut_short_is_refused_with_the_words_of_tensorrt(world, model, share):
    plan = built(model)
    with pytest.raises(PlanRefusedError, match='Serialization assertion'):
        open_plan(plan[: int(share * len(plan))], model.contract)


def test_a_plan_of_another_version_or_gpu_is_refused(monkeypatch, model):
    with installed_double(monkeypatch):
        plan = built(model)
    worlds = (
        (World(version='10.3.0'), r'version 10\.13\.0, expecting 10\.3\.0'),
        (World(gpu=Gpu('NVIDIA Other')), 'NVIDIA Double'),
    )
    for world, reason in worlds:
        with (
            installed_double(monkeypatch, world),
            pytest.raises(PlanRefusedError, match=reason),
        ):
            open_plan(plan, model.contract)


def test_a_version_compatible_plan_runs_under_a_later_version(monkeypatch, model):
    options = TensorRTOptions(version_compatible=True)
    with installed_double(monkeypatch, World(version='10.3.0')):
        plan = built(model, options)
    with installed_double(monkeypatch):
        # Such a plan is code: it is taken only where it was asked for.
        with pytest.raises(PlanRefusedError, match='not allowed'):
            open_plan(plan, model.contract)
        open_plan(plan, model.contract, options).close()


def test_a_plan_that_does_not_keep_the_contract_is_refused(world, model):
    plan = built(model)
    with pytest.raises(EngineUnavailableError) as refused:
        open_plan(plan, tiny_contract(96, 32))
    assert '[1, 32, 64, 3]' in str(refused.value)
    assert '[1, 32, 96, 3]' in str(refused.value)


def changed(model, edit):
    proto = onnx.load_from_string(model.content)
    edit(proto)
    return model._replace(content=proto.SerializeToString())


def test_an_output_too_many_or_too_few_is_named(world, model):
    def remove(proto):
        del proto.graph.output[2]

    with pytest.raises(EngineUnavailableError, match='image, labels, the contract wants conf'):
        open_plan(built(changed(model, remove)), model.contract)


def test_an_output_of_another_type_is_named(world, model):
    def edit(proto):
        (node,) = (n for n in proto.graph.node if n.output[0] == 'confidence')
        node.output[0] = 'confidence_bytes'
        cast = onnx.helper.make_node('Cast', ['confidence_bytes'], ['confidence'], to=6)
        proto.graph.node.append(cast)
        proto.graph.output[2].type.tensor_type.elem_type = onnx.TensorProto.INT32

    with pytest.raises(EngineUnavailableError, match='"confidence" as output INT32'):
        open_plan(built(changed(model, edit)), model.contract)
