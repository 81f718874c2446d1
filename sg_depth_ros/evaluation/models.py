"""The models of an evaluation and what tables call them."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from sg_depth_ros.errors import UserError


class NamedModel(NamedTuple):
    """A depth checkpoint or ``model.onnx``."""

    name: str
    path: Path

    @property
    def folder_name(self) -> str:
        """The name as that of a folder."""
        return folder_name(self.name)


def folder_name(name: str) -> str:
    """Return a name as that of a folder."""
    return ''.join(c if c.isalnum() or c in '._-' else '_' for c in name)


def named_models(
    words: Sequence[str], kinds: str = 'a depth checkpoint or model.onnx'
) -> tuple[NamedModel, ...]:
    """
    Read ``FILE`` or ``NAME=FILE``; a file without a name has that of its path's distinct end.

    :param kinds: of files that the command takes, for messages.
    :raises UserError: where a file is missing or two models have one name.
    """
    given = [_split(word) for word in words]
    for _, path in given:
        if not path.is_file():
            raise UserError(f'{path}: no such model; give {kinds}')
    ends = distinct_ends([path for name, path in given if not name])
    models = tuple(NamedModel(name or ends[path], path) for name, path in given)
    counted = Counter(model.folder_name for model in models)
    for model in models:
        if counted[model.folder_name] > 1:
            raise UserError(f'{model.name}: two models of this name; give others with NAME=FILE')
    return models


def distinct_ends(paths: Sequence[Path]) -> dict[Path, str]:
    """Return as much of the end of each path as tells it from the others."""
    parts = {path: path.absolute().parts for path in paths}
    for length in range(1, max(map(len, parts.values()), default=0) + 1):
        ends = {path: '/'.join(p[-length:]) for path, p in parts.items()}
        if len(set(ends.values())) == len(ends):
            return ends
    return {path: path.name for path in paths}


def _split(word: str) -> tuple[str, Path]:
    name, equals, path = word.partition('=')
    if equals and name and not Path(word).exists():
        return name, Path(path)
    return '', Path(word)
