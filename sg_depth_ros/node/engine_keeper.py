"""An engine that is released and opened again where it fails; no ROS, one thread."""

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.contract import ModelContract
from sg_depth_ros.engines.engine import Prediction
from sg_depth_ros.engines.engine import TimedEngine
from sg_depth_ros.engines.opening import OpenedEngine
from sg_depth_ros.engines.self_test import Tolerance
from sg_depth_ros.errors import UserError
from sg_depth_ros.errors import one_line

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0


class EngineFailure(Exception):
    """The engine could not run the network on a frame."""


class EngineKeeper:
    """
    Stands for an engine that may fail, and opens it again after a growing pause.

    After a number of failures in a row the engine is released, for what is wrong may be its own
    state or that it holds memory which others took. It is an ``Engine`` itself.

    :param open_engine: opens it, tested, in the calling thread.
    :param max_failures: how many frames in a row may fail.
    :param on_change: told in one line that it is released, or why it could not be opened.
    :param on_open: told of each engine that is opened.
    :param now_s: the monotonic clock.
    """

    def __init__(
        self,
        open_engine: Callable[[], OpenedEngine],
        max_failures: Callable[[], int],
        on_change: Callable[[str], object],
        on_open: Callable[[OpenedEngine], object],
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_engine = open_engine
        self._max_failures = max_failures
        self._on_change = on_change
        self._on_open = on_open
        self._now_s = now_s
        opened = open_engine()
        self.contract = opened.engine.contract
        self.failures_in_a_row = 0
        self._take(opened)
        self._pause_s = FIRST_PAUSE_S
        self._due_s = 0.0
        try:
            on_open(opened)
        except BaseException:
            opened.engine.close()
            raise

    @property
    def engine(self) -> TimedEngine | None:
        """The engine, None while it is released."""
        return self._engine

    def ready(self) -> bool:
        """
        Return whether frames can be processed; where the pause is over, open the engine first.

        Opening takes as long as at the start.
        """
        if self._engine is not None:
            return True
        if self._now_s() < self._due_s:
            return False
        try:
            self._open_again()
        except Exception as error:
            # Libraries raise what they like; whatever it is, it may work later.
            self._wait(f'the engine could not be opened again: {one_line(error)}')
            return False
        return True

    def infer(self, image: NDArray[np.uint8]) -> Prediction:
        """
        Predict depth and labels of an image (H, W, 3).

        :raises EngineFailure: where the engine raised; it may have been released by then.
        """
        if self._engine is None:
            raise EngineFailure('the engine is released')
        try:
            prediction = self._engine.infer(image)
        except Exception as error:
            self.failures_in_a_row += 1
            text = one_line(error)
            if self.failures_in_a_row >= self._max_failures():
                count = self.failures_in_a_row
                self._release()
                self._wait(f'{count} frames in a row failed, the engine is released: {text}')
            raise EngineFailure(text) from error
        if self.failures_in_a_row or self._pause_s != FIRST_PAUSE_S:
            self.failures_in_a_row, self._pause_s = 0, FIRST_PAUSE_S
        return prediction

    def close(self) -> None:
        """Free the engine; closing twice does no harm."""
        self._release()

    def _open_again(self) -> None:
        opened = self._open_engine()
        if _identity(opened.engine.contract) != _identity(self.contract):
            opened.engine.close()
            raise UserError(
                f'{opened.path} is another model now; clean up and configure to take it'
            )
        self._take(opened)
        self._on_open(opened)

    def _take(self, opened: OpenedEngine) -> None:
        self._engine: TimedEngine | None = opened.engine
        self.description = opened.engine.description
        # Of the test that it has passed; None: by its file's precision.
        result = opened.self_test
        self.tolerance: Tolerance | None = None if result is None else result.tolerance
        self.failures_in_a_row = 0

    def _release(self) -> None:
        engine, self._engine = self._engine, None
        if engine is None:
            return
        try:
            engine.close()
        except Exception as error:  # an engine that failed may fail at this too
            self._on_change(f'the engine could not be closed: {one_line(error)}')

    def _wait(self, why: str) -> None:
        self._due_s = self._now_s() + self._pause_s
        self._on_change(f'{why}; opened again in {self._pause_s:.0f} s')
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)


def _identity(contract: ModelContract) -> tuple[object, ...]:
    """Return what must not change while the node is configured; the precision may."""
    return (
        contract.weights_sha256,
        contract.intrinsics,
        contract.class_names,
        contract.metric,
        contract.max_depth_m,
    )
