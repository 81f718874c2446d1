"""
Reading files that other projects wrote with ``torch.save``, without running anything in them.

A checkpoint of packnet-sfm holds its configuration, an object of the class yacs.config.CfgNode,
which torch refuses to build when it loads weights only. That class adds nothing to a dictionary
that we need, so a stand-in that makes a plain dictionary takes its place while the file is read.
"""

import pickle
import re
from collections import OrderedDict
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from sg_depth_ros.errors import UserError

SAVE_WEIGHTS_ALONE = (
    'where the file was made, save its weights alone: python -c "import torch; '
    "c = torch.load('{name}', map_location='cpu'); torch.save(c['state_dict'], 'weights.pth')\""
)


class CfgNode:
    """Stands in for the configuration class of yacs: a dictionary is made in its place."""

    __module__ = 'yacs.config'  # a file names the class by it

    def __new__(cls) -> 'OrderedDict[str, Any]':  # type: ignore[misc]
        """Make what torch lets a file fill: an ordered dictionary."""
        return OrderedDict()


def read_entries(path: Path, advice: str) -> dict[str, Any]:
    """
    Read a file of tensors and plain values by name, on the CPU; nothing in it is run.

    :param path: written with ``torch.save``, by torch 0.4 or later.
    :param advice: what to do instead, for messages.
    :raises UserError: where the file is missing, damaged, or holds what could run code.
    """
    try:
        # A set is among a CfgNode's attributes, and torch 2.4 does not know it as harmless.
        with _allowed(CfgNode, set):
            content = torch.load(path, map_location='cpu', weights_only=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f'{path}: cannot be read ({reason}); {advice}') from error
    except (RuntimeError, EOFError, LookupError, ValueError, pickle.UnpicklingError) as error:
        refused = re.search(r'GLOBAL (\S+)', str(error))
        if refused is None:
            raise UserError(f'{path}: no file of torch, or a damaged one; {advice}') from error
        raise UserError(
            f'{path}: holds {refused[1]}, which is not loaded because it could run code; '
            + SAVE_WEIGHTS_ALONE.format(name=path.name)
        ) from error
    if not isinstance(content, Mapping) or not all(isinstance(key, str) for key in content):
        raise UserError(f'{path}: holds no tensors by name; {advice}')
    return dict(content)


@contextmanager
def _allowed(*classes: type) -> Iterator[None]:
    """Let torch build these classes; torch 2.4 has no ``safe_globals`` that ends by itself."""
    before = list(torch.serialization.get_safe_globals())
    torch.serialization.add_safe_globals(list(classes))
    try:
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)
