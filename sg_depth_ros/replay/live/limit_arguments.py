"""Limits as options of the command line, and as a file of them."""

import argparse
from collections.abc import Mapping
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from sg_depth_ros.errors import UserError
from sg_depth_ros.replay.live.limits import LIMIT_KINDS
from sg_depth_ros.replay.live.limits import Limit
from sg_depth_ros.replay.live.limits import LimitKind
from sg_depth_ros.replay.live.limits import measuring
from sg_depth_ros.replay.live.modes import Mode


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
        if not measuring(kind, modes):
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
