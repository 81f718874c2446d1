"""Reading a checkpoint file: plain entries and tensors only, nothing in it can run code."""

import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sg_depth_ros.errors import UserError

STATE_KEY = 'state_dict'
# Attributes of the Lightning modules, which keep every network under one of these.
NETWORK_PREFIX = 'network.'
POSE_PREFIX = 'pose.'


def read_checkpoint(path: Path, advice: str) -> dict[str, Any]:
    """
    Read a checkpoint's entries on the CPU.

    :param advice: what to do instead, for messages.
    :raises UserError: where the file is missing, damaged or no checkpoint.
    """
    content = _read(path, advice)
    if not isinstance(content, dict) or not isinstance(content.get(STATE_KEY), dict):
        raise UserError(f'{path}: holds no network ({STATE_KEY} is missing); {advice}')
    return content


def read_weights(path: Path, advice: str) -> dict[str, Tensor]:
    """
    Read a file that holds a state dict and nothing else, on the CPU.

    :param advice: what to do instead, for messages.
    :raises UserError: where the file is missing, damaged or holds something else.
    """
    content = _read(path, advice)
    if not isinstance(content, dict) or not content:
        raise UserError(f'{path}: holds no weights by name; {advice}')
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise UserError(f'{path}: {key!r} is no tensor, but {type(value).__name__}; {advice}')
    return dict(content)


def _read(path: Path, advice: str) -> Any:
    try:
        return torch.load(path, map_location='cpu', weights_only=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f'{path}: cannot be read ({reason}); {advice}') from error
    except (RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise UserError(f'{path}: no checkpoint, or a damaged one; {advice}') from error


def state_below(content: dict[str, Any], prefix: str) -> dict[str, Tensor]:
    """Return the tensors of one part of a checkpoint, by their names in that part."""
    return {
        key.removeprefix(prefix): value
        for key, value in content[STATE_KEY].items()
        if key.startswith(prefix)
    }
