"""How soon, how evenly and how fresh outputs came in a run. Pure: works on a recording."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.replay.live.recording import Recording

NAN = float('nan')
DEFAULT_STALE_PERIODS = 2.0


class Latency(NamedTuple):
    """From publishing an image to receiving its depth image, in milliseconds."""

    p50: float
    p95: float
    p99: float
    max: float

    @staticmethod
    def of(values_ms: Sequence[float]) -> 'Latency':
        """Summarise measured latencies, at least one."""
        p50, p95, p99 = (float(v) for v in np.percentile(values_ms, (50, 95, 99)))
        return Latency(p50, p95, p99, float(max(values_ms)))


class Jitter(NamedTuple):
    """
    How much the interval of two depth images differs from that of their images, in milliseconds.

    Nothing where every depth image comes equally late, however late that is.
    """

    std: float
    p99: float  # of its absolute value

    @staticmethod
    def of(latencies_ms: NDArray[np.float64]) -> 'Jitter | None':
        """Measure it over the images that gave depth; None where these are less than three."""
        # (arrival of b - of a) - (sending of b - of a) is latency of b - of a.
        differences = np.diff(latencies_ms)
        if len(differences) < 2:
            return None
        return Jitter(float(np.std(differences)), float(np.percentile(np.abs(differences), 99)))


@dataclass(frozen=True, eq=False)
class Timing:
    """The times of one run."""

    latencies_ms: tuple[float, ...]  # of each image; NaN where missed
    sent_s: tuple[float, ...]  # when each image was published, since the first
    jitter: Jitter | None
    missed_frames: int  # images without a depth image
    stale_after_ms: float | None  # None where images came in no rhythm of a camera
    stale_frames: int | None  # depth images that came later than this
    input_rate_hz: float | None
    output_rate_hz: float | None
    player_late_ms: float  # the 95th percentile: the player itself fell behind by so much

    @property
    def latency(self) -> Latency | None:
        """The summary over the images that were not missed."""
        measured = [v for v in self.latencies_ms if v == v]
        return Latency.of(measured) if measured else None

    @property
    def missed_share(self) -> float:
        """The share of the images that gave no depth."""
        return self.missed_frames / max(len(self.latencies_ms), 1)

    @property
    def stale_share(self) -> float | None:
        """The share of the depth images that came stale."""
        came = len(self.latencies_ms) - self.missed_frames
        return None if self.stale_frames is None or not came else self.stale_frames / came

    def to_json(self) -> dict[str, Any]:
        """Return the numbers by name."""
        latency, jitter = self.latency, self.jitter
        return {
            'missed_frames': self.missed_frames,
            'missed_share': self.missed_share,
            'stale_frames': self.stale_frames,
            'stale_share': self.stale_share,
            'stale_after_ms': self.stale_after_ms,
            'latency_ms': None if latency is None else latency._asdict(),
            'jitter_ms': None if jitter is None else jitter._asdict(),
            'input_rate_hz': self.input_rate_hz,
            'output_rate_hz': self.output_rate_hz,
            'player_late_p95_ms': self.player_late_ms,
        }


def measure_timing(recording: Recording, stale_periods: float | None) -> Timing:
    """
    Measure one run.

    :param stale_periods: a depth image is stale when it comes later than so many median intervals
        of the images; None where these were not published in a camera's rhythm.
    """
    sent = recording.sent
    latencies_ms = np.array(_latencies_ms(recording), np.float64)
    came = latencies_ms[~np.isnan(latencies_ms)]
    period_ms = np.median(np.diff([s.sent_ns for s in sent])) * 1e-6 if len(sent) > 1 else 0.0
    stale_after_ms = None
    if stale_periods is not None and period_ms > 0:
        stale_after_ms = float(stale_periods * period_ms)
    stale = None if stale_after_ms is None else int(np.count_nonzero(came > stale_after_ms))
    return Timing(
        latencies_ms=tuple(float(v) for v in latencies_ms),
        sent_s=tuple((s.sent_ns - sent[0].sent_ns) * 1e-9 for s in sent),
        jitter=Jitter.of(came),
        missed_frames=len(sent) - len(came),
        stale_after_ms=stale_after_ms,
        stale_frames=stale,
        input_rate_hz=_rate_hz([s.sent_ns for s in sent]),
        output_rate_hz=_rate_hz([e.received_ns for e in recording.of_kind('depth')]),
        player_late_ms=float(np.percentile([s.late_ns * 1e-6 for s in sent] or [0.0], 95)),
    )


def _latencies_ms(recording: Recording) -> list[float]:
    """Pair each image with its depth image; those of one stamp in the order in which they came."""
    arrivals_ns: dict[int, deque[int]] = {}
    for entry in recording.of_kind('depth'):
        arrivals_ns.setdefault(entry.stamp_ns, deque()).append(entry.received_ns)
    latencies = []
    for sent in recording.sent:
        arrived_ns = arrivals_ns.get(sent.stamp_ns)
        latencies.append((arrived_ns.popleft() - sent.sent_ns) * 1e-6 if arrived_ns else NAN)
    return latencies


def _rate_hz(times_ns: Sequence[int]) -> float | None:
    if len(times_ns) < 2 or times_ns[-1] == times_ns[0]:
        return None
    return (len(times_ns) - 1) / ((times_ns[-1] - times_ns[0]) * 1e-9)
