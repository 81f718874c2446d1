"""What the node does, refuses and answers from its start to its end, over real topics."""

import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
from lifecycle_msgs.msg import Transition
from node_harness import Bench
from node_harness import NodeProcess
from node_harness import assigned
from node_harness import depth_of
from node_harness import image_message
from node_harness import info_message
from node_harness import run_node
from rclpy.lifecycle import TransitionCallbackReturn
from sensor_msgs.msg import Image
from sensor_msgs.msg import PointCloud2
from std_srvs.srv import SetBool
from std_srvs.srv import Trigger
from tiny_model import RED_STEP_M
from tiny_model import tiny_contract
from tiny_model import tiny_ramp_m
from tiny_model import write_tiny_model

from sg_depth_ros.contract import SelfTest
from sg_depth_ros.errors import UserError
from sg_depth_ros.node.depth_node import DepthNode

CONTRACT = tiny_contract()
CAMERA = CONTRACT.intrinsics
PIXELS = np.full((CONTRACT.height, CONTRACT.width, 3), 100, np.uint8)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    image = np.zeros((CONTRACT.height, CONTRACT.width, 3), np.uint8)
    depth_m = tiny_ramp_m(CONTRACT) + np.float32(RED_STEP_M) * image[..., 0]
    path = tmp_path / 'model.onnx'
    write_tiny_model(path, replace(CONTRACT, self_test=SelfTest(image, depth_m)))
    return path


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench({'depth/image': Image, 'points': PointCloud2})
    yield bench
    bench.close()


def trigger(bench: Bench, name: str) -> tuple[bool, str]:
    answer = bench.call(Trigger, name, Trigger.Request())
    return answer.success, answer.message


def enable(bench: Bench, enabled: bool) -> str:
    answer = bench.call(SetBool, 'enable', SetBool.Request(data=enabled))
    assert answer.success
    return str(answer.message)


def next_frame(bench: Bench, seconds: int) -> dict[str, Any]:
    bench.images.publish(image_message(PIXELS, seconds))
    bench.wait(
        lambda: all(m and m[-1].header.stamp.sec == seconds for m in bench.received.values())
    )
    return {name: messages[-1] for name, messages in bench.received.items()}


def test_a_start_without_a_model_says_how_to_get_one_and_waits_for_it(
    bench: Bench, model: Path, tmp_path: Path
):
    with NodeProcess(tmp_path / 'log', Path("''"), cloud_strid=2) as node:
        bench.wait(lambda: 'waiting to be configured again' in node.text, 30)
        assert 'train it on your own recordings' in node.text
        assert 'did you mean "cloud_stride"?' in node.text
        # Everything answers, and the diagnostics say what is wrong.
        assert trigger(bench, 'self_test') == (
            False,
            'the node is not configured: there is no engine to test',
        )
        assert trigger(bench, 'save_snapshot')[1] == 'the node is not active: no image comes'
        assert trigger(bench, 'reset_statistics')[0]
        bench.wait(lambda: 'engine' in bench.diagnostics)
        bench.wait(lambda: 'no model' in bench.diagnosis('engine')[1])
        assert bench.diagnosis('engine')[0] == 2
        # Given another that does not exist, it still waits; given one, it runs.
        assert bench.set_parameters(model='missing.onnx') == []
        assert not bench.change(Transition.TRANSITION_CONFIGURE)
        bench.wait(lambda: 'missing.onnx: no such file' in bench.diagnosis('engine')[1])
        assert bench.set_parameters(model=str(model)) == []
        assert bench.change(Transition.TRANSITION_CONFIGURE)
        assert trigger(bench, 'save_snapshot')[1] == 'the node is not active: no image comes'
        success, message = trigger(bench, 'self_test')
        assert success and message.startswith('self-test passed')
        assert bench.change(Transition.TRANSITION_ACTIVATE)
        bench.connect(node)
        bench.infos.publish(info_message(CAMERA))
        bench.spin(0.3)
        next_frame(bench, 1)
        assert 'Traceback' not in node.text
        assert node.end(signal.SIGINT) == 0


def test_changes_take_effect_with_the_next_image_or_are_refused_with_the_reason(
    bench: Bench, model: Path, tmp_path: Path
):
    folder = tmp_path / 'snapshots'
    with NodeProcess(
        tmp_path / 'log', model, processing_mode='every', snapshot_folder=folder
    ) as node:
        bench.connect(node)
        bench.infos.publish(info_message(CAMERA))
        bench.spin(0.3)
        before = next_frame(bench, 1)
        check_changes(bench, before)
        check_refusals(bench)
        check_snapshot(bench, folder / 'depth_node')
        check_enable(bench, node)
        assert 'Traceback' not in node.text
        assert node.end() == 0


