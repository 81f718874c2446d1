"""What becomes of a frame: parameters that change while images come; over real topics."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from lifecycle_msgs.msg import Transition
from node_harness import Bench
from node_harness import depth_of
from node_harness import image_message
from node_harness import info_message
from node_in_process import GatedEngine
from node_in_process import LivingNode
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import Image
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Float64
from std_srvs.srv import Trigger
from tiny_model import tiny_contract
from tiny_model import tiny_ramp_m

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.engines.opening import OpenedEngine

CONTRACT = tiny_contract()
CAMERA = CONTRACT.intrinsics
OUTPUTS = {
    'depth/image': Image,
    'depth/camera_info': CameraInfo,
    'points': PointCloud2,
    'debug/cyclic_time_ms': Float64,
}


class Drive:
    """Images before a node whose engine gives the same depth for all of them."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.seconds = 0

    def show(self, camera: Intrinsics = CAMERA) -> None:
        """Publish an image and its info, whose stamps go up."""
        self.seconds += 1
        self.bench.infos.publish(info_message(camera, self.seconds))
        self.bench.spin(0.02)
        pixels = np.zeros((camera.height, camera.width, 3), np.uint8)
        self.bench.images.publish(image_message(pixels, self.seconds))

    def depth_m(self, camera: Intrinsics = CAMERA) -> np.ndarray:
        """Return what comes of the next image."""
        self.show(camera)
        depths = self.bench.received['depth/image']
        self.bench.wait(lambda: bool(depths) and depths[-1].header.stamp.sec == self.seconds)
        return depth_of(depths[-1])


@pytest.fixture
def engine() -> GatedEngine:
    return GatedEngine(CONTRACT)


@pytest.fixture
def drive(engine: GatedEngine, tmp_path: Path) -> Iterator[Drive]:
    model = tmp_path / 'model.onnx'
    model.write_bytes(b'not read')
    bench = Bench(OUTPUTS)
    opened = OpenedEngine(engine, model, None, ())
    with LivingNode(lambda *_: opened, model=model, processing_mode='every') as living:
        living.configure_and_activate()
        bench.wait(lambda: bench._ready >= set(OUTPUTS))
        bench.wait(lambda: bench.images.get_subscription_count() > 0)
        bench.wait(lambda: bench.infos.get_subscription_count() > 0)
        yield Drive(bench)
    bench.close()


def test_changed_parameters_take_effect_with_the_next_image(drive: Drive):
    bench, ramp_m = drive.bench, tiny_ramp_m(CONTRACT)
    assert np.isfinite(drive.depth_m()[8:]).all()
    assert bench.set_parameters(max_depth_m=12.0) == []
    np.testing.assert_array_equal(np.isinf(drive.depth_m())[8:], (ramp_m > 12)[8:])
    assert bench.set_parameters(max_depth_m=0.0, focal_correction=False) == []
    wide = Intrinsics(CAMERA.fx / 2, CAMERA.fy / 2, CAMERA.cx, CAMERA.cy, 64, 32)
    np.testing.assert_allclose(drive.depth_m(wide)[8:], ramp_m[8:])
    assert bench.set_parameters(focal_correction=True) == []
    np.testing.assert_allclose(drive.depth_m(wide)[8:], ramp_m[8:] / 2)
    assert bench.set_parameters(cloud_stride=4) == []
    drive.depth_m()
    clouds = bench.received['points']
    bench.wait(lambda: clouds[-1].header.stamp.sec == drive.seconds)
    assert (clouds[-1].width, clouds[-1].height) == (16, 8)
    # Refused: nothing of it holds.
    assert bench.set_parameters(max_depth_m=-1.0) != []
    assert np.isfinite(drive.depth_m()[8:]).all()


def test_a_camera_that_changes_with_every_image_does_not_flood_the_log(
    drive: Drive, capfd: pytest.CaptureFixture[str]
):
    count = 45
    for i in range(count):
        zoomed = replace(CAMERA, fx=CAMERA.fx + i, fy=CAMERA.fy + i)
        np.testing.assert_allclose(
            drive.depth_m(zoomed)[-1], tiny_ramp_m(CONTRACT)[-1] * (1 + i / CAMERA.fx), rtol=1e-5
        )
    assert 0 < capfd.readouterr().err.count('focal correction') < count


