"""
One thread that owns the engine, fed through a newest-frame slot or a queue.

Plain threading, no ROS: the executor's thread only puts frames in, so that a slow network never
holds back callbacks, and a frame waits at most as long as the one in work.
"""

import threading
import traceback
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any
from typing import Generic
from typing import NamedTuple
from typing import Protocol
from typing import TypeVar

FrameT = TypeVar('FrameT')
FrameT_contra = TypeVar('FrameT_contra', contravariant=True)
ResultT = TypeVar('ResultT')


class FrameQueue(Generic[FrameT]):
    """
    Hands frames from one thread to another: the newest only, or every one in order.

    :param on_drop: told of each frame that a newer one has replaced, in the putting thread.
    """

    def __init__(self, every_frame: bool, on_drop: Callable[[], object] = lambda: None) -> None:
        self._frames: deque[FrameT] = deque(maxlen=None if every_frame else 1)
        self._condition = threading.Condition()
        self._on_drop = on_drop
        self._closed = False
        self._in_work = False  # the frame last taken is not done

    def put(self, frame: FrameT) -> None:
        """Offer a frame; in the newest-only kind it takes the place of one not yet taken."""
        with self._condition:
            if self._closed:
                return
            replaces = len(self._frames) == self._frames.maxlen
            self._frames.append(frame)
            self._condition.notify_all()  # who waits may wait for something else
        if replaces:
            self._on_drop()

    def take(self, until: Callable[[], bool] = lambda: False) -> FrameT | None:
        """
        Wait for the next frame; None once closed.

        :param until: also ends the wait, with None, where it holds; asked again after ``wake``.
        """
        with self._condition:
            self._condition.wait_for(lambda: self._closed or until() or self._frames)
            if self._closed or until():
                return None
            # Under the lock, so that no frame is ever neither waiting nor in work.
            self._in_work = True
            return self._frames.popleft()

    def done(self) -> None:
        """Tell that the work on the frame last taken is over."""
        with self._condition:
            self._in_work = False
            self._condition.notify_all()

    def wait_until_done(self, timeout_s: float) -> bool:
        """Wait until no frame is in work; False after the time."""
        with self._condition:
            return self._condition.wait_for(lambda: not self._in_work, timeout_s)

    def wake(self) -> None:
        """Let a waiting ``take`` ask its ``until``."""
        with self._condition:
            self._condition.notify_all()

    def clear(self) -> None:
        """Forget the frames not yet taken."""
        with self._condition:
            self._frames.clear()

    def close(self) -> None:
        """Let ``take`` return None from now on."""
        with self._condition:
            self._closed = True
            self._frames.clear()
            self._condition.notify_all()

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def closed(self) -> bool:
        """Whether it gives no frames any longer."""
        return self._closed


class WorkerStoppedError(RuntimeError):
    """Why a task will not be done: the thread that would do it has ended."""


class Processor(Protocol[FrameT_contra]):
    """What the worker runs; made, used and closed in the worker's thread."""

    def process(self, frame: FrameT_contra) -> None:
        """Do all the work of one frame."""
        ...

    def close(self) -> None:
        """Free what the processor holds."""
        ...


# Not bound to Processor[FrameT], which Python cannot say: the worker's constructor checks it.
ProcessorT = TypeVar('ProcessorT', bound=Processor[Any])


class _Task(NamedTuple):
    work: Callable[[Any], Any]
    future: Future[Any]


