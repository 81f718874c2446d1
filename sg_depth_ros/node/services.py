"""The node's services; each answers in every state of the node, with a line to read."""

import traceback
from collections.abc import Awaitable
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from typing import Protocol
from typing import TypeVar

import rclpy.task
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock
from rclpy.clock import ClockType
from rclpy.node import Node
from std_srvs.srv import SetBool
from std_srvs.srv import Trigger

from sg_depth_ros.engines.self_test import SelfTestResult
from sg_depth_ros.errors import UserError
from sg_depth_ros.node.snapshot import Snapshot
from sg_depth_ros.node.snapshot import save_snapshot
from sg_depth_ros.node.worker import WorkerStoppedError

ResultT = TypeVar('ResultT')

# Longer than any pause between images, and than a frame of a slow network that a task waits for.
SNAPSHOT_TIMEOUT_S = 10.0
SELF_TEST_TIMEOUT_S = 30.0


class Served(Protocol):
    """What the services ask of the node, in the executor's thread."""

    def enable(self, enabled: bool) -> str:
        """Process images or not; return a line on what holds now."""
        ...

    def start_self_test(self) -> 'Future[SelfTestResult | None]':
        """Have the engine tested; UserError where there is none."""
        ...

    def start_snapshot(self) -> Future[Snapshot]:
        """Have the next frame copied; UserError where none can come."""
        ...

    def snapshot_folder(self) -> Path:
        """Return where snapshots go."""
        ...

    def reset_statistics(self) -> None:
        """Forget what was counted and measured."""
        ...


class Services:
    """
    ``~/enable``, ``~/self_test``, ``~/save_snapshot`` and ``~/reset_statistics``.

    What takes longer happens in another thread while the executor goes on.
    """

    def __init__(self, node: Node, served: Served) -> None:
        self._node = node
        self._served = served
        self._steady_clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix='snapshot')
        # A callback that waits holds its group, and the default one has all the others.
        self._group = ReentrantCallbackGroup()
        for kind, name, callback in (
            (SetBool, '~/enable', self._enable),
            (Trigger, '~/self_test', self._self_test),
            (Trigger, '~/save_snapshot', self._save_snapshot),
            (Trigger, '~/reset_statistics', self._reset_statistics),
        ):
            node.create_service(kind, name, callback, callback_group=self._group)

    async def _enable(self, request: Any, response: Any) -> Any:
        async def work() -> str:
            return self._served.enable(request.data)

        return await self._answer(response, work)

    async def _self_test(self, request: Any, response: Any) -> Any:
        async def work() -> str:
            result = await self._result_of(
                self._served.start_self_test(),
                SELF_TEST_TIMEOUT_S,
                f'not begun after {SELF_TEST_TIMEOUT_S:.0f} s: the engine is busy',
            )
            if result is None:
                raise UserError('the model carries no self-test')
            if not result.passed:
                raise UserError(result.summary())
            return result.summary()

        return await self._answer(response, work)

    async def _save_snapshot(self, request: Any, response: Any) -> Any:
        async def work() -> str:
            snapshot = await self._result_of(
                self._served.start_snapshot(),
                SNAPSHOT_TIMEOUT_S,
                f'no image was processed within {SNAPSHOT_TIMEOUT_S:.0f} s, see /diagnostics',
            )
            folder = await self._result_of(
                self._writer.submit(save_snapshot, snapshot, self._served.snapshot_folder()),
                SNAPSHOT_TIMEOUT_S,
                f'not begun to write after {SNAPSHOT_TIMEOUT_S:.0f} s',
            )
            return f'{folder}{_left_out(snapshot)}'

        return await self._answer(response, work)

    async def _reset_statistics(self, request: Any, response: Any) -> Any:
        async def work() -> str:
            self._served.reset_statistics()
            return 'statistics begin anew'

        return await self._answer(response, work)

    async def _answer(self, response: Any, work: Callable[[], Awaitable[str]]) -> Any:
        try:
            response.message = await work()
            response.success = True
        except (UserError, WorkerStoppedError) as error:
            response.success, response.message = False, str(error)
        except Exception as error:  # an exception of a service ends the executor
            self._node.get_logger().error(f'a service failed: {traceback.format_exc()}')
            response.success, response.message = False, repr(error)
        return response

    async def _result_of(
        self, source: Future[ResultT], timeout_s: float, complaint: str
    ) -> ResultT:
        """
        Wait for another thread's result while the executor goes on.

        :param complaint: of the UserError where the work has not begun after the time.
        """
        executor = self._node.executor
        assert executor is not None  # it runs this
        done: rclpy.task.Future[bool] = rclpy.task.Future(executor=executor)

        def wake(finished: Future[ResultT]) -> None:
            done.set_result(True)
            executor.wake()  # Humble and Jazzy look at waiting callbacks only when woken

        def cancel() -> None:
            source.cancel()  # in vain once it has begun

        source.add_done_callback(wake)
        timer = self._node.create_timer(
            timeout_s,
            cancel,
            callback_group=self._group,
            clock=self._steady_clock,
        )
        try:
            await done
        finally:
            self._node.destroy_timer(timer)
        if source.cancelled():
            raise UserError(complaint)
        return source.result()


def _left_out(snapshot: Snapshot) -> str:
    missing = [
        name
        for name, value in (('depth', snapshot.depth_m), ('camera_info', snapshot.camera))
        if value is None
    ]
    return f' (without {" and ".join(missing)}: there is none)' if missing else ''
