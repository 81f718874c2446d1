from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from tiny_model import tiny_contract

from sg_depth_ros.engines.engine import Prediction
from sg_depth_ros.engines.opening import OpenedEngine
from sg_depth_ros.engines.self_test import TOLERANCES
from sg_depth_ros.engines.self_test import SelfTestResult
from sg_depth_ros.errors import UserError
from sg_depth_ros.node.engine_keeper import EngineFailure
from sg_depth_ros.node.engine_keeper import EngineKeeper

CONTRACT = tiny_contract()
IMAGE = np.zeros((CONTRACT.height, CONTRACT.width, 3), np.uint8)
GOOD = Prediction(
    np.ones(IMAGE.shape[:2], np.float32),
    np.zeros(IMAGE.shape[:2], np.uint8),
    np.zeros(IMAGE.shape[:2], np.uint8),
)


class MoodyEngine:
    """An engine that works or fails as the machine does."""

    def __init__(self, machine: 'Machine', contract) -> None:
        self.contract, self.description = contract, 'moody 1.0'
        self._machine = machine
        self.closed = False

    def infer(self, image):
        assert not self.closed
        if self._machine.failure is not None:
            raise self._machine.failure
        return GOOD

    def run_network(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        self.closed = True
        if self._machine.closing_fails:
            raise RuntimeError('cannot close')


class Machine:
    """What engines run on, and a keeper on it."""

    def __init__(self) -> None:
        self.now_s = 50.0
        self.failure: Exception | None = None
        self.opening_failure: Exception | None = None
        self.closing_fails = False
        self.contract = CONTRACT
        self.engines: list[MoodyEngine] = []
        self.opened_s: list[float] = []
        self.lines: list[str] = []
        self.told: list[OpenedEngine] = []
        self.keeper = EngineKeeper(
            self.open, lambda: 3, self.lines.append, self.told.append, lambda: self.now_s
        )

    def open(self) -> OpenedEngine:
        self.opened_s.append(self.now_s)
        assert all(engine.closed for engine in self.engines), 'two engines at once'
        if self.opening_failure is not None:
            raise self.opening_failure
        self.engines.append(MoodyEngine(self, self.contract))
        return OpenedEngine(self.engines[-1], Path('model.onnx'), None, ())

    def fail(self, count: int) -> None:
        for _ in range(count):
            with pytest.raises(EngineFailure, match='out of memory'):
                self.keeper.infer(IMAGE)

    def drive(self, seconds: float) -> None:
        """Let frames come at 10 Hz; whatever becomes of them."""
        for _ in range(round(10 * seconds)):
            self.now_s += 0.1
            if self.keeper.ready():
                with suppress(EngineFailure):
                    self.keeper.infer(IMAGE)


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_a_few_failures_are_survived_by_the_same_engine(machine: Machine):
    for _ in range(3):
        machine.failure = MemoryError('out of memory')
        machine.fail(2)
        machine.failure = None
        assert machine.keeper.infer(IMAGE) is GOOD
    assert len(machine.engines) == 1 and not machine.engines[0].closed
    assert machine.lines == []


def test_after_so_many_in_a_row_it_is_released_and_opened_again_after_a_pause(machine: Machine):
    machine.failure = RuntimeError('CUDA: out of memory')
    machine.fail(3)
    assert machine.engines[0].closed and machine.keeper.engine is None
    assert 'out of memory' in machine.lines[0] and '1 s' in machine.lines[0]
    assert not machine.keeper.ready()
    with pytest.raises(EngineFailure, match='released'):
        machine.keeper.infer(IMAGE)
    machine.failure = None
    machine.now_s += 0.9
    assert not machine.keeper.ready()
    machine.now_s += 0.2
    assert machine.keeper.ready()
    assert machine.keeper.infer(IMAGE) is GOOD
    assert len(machine.engines) == 2
    assert [opened.engine for opened in machine.told] == machine.engines


def test_pauses_double_up_to_half_a_minute(machine: Machine):
    machine.failure = RuntimeError('out of memory')
    machine.opening_failure = UserError('no memory for the engine')
    machine.drive(200)
    pauses_s = np.diff(machine.opened_s[1:])
    np.testing.assert_allclose(pauses_s[:5], [2, 4, 8, 16, 30], atol=0.31)
    np.testing.assert_allclose(pauses_s[5:], 30, atol=0.31)
    assert 'no memory for the engine' in machine.lines[-1]


def test_an_engine_that_opens_and_fails_again_pauses_longer_too(machine: Machine):
    machine.failure = RuntimeError('out of memory')
    machine.drive(100)
    pauses_s = np.diff(machine.opened_s)
    assert pauses_s[0] < pauses_s[1] < pauses_s[2] < pauses_s[3]
    # What works again starts again with a short pause.
    machine.failure = None
    machine.drive(40)
    assert machine.keeper.engine is not None
    machine.failure = RuntimeError('out of memory')
    machine.fail(3)
    assert machine.lines[-1].endswith('opened again in 1 s')


def test_another_model_under_the_same_name_is_refused(machine: Machine):
    machine.failure = RuntimeError('out of memory')
    machine.fail(3)
    machine.contract = tiny_contract(128, 64)
    machine.now_s += 2
    assert not machine.keeper.ready()
    assert 'another model' in machine.lines[-1]
    assert machine.engines[-1].closed
    machine.contract, machine.failure = tiny_contract(), None
    machine.now_s += 3
    assert machine.keeper.ready()


def test_an_engine_that_cannot_even_be_closed_is_left_behind(machine: Machine):
    machine.closing_fails = True
    machine.failure = RuntimeError('out of memory')
    machine.fail(3)
    assert any('cannot close' in line for line in machine.lines)
    machine.failure = None
    machine.now_s += 2
    assert machine.keeper.ready()


def test_closing_frees_the_engine_once(machine: Machine):
    machine.keeper.close()
    machine.keeper.close()
    assert machine.engines[0].closed
    assert machine.keeper.contract is CONTRACT


def test_what_cannot_be_told_of_is_not_kept_open():
    machine = Machine()

    def refuse(opened: OpenedEngine) -> None:
        raise ValueError('nobody listens')

    machine.engines.clear()
    with pytest.raises(ValueError, match='nobody listens'):
        EngineKeeper(machine.open, lambda: 3, machine.lines.append, refuse)
    assert machine.engines[0].closed


@pytest.mark.parametrize('name', ['fp32', 'tf32'])
def test_later_self_tests_are_as_strict_as_the_one_at_the_opening(name):
    result = SelfTestResult(1e-3, 1.0, 1.0, 0.0, 0.0, 0, 0.0, 0, TOLERANCES[name])
    opened = OpenedEngine(Machine().engines[0], Path('model.onnx'), result, ())
    keeper = EngineKeeper(lambda: opened, lambda: 3, lambda line: None, lambda opened: None)
    assert keeper.tolerance == TOLERANCES[name]
