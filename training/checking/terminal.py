"""The check on the terminal: one row per drive, then what was found."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from training.checking.camera import describe_camera
from training.checking.drive_check import DriveCheck
from training.checking.finding import Finding
from training.checking.finding import by_weight
from training.checking.summary import HEADINGS
from training.checking.summary import summary_row

_COLORS = {'error': 'bold red', 'warning': 'yellow', 'note': 'dim'}


def print_check(checks: Sequence[DriveCheck], console: Console) -> None:
    """Print the table of drives, their cameras, and every finding."""
    drives = Table(title_justify='left')
    for number, heading in enumerate(HEADINGS):
        drives.add_column(heading, justify='left' if number == 0 else 'right')
    for check in checks:
        drives.add_row(*summary_row(check))
    console.print(drives)
    for check in checks:
        console.print(f'{check.drive.name}: {describe_camera(check.drive)}', highlight=False)
    found = by_weight(f for check in checks for f in check.findings)
    console.print(_findings_table(found))


def _findings_table(findings: Sequence[Finding]) -> Table:
    table = Table(title_justify='left', show_lines=True)
    for heading in ('', 'drive', 'what', 'measured', 'what to do'):
        table.add_column(heading, overflow='fold')
    for finding in findings:
        color = _COLORS[finding.level]
        table.add_row(
            f'[{color}]{finding.level}[/]',
            finding.drive,
            finding.what,
            finding.number,
            finding.advice,
        )
    return table
