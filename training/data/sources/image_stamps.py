"""When the images of a folder were taken: by their names, or by a file beside them."""

import re
from collections.abc import Iterable
from collections.abc import Sequence
from decimal import Decimal
from decimal import InvalidOperation
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.errors import UserError
from training.data.sources.kitti import read_text
from training.data.sources.kitti_raw import parse_timestamp

STAMP_FILES = ('times.txt', 'timestamps.txt')
_MAX_NS = 2**63 - 1


class StampUnit(NamedTuple):
    """
    How stamps since 1970 are written.

    From 2001 to 2033 they begin with 1 and have these digits; dates, such as 20260131, do not.
    """

    name: str
    digits: int
    nanoseconds: int


UNITS = (
    StampUnit('nanoseconds', 19, 1),
    StampUnit('microseconds', 16, 1_000),
    StampUnit('milliseconds', 13, 1_000_000),
)


class NamedStamps(NamedTuple):
    """The stamps that file names are."""

    stamps_ns: NDArray[np.int64]  # [N], increasing
    unit: str


def in_order(images: Iterable[Path]) -> tuple[Path, ...]:
    """Return images by the numbers in their names: 2.png before 10.png; stamps by time."""
    found = tuple(images)
    if all(_is_epoch_seconds(path.stem) for path in found):
        return tuple(sorted(found, key=lambda path: (_nanoseconds(path.stem), path.name)))
    return tuple(sorted(found, key=_natural_order))


def _natural_order(path: Path) -> tuple[tuple[tuple[int, str], ...], str]:
    parts = re.split(r'(\d+)', path.stem)
    return tuple((int(p), '') if p.isdecimal() else (-1, p) for p in parts), path.name


def stamps_of_names(images: Sequence[Path]) -> NamedStamps | None:
    """
    Return the stamps that the names are, or None where they are something else.

    Names are stamps where all are whole numbers of 19, 16 or 13 digits (ns, us, ms since 1970), or
    seconds since 1970 with a fraction, such as 1305031102.175304.

    :param images: in order.
    :raises UserError: where two names are the same time.
    """
    stems = [path.stem for path in images]
    unit = _common_unit(stems)
    if unit is not None:
        stamps = [int(stem) * unit.nanoseconds for stem in stems]
    elif all(_is_epoch_seconds(stem) for stem in stems):
        stamps = [_nanoseconds(stem) for stem in stems]
    else:
        return None
    for path, before, after in zip(images[1:], stamps, stamps[1:]):
        if after <= before:
            raise UserError(f'{path}: two images of the same time')
    return NamedStamps(np.array(stamps, np.int64), 'seconds' if unit is None else unit.name)


def read_stamp_file(path: Path, count: int) -> NDArray[np.int64]:
    """
    Read a file of stamps, one a line.

    Seconds with a fraction; or ns, us or ms since 1970; or dates and times as KITTI raw's.

    :param count: of the images.
    :return: (count,) ns, increasing.
    :raises UserError: naming the file and the line that is wrong.
    """
    lines = [(n, line.strip()) for n, line in enumerate(read_text(path).splitlines(), start=1)]
    lines = [(n, line) for n, line in lines if line and not line.startswith('#')]
    if len(lines) != count:
        raise UserError(f'{path}: {len(lines)} stamps for {count} images')
    unit = _common_unit([line for _, line in lines])
    stamps: list[int] = []
    for number, line in lines:
        if unit is not None:
            stamp = int(line) * unit.nanoseconds
        elif line.isdecimal() and len(line) > 1:
            # 0 and 5 among 0.1 and 4.9 are seconds; 100000 could be anything.
            raise UserError(
                f'{path}, line {number}: {line!r} may be of any unit; write seconds with a '
                'fraction, or nanoseconds since 1970'
            )
        else:
            try:
                stamp = parse_timestamp(line) if ':' in line else _nanoseconds(line)
            except (InvalidOperation, ValueError) as error:
                raise UserError(f'{path}, line {number}: {line!r} is no time') from error
        if stamps and stamp <= stamps[-1]:
            raise UserError(f'{path}, line {number}: times do not increase ({line!r})')
        stamps.append(stamp)
    return np.array(stamps, np.int64)


def evenly_spaced(count: int, rate_hz: float) -> NDArray[np.int64]:
    """Return stamps in ns from 0."""
    return np.array([round(number / rate_hz * 1e9) for number in range(count)], np.int64)


def _common_unit(words: Sequence[str]) -> StampUnit | None:
    """Return the unit that all of the words are whole numbers of."""
    if not all(word.isdecimal() and word.startswith('1') for word in words):
        return None
    lengths = {len(word) for word in words}
    return next((unit for unit in UNITS if lengths == {unit.digits}), None)


def _is_epoch_seconds(word: str) -> bool:
    whole, point, fraction = word.partition('.')
    return bool(point) and whole.isdecimal() and len(whole) == 10 and fraction.isdecimal()


def _nanoseconds(seconds: str) -> int:
    """Return seconds in ns, exactly: a double has no room for a date with nanoseconds."""
    value = Decimal(seconds)
    if not value.is_finite() or abs(value) * 10**9 > _MAX_NS:
        raise ValueError(f'{seconds!r} is out of range')
    return int((value * 10**9).to_integral_value())