class Worker(Generic[FrameT, ProcessorT]):
    """
    Runs a processor in a thread of its own.

    :param create: makes the processor, in the worker's thread.
    :param every_frame: process every frame in order; otherwise the newest, dropping older ones.
    :param on_error: told of an exception of ``process`` or ``close``, in the worker's thread; the
        next frame is tried as usual.
    :param on_drop: told of each frame that a newer one has replaced, in the putting thread.
    """

    def __init__(
        self,
        create: Callable[[], ProcessorT],
        every_frame: bool,
        on_error: Callable[[Exception], object],
        on_drop: Callable[[], object] = lambda: None,
    ) -> None:
        self.frames: FrameQueue[FrameT] = FrameQueue(every_frame, on_drop)
        self._create = create
        self._on_error = on_error
        self._created = threading.Event()
        self._failure: Exception | None = None
        self._tasks: deque[_Task] = deque()
        self._tasks_lock = threading.Lock()
        self._takes_tasks = True
        self._thread = threading.Thread(target=self._run, name='depth worker', daemon=True)

    def start(self, keep_waiting: Callable[[], bool] = lambda: True) -> None:
        """
        Start the thread and wait until the processor is made.

        Whatever making it raised is raised here.

        :param keep_waiting: asked ten times a second; the wait ends when it says no.
        :raises InterruptedError: where it said no.
        """
        self._thread.start()
        while not self._created.wait(0.1):
            if not keep_waiting():
                raise InterruptedError('told to stop while the engine was being made')
        if self._failure is not None:
            self._thread.join()
            raise self._failure

    def ask(self, task: Callable[[ProcessorT], ResultT]) -> Future[ResultT]:
        """
        Have something done in the worker's thread, after the frame in work, before the next.

        :param task: is given the processor.
        :return: its result or exception; WorkerStoppedError where the thread ends before.
        """
        future: Future[ResultT] = Future()
        with self._tasks_lock:
            if self._takes_tasks:
                self._tasks.append(_Task(task, future))
            else:
                future.set_exception(WorkerStoppedError('the engine is closed'))
        self.frames.wake()
        return future

    def discard(self, timeout_s: float = 5.0) -> bool:
        """
        Forget waiting frames and wait until the one in work is done.

        :return: whether it is done; False after the time.
        """
        self.frames.clear()
        return self.frames.wait_until_done(timeout_s)

    def stop(self, timeout_s: float) -> bool:
        """
        Finish the frame in work, close the processor and end the thread.

        :return: whether the thread ended in time.
        """
        self.frames.close()
        self._refuse_tasks()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            processor = self._create()
        except Exception as error:  # handed to start(), which raises it
            _forget_locals(error)
            self._failure = error
            self._refuse_tasks()
            return
        finally:
            self._created.set()
        try:
            while not self.frames.closed:
                self._do_tasks(processor)
                frame = self.frames.take(until=lambda: bool(self._tasks))
                if frame is not None:
                    self._process(processor, frame)
                del frame  # else an image would stay in memory until the next one comes
        finally:
            self._refuse_tasks()
            try:
                processor.close()
            except Exception as error:  # what it held is lost, the node lives
                self._on_error(error)

    def _process(self, processor: ProcessorT, frame: FrameT) -> None:
        try:
            processor.process(frame)
        except Exception as error:  # one frame failed, the node lives
            self._on_error(error)
        finally:
            self.frames.done()

    def _do_tasks(self, processor: ProcessorT) -> None:
        while True:
            with self._tasks_lock:
                if not self._tasks:
                    return
                task = self._tasks.popleft()
            if not task.future.set_running_or_notify_cancel():
                continue
            try:
                result = task.work(processor)
            except Exception as error:  # whoever asked is told
                _forget_locals(error)
                task.future.set_exception(error)
            else:
                task.future.set_result(result)

    def _refuse_tasks(self) -> None:
        with self._tasks_lock:
            self._takes_tasks = False
            tasks, self._tasks = self._tasks, deque()
        for task in tasks:
            if task.future.set_running_or_notify_cancel():
                task.future.set_exception(WorkerStoppedError('the engine is closed'))


def _forget_locals(error: BaseException) -> None:
    """
    Free what an error's traceback holds, here: a GPU's memory belongs to this thread.

    The lines of the traceback stay.
    """
    link: BaseException | None = error
    while link is not None:
        traceback.clear_frames(link.__traceback__)
        link = link.__cause__ or link.__context__
