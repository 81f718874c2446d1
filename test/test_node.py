"""The node in its own process, over real topics."""

import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from lifecycle_msgs.msg import Transition
from node_harness import FRAME_ID
from node_harness import Bench
from node_harness import NodeProcess
from node_harness import depth_of
from node_harness import image_message
from node_harness import info_message
from node_harness import run_node
from numpy.typing import NDArray
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import Image
from tiny_model import RED_STEP_M
from tiny_model import tiny_contract
from tiny_model import tiny_labels
from tiny_model import tiny_ramp_m
from tiny_model import write_tiny_model

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.point_cloud import POINT_DTYPE

# Images of twice the network's size, of the camera that the tiny model was "trained" with.
CONTRACT = tiny_contract()
CAMERA = CONTRACT.intrinsics.resized(2 * CONTRACT.width, 2 * CONTRACT.height)


def picture(red: int = 0) -> NDArray[np.uint8]:
    pixels = np.zeros((CAMERA.height, CAMERA.width, 3), np.uint8)
    pixels[..., 0], pixels[..., 1] = red, 100
    pixels[..., 2] = np.repeat(np.arange(CAMERA.width // 2), 2)
    return pixels


def expected_depth_m(red: int = 0) -> NDArray[np.float32]:
    depth_m = tiny_ramp_m(CONTRACT) + np.float32(RED_STEP_M * red)
    depth_m[: CONTRACT.height // 4] = np.inf  # sky
    return depth_m


@pytest.fixture(scope='module')
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp('model') / 'model.onnx')


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


def test_every_image_gives_one_of_each_output_with_its_stamp_and_frame(
    bench: Bench, model: Path, tmp_path: Path
):
    with NodeProcess(tmp_path / 'log', model, processing_mode='every') as node:
        bench.connect(node)
        bench.images.publish(image_message(picture(0), 100))  # before its camera_info
        bench.spin(0.3)
        assert bench.counts() == {0}
        bench.infos.publish(info_message(CAMERA, 100))
        for i in range(1, 30):  # faster than lock step, so that they queue
            bench.images.publish(image_message(picture(i), 100 + i))
        bench.wait_for(30)
        bench.spin(0.3)
        assert bench.counts() == {30}
        for messages in bench.received.values():
            assert [m.header.stamp.sec for m in messages] == list(range(100, 130))
            assert {m.header.stamp.nanosec for m in messages} == {7}
            assert {m.header.frame_id for m in messages} == {FRAME_ID}
        check_contents(bench)
        assert node.end(signal.SIGINT) == 0, node.text
        assert 'Traceback' not in node.text


def check_contents(bench: Bench) -> None:
    rays = CONTRACT.intrinsics.rays()
    for i in (0, 29):
        depth_m = depth_of(bench.received['depth/image'][i])
        np.testing.assert_allclose(depth_m, expected_depth_m(i), rtol=1e-5)

        info = bench.received['depth/camera_info'][i]
        assert (info.width, info.height) == depth_m.shape[::-1]
        np.testing.assert_allclose(np.reshape(info.k, (3, 3)), CONTRACT.intrinsics.matrix())
        np.testing.assert_allclose(np.reshape(info.p, (3, 4))[:, :3], np.reshape(info.k, (3, 3)))
        assert not any(info.d) and list(info.r) == [1, 0, 0, 0, 1, 0, 0, 0, 1]

        message = bench.received['points'][i]
        assert (message.width, message.height) == depth_m.shape[::-1]
        assert (message.point_step, message.row_step) == (16, 16 * message.width)
        assert not message.is_dense and not message.is_bigendian
        assert [(f.name, f.offset, f.datatype, f.count) for f in message.fields] == [
            ('x', 0, 7, 1), ('y', 4, 7, 1), ('z', 8, 7, 1), ('rgb', 12, 7, 1),
        ]  # fmt: skip
        cloud = np.frombuffer(message.data, POINT_DTYPE).reshape(depth_m.shape)
        finite_m = np.where(np.isfinite(depth_m), depth_m, np.nan)
        for axis, name in enumerate('xyz'):
            np.testing.assert_allclose(cloud[name], rays[..., axis] * finite_m, rtol=1e-5)
        packed = np.ascontiguousarray(cloud['rgb']).view('<u4')
        column = np.arange(CONTRACT.width)
        np.testing.assert_array_equal(
            packed, np.broadcast_to((i << 16) + (100 << 8) + column, packed.shape)
        )


def test_latest_mode_takes_the_newest_image_from_a_best_effort_camera(tmp_path: Path):
    slow = tmp_path / 'slow.onnx'
    write_tiny_model(slow, work=40)
    bench = Bench(reliability=ReliabilityPolicy.BEST_EFFORT)
    try:
        with NodeProcess(tmp_path / 'log', slow) as node:
            bench.connect(node)
            bench.infos.publish(info_message(CAMERA))
            bench.spin(0.5)
            for i in range(40):
                bench.images.publish(image_message(picture(i), 100 + i))
                bench.spin(0.02)
            depths = bench.received['depth/image']
            bench.wait(lambda: bool(depths) and depths[-1].header.stamp.sec == 139)
            stamps = [m.header.stamp.sec for m in depths]
            assert stamps == sorted(set(stamps))
            assert 2 <= len(stamps) < 30
            for seconds, message in zip(stamps, depths):
                depth_m = depth_of(message)[-1, 0]
                assert depth_m == pytest.approx(5 + RED_STEP_M * (seconds - 100), rel=1e-5)
    finally:
        bench.close()


def test_metric_depth_follows_the_focal_length(bench: Bench, model: Path, tmp_path: Path):
    tele = Intrinsics(
        2 * CAMERA.fx, 2 * CAMERA.fy, CAMERA.cx, CAMERA.cy, CAMERA.width, CAMERA.height
    )
    region = {'x_offset': 16, 'y_offset': 8, 'width': CAMERA.width, 'height': CAMERA.height}
    info = info_message(tele, width=CAMERA.width + 32, height=CAMERA.height + 16)
    info.roi.x_offset, info.roi.y_offset = region['x_offset'], region['y_offset']
    info.roi.width, info.roi.height = region['width'], region['height']
    with NodeProcess(tmp_path / 'log', model, processing_mode='every', max_depth_m=60.0) as node:
        bench.connect(node)
        bench.infos.publish(info)
        bench.images.publish(image_message(picture(), 1))
        bench.wait_for(1)
        expected = 2 * expected_depth_m()
        expected[expected > 60] = np.inf
        np.testing.assert_allclose(depth_of(bench.received['depth/image'][0]), expected, rtol=1e-5)
        k = np.reshape(bench.received['depth/camera_info'][0].k, (3, 3))
        assert k[0, 0] == pytest.approx(tele.fx / 2)
        assert k[0, 2] == pytest.approx((tele.cx - 16 + 0.5) / 2 - 0.5)


def test_unscaled_model_gives_labels_but_no_depth_unless_allowed(tmp_path: Path):
    path = tmp_path / 'unscaled.onnx'
    write_tiny_model(path, tiny_contract(metric=False))
    bench = Bench({'depth/image': Image, 'semantic/mask': Image, 'semantic/color': Image})
    try:
        with NodeProcess(tmp_path / 'log', path, processing_mode='every') as node:
            bench.connect(node)
            bench.infos.publish(info_message(CAMERA))
            bench.images.publish(image_message(picture(), 1))
            bench.wait(lambda: bool(bench.received['semantic/color']))
            mask = bench.received['semantic/mask'][0]
            assert mask.encoding == 'mono8' and mask.header.stamp.sec == 1
            np.testing.assert_array_equal(
                np.reshape(mask.data, (mask.height, mask.width)), tiny_labels(CONTRACT)
            )
            color = bench.received['semantic/color'][0]
            assert tuple(color.data[:3]) == CONTRACT.palette[tiny_labels(CONTRACT)[0, 0]]
            assert not bench.received['depth/image']
            assert 'not metric' in node.text
            assert node.end() == 0
        parameters = {'allow_unscaled_depth': True, 'camera_info_wait_s': 0.0}
        with NodeProcess(tmp_path / 'log', path, processing_mode='every', **parameters) as node:
            bench._ready.clear()
            bench.connect(node)
            bench.images.publish(image_message(picture(), 2))  # no camera_info at all
            bench.wait(lambda: bool(bench.received['depth/image']))
            np.testing.assert_allclose(
                depth_of(bench.received['depth/image'][0]), expected_depth_m(), rtol=1e-5
            )
            bench.wait(lambda: 'nothing comes on /depth_node/camera_info' in node.text)
            assert 'bench' in node.text
    finally:
        bench.close()


def test_lifecycle_is_driven_from_outside_without_autostart(model: Path, tmp_path: Path):
    bench = Bench({'depth/camera_info': CameraInfo})
    try:
        with NodeProcess(tmp_path / 'log', model, autostart=False) as node:
            assert not bench.change(Transition.TRANSITION_ACTIVATE)  # not configured yet
            for _ in range(2):
                assert bench.change(Transition.TRANSITION_CONFIGURE)
                assert bench.change(Transition.TRANSITION_ACTIVATE)
                assert bench.change(Transition.TRANSITION_DEACTIVATE)
                assert bench.change(Transition.TRANSITION_CLEANUP)
            assert bench.change(Transition.TRANSITION_CONFIGURE)
            assert bench.change(Transition.TRANSITION_ACTIVATE)
            bench.connect(node)
            bench.infos.publish(info_message(CAMERA))
            bench.spin(0.3)
            bench.images.publish(image_message(picture(), 3))
            bench.wait_for(1)
            assert node.end() == 0
    finally:
        bench.close()


@pytest.mark.parametrize(
    ('arguments', 'reason'),
    [
        (['-p', 'model:=missing.onnx'], 'missing.onnx'),
        (['-p', 'model:={bare}'], 'no sg_depth_ros contract'),
        (['-p', 'model:={text}'], 'cut short or no ONNX'),
        ([], 'no model: name one with'),
        (['-p', 'model:={bare}', '-p', 'processing_mode:=some'], 'not one of latest, every'),
        (['-p', 'cloud_stride:=0'], 'cloud_stride'),
        (['-p', 'cloud_stride:=two'], 'must be a whole number'),
        (['-p', 'camera_height:=2'], 'must be a number with a point'),
        (['--foo'], "does not know the arguments ['--foo']"),
    ],
)
def test_a_start_that_fails_says_why_in_one_line(
    arguments: list[str], reason: str, tmp_path: Path
):
    bare, text = tmp_path / 'bare.onnx', tmp_path / 'text.onnx'
    write_tiny_model(bare, with_contract=False)
    text.write_text('not a model')
    arguments = ['-p', 'exit_on_failure:=true', *arguments]
    result = run_node(*(a.format(bare=bare, text=text) for a in arguments))
    lines = result.stderr.strip().splitlines()
    assert result.returncode == 2, result.stderr
    assert len(lines) == 1 and reason in lines[0], result.stderr
