"""What a check says: one finding, its level, and what to do about it."""

from collections.abc import Iterable
from typing import Literal
from typing import NamedTuple
from typing import TypeAlias

Level: TypeAlias = Literal['error', 'warning', 'note']
Subject: TypeAlias = Literal[
    'brightness',
    'camera',
    'damaged images',
    'duplicates',
    'focal length',
    'poses',
    'principal point',
    'rotation only',
    'speed',
    'speed offset',
    'speed unit',
    'stamps',
    'static',
    'test drive',
    'triplets',
]

LEVELS: tuple[Level, ...] = ('error', 'warning', 'note')  # the worst first


class Finding(NamedTuple):
    """One thing to know about a drive."""

    level: Level
    drive: str
    subject: Subject
    what: str  # a sentence without its full stop
    number: str  # what was measured
    advice: str = ''  # what to do, a sentence without its full stop


def by_weight(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Order findings from the worst; equals stay as they came."""
    return tuple(sorted(findings, key=lambda f: LEVELS.index(f.level)))


def percent(share: float) -> str:
    """Return a share for people."""
    return f'{100 * share:.0f} %' if share >= 0.01 or share == 0 else f'{100 * share:.1f} %'


def frame_list(frames: Iterable[int], most: int = 6) -> str:
    """Name frames, the first few of many."""
    numbers = list(frames)
    text = ', '.join(f'{n:06d}' for n in numbers[:most])
    return text + (f' and {len(numbers) - most} more' if len(numbers) > most else '')
