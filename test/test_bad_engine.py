"""What the node in its own process does where its engine is missing, stale, foreign or damaged."""

from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from lifecycle_msgs.msg import Transition
from node_harness import Bench
from node_harness import NodeProcess
from node_harness import depth_of
from node_harness import image_message
from node_harness import info_message
from sensor_msgs.msg import Image
from tiny_model import tiny_contract
from tiny_model import tiny_ramp_m
from tiny_model import write_tiny_model

CONTRACT = tiny_contract()
ON_A_DOUBLE = Path(__file__).with_name('node_on_a_double.py')
CONFIGURE = Transition.TRANSITION_CONFIGURE
CLEAN_UP = Transition.TRANSITION_CLEANUP


class Workshop:
    """A node that is not configured yet, its model and the plans that it keeps."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        self.bench, self.folder = bench, folder
        self.model, self.plans = folder / 'model.onnx', folder / 'plans'
        self.nodes: list[NodeProcess] = []
        write_tiny_model(self.model, CONTRACT)

    def start(self, **parameters: object) -> None:
        """Start a node of the environment as it is now, in place of the one before."""
        self.stop()
        log = self.folder / f'log{len(self.nodes)}'
        options = {'autostart': False, 'engine_cache': self.plans, **parameters}
        node = NodeProcess(log, self.model, script=ON_A_DOUBLE, **options)
        self.nodes.append(node)

    def stop(self) -> None:
        """End the node; what its double calls a misuse or a leak fails the test."""
        if self.nodes and self.nodes[-1].process.poll() is None:
            assert self.nodes[-1].end() == 0, self.nodes[-1].text
            self.bench.wait_until_gone()

    def told(self, start: int = 0) -> str:
        """Return what the node has logged from there on."""
        return self.nodes[-1].text[start:]

    def configure(self) -> tuple[bool, str]:
        """Return whether the node could be configured, and what it logged."""
        start = len(self.told())
        success = self.bench.change(CONFIGURE)
        return success, self.told(start)

    def reason(self) -> str:
        """Return the one line that says why configuring failed."""
        success, told = self.configure()
        assert not success, told
        (line,) = [s for s in told.splitlines() if '[ERROR]' in s]
        assert 'cannot configure: ' in line
        assert 'Traceback' not in told
        return line

    def check_depth(self) -> None:
        """Take the configured node up, show it an image, and take it down to be configured."""
        assert self.bench.change(Transition.TRANSITION_ACTIVATE)
        image = np.zeros((CONTRACT.height, CONTRACT.width, 3), np.uint8)
        depths = self.bench.received['depth/image']
        depths.clear()

        def came() -> bool:
            self.bench.infos.publish(info_message(CONTRACT.intrinsics))
            self.bench.images.publish(image_message(image, 1))
            self.bench.spin(0.2)
            return bool(depths)

        self.bench.wait(came)
        rows = slice(CONTRACT.height // 4, None)  # below the sky
        np.testing.assert_allclose(
            depth_of(depths[0])[rows], tiny_ramp_m(CONTRACT)[rows], rtol=1e-5
        )
        assert self.bench.change(Transition.TRANSITION_DEACTIVATE)
        assert self.bench.change(CLEAN_UP)

    def plan(self) -> Path:
        """Return the plan of the newest build."""
        return max(self.plans.glob('*.plan'), key=lambda path: path.stat().st_mtime_ns)


@pytest.fixture
def workshop(tmp_path: Path) -> Iterator[Workshop]:
    bench = Bench({'depth/image': Image})
    workshop = Workshop(bench, tmp_path)
    try:
        yield workshop
        workshop.stop()
    finally:
        for node in workshop.nodes:
            node.__exit__(None, None, None)
        bench.close()


def cut(plan: Path) -> None:
    plan.write_bytes(plan.read_bytes()[:-10])


def garble(plan: Path) -> None:
    content = bytearray(plan.read_bytes())
    content[len(content) // 2] ^= 255
    plan.write_bytes(bytes(content))


def empty(plan: Path) -> None:
    plan.write_bytes(b'')


def test_a_plan_that_is_missing_or_damaged_is_built_or_configuring_fails(workshop: Workshop):
    workshop.start(engine='tensorrt', allow_engine_build=False)
    command = f'build_engine {workshop.model}'
    assert command in workshop.reason()
    assert workshop.bench.set_parameters(allow_engine_build=True) == []
    success, told = workshop.configure()
    assert success and 'building' in told, told
    workshop.check_depth()
    harms: tuple[Callable[[Path], None], ...] = (cut, garble, empty)
    for harm in harms:
        harm(workshop.plan())
        assert workshop.bench.set_parameters(allow_engine_build=False) == []
        reason = workshop.reason()
        assert str(workshop.plan()) in reason and command in reason
        assert workshop.bench.set_parameters(allow_engine_build=True) == []
        success, told = workshop.configure()
        assert success and 'building' in told and str(workshop.plan()) in told, told
        workshop.check_depth()
    # Whole again: found, not built.
    success, told = workshop.configure()
    assert success and 'building' not in told, told
    assert workshop.bench.change(CLEAN_UP)


def test_a_plan_for_another_gpu_tensorrt_or_model_is_named_with_both_values(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv('DOUBLE_GPU', 'NVIDIA First')
    workshop.start(engine='tensorrt')
    assert workshop.configure()[0], workshop.told()
    assert workshop.bench.change(CLEAN_UP)
    monkeypatch.setenv('DOUBLE_GPU', 'NVIDIA Second')
    workshop.start(engine='tensorrt', allow_engine_build=False)
    reason = workshop.reason()
    assert 'NVIDIA First' in reason and 'NVIDIA Second' in reason
    assert workshop.bench.set_parameters(allow_engine_build=True) == []
    assert workshop.configure()[0], workshop.told()
    workshop.check_depth()
    assert len(list(workshop.plans.glob('*.plan'))) == 2
    # The same name, another network.
    write_tiny_model(workshop.model, replace(CONTRACT, weights_sha256='1' * 64))
    assert workshop.bench.set_parameters(allow_engine_build=False) == []
    assert f'no TensorRT plan of this model in {workshop.plans}' in workshop.reason()
    assert workshop.bench.set_parameters(allow_engine_build=True) == []
    assert workshop.configure()[0], workshop.told()
    workshop.check_depth()
    monkeypatch.setenv('DOUBLE_TENSORRT', '10.3.0')
    workshop.start(engine='tensorrt', allow_engine_build=False)
    reason = workshop.reason()
    assert '10.3.0' in reason and '10.13.0' in reason


def test_a_model_that_is_missing_or_damaged_fails_configuring_and_the_process_lives(
    workshop: Workshop,
):
    whole = workshop.model.read_bytes()
    workshop.start(engine='onnxruntime')
    for content in (None, b'', whole[: len(whole) // 2], b'not a model'):
        workshop.model.unlink(missing_ok=True)
        if content is not None:
            workshop.model.write_bytes(content)
        assert str(workshop.model) in workshop.reason()
    workshop.model.write_bytes(whole)
    assert workshop.configure()[0], workshop.told()
    workshop.check_depth()


def test_without_a_gpu_auto_warns_and_tensorrt_fails_with_the_reason(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '-1')
    node = NodeProcess(workshop.folder / 'log', workshop.model, engine='tensorrt', autostart=False)
    workshop.nodes.append(node)
    reason = workshop.reason()
    assert 'TensorRT' in reason or 'CUDA' in reason
    assert workshop.bench.set_parameters(engine='auto') == []
    success, told = workshop.configure()
    assert success, told
    assert any('[WARN]' in s and 'TensorRT' in s for s in told.splitlines()), told
    workshop.check_depth()
