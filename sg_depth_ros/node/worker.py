"""
One thread that owns the engine, fed through a newest-frame slot or a queue.

Plain threading, no ROS: the executor's thread only puts frames in, so that a slow network never
holds back callbacks, and a frame waits at most as long as the one in work.
"""

import threading
import traceback
from collections import deque
from collections.abc import Callable
from typing import Generic
from typing import Protocol
from typing import TypeVar

FrameT = TypeVar('FrameT')
FrameT_contra = TypeVar('FrameT_contra', contravariant=True)


class FrameQueue(Generic[FrameT]):
    """Hands frames from one thread to another: the newest only, or every one in order."""

    def __init__(self, every_frame: bool) -> None:
        self._frames: deque[FrameT] = deque(maxlen=None if every_frame else 1)
        self._condition = threading.Condition()
        self._closed = False
        self._dropped = 0

    def put(self, frame: FrameT) -> None:
        """Offer a frame; in the newest-only kind it takes the place of one not yet taken."""
        with self._condition:
            if self._closed:
                return
            if len(self._frames) == self._frames.maxlen:
                self._dropped += 1
            self._frames.append(frame)
            self._condition.notify()

    def take(self) -> FrameT | None:
        """Wait for the next frame; None once closed."""
        with self._condition:
            self._condition.wait_for(lambda: self._frames or self._closed)
            return None if self._closed else self._frames.popleft()

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
    def dropped(self) -> int:
        """How many frames a newer one has replaced."""
        return self._dropped


class Processor(Protocol[FrameT_contra]):
    """What the worker runs; made, used and closed in the worker's thread."""

    def process(self, frame: FrameT_contra) -> None:
        """Do all the work of one frame."""
        ...

    def close(self) -> None:
        """Free what the processor holds."""
        ...


class Worker(Generic[FrameT]):
    """
    Runs a processor in a thread of its own.

    :param create: makes the processor, in the worker's thread.
    :param every_frame: process every frame in order; otherwise the newest, dropping older ones.
    :param on_error: told of an exception of ``process``, in the worker's thread; the next frame is
        tried as usual.
    """

    def __init__(
        self,
        create: Callable[[], Processor[FrameT]],
        every_frame: bool,
        on_error: Callable[[Exception], None],
    ) -> None:
        self.frames: FrameQueue[FrameT] = FrameQueue(every_frame)
        self._create = create
        self._on_error = on_error
        self._created = threading.Event()
        self._failure: Exception | None = None
        self._in_work = threading.Lock()
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

    def discard(self) -> None:
        """Forget waiting frames and wait until the one in work is done."""
        self.frames.clear()
        with self._in_work:
            pass

    def stop(self, timeout_s: float) -> bool:
        """
        Finish the frame in work, close the processor and end the thread.

        :return: whether the thread ended in time.
        """
        self.frames.close()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            processor = self._create()
        except Exception as error:  # handed to start(), which raises it
            _forget_locals(error)
            self._failure = error
            return
        finally:
            self._created.set()
        try:
            while (frame := self.frames.take()) is not None:
                with self._in_work:
                    try:
                        processor.process(frame)
                    except Exception as error:  # one frame failed, the node lives
                        self._on_error(error)
        finally:
            processor.close()


def _forget_locals(error: BaseException) -> None:
    """
    Free what an error's traceback holds, here: a GPU's memory belongs to this thread.

    The lines of the traceback stay.
    """
    link: BaseException | None = error
    while link is not None:
        traceback.clear_frames(link.__traceback__)
        link = link.__cause__ or link.__context__
