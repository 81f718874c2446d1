"""
Filling a network with tensors that another project named.

Names are mapped by module: ``{'decoder.0.conv.conv': 'levels.0.conv_in.0'}`` maps the weight and
the bias below it, and a module that holds others maps all of them.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch import nn

from sg_depth_ros.errors import UserError

WRAPPER = 'module.'  # what torch's DataParallel and DistributedDataParallel put before a name
# Files of before torch 0.4.1 do not count batches, and no one needs the count.
DISPENSABLE = '.num_batches_tracked'


class Source(NamedTuple):
    """
    Tensors of somebody's file that belong to one network.

    :param where: the file, for messages.
    :param weights: by their names in that network.
    :param prefix: what precedes those names in the file.
    """

    where: str
    weights: Mapping[str, Tensor]
    prefix: str = ''

    def below(self, prefix: str) -> 'Source':
        """Return the part whose names start so."""
        weights = {
            key.removeprefix(prefix): value
            for key, value in self.weights.items()
            if key.startswith(prefix)
        }
        return Source(self.where, weights, self.prefix + prefix)

    def channels(self, key: str, axis: int = 0) -> int:
        """
        Return the size of a tensor along an axis.

        :raises UserError: where it is missing.
        """
        if key not in self.weights or self.weights[key].ndim <= axis:
            raise UserError(f'{self.where}: {self.prefix}{key} is missing')
        return self.weights[key].shape[axis]


def without_wrappers(weights: Mapping[str, Tensor], where: str) -> Source:
    """
    Return the tensors without the ``module.`` that parallel training puts into their names.

    :raises UserError: where two names become one.
    """
    found: dict[str, Tensor] = {}
    for key, value in weights.items():
        name = ''.join(f'.{part}' for part in key.split('.') if f'{part}.' != WRAPPER)[1:]
        if name in found:
            raise UserError(f'{where}: {name} is there twice, with and without "{WRAPPER}"')
        found[name] = value
    return Source(where, found)


def fit(
    module: nn.Module,
    source: Source,
    names: Mapping[str, str],
    what: str,
    unused: tuple[str, ...] = (),
) -> None:
    """
    Fill a network: every tensor of both sides is used once, or nothing is.

    :param module: the network to fill.
    :param source: somebody's tensors.
    :param names: their modules -> ours; an empty name is the network itself.
    :param what: the network's name, for messages.
    :param unused: their modules that we have no use for.
    :raises UserError: naming the first key that does not fit, is missing or has another shape.
    """
    expected = module.state_dict()
    ours_to_theirs = {ours: theirs for theirs, ours in names.items()}
    assert len(ours_to_theirs) == len(names), 'two of their modules go to one of ours'
    full = source.prefix.__add__
    fitting: dict[str, str] = {}  # our key -> theirs
    for key in source.weights:
        if any(f'{key}.'.startswith(f'{left}.') for left in unused):
            continue
        goal = rename(key, names)
        if goal not in expected or goal in fitting:
            raise UserError(f'{source.where}: {full(key)} is no part of {what}')
        fitting[goal] = key
    for goal, ours in expected.items():
        if goal not in fitting:
            if goal.endswith(DISPENSABLE):
                continue
            missing = full(rename(goal, ours_to_theirs) or goal)
            raise UserError(f'{source.where}: {missing} of {what} is missing')
        theirs = source.weights[fitting[goal]]
        if theirs.shape != ours.shape:
            raise UserError(
                f'{source.where}: {full(fitting[goal])} has shape {tuple(theirs.shape)}, where '
                f'{what} has {tuple(ours.shape)}'
            )
    with torch.no_grad():
        for goal, key in fitting.items():
            expected[goal].copy_(source.weights[key])


def rename(name: str, names: Mapping[str, str]) -> str | None:
    """
    Rename the longest module in a name that is mapped.

    :return: the new name, None where no module in it is mapped.
    """
    parts = name.split('.')
    for count in range(len(parts), -1, -1):
        module = '.'.join(parts[:count])
        if module in names:
            return '.'.join(part for part in (names[module], *parts[count:]) if part)
    return None
