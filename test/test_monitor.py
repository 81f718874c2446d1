"""What the node says of itself on /diagnostics, in every phase; over real topics."""

import math
import threading
import time
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from node_harness import Bench
from node_harness import image_message
from node_harness import info_message
from node_in_process import GatedEngine
from node_in_process import LivingNode
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from std_msgs.msg import Float64
from std_srvs.srv import SetBool
from std_srvs.srv import Trigger
from tiny_model import tiny_contract

from sg_depth_ros.engines.opening import OpenedEngine
from sg_depth_ros.engines.opening import Refusal
from sg_depth_ros.engines.self_test import TOLERANCES
from sg_depth_ros.engines.self_test import SelfTestResult
from sg_depth_ros.engines.tensorrt.progress import BuildProgress
from sg_depth_ros.errors import UserError
from sg_depth_ros.node.monitoring import monitor
from sg_depth_ros.node.monitoring.statistics import PARTS

CONTRACT = tiny_contract()
OK, WARN, ERROR = 0, 1, 2
PIXELS = np.full((CONTRACT.height, CONTRACT.width, 3), 50, np.uint8)
PASSED = SelfTestResult(1e-3, 1.0, 1.0, 0.0, 0.0, 0, 0.0, 0, TOLERANCES['fp32'])


@pytest.fixture(autouse=True)
def reports_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor, 'REPORT_EVERY_S', 0.25)


@pytest.fixture
def engine() -> GatedEngine:
    return GatedEngine(CONTRACT)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench(
        {
            'depth/image': Image,
            'debug/processing_time_ms': Float64,
            'debug/pipeline_latency_ms': Float64,
        }
    )
    yield bench
    bench.close()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / 'model.onnx'
    path.write_bytes(b'not read: the tests bring their engines')
    return path


def opened(engine: GatedEngine) -> OpenedEngine:
    return OpenedEngine(engine, Path('model.onnx'), None, (Refusal('TensorRT', 'no GPU'),))


def said(bench: Bench, part: str, level: int, text: str = '') -> Callable[[], bool]:
    def check() -> bool:
        if part not in bench.diagnostics:
            return False
        found, message = bench.diagnosis(part)
        return found == level and text in message

    return check


def show(bench: Bench, seconds: int) -> None:
    bench.infos.publish(info_message(CONTRACT.intrinsics, seconds))
    bench.images.publish(image_message(PIXELS, seconds))


def test_every_phase_is_told(bench: Bench, engine: GatedEngine, model: Path):
    failures = [UserError('no engine today')]

    def open_engine(settings, logger, on_progress) -> OpenedEngine:
        if failures:
            raise failures.pop()
        return opened(engine)

    with LivingNode(open_engine, autostart=False, model=model) as living:
        bench.wait(said(bench, 'engine', WARN, 'not configured'))
        assert set(bench.diagnostics) == set(PARTS)
        assert not bench.change(Transition.TRANSITION_CONFIGURE)
        bench.wait(said(bench, 'engine', ERROR, 'cannot configure: no engine today'))
        assert bench.change(Transition.TRANSITION_CONFIGURE)
        bench.wait(said(bench, 'input', OK, 'inactive'))
        assert bench.diagnosis('engine') == (OK, 'ok')
        values = bench.values('engine')
        assert values['engine'] == 'Gated 1.0, CPU'
        assert values['engine_refused'] == 'TensorRT: no GPU'
        assert values['tensorrt_version'] == 'not used'
        # A self-test that fails is told until one passes.
        living.node._monitor.self_tested(PASSED._replace(scale_ratio=2.0))
        bench.wait(said(bench, 'engine', ERROR, 'self-test FAILED'))
        living.node._monitor.self_tested(PASSED)
        bench.wait(said(bench, 'engine', OK, 'ok'))
        assert bench.change(Transition.TRANSITION_ACTIVATE)
        bench.wait(said(bench, 'input', WARN, 'nothing comes on /depth_node/image'))
        check_a_drive(bench)
        bench.call(SetBool, 'enable', SetBool.Request(data=False))
        bench.wait(said(bench, 'processing', WARN, 'disabled'))
        bench.call(SetBool, 'enable', SetBool.Request(data=True))
        bench.wait(said(bench, 'processing', OK, 'ok'))
        assert bench.change(Transition.TRANSITION_DEACTIVATE)
        bench.wait(said(bench, 'output', OK, 'inactive'))
        assert bench.change(Transition.TRANSITION_CLEANUP)
        bench.wait(said(bench, 'engine', WARN, 'not configured'))


