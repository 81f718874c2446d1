"""A progress bar over frames; without a terminal, a line every fifth of the way."""

import time
from collections.abc import Callable
from collections.abc import Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress

Item = TypeVar('Item')
Result = TypeVar('Result')
LINES_WITHOUT_TERMINAL = 5


def map_with_progress(
    function: Callable[[Item], Result], items: Sequence[Item], title: str
) -> list[Result]:
    """Apply a function to every item in turn, and show on stderr how far it is."""
    console = Console(stderr=True)
    if console.is_terminal:
        # A context, so that the bar is gone before an error is printed.
        with Progress(console=console) as progress:
            return [function(item) for item in progress.track(items, description=title)]
    results = []
    started_s = time.monotonic()
    for number, item in enumerate(items, start=1):
        results.append(function(item))
        if number * LINES_WITHOUT_TERMINAL % len(items) < LINES_WITHOUT_TERMINAL:
            rate = number / max(time.monotonic() - started_s, 1e-9)
            console.print(f'{title} {number}/{len(items)}, {rate:.1f} frames/s', highlight=False)
    return results
