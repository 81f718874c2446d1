"""What the node says of itself in /diagnostics, as numbers."""

from collections.abc import Iterable
from typing import Any
from typing import NamedTuple

_MEASURED = {  # name here -> part and key of the diagnostics
    'frames_received': ('input', 'frames_received'),
    'frames_dropped': ('input', 'frames_dropped'),
    'frames_rejected': ('input', 'frames_rejected'),
    'frames_failed': ('processing', 'frames_failed'),
    'processing_p50_ms': ('processing', 'processing_time_ms_p50'),
    'processing_p95_ms': ('processing', 'processing_time_ms_p95'),
    'inference_p50_ms': ('processing', 'inference_time_ms_p50'),
    'inference_p95_ms': ('processing', 'inference_time_ms_p95'),
}


class NodeNumbers(NamedTuple):
    """
    The node's own counts since it became active, and its times over the last ten seconds.

    None: not told, or not known.
    """

    frames_received: float | None = None
    frames_dropped: float | None = None  # for a newer one
    frames_rejected: float | None = None  # could not be decoded
    frames_failed: float | None = None  # of which the work raised
    processing_p50_ms: float | None = None  # decoding, network, publishing
    processing_p95_ms: float | None = None
    inference_p50_ms: float | None = None  # the network alone
    inference_p95_ms: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the numbers by name."""
        return self._asdict()


def read_node_numbers(statuses: Iterable[Any]) -> NodeNumbers:
    """
    Read the statuses of a diagnostic_msgs/DiagnosticArray.

    :param statuses: named ``NODE: PART``.
    """
    told = {
        (status.name.rpartition(' ')[2], pair.key): pair.value
        for status in statuses
        for pair in status.values
    }
    return NodeNumbers(**{name: _number(told.get(place)) for name, place in _MEASURED.items()})


def _number(text: str | None) -> float | None:
    if text is None or text.isdigit():
        return None if text is None else int(text)
    try:
        value = float(text)
    except ValueError:
        return None
    return value if value == value else None
