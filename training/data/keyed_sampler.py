"""
A sampler that hands out (sample, epoch), so that a sample is a pure function of its key.

Random augmentation seeded by the key is then the same whatever process draws it: results do not
depend on the number of workers, nor on whether they live on from epoch to epoch, nor on where a
run was interrupted.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from torch.utils.data import Sampler


class SampleKey(NamedTuple):
    """Which sample, and the epoch it is drawn in."""

    sample: int
    epoch: int


class Position(NamedTuple):
    """Where an interrupted run goes on."""

    epoch: int = 0
    samples: int = 0  # of that epoch, this process's, that were trained on already


class KeyedSampler(Sampler[SampleKey]):
    """
    Every sample once per epoch, this process's share of them.

    Lightning calls ``set_epoch``. Use it with ``use_distributed_sampler=False``.

    :param count: how many samples the dataset has.
    :param seed: of the order.
    :param shuffle: a new order every epoch, else the dataset's.
    :param rank: number of this process among those that train together.
    :param world_size: how many processes train together.
    :param start: where to begin; its epoch is not repeated from its start.
    """

    def __init__(
        self,
        count: int,
        seed: int,
        shuffle: bool,
        rank: int = 0,
        world_size: int = 1,
        start: Position = Position(),  # noqa: B008
    ) -> None:
        self.count = count
        self.seed = seed
        self.shuffle = shuffle
        self.rank = rank
        self.world_size = world_size
        self.start = start
        # At once, not only with set_epoch: loader processes fetch ahead before that is called.
        self.epoch = start.epoch

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[SampleKey]:
        order = np.arange(self.count)
        if self.shuffle:
            np.random.default_rng((self.seed, self.epoch)).shuffle(order)
            # Equal shares: a process with one batch less would leave the others waiting.
            order = order[: self.count - self.count % self.world_size]
        epoch = self.epoch
        done = self.start.samples if epoch == self.start.epoch else 0
        for index in order[self.rank :: self.world_size][done:]:
            yield SampleKey(int(index), epoch)

    def __len__(self) -> int:
        if self.shuffle:
            return self.count // self.world_size
        return len(range(self.rank, self.count, self.world_size))
