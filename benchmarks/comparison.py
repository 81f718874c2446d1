"""What changed since the last results by more than rounds differ from each other."""

from typing import Literal

from benchmarks.results import Measured
from benchmarks.results import Result
from benchmarks.results import Results

# Rounds of one run are more alike than runs of different days.
LEAST_CHANGE = 0.1

Change = Literal['better', 'worse', 'same', 'new']


def change_of(now: Measured, before: Measured | None) -> Change:
    """
    Compare two ratios.

    :return: better or worse where the rounds' ranges lie apart and the medians differ by more
        than ``LEAST_CHANGE``.
    """
    if before is None:
        return 'new'
    apart = now.lowest_ratio > before.highest_ratio or now.highest_ratio < before.lowest_ratio
    if not apart or abs(now.ratio / before.ratio - 1) <= LEAST_CHANGE:
        return 'same'
    return 'better' if now.ratio > before.ratio else 'worse'


def figure_before(result: Result, figure: Measured, last: Results | None) -> Measured | None:
    """Return what a figure was in the results before."""
    before = None if last is None else last.of(result.benchmark)
    if before is None or before.command != result.command:
        return None  # with other settings it is another figure
    alike = (f for f in before.figures if (f.name, f.baseline) == (figure.name, figure.baseline))
    return next(alike, None)


def differences(now: Results, last: Results) -> tuple[str, ...]:
    """Return, in sentences, why the figures may differ without any change of the code."""
    sentences = []
    if now.machine != last.machine:
        sentences.append(f'The last results are of another machine: {last.machine}.')
    names = [*now.versions, *(name for name in last.versions if name not in now.versions)]
    changed = [
        f'{name} {last.versions.get(name, "absent")} then, {now.versions.get(name, "absent")} now'
        for name in names
        if now.versions.get(name) != last.versions.get(name)
    ]
    if changed:
        sentences.append(f'Versions differ: {"; ".join(changed)}.')
    return tuple(sentences)
