"""What a benchmark hands over to ``make bench``: numbers beside what they are held against."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """
    One number of a benchmark.

    :param baseline: what it is compared with, in a word or two.
    :param ratio: how many times better than the baseline: 2 is twice as fast or half as large.
    """

    name: str
    value: float
    unit: str
    baseline: str
    ratio: float


def less_is_better(
    name: str, value: float, unit: str, baseline: str, baseline_value: float
) -> Figure:
    """Return a figure such as a time or memory, of which less is better."""
    return Figure(name, float(value), unit, baseline, baseline_value / value)


def more_is_better(
    name: str, value: float, unit: str, baseline: str, baseline_value: float
) -> Figure:
    """Return a figure such as a rate, of which more is better."""
    return Figure(name, float(value), unit, baseline, value / baseline_value)


def add_figures_option(parser: argparse.ArgumentParser) -> None:
    """Let a benchmark be asked for its figures."""
    parser.add_argument(
        '--figures', type=Path, metavar='FILE', help='also write the figures there, as JSON'
    )


def write_figures(figures: Sequence[Figure], path: Path | None) -> None:
    """Write the figures where they were asked for."""
    if path is not None:
        path.write_text(json.dumps([asdict(figure) for figure in figures], indent=1) + '\n')


def read_figures(path: Path) -> tuple[Figure, ...]:
    """Read what ``write_figures`` wrote."""
    return tuple(Figure(**entry) for entry in json.loads(path.read_text()))
