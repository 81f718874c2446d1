"""What the node counts and measures, and the DiagnosticArray made of it once a second."""

import threading
import time
from collections import deque
from typing import Literal
from typing import NamedTuple

import numpy as np
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from diagnostic_msgs.msg import DiagnosticStatus
from diagnostic_msgs.msg import KeyValue

Part = Literal['engine', 'input', 'camera_info', 'output']
PARTS: tuple[Part, ...] = ('engine', 'input', 'camera_info', 'output')
PROBLEM_LIFE_S = 2.5  # how long a problem stays in the diagnostics after it was last seen
WINDOW = 100  # frames that timings are taken over


class FrameTimes(NamedTuple):
    """Durations of one frame in milliseconds."""

    age_ms: float  # from arrival to the start of the work
    preprocess_ms: float  # decoding, undistorting, resizing
    inference_ms: float
    postprocess_ms: float  # depth, cloud, colours, publishing


class _Problem(NamedTuple):
    text: str
    level: bytes
    seen_s: float


class Statistics:
    """Counts, timings and the latest problem of each part; used from both threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Forget everything, as after a jump of the stamps."""
        with self._lock:
            self._received = 0
            self._processed = 0
            self._since_s = time.monotonic()
            self._times: deque[FrameTimes] = deque(maxlen=WINDOW)
            self._valid_share = float('nan')
            self._problems: dict[Part, _Problem] = {}

    def received(self) -> None:
        """Count an input image."""
        with self._lock:
            self._received += 1

    def processed(self, times: FrameTimes, valid_share: float) -> None:
        """Count a frame that went through, with the share of its pixels that have a depth."""
        with self._lock:
            self._processed += 1
            self._times.append(times)
            self._valid_share = valid_share

    def problem(self, part: Part, text: str, level: bytes = DiagnosticStatus.ERROR) -> bool:
        """
        Note a problem.

        :return: whether to log it: at most once a second for each part, unless it got worse.
        """
        now_s = time.monotonic()
        with self._lock:
            last = self._problems.get(part)
            if last is not None and now_s - last.seen_s < 1.0 and level <= last.level:
                return False
            self._problems[part] = _Problem(text, level, now_s)
            return True

    def report(
        self, node_name: str, values: dict[Part, list[tuple[str, str]]], stamp: Time
    ) -> DiagnosticArray:
        """
        Return the state as a message; rates are those since the last report.

        :param values: further keys and values for a part.
        """
        with self._lock:
            now_s = time.monotonic()
            elapsed_s = max(now_s - self._since_s, 1e-3)
            rates_hz = self._received / elapsed_s, self._processed / elapsed_s
            self._received, self._processed, self._since_s = 0, 0, now_s
            measured: dict[Part, list[tuple[str, str]]] = {
                'engine': _timing_values(list(self._times)),
                'input': [('rate_hz', f'{rates_hz[0]:.1f}')],
                'camera_info': [],
                'output': [
                    ('rate_hz', f'{rates_hz[1]:.1f}'),
                    ('valid_depth_ratio', f'{self._valid_share:.3f}'),
                ],
            }
            problems = {
                part: problem
                for part, problem in self._problems.items()
                if now_s - problem.seen_s < PROBLEM_LIFE_S
            }
        array = DiagnosticArray()
        array.header.stamp = stamp
        for part in PARTS:
            problem = problems.get(part)
            array.status.append(
                DiagnosticStatus(
                    name=f'{node_name}: {part}',
                    hardware_id=node_name,
                    level=problem.level if problem else DiagnosticStatus.OK,
                    message=problem.text if problem else 'ok',
                    values=[
                        KeyValue(key=key, value=value)
                        for key, value in [*measured[part], *values.get(part, [])]
                    ],
                )
            )
        return array


def _timing_values(times: list[FrameTimes]) -> list[tuple[str, str]]:
    """Return medians in Autoware's keys, and the age's 95th percentile."""
    if not times:
        return []
    table = np.array(times)
    age_ms, preprocess_ms, inference_ms, postprocess_ms = np.median(table, axis=0)
    processing_ms = float(np.median(table[:, 1:].sum(axis=1)))
    return [
        ('processing_time_ms', f'{processing_ms:.2f}'),
        ('preprocess_time_ms', f'{preprocess_ms:.2f}'),
        ('inference_time_ms', f'{inference_ms:.2f}'),
        ('postprocess_time_ms', f'{postprocess_ms:.2f}'),
        ('input_age_ms_p50', f'{age_ms:.2f}'),
        ('input_age_ms_p95', f'{np.percentile(table[:, 0], 95):.2f}'),
    ]
