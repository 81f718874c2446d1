"""How far an evaluation of several bags is: images, rate, time left."""

import time

from rich.console import Console
from rich.progress import BarColumn
from rich.progress import MofNCompleteColumn
from rich.progress import Progress
from rich.progress import TaskID
from rich.progress import TextColumn
from rich.progress import TimeRemainingColumn

SECONDS_BETWEEN_LINES = 20.0  # where there is no terminal


class BagProgress:
    """
    Shows progress on stderr, as bars or, without a terminal, a line now and then.

    :param names: of the tasks.
    :param images: of each.
    """

    def __init__(self, names: list[str], images: list[int]) -> None:
        self._names = names
        self._images = images
        self._done = [0] * len(names)
        self._before: dict[int, int] = {}  # images that were done already when a task began
        self._console = Console(stderr=True)
        self._bars: Progress | None = None
        self._total: TaskID | None = None
        self._tasks: dict[int, TaskID] = {}
        self._began_s = self._said_s = time.monotonic()

    def __enter__(self) -> 'BagProgress':
        """Begin to count the time."""
        self._began_s = self._said_s = time.monotonic()
        if self._console.is_terminal:
            self._bars = Progress(
                TextColumn('{task.description}'),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn('{task.fields[rate]}'),
                TimeRemainingColumn(),
                console=self._console,
                transient=True,
            )
            self._bars.start()
            self._total = self._bars.add_task('all', total=sum(self._images), rate='')
        return self

    def __exit__(self, *exception: object) -> None:
        """Remove the bars."""
        if self._bars is not None:
            self._bars.stop()

    def update(self, task: int, images: int) -> None:
        """Take note that so many images of a task are done."""
        if task not in self._before:
            self._before[task] = images
            if images:
                self._say(f'{self._names[task]}: {images} images were done before')
        self._done[task] = images
        if self._bars is not None:
            self._show_bars(task)
        elif self._is_time_for_a_line(task):
            self._said_s = time.monotonic()
            self._say(self._line())

    def _say(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _is_time_for_a_line(self, task: int) -> bool:
        if self._done[task] == self._images[task] > self._before[task]:
            return True
        return time.monotonic() - self._said_s > SECONDS_BETWEEN_LINES

    def _rate(self) -> float:
        """Return the images per second of this run."""
        new = sum(self._done) - sum(self._before.values())
        return new / max(time.monotonic() - self._began_s, 1e-9)

    def _line(self) -> str:
        done, total, rate = sum(self._done), sum(self._images), self._rate()
        left = f', {_duration((total - done) / rate)} left' if rate > 0 and done < total else ''
        return f'evaluating: {done} of {total} images, {rate:.1f} images/s{left}'

    def _show_bars(self, task: int) -> None:
        assert self._bars is not None
        assert self._total is not None
        if task not in self._tasks:
            self._tasks[task] = self._bars.add_task(
                self._names[task], total=self._images[task], rate=''
            )
        self._bars.update(self._tasks[task], completed=self._done[task])
        if self._done[task] == self._images[task]:
            self._bars.update(self._tasks[task], visible=False)
        rate = f'{self._rate():.1f} images/s'
        self._bars.update(self._total, completed=sum(self._done), rate=rate)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours}:{minutes:02d} h' if hours else f'{minutes}:{rest:02d} min'
