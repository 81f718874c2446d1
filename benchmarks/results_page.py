"""benchmarks/results.md, and what ``make bench`` prints at its end."""

from collections.abc import Iterable

from benchmarks.comparison import change_of
from benchmarks.comparison import differences
from benchmarks.comparison import figure_before
from benchmarks.results import Measured
from benchmarks.results import Result
from benchmarks.results import Results
from benchmarks.suite import LEFT_OUT

# Load above which others are told to have disturbed: that of the benchmarks themselves, and more
# for every core.
OWN_LOAD = 1.0
BUSY_PER_CORE = 0.5
_MARKS = {'better': '**better**', 'worse': '**worse**', 'same': '', 'new': 'new'}


def results_page(results: Results, last: Results | None) -> str:
    """Return the page, in Markdown, compared with the last results."""
    versions = ', '.join(f'{name} {version}' for name, version in results.versions.items())
    parts = [
        '# Benchmarks\n',
        'Written by `make bench`: what is fast here, held against the straightforward way.\n',
        f'* machine: {results.machine}',
        f'* versions: {versions}\n',
        'The ratio says how many times better than its baseline a figure is, as a median over '
        'rounds with their range: 2 is twice as fast, or half the memory. Ratios carry over to '
        'other machines, times do not. "change" is to the results committed before, and is marked '
        'where the ranges of the rounds lie apart and the medians differ by more than 10 %.\n',
    ]
    if last is not None:
        parts += [f'{sentence}\n' for sentence in differences(results, last)]
    for result in results.results:
        parts += _section(result, results, last)
    left_out = '; '.join(f'{names} ({reason})' for names, reason in LEFT_OUT.items())
    parts.append(
        f'Not run by `make bench`: {left_out}. What a GPU gives is in '
        '[docs/results.md](../docs/results.md).'
    )
    return '\n'.join(parts) + '\n'


def _section(result: Result, results: Results, last: Results | None) -> list[str]:
    lines = [f'## {result.subject}\n']
    told = [f'`{result.command}`', f'{result.date}, commit {result.commit}']
    if result.rounds:
        times = 'once' if result.rounds == 1 else f'{result.rounds} rounds'
        told.append(f'{times} of {result.seconds:.0f} s')
    lines.append('; '.join(told) + '\n')
    if result.failure is not None:
        lines.append(f'**Failed**: {result.failure}\n')
    if result.load > OWN_LOAD + BUSY_PER_CORE * results.machine.cores:
        lines.append(
            f'The machine was busy (load {result.load:.1f} before a round): ratios are blurred.\n'
        )
    if result.figures:
        lines.append('| | value | baseline | ratio | rounds | last | change |')
        lines.append('|---|---:|---|---:|---:|---:|---|')
        # What was not run this time stands as it was, and is not its own comparison.
        is_kept = last is not None and last.of(result.benchmark) == result
        for figure in result.figures:
            before = None if is_kept else figure_before(result, figure, last)
            lines.append(
                _row(figure, before, '' if is_kept else _MARKS[change_of(figure, before)])
            )
        lines.append('')
    return lines


def _row(figure: Measured, before: Measured | None, mark: str) -> str:
    cells = (
        figure.name,
        f'{_number(figure.value)} {figure.unit}',
        figure.baseline,
        _number(figure.ratio),
        _range(figure),
        '' if before is None else _number(before.ratio),
        mark,
    )
    return f'| {" | ".join(cells)} |'


def changed_lines(results: Iterable[Result], last: Results | None) -> list[str]:
    """Return a line for each figure that is better or worse than before, the worse ones first."""
    lines = []
    for result in results:
        for figure in result.figures:
            before = figure_before(result, figure, last)
            change = change_of(figure, before)
            if before is not None and change in ('better', 'worse'):
                lines.append(
                    f'{change}: {result.benchmark}, {figure.name}: {_number(figure.ratio)} times '
                    f'{figure.baseline}, was {_number(before.ratio)}'
                )
    return sorted(lines, reverse=True)


def _range(figure: Measured) -> str:
    ends = [_number(figure.lowest_ratio), _number(figure.highest_ratio)]
    return '' if ends[0] == ends[1] else ' to '.join(ends)


def _number(value: float) -> str:
    """Write three digits, without an exponent; counts as they are."""
    if value.is_integer() and value >= 1:
        return f'{value:.0f}'
    digits = next((d for d, least in ((0, 100), (1, 10), (2, 1), (3, 0.1)) if value >= least), 4)
    return f'{value:.{digits}f}'
