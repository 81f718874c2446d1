"""The limits that a replay can be held to, and in which of its runs each is measured."""

from collections.abc import Callable
from collections.abc import Sequence
from typing import Any
from typing import Literal
from typing import NamedTuple

from sg_depth_ros.replay.live.modes import Mode
from sg_depth_ros.replay.live.run_result import RunResult

# Which runs a limit is for. paced: that at recorded speed; where there is none, the others, whose
# pace is not a camera's. fastest: those that show what rate the node reaches.
Scope = Literal['all', 'recorded', 'paced', 'fastest']
_SCOPES: dict[Scope, tuple[tuple[Mode, ...], ...]] = {  # the first group that was run
    'all': (('lock step', 'recorded speed', 'full speed'),),
    'recorded': (('recorded speed',),),
    'paced': (('recorded speed',), ('lock step',), ('full speed',)),
    'fastest': (('recorded speed', 'full speed'), ('lock step',)),
}


class LimitKind(NamedTuple):
    """A limit that can be set."""

    option: str  # without the dashes before it; also its name in a file
    unit: str
    what: str  # is measured
    scope: Scope
    value: Callable[[RunResult], float | None]  # None: it could not be measured
    why_not: str = 'no depth image came'
    is_share: bool = False

    @property
    def is_least(self) -> bool:
        """Whether the value must reach the limit, rather than stay within it."""
        return self.option.startswith('min-')

    def text(self, value: float) -> str:
        """Return a value with its unit."""
        return f'{value:.1%}' if self.is_share else f'{value:.4g}{self.unit}'


class Limit(NamedTuple):
    """A limit that was set."""

    kind: LimitKind
    value: float


class LimitCheck(NamedTuple):
    """What became of a limit in one run."""

    limit: Limit
    mode: Mode
    measured: float | None

    @property
    def passed(self) -> bool:
        """Whether it was measured and is within the limit."""
        if self.measured is None:
            return False
        if self.limit.kind.is_least:
            return self.measured >= self.limit.value
        return self.measured <= self.limit.value

    def sentence(self) -> str:
        """Say what was measured and what the limit is."""
        kind = self.limit.kind
        limit = f'limit {kind.text(self.limit.value)} (--{kind.option})'
        if self.measured is None:
            return f'{kind.what} is not known, {kind.why_not}; {limit}'
        return f'{kind.what} {kind.text(self.measured)}, {limit}'

    def to_json(self) -> dict[str, Any]:
        """Return the check by name."""
        return {
            'limit': self.limit.kind.option,
            'run': self.mode.replace(' ', '_'),
            'value': self.limit.value,
            'measured': self.measured,
            'passed': self.passed,
        }


_NO_PROC = 'there is no /proc on this system'
_NO_TRUTH = 'no image has ground truth'
_TOO_FEW = 'too few depth images came'


def _latency(name: str) -> Callable[[RunResult], float | None]:
    return lambda run: None if run.timing.latency is None else getattr(run.timing.latency, name)


def _usage(name: str) -> Callable[[RunResult], float | None]:
    return lambda run: None if run.usage is None else getattr(run.usage, name)


def _error(name: str) -> Callable[[RunResult], float | None]:
    return lambda run: None if run.errors is None else getattr(run.errors, name)


def _scale_error(run: RunResult) -> float | None:
    ratio = run.findings.summary.scale_ratio_median
    return None if ratio is None else abs(ratio - 1)


LIMIT_KINDS = (
    LimitKind('max-latency-p50-ms', ' ms', 'latency p50', 'paced', _latency('p50')),
    LimitKind('max-latency-p95-ms', ' ms', 'latency p95', 'paced', _latency('p95')),
    LimitKind('max-latency-p99-ms', ' ms', 'latency p99', 'paced', _latency('p99')),
    LimitKind(
        'max-jitter-ms',
        ' ms',
        'jitter p99',
        'paced',
        lambda run: None if run.timing.jitter is None else run.timing.jitter.p99,
        _TOO_FEW,
    ),
    LimitKind(
        'max-missed',
        '',
        'share of images without depth',
        'recorded',
        lambda run: run.timing.missed_share,
        is_share=True,
    ),
    LimitKind(
        'max-stale',
        '',
        'share of depth images that came stale',
        'recorded',
        lambda run: run.timing.stale_share,
        'no depth image came, or the images have no rhythm',
        is_share=True,
    ),
    LimitKind(
        'min-rate-hz',
        ' Hz',
        'rate of depth images',
        'fastest',
        lambda run: run.timing.output_rate_hz,
        _TOO_FEW,
    ),
    LimitKind('max-cpu', ' cores', 'CPU time of the node', 'paced', _usage('cpu_cores'), _NO_PROC),
    LimitKind(
        'max-memory-mb',
        ' MB',
        'largest memory of the node',
        'all',
        _usage('memory_peak_mb'),
        _NO_PROC,
    ),
    LimitKind(
        'max-memory-growth-mb',
        ' MB',
        'growth of the node in memory',
        'all',
        _usage('memory_growth_mb'),
        'the run was too short or there is no /proc',
    ),
    LimitKind('max-abs-rel', '', 'AbsRel', 'all', _error('abs_rel'), _NO_TRUTH),
    LimitKind('max-rmse', ' m', 'RMSE', 'all', _error('rmse'), _NO_TRUTH),
    LimitKind('min-a1', '', 'a1', 'all', _error('a1'), _NO_TRUTH),
    LimitKind(
        'max-scale-error',
        '',
        'distance of the scale ratio from 1',
        'all',
        _scale_error,
        _NO_TRUTH,
    ),
    LimitKind(
        'max-infinite-frames',
        '',
        'number of images with infinite depth',
        'all',
        lambda run: float(run.findings.infinite_depth().frames),
    ),
    LimitKind(
        'max-missing-vehicles',
        '',
        'share of vehicles that depth misses',
        'all',
        lambda run: run.findings.standing().total.missing_share,
        'no vehicle stands on seen road',
        is_share=True,
    ),
)


def check_limits(limits: Sequence[Limit], runs: Sequence[RunResult]) -> tuple[LimitCheck, ...]:
    """Hold each limit against the runs that it is for."""
    return tuple(
        LimitCheck(limit, run.mode, limit.kind.value(run))
        for limit in limits
        for run in runs
        if run.mode in measuring(limit.kind, [r.mode for r in runs])
    )


def measuring(kind: LimitKind, modes: Sequence[Mode]) -> tuple[Mode, ...]:
    """Return the modes in which a limit counts, of those that are run."""
    for group in _SCOPES[kind.scope]:
        found = tuple(mode for mode in modes if mode in group)
        if found:
            return found
    return ()
