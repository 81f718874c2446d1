"""Telling which frames are damaged, where training goes on without them."""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.data.drive import DamagedImageError
from training.data.drive import read_frame_into
from training.data.triplet_dataset import MAX_DAMAGED_IN_A_ROW
from training.data.triplet_dataset import TripletBatch
from training.data.triplet_dataset import TripletDataset


class ReplacedSamples:
    """
    Counts the samples that others stand in for, and tells of every damaged file once.

    Loader processes say only which samples stand in; the files are found by reading what lies
    before those again.
    """

    def __init__(self, dataset: TripletDataset) -> None:
        self.dataset = dataset
        self.count = 0
        self.of = 0  # samples
        self.damaged: set[Path] = set()
        self._stand_ins: set[int] = set()

    def add(self, batch: TripletBatch) -> int:
        """Count a batch of this process; return how many of its samples stand in."""
        stand_ins: list[int] = batch.sample[batch.replaced].tolist()
        self.count += len(stand_ins)
        self.of += len(batch.sample)
        for sample in {*stand_ins} - self._stand_ins:
            self._find_damaged_before(sample)
        self._stand_ins |= {*stand_ins}
        return len(stand_ins)

    def summary(self) -> str:
        """Return the total in one sentence."""
        files = f'{len(self.damaged)} frame{"" if len(self.damaged) == 1 else "s"}'
        return (
            f'{self.count} of {self.of} samples were replaced by others: {files} '
            f'cannot be read; prepare the drive again'
        )

    def _find_damaged_before(self, stand_in: int) -> None:
        images = self.dataset.empty_images(1)[0]
        for back in range(1, MAX_DAMAGED_IN_A_ROW):
            sample = (stand_in - back) % len(self.dataset)
            if self.dataset.find_damage(sample, images) is None:
                return
            for path in {*self.dataset.paths(sample)} - self.damaged:
                self._tell_if_damaged(path, images[0])

    def _tell_if_damaged(self, path: Path, image: NDArray[np.uint8]) -> None:
        try:
            read_frame_into(path, image)
        except DamagedImageError as error:
            self.damaged.add(path)
            print(f'{error}; other samples stand in', file=sys.stderr, flush=True)
