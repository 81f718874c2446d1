"""Calls from another thread than the one that owns something."""

import threading
from collections.abc import Callable


def raised_in_another_thread(action: Callable[[], object]) -> list[RuntimeError]:
    """Return the RuntimeError that an action raised in a thread of its own, if it did."""
    raised: list[RuntimeError] = []

    def run() -> None:
        try:
            action()
        except RuntimeError as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return raised
