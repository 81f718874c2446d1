"""What the node counts and measures, from both of its threads; no ROS."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from collections.abc import Iterable
from enum import IntEnum
from typing import Literal
from typing import NamedTuple

import numpy as np

Part = Literal['engine', 'input', 'camera_info', 'processing', 'output']
PARTS: tuple[Part, ...] = ('engine', 'input', 'camera_info', 'processing', 'output')
PROBLEM_LIFE_S = 2.5  # how long a problem stays in the diagnostics after it was last seen
# How often problems of one part are logged; less than the report's second, which is not exact, so
# that what is noticed with each report is logged with each.
LOG_EVERY_S = 0.9
WINDOW_S = 10.0  # how far back timings are looked at,
WINDOW_FRAMES = 300  # and over how many frames
RATE_WINDOW_S = 3.0  # over which frames are counted for a rate
NAN = float('nan')


class Level(IntEnum):
    """How bad it is; the numbers of diagnostic_msgs/DiagnosticStatus."""

    OK = 0
    WARN = 1
    ERROR = 2


class FrameTimes(NamedTuple):
    """Durations of one frame in milliseconds."""

    age_ms: float  # from its stamp to the start of the work, by the node's clock; NaN: no clock
    waiting_ms: float  # from arrival to the start of the work, by the monotonic clock
    preprocess_ms: float  # decoding, undistorting, resizing
    inference_ms: float
    postprocess_ms: float  # depth, cloud, colours, publishing

    @property
    def processing_ms(self) -> float:
        """The work on the frame."""
        return self.preprocess_ms + self.inference_ms + self.postprocess_ms


class FrameContent(NamedTuple):
    """What came out of one frame; NaN where no depth was computed."""

    valid_depth_ratio: float  # of pixels, 0 to 1, with a finite depth
    median_depth_m: float  # of those
    scale: float  # what the network's depth was multiplied with
    network_invalid_ratio: float  # of the network's depth: NaN, infinite, zero or less


class Problem(NamedTuple):
    """The latest problem of a part."""

    text: str
    level: Level
    seen_s: float


class Spread(NamedTuple):
    """Median and 95th percentile; NaN of nothing."""

    p50: float
    p95: float


class Summary(NamedTuple):
    """All that is measured; times in seconds are since then, infinite where it never was."""

    input_rate_hz: float
    output_rate_hz: float
    frames_received: int
    frames_processed: int
    frames_dropped: int  # for a newer one, or while they were not wanted
    frames_rejected: int  # could not be decoded
    frames_failed: int  # of which the work raised
    stamp_jumps: int
    frames_out_of_order: int
    age_ms: Spread
    waiting_ms: Spread
    processing_ms: Spread
    inference_ms: Spread
    last: FrameTimes  # of the newest frame
    delay_ms: float  # how long no frame has been in time; 0 where the last one was
    in_work_s: float  # how long the frame in work has been; 0 where there is none
    since_received_s: float
    since_settled_s: float  # since one was processed, or left alone because nobody wanted it
    content: FrameContent  # of the newest frame
    worst_invalid_ratio: float  # of the network's depth, in the last seconds


class _Done(NamedTuple):
    end_s: float
    times: FrameTimes
    content: FrameContent


_NOTHING_DONE = _Done(
    -math.inf, FrameTimes(NAN, NAN, NAN, NAN, NAN), FrameContent(NAN, NAN, NAN, NAN)
)


class Statistics:
    """
    Counts, timings and the latest problem of each part; used from both threads.

    :param now_s: the monotonic clock.
    """

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._lock = threading.Lock()
        self._now_s = now_s
        self._problems: dict[Part, Problem] = {}
        self._logged_s: dict[Part, float] = {}
        self._began_s: float | None = None
        self.begin()

    def begin(self) -> None:
        """Forget everything, also when images last came: they begin to be wanted now."""
        with self._lock:
            self._received_s = self._processed_s = self._unwanted_s = -math.inf
        self.reset()

    def reset(self) -> None:
        """Forget what was counted and measured; what is going on goes on."""
        with self._lock:
            self._forget()
            self._jumps = 0

    def jumped(self) -> None:
        """Reset because the stamps jumped back, as where a bag begins anew."""
        with self._lock:
            self._forget()
            self._jumps += 1

    def _forget(self) -> None:
        self._since_s = self._now_s()
        self._arrivals_s: deque[float] = deque(maxlen=4096)
        self._completions_s: deque[float] = deque(maxlen=4096)
        self._received = self._processed = self._dropped = 0
        self._rejected = self._failed = self._out_of_order = 0
        self._frames: deque[_Done] = deque(maxlen=WINDOW_FRAMES)
        self._late_since_s: float | None = None  # start of the first frame that was late
        self._problems.clear()

    def received(self) -> None:
        """Count an input image."""
        with self._lock:
            self._received += 1
            self._received_s = self._now_s()
            self._arrivals_s.append(self._received_s)

    def dropped(self) -> None:
        """Count an image on which no work is done, for no fault of its own."""
        with self._lock:
            self._dropped += 1

    def unwanted(self) -> None:
        """Count an image that is left alone because nobody subscribes."""
        with self._lock:
            self._dropped += 1
            self._unwanted_s = self._now_s()

    def rejected(self) -> None:
        """Count an image that cannot be decoded."""
        with self._lock:
            self._rejected += 1

    def failed(self) -> None:
        """Count a frame of which the work raised."""
        with self._lock:
            self._failed += 1

    def out_of_order(self) -> None:
        """Count an image a little older than the one before."""
        with self._lock:
            self._out_of_order += 1

    def began(self) -> None:
        """Note that the work on a frame begins, or goes on after a wait."""
        with self._lock:
            self._began_s = self._now_s()

    def ended(self) -> None:
        """Note that the work on a frame is over, well or not, or waits for what must come."""
        with self._lock:
            self._began_s = None

    def processed(self, times: FrameTimes, content: FrameContent, limit_ms: float) -> None:
        """
        Count a frame that went through.

        :param limit_ms: a frame that takes longer is late.
        """
        with self._lock:
            now_s = self._processed_s = self._now_s()
            self._processed += 1
            self._completions_s.append(now_s)
            self._frames.append(_Done(now_s, times, content))
            if times.processing_ms <= limit_ms:
                self._late_since_s = None
            elif self._late_since_s is None:
                self._late_since_s = now_s - 1e-3 * times.processing_ms

    def problem(self, part: Part, text: str, level: Level = Level.ERROR) -> bool:
        """
        Note a problem.

        :return: whether to log it: at most once a second for each part, unless it got worse.
        """
        with self._lock:
            now_s = self._now_s()
            last = self._problems.get(part)
            current = last is not None and now_s - last.seen_s < PROBLEM_LIFE_S
            if last is not None and current and level < last.level:
                return False  # the worse one is still to be seen
            self._problems[part] = Problem(text, level, now_s)
            if now_s - self._logged_s.get(part, -math.inf) < LOG_EVERY_S and not (
                last is not None and level > last.level
            ):
                return False
            self._logged_s[part] = now_s
            return True

    def problems(self) -> dict[Part, Problem]:
        """Return the problems seen lately."""
        with self._lock:
            now_s = self._now_s()
            return {
                part: problem
                for part, problem in self._problems.items()
                if now_s - problem.seen_s < PROBLEM_LIFE_S
            }

    def summary(self, limit_ms: float) -> Summary:
        """
        Return all that is measured.

        :param limit_ms: a frame in work for longer is late already.
        """
        with self._lock:
            now_s = self._now_s()
            window_s = min(max(now_s - self._since_s, 1e-3), RATE_WINDOW_S)
            in_work_s = 0.0 if self._began_s is None else now_s - self._began_s
            # The last frame always, however old: else a slow network would have no times.
            recent = [done for done in self._frames if now_s - done.end_s < WINDOW_S]
            recent = recent or list(self._frames)[-1:]
            times = [done.times for done in recent]
            newest = recent[-1] if recent else _NOTHING_DONE
            worst = max((done.content.network_invalid_ratio for done in recent), default=NAN)
            return Summary(
                input_rate_hz=_count_since(self._arrivals_s, now_s - window_s) / window_s,
                output_rate_hz=_count_since(self._completions_s, now_s - window_s) / window_s,
                frames_received=self._received,
                frames_processed=self._processed,
                frames_dropped=self._dropped,
                frames_rejected=self._rejected,
                frames_failed=self._failed,
                stamp_jumps=self._jumps,
                frames_out_of_order=self._out_of_order,
                age_ms=_spread(t.age_ms for t in times),
                waiting_ms=_spread(t.waiting_ms for t in times),
                processing_ms=_spread(t.processing_ms for t in times),
                inference_ms=_spread(t.inference_ms for t in times),
                last=newest.times,
                delay_ms=self._delay_ms(now_s, limit_ms),
                in_work_s=in_work_s,
                since_received_s=now_s - self._received_s,
                since_settled_s=now_s - max(self._processed_s, self._unwanted_s),
                content=newest.content,
                worst_invalid_ratio=worst,
            )

    def _delay_ms(self, now_s: float, limit_ms: float) -> float:
        began_s, since_s = self._began_s, self._late_since_s
        if began_s is not None and 1e3 * (now_s - began_s) > limit_ms:
            return 1e3 * (now_s - (began_s if since_s is None else since_s))
        # Where no images come any longer, what was late is over at some time.
        if since_s is None or now_s - self._processed_s > WINDOW_S:
            return 0.0
        return 1e3 * (self._processed_s - since_s)


def _count_since(moments_s: Iterable[float], since_s: float) -> int:
    return sum(moment_s > since_s for moment_s in moments_s)


def _spread(values: Iterable[float]) -> Spread:
    numbers = [value for value in values if not math.isnan(value)]
    if not numbers:
        return Spread(NAN, NAN)
    p50, p95 = np.percentile(numbers, (50, 95))
    return Spread(float(p50), float(p95))
