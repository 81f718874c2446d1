"""What ``prepare`` shows while it works: a bar per drive, and what was understood of each."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn
from rich.progress import MofNCompleteColumn
from rich.progress import Progress
from rich.progress import TaskID
from rich.progress import TextColumn
from rich.progress import TimeRemainingColumn

from training.data.preparation.prepare import DriveIsThere
from training.data.preparation.prepare import PreparedDrive
from training.data.preparation.prepare import Progressed
from training.data.preparation.summary import print_summary
from training.data.preparation.workers import Failed

_SECONDS_BETWEEN_LINES = 60.0


class PrepareScreen:
    """
    Shows the drives of one call; without a terminal, a line now and then.

    :param recordings: what they are made from, in the order in which they are printed.
    """

    def __init__(self, recordings: Sequence[Path], dataset: Path, console: Console) -> None:
        self._names = [str(path) for path in recordings]
        self._dataset = dataset
        self._console = console
        self._outcomes: dict[int, PreparedDrive | DriveIsThere | Failed] = {}
        self._printed = 0
        self._line_s = time.monotonic()
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
    def failed(self) -> bool:
        """Whether there is a drive that could not be made."""
        return any(isinstance(o, Failed) for o in self._outcomes.values())

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
        """Remove the bars; after Ctrl-C say how to go on."""
        self._progress.stop()
        if isinstance(error, KeyboardInterrupt):
            self._print('The same command goes on where this one stops.')

    def name(self, number: int, name: str) -> None:
        """Call a drive by its name from now on."""
        self._names[number] = name
        self._remove_bar(number)

    def show(self, number: int, progressed: Progressed) -> None:
        """Show how far a drive is."""
        if number not in self._bars:
            verb = 'open' if progressed.total is None else 'prepare'
            self._bars[number] = self._progress.add_task(
                f'{verb} {self._names[number]}', total=progressed.total
            )
        self._progress.update(self._bars[number], completed=progressed.done)
        if progressed.remark is not None:
            self._print(f'{self._names[number]}: {progressed.remark}')
        now_s = time.monotonic()
        if not self._console.is_terminal and now_s > self._line_s + _SECONDS_BETWEEN_LINES:
            self._line_s = now_s
            of = '' if progressed.total is None else f' of {progressed.total} frames'
            self._print(f'{self._names[number]}: {progressed.done}{of}')

    def end(self, number: int, outcome: PreparedDrive | DriveIsThere | Failed) -> None:
        """Take a drive's outcome, and print those that are due."""
        self._outcomes[number] = outcome
        self._remove_bar(number)
        while self._printed in self._outcomes:
            self._print_outcome(self._outcomes[self._printed])
            self._printed += 1

    def print_result(self) -> None:
        """Print what there is now, what failed, and what to do next."""
        outcomes = [self._outcomes[number] for number in range(len(self._names))]
        made = [o for o in outcomes if isinstance(o, PreparedDrive)]
        there = [o for o in outcomes if isinstance(o, DriveIsThere)]
        failures = [(n, o.message) for n, o in zip(self._names, outcomes) if isinstance(o, Failed)]
        if len(outcomes) > 1:
            counts = ((made, 'prepared'), (there, 'already there'), (failures, 'failed'))
            frames = [frame for o in made for frame in o.drive.frames]
            kept = sum(frame.dropped is None for frame in frames)
            words = [f'{len(which)} {what}' for which, what in counts if which]
            words += [f'{kept} frames kept of {len(frames)}'] if made else []
            self._print(f'{len(outcomes)} drives: {", ".join(words)}')
        if made or there:
            self._print(f'Next: python -m training check {self._dataset}')
        sys.stdout.flush()
        for name, message in failures:
            who = '' if message.startswith(name) else f'{name}: '
            print(f'error: {who}{message}', file=sys.stderr)

    def _print_outcome(self, outcome: PreparedDrive | DriveIsThere | Failed) -> None:
        if isinstance(outcome, PreparedDrive):
            print_summary(outcome, self._console)
        elif isinstance(outcome, DriveIsThere):
            self._print(f'{outcome.folder}: already prepared; --overwrite makes it again')

    def _remove_bar(self, number: int) -> None:
        if number in self._bars:
            self._progress.remove_task(self._bars.pop(number))

    def _print(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)