def test_the_time_from_one_image_to_the_next_can_be_plotted(drive: Drive):
    cycles = drive.bench.received['debug/cyclic_time_ms']
    drive.depth_m()
    drive.bench.spin(0.3)
    assert cycles == []  # there is no image before the first
    began_s = time.monotonic()
    drive.depth_m()
    drive.bench.wait(lambda: len(cycles) == 1)
    assert 300 <= cycles[0].data + 20 <= 1e3 * (time.monotonic() - began_s) + 1000


def test_a_deactivation_waits_for_no_camera_info(drive: Drive, capfd: pytest.CaptureFixture[str]):
    bench = drive.bench
    assert bench.set_parameters(camera_info_wait_s=60.0) == []
    bench.images.publish(image_message(np.zeros((32, 64, 3), np.uint8), 1))
    bench.wait(lambda: bench.values('input').get('frames_received') == '1')
    assert bench.change(Transition.TRANSITION_DEACTIVATE)
    assert 'still in work' not in capfd.readouterr().err
    # The next image waits as the first one did.
    assert bench.change(Transition.TRANSITION_ACTIVATE)
    bench.wait(lambda: bench.images.get_subscription_count() > 0)
    bench.wait(lambda: bench.infos.get_subscription_count() > 0)
    bench.images.publish(image_message(np.zeros((32, 64, 3), np.uint8), 2))
    bench.spin(0.3)
    bench.infos.publish(info_message(CAMERA))
    depths = bench.received['depth/image']
    bench.wait(lambda: [depth.header.stamp.sec for depth in depths] == [2])


def test_no_second_engine_is_opened_while_the_first_one_hangs(
    drive: Drive, engine: GatedEngine, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr('sg_depth_ros.node.depth_node.STOP_TIMEOUT_S', 0.2)
    bench = drive.bench
    engine.gate.clear()
    drive.show()
    bench.wait(engine.in_work.is_set)
    assert bench.change(Transition.TRANSITION_DEACTIVATE)
    assert bench.change(Transition.TRANSITION_CLEANUP)
    assert not bench.change(Transition.TRANSITION_CONFIGURE)
    bench.wait(lambda: 'still hangs' in bench.diagnosis('engine')[1])
    engine.gate.set()
    bench.wait(lambda: bench.change(Transition.TRANSITION_CONFIGURE))


def test_without_subscribers_images_may_be_left_alone(engine: GatedEngine, tmp_path: Path):
    model = tmp_path / 'model.onnx'
    model.write_bytes(b'not read')
    bench = Bench({})
    try:
        opened = OpenedEngine(engine, model, None, ())
        parameters = {
            'run_without_subscribers': False,
            'snapshot_folder': tmp_path / 'snapshots',
            'stall_timeout_s': 0.5,
        }
        with LivingNode(lambda *_: opened, model=model, **parameters) as living:
            living.configure_and_activate()
            drive = Drive(bench)
            bench.wait(lambda: bench.images.get_subscription_count() > 0)
            bench.wait(lambda: 'input' in bench.diagnostics)
            drive.show()
            bench.wait(lambda: bench.values('input').get('frames_dropped') == '1')
            assert bench.values('processing')['frames_processed'] == '0'
            assert not engine.in_work.is_set()
            for _ in range(20):  # longer than the timeout and a report
                drive.show()
                bench.spin(0.1)
            assert bench.diagnosis('output') == (0, 'ok')
            # Whoever asks for a snapshot wants the next one, with depth.
            saved = bench.client(Trigger, 'save_snapshot').call_async(Trigger.Request())
            bench.spin(0.3)
            drive.show()
            bench.wait(saved.done)
            assert saved.result().success, saved.result().message
            (depth,) = (tmp_path / 'snapshots').rglob('depth.npy')
            np.testing.assert_allclose(np.load(depth)[8:], tiny_ramp_m(CONTRACT)[8:])
            assert bench.set_parameters(run_without_subscribers=True) == []
            drive.show()
            bench.wait(lambda: bench.values('processing')['frames_processed'] == '2')
    finally:
        bench.close()
