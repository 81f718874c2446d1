"""The services answer with a line to read, and hold nothing up while they wait."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest
import rclpy
from builtin_interfaces.msg import Time
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from std_srvs.srv import SetBool
from std_srvs.srv import Trigger

from sg_depth_ros.engines.self_test import TOLERANCES
from sg_depth_ros.engines.self_test import SelfTestResult
from sg_depth_ros.errors import UserError
from sg_depth_ros.node import services as services_module
from sg_depth_ros.node.services import Services
from sg_depth_ros.node.snapshot import Snapshot

GOOD = SelfTestResult(1e-3, 1.0, 1.0, 0.0, 0.0, 0, 0.0, 0, TOLERANCES['fp32'])
SNAPSHOT = Snapshot(
    image=np.zeros((4, 6, 3), np.uint8),
    depth_m=None,
    labels=np.zeros((4, 6), np.uint8),
    confidence=np.zeros((4, 6), np.uint8),
    camera=None,
    stamp=Time(sec=5),
    frame_id='camera',
)


class ServedNode:
    """What the services ask; futures are left to the test."""

    def __init__(self, folder: Path) -> None:
        self.self_test: Future[SelfTestResult | None] = Future()
        self.snapshot: Future[Snapshot] = Future()
        self.refusal: Exception | None = None
        self.enabled = True
        self.resets = 0
        self._folder = folder

    def enable(self, enabled: bool) -> str:
        self.enabled = enabled
        return 'so be it'

    def start_self_test(self) -> 'Future[SelfTestResult | None]':
        if self.refusal is not None:
            raise self.refusal
        return self.self_test

    def start_snapshot(self) -> Future[Snapshot]:
        return self.snapshot

    def snapshot_folder(self) -> Path:
        return self._folder

    def reset_statistics(self) -> None:
        self.resets += 1


class Caller:
    """The node under test and a client, in one single-threaded executor."""

    def __init__(self, served: ServedNode) -> None:
        self.context = Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node('served', context=self.context)
        self.client_node = rclpy.create_node('client', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.executor.add_node(self.client_node)
        self.services = Services(self.node, served)

    def close(self) -> None:
        self.executor.shutdown()
        self.client_node.destroy_node()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)

    def start(self, kind, name, request=None):
        client = self.client_node.create_client(kind, f'/served/{name}')
        self.spin_until(client.service_is_ready)
        return client.call_async(request or kind.Request())

    def call(self, kind, name, request=None) -> tuple[bool, str]:
        future = self.start(kind, name, request)
        self.spin_until(future.done)
        return future.result().success, future.result().message

    def spin_until(self, condition) -> None:
        end_s = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < end_s, 'nothing came in time'
            self.executor.spin_once(timeout_sec=0.1)


@pytest.fixture
def served(tmp_path: Path) -> ServedNode:
    return ServedNode(tmp_path)


@pytest.fixture
def caller(served: ServedNode) -> Iterator[Caller]:
    caller = Caller(served)
    yield caller
    caller.close()


def test_enable_and_reset_are_handed_on(caller: Caller, served: ServedNode):
    assert caller.call(SetBool, 'enable', SetBool.Request(data=False)) == (True, 'so be it')
    assert not served.enabled
    assert caller.call(SetBool, 'enable', SetBool.Request(data=True))[0] and served.enabled
    assert caller.call(Trigger, 'reset_statistics')[0]
    assert served.resets == 1


def test_others_are_served_while_the_engine_is_tested(caller: Caller, served: ServedNode):
    waiting = caller.start(Trigger, 'self_test')
    assert caller.call(Trigger, 'reset_statistics')[0]
    assert not waiting.done()
    # No timer and no message wakes the executor: the result itself must.
    threading.Timer(0.3, served.self_test.set_result, [GOOD]).start()
    started_s = time.monotonic()
    while not waiting.done():
        caller.executor.spin_once(timeout_sec=20)
    assert time.monotonic() - started_s < 10
    assert waiting.result().success
    assert waiting.result().message == GOOD.summary()


@pytest.mark.parametrize(
    ('result', 'reason'),
    [(None, 'carries no self-test'), (GOOD._replace(scale_ratio=2.0), 'self-test FAILED')],
)
def test_a_self_test_that_does_not_pass_is_no_success(
    result, reason, caller: Caller, served: ServedNode
):
    served.self_test.set_result(result)
    success, message = caller.call(Trigger, 'self_test')
    assert not success and reason in message


def test_a_refusal_is_the_answer(caller: Caller, served: ServedNode):
    served.refusal = UserError('not configured')
    assert caller.call(Trigger, 'self_test') == (False, 'not configured')


def test_a_failure_is_answered_and_the_executor_lives(caller: Caller, served: ServedNode):
    served.self_test.set_exception(RuntimeError('out of memory'))
    success, message = caller.call(Trigger, 'self_test')
    assert not success and 'out of memory' in message
    assert caller.call(Trigger, 'reset_statistics')[0]


def test_a_snapshot_is_written_and_its_folder_named(
    caller: Caller, served: ServedNode, tmp_path: Path
):
    served.snapshot.set_result(SNAPSHOT)
    success, message = caller.call(Trigger, 'save_snapshot')
    folder = tmp_path / '5.000000000'
    assert success and (folder / 'image.png').is_file()
    assert message == f'{folder} (without depth and camera_info: there is none)'


def test_a_snapshot_without_images_is_given_up(caller: Caller, served: ServedNode, monkeypatch):
    monkeypatch.setattr(services_module, 'SNAPSHOT_TIMEOUT_S', 0.2)
    success, message = caller.call(Trigger, 'save_snapshot')
    assert not success and 'no image was processed' in message
    assert served.snapshot.cancelled()  # so that no frame is copied for nobody


def test_a_folder_that_cannot_be_written_is_said(
    caller: Caller, served: ServedNode, tmp_path: Path
):
    served._folder = tmp_path / 'file' / 'node'
    (tmp_path / 'file').touch()
    served.snapshot.set_result(SNAPSHOT)
    success, message = caller.call(Trigger, 'save_snapshot')
    assert not success and 'cannot write there' in message
