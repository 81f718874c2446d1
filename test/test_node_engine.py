"""The node's engine: what it says of it, and what it does where none can be had."""

import gc
import re
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rclpy
from lifecycle_msgs.msg import Transition
from node_harness import Bench
from node_harness import NodeProcess
from node_harness import assigned
from node_harness import run_node
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo
from tensorrt_double import installed_double
from tiny_model import RED_STEP_M
from tiny_model import tiny_contract
from tiny_model import tiny_ramp_m
from tiny_model import write_tiny_model

from sg_depth_ros.contract import SelfTest
from sg_depth_ros.engines.engine import PlanMissingError
from sg_depth_ros.engines.tensorrt.progress import BuildCancelledError
from sg_depth_ros.node.depth_node import DepthNode

CONTRACT = tiny_contract()


def contract_with_self_test(error: float = 0.0):
    """Return the tiny contract with a self-test that is off by a share of the depth."""
    image = np.zeros((CONTRACT.height, CONTRACT.width, 3), np.uint8)
    image[..., 0] = np.arange(CONTRACT.width)
    depth_m = tiny_ramp_m(CONTRACT) + np.float32(RED_STEP_M) * image[..., 0]
    return replace(CONTRACT, self_test=SelfTest(image, depth_m * np.float32(1 + error)))


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch):
    """Hide a GPU where this machine has one."""
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '-1')


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench({'depth/camera_info': CameraInfo})
    yield bench
    bench.close()


def test_without_a_gpu_tensorrt_fails_to_configure_and_another_engine_then_serves(
    bench: Bench, no_gpu, tmp_path: Path
):
    model = tmp_path / 'model.onnx'
    write_tiny_model(model, contract_with_self_test())
    options = {'engine': 'tensorrt', 'autostart': False, 'engine_cache': tmp_path / 'cache'}
    with NodeProcess(tmp_path / 'log', model, **options) as node:
        for _ in range(2):
            assert not bench.change(Transition.TRANSITION_CONFIGURE)
        complaints = [s for s in node.text.splitlines() if 'cannot configure' in s]
        assert len(complaints) == 2 and str(model) in complaints[0], node.text
        assert 'Traceback' not in node.text
        assert bench.set_parameters(engine='auto') == []
        assert bench.change(Transition.TRANSITION_CONFIGURE)
        assert bench.set_parameters(engine='tensorrt')  # it would not take effect
        assert bench.change(Transition.TRANSITION_ACTIVATE)
        bench.wait(lambda: 'engine' in bench.diagnostics and 'engine' in bench.values('engine'))
        values = bench.values('engine')
        assert values['engine'].startswith('ONNX Runtime')
        assert values['engine_refused'].startswith('TensorRT: ')
        assert values['self_test'].startswith('self-test passed')
        assert values['model'] == str(model)
        assert values['model_precision'] == 'fp32'
        # The log says both as well.
        assert 'TensorRT is not used' in node.text
        assert values['self_test'] in node.text
        assert node.end(signal.SIGINT) == 0, node.text
    assert not (tmp_path / 'cache').exists()


@pytest.mark.parametrize(
    ('error', 'arguments', 'reason'),
    [
        (0.0, ['engine:=tensorrt'], 'TensorRT|CUDA|driver|GPU'),
        (0.02, [], r'self-test FAILED: depth within 1 % on 0\.00 % of pixels'),
        (0.0, ['engine_workspace_mb:=-1'], 'engine_workspace_mb'),
        (0.0, ['engine_device:=tpu'], 'engine_device.*not one of auto, cpu, cuda'),
    ],
)
def test_a_start_without_an_engine_ends_with_the_reason(
    error, arguments, reason, no_gpu, tmp_path
):
    model = tmp_path / 'model.onnx'
    write_tiny_model(model, contract_with_self_test(error))
    assignments = [f'model:={model}', 'exit_on_failure:=true', *arguments]
    result = run_node(*assigned(*assignments))
    assert result.returncode == 2, result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert re.search(reason, last), result.stderr
    assert 'Traceback' not in result.stderr


class TestWithTensorRT:
    """The node in this process; the double minds threads and leaks, see test/tensorrt_double."""

    @pytest.fixture
    def gpu(self, monkeypatch):
        with installed_double(monkeypatch) as world:
            yield world

    @pytest.fixture
    def start(self, tmp_path: Path, capfd):
        model = tmp_path / 'model.onnx'
        write_tiny_model(model, contract_with_self_test())
        nodes = []

        def start(**parameters: object) -> DepthNode:
            values = {'model': model, 'engine_cache': tmp_path / 'cache', **parameters}
            assignments = [f'{name}:={value}' for name, value in values.items()]
            rclpy.init(args=['--ros-args', *assigned(*assignments)])
            nodes.append(DepthNode())
            return nodes[-1]

        yield start
        while nodes:
            node = nodes.pop()
            node.release()
            node.destroy_node()
            del node
        rclpy.try_shutdown()
        # What holds each other in a circle would stay in the ROS graph, and the requests of later
        # tests would go there.
        gc.collect()

    def test_a_plan_is_built_in_sight_and_found_the_next_time(self, gpu, start, capfd):
        node = start()
        success = TransitionCallbackReturn.SUCCESS
        assert node.trigger_configure() == success, node.failure
        log = capfd.readouterr().err
        assert 'building the plan of model.onnx: 0 %' in log
        assert 'TensorRT 10.13' in log and 'self-test passed' in log
        values = dict(node._monitor._engine_values)
        assert values['engine'].startswith('TensorRT 10.13')
        assert values['engine_refused'] == 'none'
        assert node.trigger_activate() == success
        assert node.trigger_deactivate() == success
        assert node.trigger_cleanup() == success
        node.set_parameters([Parameter('allow_engine_build', value=False)])
        assert node.trigger_configure() == success, node.failure
        assert 'building' not in capfd.readouterr().err
        assert node.trigger_cleanup() == success

    @pytest.mark.parametrize('engine', ['auto', 'tensorrt'])
    def test_where_building_is_forbidden_the_command_that_builds_is_named(
        self, engine, gpu, start, tmp_path
    ):
        node = start(allow_engine_build=False, engine=engine, engine_workspace_mb=64)
        assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
        assert isinstance(node.failure, PlanMissingError)
        options = f'--cache {tmp_path / "cache"} --workspace-mb 64'
        command = f'ros2 run sg_depth_ros build_engine {tmp_path / "model.onnx"} {options}'
        assert command in str(node.failure)

    def test_a_build_ends_with_the_node(self, gpu, start, monkeypatch):
        node = start()
        monkeypatch.setattr(node.context, 'ok', lambda: False)
        assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
        assert isinstance(node.failure, (BuildCancelledError, InterruptedError))
