"""What ``prepare`` shows while it works: a bar per drive, and what was understood of each."""

from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn
from rich.progress import MofNCompleteColumn
from rich.progress import Progress
from rich.progress import TaskID
from rich.progress import TextColumn
from rich.progress import TimeRemainingColumn

from training.data.prepare import DriveIsThere
from training.data.prepare import PreparedDrive
from training.data.prepare import Progressed
from training.data.prepare_summary import print_summary
from training.data.prepare_tasks import Failed
from training.data.prepare_tasks import Outcome


class PrepareScreen:
    """
    Shows the drives of one call.

    :param names: of the drives, in the order given, in which their summaries are printed.
    """

    def __init__(self, names: tuple[str, ...], dataset: Path, console: Console) -> None:
        self._names = names
        self._dataset = dataset
        self._console = console
        self._outcomes: dict[int, Outcome] = {}
        self._printed = 0
        self._bars: dict[int, TaskID] = {}
        self._progress = Progress(
            TextColumn('{task.description}'),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    @property
    def failures(self) -> tuple[tuple[str, str], ...]:
        """Names of the drives that could not be made, and why, in the order given."""
        return tuple(
            (self._names[number], outcome.message)
            for number, outcome in sorted(self._outcomes.items())
            if isinstance(outcome, Failed)
        )

    def __enter__(self) -> 'PrepareScreen':
        """Show the bars."""
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the bars; say how to go on after Ctrl-C."""
        self._progress.stop()
        if isinstance(error, KeyboardInterrupt):
            self._console.print('The same command goes on where this one stops.')

    def show(self, number: int, progressed: Progressed) -> None:
        """Show how far a drive is."""
        if number not in self._bars:
            self._bars[number] = self._progress.add_task(
                f'prepare {self._names[number]}', total=progressed.total
            )
        self._progress.update(self._bars[number], completed=progressed.done)
        if progressed.remark is not None:
            self._print_line(f'{self._names[number]}: {progressed.remark}')

    def end(self, number: int, outcome: Outcome) -> None:
        """Take a drive's outcome, and print those that are due."""
        self._outcomes[number] = outcome
        if number in self._bars:
            self._progress.remove_task(self._bars.pop(number))
        while self._printed in self._outcomes:
            self._print_outcome(self._names[self._printed], self._outcomes[self._printed])
            self._printed += 1

    def print_result(self) -> None:
        """Print what there is now, and what to do next."""
        made = [o for o in self._outcomes.values() if isinstance(o, PreparedDrive)]
        there = sum(isinstance(o, DriveIsThere) for o in self._outcomes.values())
        words = [f'{len(made)} prepared'] if made else []
        words += [f'{there} already there'] if there else []
        words += [f'{len(self.failures)} failed'] if self.failures else []
        if len(self._names) > 1:
            frames = [f for o in made for f in o.drive.frames]
            kept = sum(f.dropped is None for f in frames)
            text = f', {kept} frames kept of {len(frames)}' if made else ''
            self._print_line(f'{len(self._names)} drives: {", ".join(words)}{text}')
        if made or there:
            self._print_line(f'Next: python -m training check {self._dataset}')

    def _print_outcome(self, name: str, outcome: Outcome) -> None:
        if isinstance(outcome, PreparedDrive):
            print_summary(outcome, self._console)
        elif isinstance(outcome, DriveIsThere):
            self._print_line(f'{outcome.folder}: already prepared; --overwrite makes it again')
        else:
            self._print_line(f'{name}: failed, see below')

    def _print_line(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)