def check_changes(bench: Bench, before: dict[str, Any]) -> None:
    assert before['points'].width == CONTRACT.width
    depth_m = depth_of(before['depth/image'])
    limit_m = float(np.median(depth_m[np.isfinite(depth_m)]))
    assert not bench.set_parameters(cloud_stride=2, cloud_labels=True, max_depth_m=limit_m)
    after = next_frame(bench, 2)
    assert after['points'].width == (CONTRACT.width + 1) // 2
    assert 'label' in [field.name for field in after['points'].fields]
    expected_m = np.where(depth_m > limit_m, np.inf, depth_m)
    np.testing.assert_array_equal(depth_of(after['depth/image']), expected_m)
    assert bench.set_parameters(depth_encoding='16UC1') == []
    assert next_frame(bench, 3)['depth/image'].encoding == '16UC1'
    assert not bench.set_parameters(cloud_stride=1, depth_encoding='32FC1', max_depth_m=0.0)
    assert not bench.set_parameters(focal_correction=False)
    bench.infos.publish(info_message(replace(CAMERA, fx=2 * CAMERA.fx, fy=2 * CAMERA.fy)))
    bench.spin(0.3)
    np.testing.assert_array_equal(depth_of(next_frame(bench, 4)['depth/image']), depth_m)
    assert not bench.set_parameters(focal_correction=True)
    np.testing.assert_allclose(depth_of(next_frame(bench, 5)['depth/image']), 2 * depth_m)


def check_refusals(bench: Bench) -> None:
    for name, value, reason in (
        ('engine', 'tensorrt', 'clean up the node'),
        ('processing_mode', 'latest', 'clean up the node'),
        ('engine', 'magic', 'not one of auto, onnxruntime, tensorrt'),
        ('input_fit', 'squeeze', 'not one of auto, stretch, crop'),
        ('camera_height', float('nan'), 'out of range'),
        ('camera_height', float('inf'), 'out of range'),
        ('cloud_stride', 0, 'out of range'),
        ('cloud_stride', 1.5, 'Wrong parameter type'),
        ('autostart', False, 'read-only'),
    ):
        (refusal,) = bench.set_parameters(**{name: value})
        assert reason in refusal, refusal
    # Set again as they are, as "ros2 param load" does.
    assert bench.set_parameters(engine='auto', processing_mode='every') == []
    next_frame(bench, 6)


def check_snapshot(bench: Bench, folder: Path) -> None:
    answer = bench.client(Trigger, 'save_snapshot').call_async(Trigger.Request())
    bench.spin(0.3)
    assert not answer.done()  # it waits for an image
    depth_m = depth_of(next_frame(bench, 7)['depth/image'])
    bench.wait(answer.done)
    (written,) = folder.iterdir()
    assert answer.result().success and answer.result().message == str(written)
    assert written.name == '7.000000007'
    np.testing.assert_array_equal(np.load(written / 'depth.npy'), depth_m)
    assert {path.name for path in written.iterdir()} >= {
        'image.png', 'labels.png', 'camera_info.yaml', 'cloud.ply',
    }  # fmt: skip


def check_enable(bench: Bench, node: NodeProcess) -> None:
    assert 'not received any longer' in enable(bench, False)
    bench.wait(lambda: bench.images.get_subscription_count() == 0)
    assert 'disabled' in trigger(bench, 'save_snapshot')[1]
    assert trigger(bench, 'self_test')[0]
    bench.wait(lambda: 'disabled' in bench.diagnosis('processing')[1])
    # It stays so over a transition.
    assert bench.change(Transition.TRANSITION_DEACTIVATE)
    assert bench.change(Transition.TRANSITION_ACTIVATE)
    bench.spin(0.3)
    assert bench.images.get_subscription_count() == 0
    assert '/depth_node/image' in enable(bench, True)
    bench.connect(node)
    bench.infos.publish(info_message(CAMERA))
    bench.spin(0.3)
    next_frame(bench, 8)


@pytest.mark.parametrize(
    ('assignments', 'status', 'line'),
    [
        (['model:={model}'], 0, 'self-test passed'),
        (['model:=missing.onnx'], 2, 'missing.onnx: no such file'),
    ],
)
def test_build_only_opens_and_tests_the_engine_and_ends(
    assignments: list[str], status: int, line: str, model: Path
):
    words = [
        'build_only:=true',
        'engine_threads:=1',
        *(a.format(model=model) for a in assignments),
    ]
    result = run_node(*assigned(*words))
    assert result.returncode == status, result.stderr
    assert line in result.stderr
    assert 'active' not in result.stderr


class TestFailingTransitions:
    """The node in this process."""

    @pytest.fixture
    def node(self, model: Path) -> Iterator[DepthNode]:
        assignments = (f'model:={model}', 'engine:=onnxruntime', 'engine_threads:=1')
        rclpy.init(args=['--ros-args', *assigned(*assignments)])
        node = DepthNode()
        yield node
        node.release()
        node.destroy_node()
        rclpy.try_shutdown()

    def test_a_clean_up_that_fails_frees_the_rest_and_ends_unconfigured(
        self, node: DepthNode, capfd: pytest.CaptureFixture[str]
    ):
        assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        worker, inputs = node._worker, node._inputs
        assert worker is not None and inputs is not None

        def fail() -> None:
            raise RuntimeError('no way to let go')

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(inputs, 'destroy', fail)
            assert node.trigger_cleanup() == TransitionCallbackReturn.ERROR
        assert 'cannot clean up: RuntimeError' in capfd.readouterr().err
        assert not worker._thread.is_alive()
        assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS

    def test_an_activation_that_fails_leaves_the_node_inactive(
        self, node: DepthNode, monkeypatch: pytest.MonkeyPatch
    ):
        assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS

        def fail() -> None:
            raise UserError('no such publisher')

        with monkeypatch.context() as patch:
            patch.setattr(node._inputs, 'subscribe', fail)
            assert node.trigger_activate() == TransitionCallbackReturn.FAILURE
        with pytest.raises(UserError, match='not active'):
            node.start_snapshot()
        assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
