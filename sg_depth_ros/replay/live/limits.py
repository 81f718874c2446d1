"""The limits that a replay can be held to, each an option of the command line."""

import argparse
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any
from typing import Literal
from typing import NamedTuple

from sg_depth_ros.errors import UserError
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
_NO_RATE = 'less than two depth images came'


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
        _NO_RATE,
    ),
    LimitKind(
        'max-missed',
        '',
        'share of images without depth',
        'recorded',
        lambda run: run.timing.share(run.timing.missed_frames),
        is_share=True,
    ),
    LimitKind(
        'max-stale',
        '',
        'share of images whose depth came stale',
        'recorded',
        lambda run: run.timing.share(run.timing.stale_frames),
        'the images have no rhythm',
        is_share=True,
    ),
    LimitKind(
        'min-rate-hz',
        ' Hz',
        'rate of depth images',
        'fastest',
        lambda run: run.timing.output_rate_hz,
        _NO_RATE,
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


def add_limit_arguments(parser: argparse.ArgumentParser) -> None:
    """Add an option for each limit, and one for a file of them."""
    group = parser.add_argument_group(
        'limits',
        'Without any, a replay fails only where outputs are missing or wrong. Latency, jitter\n'
        'and CPU are held to their limits at recorded speed, where that is run; the rate there\n'
        'and at full speed; memory and depth in every run. What cannot be measured fails.',
    )
    for kind in LIMIT_KINDS:
        metavar = 'SHARE' if kind.is_share else kind.unit.strip().upper() or 'N'
        side = 'less than this' if kind.is_least else 'more than this'
        group.add_argument(
            f'--{kind.option}',
            type=partial(limit_value, kind),
            metavar=metavar,
            help=f'{kind.what}: fail where it is {side}',
        )
    group.add_argument(
        '--limits',
        type=Path,
        metavar='FILE',
        help='YAML with limits, such as "max-latency-p95-ms: 120"; those given here go before',
    )


def limit_value(kind: LimitKind, given: Any) -> float:
    """
    Read the value of a limit.

    :raises argparse.ArgumentTypeError: where it is none.
    """
    try:
        value = float(given)
    except (TypeError, ValueError):
        raise argparse.ArgumentTypeError(f'{given!r} is no number') from None
    most = 1.0 if kind.is_share else float('inf')
    if not 0 <= value <= most or value == float('inf') or isinstance(given, bool):
        wanted = 'a share, 0 to 1' if kind.is_share else 'finite and at least 0'
        raise argparse.ArgumentTypeError(f'{given} is not {wanted}')
    return value


def chosen_limits(arguments: argparse.Namespace, modes: Sequence[Mode]) -> tuple[Limit, ...]:
    """
    Return the limits of the command line and of its file.

    :param modes: that will be run.
    :raises UserError: where the file cannot be used, or no run will show what is limited.
    """
    from_file = {} if arguments.limits is None else read_limits(arguments.limits)
    limits = []
    for kind in LIMIT_KINDS:
        value = getattr(arguments, kind.option.replace('-', '_'))
        value = from_file.get(kind.option) if value is None else value
        if value is None:
            continue
        if not _measuring(kind, modes):
            raise UserError(
                f'--{kind.option} is measured at recorded speed only; add --mode recorded, both '
                'or all'
            )
        limits.append(Limit(kind, value))
    return tuple(limits)


def read_limits(path: Path) -> Mapping[str, float]:
    """
    Read a file of limits.

    :raises UserError: where it is missing, no mapping, or holds what is no limit.
    """
    import yaml

    try:
        document = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f'{path}: these limits cannot be read ({error})') from error
    except yaml.YAMLError as error:
        raise UserError(f'{path}: no YAML ({" ".join(str(error).split())})') from error
    if not isinstance(document, dict):
        raise UserError(f'{path}: no mapping of limits, such as "max-latency-p95-ms: 120"')
    kinds = {kind.option: kind for kind in LIMIT_KINDS}
    limits = {}
    for name, value in document.items():
        if name not in kinds:
            raise UserError(f'{path}: {name!r} is no limit; those known: {", ".join(kinds)}')
        try:
            limits[name] = limit_value(kinds[name], value)
        except argparse.ArgumentTypeError as error:
            raise UserError(f'{path}: {name}: {error}') from error
    return limits


def check_limits(limits: Sequence[Limit], runs: Sequence[RunResult]) -> tuple[LimitCheck, ...]:
    """Hold each limit against the runs that it is for."""
    return tuple(
        LimitCheck(limit, run.mode, limit.kind.value(run))
        for limit in limits
        for run in runs
        if run.mode in _measuring(limit.kind, [r.mode for r in runs])
    )


def _measuring(kind: LimitKind, modes: Sequence[Mode]) -> tuple[Mode, ...]:
    """Return the modes in which a limit counts, of those that are run."""
    for group in _SCOPES[kind.scope]:
        found = tuple(mode for mode in modes if mode in group)
        if found:
            return found
    return ()
