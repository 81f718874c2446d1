"""An evaluation for people: tables on the terminal, and as Markdown to paste."""

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.console import Group
from rich.table import Table as TerminalTable
from rich.text import Text

from sg_depth_ros.evaluation.findings import Findings
from sg_depth_ros.evaluation.tables import all_tables
from sg_depth_ros.evaluation.tables import difference_sentences
from sg_depth_ros.report.page import Table
from sg_depth_ros.report.page import cell_text

WIDTH_WITHOUT_TERMINAL = 110


def print_tables(models: tuple[Findings, ...], console: Console | None = None) -> None:
    """Print what was measured, and in one sentence what could not be."""
    if console is None:
        console = Console()
        if not console.is_terminal:
            console = Console(width=WIDTH_WITHOUT_TERMINAL)
    for caution in cautions(models):
        console.print(caution, style='yellow', markup=False, highlight=False)
    for table in all_tables(models):
        console.print(terminal_table(table))
    for sentence in difference_sentences(models):
        console.print(sentence, markup=False, highlight=False)


def markdown(models: tuple[Findings, ...]) -> str:
    """Return all tables as Markdown."""
    files = ', '.join(f'{m.name} ({m.contract.width}x{m.contract.height})' for m in models)
    blocks = [f'Depth of {files} on {models[0].dataset}.', *cautions(models)]
    for table in all_tables(models):
        blocks += [table.caption, _markdown_table(table)]
    blocks += difference_sentences(models)
    return '\n\n'.join(blocks) + '\n'


def cautions(models: tuple[Findings, ...]) -> tuple[str, ...]:
    """Return what a reader of the numbers must know."""
    found = []
    if not any(m.summary.images for m in models):
        found.append(
            f'No frame of {models[0].dataset} has measured depth: how wrong its depth is, and '
            'whether its metres are metres, cannot be judged here.'
        )
    scaleless = [m.name for m in models if not m.contract.metric]
    if scaleless:
        found.append(
            f'Without a scale: {", ".join(scaleless)}. Depth is right up to one factor only, so '
            'look at the median-scaled numbers.'
        )
    return tuple(found)


def terminal_table(table: Table) -> Group:
    """Return a table of a page as one of the terminal, its caption above."""
    shown = TerminalTable(box=SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(table.columns):
        shown.add_column(Text(column), justify='left' if number == 0 else 'right')
    for row in table.rows:
        # As Text: in a string, rich takes a name in brackets for markup.
        shown.add_row(*(Text(cell_text(cell, table.decimals)) for cell in row))
    # Not as its title, which would be broken at the width of the table.
    return Group(Text(table.caption, style='italic'), shown)


def _markdown_table(table: Table) -> str:
    lines = [table.columns, ('---', *['---:'] * (len(table.columns) - 1))]
    lines += [tuple(cell_text(cell, table.decimals) for cell in row) for row in table.rows]
    return '\n'.join(
        f'| {" | ".join(c.replace("|", chr(92) + "|") for c in line)} |' for line in lines
    )
