"""
What an evaluation has found of a bag so far, on disk, so that it goes on where it was interrupted.

A step is a file of frames, named by its first image; nothing of it is there until all of it is.
What is kept is removed when the whole evaluation is done: it is for going on, not for later.
"""

import json
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any

from sg_depth_ros.evaluation.findings import FrameFinding
from sg_depth_ros.evaluation.finished import finding_from_json
from sg_depth_ros.evaluation.finished import finding_to_json
from sg_depth_ros.output import write_text_atomically

OUTCOME_NAME = 'outcome.json'


@dataclass
class Progress:
    """The first images of a bag, judged by one model."""

    received_ns: list[int] = field(default_factory=list)  # of every image, also damaged ones
    found: list[FrameFinding] = field(default_factory=list)  # of those that could be decoded
    damage: list[str] = field(default_factory=list)  # why the others could not

    @property
    def images(self) -> int:
        """How many images have been looked at."""
        return len(self.received_ns)

    def add(self, other: 'Progress') -> None:
        """Append what was found of the next images."""
        self.received_ns += other.received_ns
        self.found += other.found
        self.damage += other.damage


@dataclass(frozen=True)
class Outcome:
    """How reading a bag to its end went."""

    images: int
    broken_off: str = ''  # why what follows could not be read


class KeptSteps:
    """
    The steps of one model on one bag.

    :param folder: of its own.
    :param key: of all that the findings depend on; steps of another key are not taken.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self._folder = folder
        self._key = key

    def read(self) -> Progress:
        """Read the steps there are, as far as they follow on one another."""
        progress = Progress()
        while (document := self._document(self._path(progress.images))) is not None:
            progress.add(
                Progress(
                    document['received_ns'],
                    [finding_from_json(f) for f in document['found']],
                    document['damage'],
                )
            )
        return progress

    def write(self, first: int, step: Progress) -> None:
        """
        Keep images.

        :param first: the position of the first of them in the bag.
        """
        document = {
            'key': self._key,
            'received_ns': step.received_ns,
            'found': [finding_to_json(f) for f in step.found],
            'damage': step.damage,
        }
        self._write(document, self._path(first))

    def outcome(self) -> Outcome | None:
        """Return how it went, once the whole bag is done; else None."""
        document = self._document(self._folder / OUTCOME_NAME)
        return None if document is None else Outcome(**document['outcome'])

    def finish(self, outcome: Outcome) -> None:
        """Keep that the whole bag is done."""
        document = {'key': self._key, 'outcome': asdict(outcome)}
        self._write(document, self._folder / OUTCOME_NAME)

    def _path(self, first: int) -> Path:
        return self._folder / f'{first:06d}.json'

    def _document(self, path: Path) -> dict[str, Any] | None:
        try:
            document: dict[str, Any] = json.loads(path.read_text())
        except (OSError, ValueError):
            return None
        return document if document.get('key') == self._key else None

    def _write(self, document: dict[str, Any], path: Path) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        write_text_atomically(json.dumps(document), path)
