"""A progress bar over frames; without a terminal, a line every fifth of the way."""

import time
from collections.abc import Iterable
from collections.abc import Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress

Item = TypeVar('Item')
LINES_WITHOUT_TERMINAL = 5


def with_progress(items: Iterable[Item], count: int, title: str) -> Iterator[Item]:
    """Pass items on as they come, ``count`` of them, and show on stderr how far it is."""
    console = Console(stderr=True)
    if console.is_terminal:
        # A context, so that the bar is gone before an error is printed.
        with Progress(console=console) as progress:
            yield from progress.track(items, total=count, description=title)
        return
    started_s = time.monotonic()
    for number, item in enumerate(items, start=1):
        yield item
        if number * LINES_WITHOUT_TERMINAL % count < LINES_WITHOUT_TERMINAL:
            rate = number / max(time.monotonic() - started_s, 1e-9)
            console.print(f'{title} {number}/{count}, {rate:.1f} frames/s', highlight=False)