def check_a_drive(bench: Bench) -> None:
    """Show images that each come out, and look at what was measured."""
    bench.wait(lambda: bench._ready >= set(bench.received))
    bench.wait(lambda: bench.images.get_subscription_count() > 0)
    debug = bench.received['debug/processing_time_ms']
    for i in range(30):
        show(bench, 100 + i)
        bench.wait(lambda count=i + 1: len(bench.received['depth/image']) == count)  # type: ignore[misc]
    bench.wait(lambda: len(debug) == 30)
    assert 0 < debug[-1].data < 1000
    bench.wait(lambda: bench.values('processing').get('frames_processed') == '30')
    for part in PARTS:
        assert bench.diagnosis(part) == (OK, 'ok'), part
    received, output = bench.values('input'), bench.values('output')
    assert received['frames_received'] == '30' and received['frames_dropped'] == '0'
    assert float(received['rate_hz']) > 0 and float(output['rate_hz']) > 0
    assert float(received['waiting_ms_p95']) < 1000
    # Stamps of 1970, as of a recording: an age all the same.
    assert float(received['input_age_ms_p50']) > 1e12
    assert float(output['valid_depth_ratio']) == pytest.approx(0.75)  # the rest is sky
    rows = np.linspace(40, 5, CONTRACT.height)[CONTRACT.height // 4 :]
    assert float(output['median_depth_m']) == pytest.approx(np.median(rows), abs=0.01)
    assert float(output['depth_scale']) == 1
    assert float(output['network_invalid_ratio']) == 0
    assert output['subscribers /depth_node/depth/image'] == '1'
    assert bench.call(Trigger, 'reset_statistics', Trigger.Request()).success
    bench.wait(lambda: bench.values('input')['frames_received'] == '0')


def test_a_build_is_in_sight_while_it_holds_the_node(bench: Bench, engine, model: Path):
    share, go_on = [0.0], threading.Event()

    def open_engine(settings, logger, on_progress) -> OpenedEngine:
        begin_s = time.monotonic()
        while not go_on.wait(0.02):
            assert on_progress(
                BuildProgress('Timing layers', share[0], time.monotonic() - begin_s)
            )
        return opened(engine)

    with LivingNode(open_engine, autostart=False, model=model):
        ask_to_configure(bench)
        bench.wait(said(bench, 'engine', WARN, 'building the plan: 0 %'))
        share[0] = 0.35
        bench.wait(said(bench, 'engine', WARN, 'building the plan: 35 %'))
        assert 'Timing layers' in bench.diagnosis('engine')[1]
        assert bench.diagnosis('processing') == (OK, 'configuring')
        go_on.set()
        bench.wait(said(bench, 'engine', OK, 'ok'))


def ask_to_configure(bench: Bench) -> None:
    """Ask without waiting for the answer, which comes after the build."""
    bench.client(ChangeState, 'change_state').call_async(
        ChangeState.Request(transition=Transition(id=Transition.TRANSITION_CONFIGURE))
    )


def activate(living: LivingNode, bench: Bench) -> None:
    living.configure_and_activate()
    bench.wait(lambda: bench.images.get_subscription_count() > 0)
    bench.wait(lambda: bench.infos.get_subscription_count() > 0)
    bench.wait(lambda: bench._ready >= set(bench.received))


def test_a_pipeline_that_stalls_is_told_while_it_stalls(bench: Bench, engine, model: Path):
    parameters = {'stall_timeout_s': 0.5, 'max_consecutive_delay_ms': 300.0}
    with LivingNode(lambda *_: opened(engine), model=model, **parameters) as living:
        activate(living, bench)
        show(bench, 1)
        bench.wait(said(bench, 'processing', OK, 'ok'))
        engine.gate.clear()
        engine.in_work.clear()
        show(bench, 2)
        bench.wait(engine.in_work.is_set)
        frame = iter(range(3, 10000))

        def coming(check: Callable[[], bool]) -> Callable[[], bool]:
            def look() -> bool:
                show(bench, next(frame))
                return check()

            return look

        bench.wait(coming(said(bench, 'processing', ERROR, 'stalled: a frame is in work for')))
        bench.wait(coming(said(bench, 'output', ERROR, 'none is published')))
        assert bench.values('processing')['is_consecutive_processing_delay_in_range'] == 'False'
        assert int(bench.values('input')['frames_dropped']) > 0
        # Services answer meanwhile, and limits may be changed.
        assert bench.set_parameters(stall_timeout_s=60.0) == []
        bench.wait(coming(lambda: 'stalled' not in bench.diagnosis('processing')[1]))
        engine.gate.set()
        bench.wait(coming(said(bench, 'processing', OK, 'ok')))
        assert bench.set_parameters(stall_timeout_s=1.0) == []
        bench.wait(said(bench, 'input', ERROR, 'no image for'))
        assert 'bench' in bench.diagnosis('input')[1]  # who publishes is named


def test_ages_are_by_the_simulated_clock(bench: Bench, engine, model: Path):
    clock = bench.node.create_publisher(Clock, '/clock', 1)
    parameters = {'use_sim_time': True, 'stall_timeout_s': 1.0}
    with LivingNode(lambda *_: opened(engine), model=model, **parameters) as living:
        activate(living, bench)
        bench.wait(said(bench, 'input', WARN, 'use_sim_time is set, and nothing comes on /clock'))
        show(bench, 1)
        bench.wait(lambda: bench.values('processing').get('frames_processed') == '1')
        assert math.isnan(float(bench.values('input')['input_age_ms_p50']))
        seconds = iter(range(100, 10000))

        def play() -> None:
            """Show an image whose stamp is a quarter of a second old, in simulated time."""
            second = next(seconds)
            clock.publish(Clock(clock=Time(sec=second, nanosec=250_000_007)))
            bench.spin(0.05)
            show(bench, second)

        def playing(check: Callable[[], bool]) -> Callable[[], bool]:
            def look() -> bool:
                play()
                return check()

            return look

        def age_ms() -> float:
            return float(bench.values('input')['input_age_ms_p50'])

        bench.wait(playing(lambda: bench.diagnosis('input') == (OK, 'ok') and age_ms() < 1000))
        bench.wait(playing(lambda: age_ms() == pytest.approx(250, abs=1)))
        assert bench.values('input')['clock'] == 'simulated'
        latencies = bench.received['debug/pipeline_latency_ms']
        assert latencies and not any(math.isnan(latency.data) for latency in latencies)
        # The bag is paused: the node is not at fault.
        bench.wait(said(bench, 'input', WARN, 'stands still'))
        assert bench.diagnosis('output') == (OK, 'ok')
        # It begins anew.
        seconds = iter(range(5, 10000))
        bench.wait(playing(lambda: bench.values('input')['stamp_jumps'] == '1'))
        bench.wait(playing(lambda: age_ms() == pytest.approx(250, abs=1)))


def test_depth_without_a_scale_is_warned_of_as_long_as_it_has_none(
    bench: Bench, engine, model: Path
):
    engine.contract = tiny_contract(metric=False)
    with LivingNode(lambda *_: opened(engine), model=model) as living:
        activate(living, bench)
        show(bench, 1)
        bench.wait(said(bench, 'output', ERROR, 'not metric'))
        assert bench.set_parameters(allow_unscaled_depth=True) == []
        show(bench, 2)
        bench.wait(said(bench, 'output', WARN, 'unknown scale'))
        bench.wait(lambda: len(bench.received['depth/image']) == 1)
