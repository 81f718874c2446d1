"""The figures of ``make bench`` on disk: benchmarks/results.json, of which results.md is made."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure
from benchmarks.machine import Machine

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Measured:
    """A figure over several rounds: medians, and the range of its ratio."""

    name: str
    value: float
    unit: str
    baseline: str
    ratio: float
    lowest_ratio: float
    highest_ratio: float


@dataclass(frozen=True)
class Result:
    """What became of one benchmark."""

    benchmark: str
    subject: str
    command: str
    date: str  # ISO
    commit: str
    rounds: int  # that ended well
    seconds: float  # of one round
    load: float  # of the machine just before, the highest of the rounds
    figures: tuple[Measured, ...]
    failure: str | None = None


@dataclass(frozen=True)
class Results:
    """Everything that was measured on one machine with the same packages."""

    machine: Machine
    versions: dict[str, str]
    results: tuple[Result, ...]

    def of(self, benchmark: str) -> Result | None:
        """Return the result of a benchmark by its name."""
        return next((r for r in self.results if r.benchmark == benchmark), None)


def over_rounds(rounds: Sequence[Sequence[Figure]]) -> tuple[Measured, ...]:
    """
    Put the rounds of a benchmark together, by the figures' names and baselines.

    :param rounds: not empty; a figure that a round lacks is taken from the others.
    """
    alike: dict[tuple[str, str], list[Figure]] = {}
    for figures in rounds:
        for figure in figures:
            alike.setdefault((figure.name, figure.baseline), []).append(figure)
    return tuple(_measured(figures) for figures in alike.values())


def _measured(figures: Sequence[Figure]) -> Measured:
    first, ratios = figures[0], [figure.ratio for figure in figures]
    return Measured(
        name=first.name,
        value=statistics.median(figure.value for figure in figures),
        unit=first.unit,
        baseline=first.baseline,
        ratio=statistics.median(ratios),
        lowest_ratio=min(ratios),
        highest_ratio=max(ratios),
    )


def results_text(results: Results) -> str:
    """Return the results as JSON."""
    document = {'format_version': FORMAT_VERSION, **asdict(results)}
    return json.dumps(_rounded(document), indent=1, allow_nan=False) + '\n'


def parse_results(text: str) -> Results | None:
    """Return what ``results_text`` wrote, or None where it is of another version or damaged."""
    try:
        document = json.loads(text)
        if document['format_version'] != FORMAT_VERSION:
            return None
        return Results(
            Machine(**document['machine']),
            document['versions'],
            tuple(
                Result(**{**entry, 'figures': tuple(Measured(**f) for f in entry['figures'])})
                for entry in document['results']
            ),
        )
    except (ValueError, KeyError, TypeError):
        return None


def merged(new: Results, last: Results | None, order: Sequence[str]) -> Results:
    """
    Return new results, and those that were not measured again but are comparable.

    :param order: of the benchmarks' names.
    """
    kept: tuple[Result, ...] = ()
    if last is not None and (last.machine, last.versions) == (new.machine, new.versions):
        measured = {r.benchmark for r in new.results}
        kept = tuple(r for r in last.results if r.benchmark not in measured)
    known = [r for r in (*new.results, *kept) if r.benchmark in order]
    results = sorted(known, key=lambda r: order.index(r.benchmark))
    return Results(new.machine, new.versions, tuple(results))


def write_results(results: Results, path: Path) -> None:
    """Write the JSON."""
    path.write_text(results_text(results))


def _rounded(value: Any) -> Any:
    """Keep four digits: what follows is noise, and would change in every commit."""
    if isinstance(value, float):
        return float(f'{value:.4g}')
    if isinstance(value, dict):
        return {key: _rounded(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(entry) for entry in value]
    return value
