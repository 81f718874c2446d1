"""
A sampler that hands out (sample, epoch), so that a sample is a pure function of its key.

Random augmentation seeded by the key is then the same whatever process draws it: results do not
depend on the number of workers, nor on whether they live on from epoch to epoch.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from torch.utils.data import Sampler


class SampleKey(NamedTuple):
    """Which sample, and the epoch it is drawn in."""

    sample: int
    epoch: int


class KeyedSampler(Sampler[SampleKey]):
    """
    Every sample once per epoch, this process's share of them.

    Lightning calls ``set_epoch``. Use it with ``use_distributed_sampler=False``.

    :param count: how many samples the dataset has.
    :param seed: of the order.
    :param shuffle: a new order every epoch, else the dataset's.
    :param rank: number of this process among those that train together.
    :param world_size: how many processes train together.
    """

    def __init__(
        self, count: int, seed: int, shuffle: bool, rank: int = 0, world_size: int = 1
    ) -> None:
        self.count = count
        self.seed = seed
        self.shuffle = shuffle
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[SampleKey]:
        order = np.arange(self.count)
        if self.shuffle:
            np.random.default_rng((self.seed, self.epoch)).shuffle(order)
            # Equal shares: a process with one batch less would leave the others waiting.
            order = order[: self.count - self.count % self.world_size]
        for index in order[self.rank :: self.world_size]:
            yield SampleKey(int(index), self.epoch)

    def __len__(self) -> int:
        if self.shuffle:
            return self.count // self.world_size
        return len(range(self.rank, self.count, self.world_size))
