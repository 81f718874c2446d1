"""Work on items while the next ones are being made, and hand the results out in order."""

from collections import deque
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar('Item')
Result = TypeVar('Result')


def in_order(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int, most_waiting: int
) -> Iterator[Result]:
    """
    Yield ``function(item)`` of every item, in their order.

    :param function: called in other threads than the one that makes the items.
    :param most_waiting: so many items may be waiting before no more are made.
    """
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                while waiting and (len(waiting) > most_waiting or waiting[0].done()):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
