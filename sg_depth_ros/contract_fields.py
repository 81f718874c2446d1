"""Strict JSON, and typed access to its fields: every error names the field."""

import json
import math
import re
import unicodedata
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from sg_depth_ros.errors import UserError

# Of text: what would break a line, a terminal or its encoding. Unicode's general categories:
# control characters, halves of surrogate pairs, line and paragraph separators.
_UNPRINTABLE = frozenset({'Cc', 'Cs', 'Zl', 'Zp'})


def parse_json(text: str) -> 'Fields':
    """
    Parse one JSON object, more strictly than Python does.

    :raises UserError: for what is no JSON object, for a name given twice, and for NaN and
        Infinity, which are no JSON (RFC 8259, section 6).
    """
    try:
        document = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_number)
    except UserError:
        raise
    except (ValueError, RecursionError) as error:  # ValueError: also for an endless integer
        raise UserError(f'the contract is not JSON ({error})') from error
    if not isinstance(document, dict):
        raise UserError('the contract is not a JSON object')
    return Fields(document)


class Fields:
    """
    The fields of a JSON object, each checked where it is read.

    :param document: the object.
    :param path: of the object within the whole, such as ``intrinsics_px.``
    """

    def __init__(self, document: Mapping[str, Any], path: str = '') -> None:
        self._document = document
        self._path = path
        self._read: set[str] = set()

    def __iter__(self) -> Iterator[str]:
        return iter(self._document)

    def wrong(self, name: str, reason: str) -> UserError:
        """Return the error that says why a field is refused."""
        return UserError(f'contract field {_quoted(self._path + name)} {reason}')

    def value(self, name: str) -> Any:
        """Return whatever the field holds."""
        self._read.add(name)
        if name not in self._document:
            raise self.wrong(name, 'is missing')
        return self._document[name]

    def nothing_else(self) -> None:
        """Refuse fields that nobody read."""
        for name in sorted(set(self._document) - self._read):
            raise self.wrong(name, 'is unknown to this version')

    def within(self, name: str) -> 'Fields':
        """Return the fields of an object within this one."""
        return Fields(self._typed(name, dict, 'an object'), f'{self._path}{name}.')

    def boolean(self, name: str) -> bool:
        """Return true or false."""
        value: bool = self._typed(name, bool, 'true or false')
        return value

    def integer(self, name: str, smallest: int, largest: int) -> int:
        """Return an integer of a range, both ends included."""
        value: int = self._typed(name, int, 'an integer')
        if not smallest <= value <= largest:
            raise self.wrong(name, f'is {brief(value)}, not within {smallest} to {largest}')
        return value

    def number(self, name: str, smallest: float = -math.inf, largest: float = math.inf) -> float:
        """Return a finite number of a range, both ends included."""
        value = self._typed(name, (int, float), 'a number')
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise self.wrong(name, f'is {brief(value)}, not finite')
        if not smallest <= number <= largest:
            raise self.wrong(name, f'is {brief(value)}, not within {smallest:g} to {largest:g}')
        return number

    def numbers(self, name: str, longest_name: int, most: int) -> dict[str, float]:
        """Return an object of finite numbers."""
        fields = self.within(name)
        if len(fields._document) > most:
            raise self.wrong(name, f'holds {len(fields._document)} numbers, more than {most}')
        for key in fields:
            fields._check_text(key, key, longest_name)
        return {key: fields.number(key) for key in fields}

    def one_of(self, name: str, choices: tuple[str, ...]) -> Any:
        """Return one of the choices."""
        value = self.value(name)
        if value not in choices:
            raise self.wrong(name, f'is {brief(value)}, not one of {", ".join(choices)}')
        return value

    def text(self, name: str, longest: int) -> str:
        """Return one line of text that is not empty."""
        return self._check_text(name, self.value(name), longest)

    def matching(self, name: str, pattern: str, meaning: str) -> str:
        """Return a short text that matches a regular expression as a whole."""
        value = self.text(name, 200)
        if not re.fullmatch(pattern, value):
            raise self.wrong(name, f'is {brief(value)}, not {meaning}')
        return value

    def base64(self, name: str) -> str:
        """Return a text whose letters and length whoever decodes it checks."""
        value: str = self._typed(name, str, 'a text')
        return value

    def names(self, name: str, longest: int, most: int) -> tuple[str, ...]:
        """Return a list of different names."""
        values = self._typed(name, list, 'a list of names')
        if not 1 <= len(values) <= most:
            raise self.wrong(name, f'holds {len(values)} names, not 1 to {most}')
        names = tuple(self._check_text(name, value, longest) for value in values)
        for twice in (n for i, n in enumerate(names) if n in names[:i]):
            raise self.wrong(name, f'holds {brief(twice)} twice')
        return names

    def colors(self, name: str) -> tuple[tuple[int, int, int], ...]:
        """Return a list of RGB colors."""
        colors = []
        for value in self._typed(name, list, 'a list of colors'):
            if (
                not isinstance(value, list)
                or len(value) != 3
                or not all(type(v) is int and 0 <= v <= 255 for v in value)
            ):
                raise self.wrong(name, f'holds {brief(value)}, not an RGB color')
            colors.append((value[0], value[1], value[2]))
        return tuple(colors)

    def _typed(self, name: str, kind: 'type | tuple[type, ...]', meaning: str) -> Any:
        value = self.value(name)
        # In Python, true and false are integers.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.wrong(name, f'is {brief(value)}, not {meaning}')
        return value

    def _check_text(self, name: str, value: Any, longest: int) -> str:
        if not isinstance(value, str) or not value:
            raise self.wrong(name, f'holds {brief(value)}, not a text')
        if len(value) > longest:
            raise self.wrong(name, f'is longer than {longest} letters')
        if any(unicodedata.category(letter) in _UNPRINTABLE for letter in value):
            raise self.wrong(name, f'is {brief(value)}, not one printable line')
        return value


def brief(value: Any) -> str:
    """Return a value as an error shows it: on one line, not long."""
    text = ascii(value)
    return text if len(text) <= 40 else text[:37] + '...'


def _quoted(name: str) -> str:
    """Return a name, which may be anyone's invention, between double quotes."""
    text = ascii(name)[1:-1]
    return f'"{text}"' if len(text) <= 80 else f'"{text[:77]}..."'


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise UserError(f'contract field {_quoted(name)} is given twice')
            seen.add(name)
    return document


def _no_number(literal: str) -> None:
    raise UserError(f'the contract holds {literal}, which is no number of JSON')
