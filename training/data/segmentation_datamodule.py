"""Batches of labelled images for the semantic network."""

from pathlib import Path

import cv2
import lightning
from torch.utils.data import DataLoader

from sg_depth_ros.classes import CLASS_COUNT
from sg_depth_ros.errors import UserError
from training.data.keyed_sampler import KeyedSampler
from training.data.segmentation_augmentation import SegmentationAugmentation
from training.data.segmentation_dataset import LabelledFrame
from training.data.segmentation_dataset import LabelledSplit
from training.data.segmentation_dataset import SegmentationDataset
from training.data.segmentation_dataset import SegmentationSample
from training.data.segmentation_dataset import read_labelled_split


class SegmentationData(lightning.LightningDataModule):
    """
    The labelled frames of a dataset folder, some held out for validation.

    :param root: dataset folder written by ``prepare``; its frames without labels are skipped.
    :param batch_size: images per step and device.
    :param workers: processes that read images; 0 reads in the training process.
    :param validation_share: of each drive's labelled frames, held out for validation.
    :param validation_block: frames held out in a row, because neighbours are nearly the same.
    :param augmentation: how far random views stray from the recorded image.
    :param class_count: how many classes the labels tell apart; follows the network's.
    :param seed: of the order and the random views.
    """

    def __init__(
        self,
        root: Path,
        batch_size: int = 8,
        workers: int = 4,
        validation_share: float = 0.1,
        validation_block: int = 10,
        augmentation: SegmentationAugmentation = SegmentationAugmentation(),  # noqa: B008
        class_count: int = CLASS_COUNT,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if batch_size < 1 or workers < 0 or validation_block < 1:
            raise UserError(
                f'batch_size {batch_size}, workers {workers}, validation_block '
                f'{validation_block}: must be at least 1, 0 and 1'
            )
        if not 0 < validation_share <= 0.5:
            raise UserError(f'validation_share {validation_share} is not in 0 to 0.5')
        self.root = root
        self.batch_size = batch_size
        self.workers = workers
        self.validation_share = validation_share
        self.validation_block = validation_block
        self.augmentation = augmentation
        self.class_count = class_count
        self.seed = seed
        self.split = LabelledSplit((), ())

    def setup(self, stage: str = 'fit') -> None:
        """
        Find the frames; once.

        :raises UserError: where the dataset is missing or cannot be used.
        """
        if not self.split.training:
            self.split = read_labelled_split(
                self.root, self.validation_share, self.validation_block
            )

    def train_dataloader(self) -> DataLoader[SegmentationSample]:
        """Return batches of random views, in a new order every epoch."""
        return self._loader(self.split.training, self.augmentation, shuffle=True)

    def val_dataloader(self) -> DataLoader[SegmentationSample]:
        """Return the held-out images as they are."""
        return self._loader(self.split.validation, None, shuffle=False)

    def _loader(
        self,
        frames: tuple[LabelledFrame, ...],
        augmentation: SegmentationAugmentation | None,
        shuffle: bool,
    ) -> DataLoader[SegmentationSample]:
        trainer = self.trainer
        sampler = KeyedSampler(
            len(frames),
            self.seed,
            shuffle,
            rank=0 if trainer is None else trainer.global_rank,
            world_size=1 if trainer is None else trainer.world_size,
        )
        return DataLoader(
            SegmentationDataset(frames, self.class_count, augmentation, self.seed),
            batch_size=self.batch_size,
            sampler=sampler,  # type: ignore[arg-type]
            num_workers=self.workers,
            # A rest of one image would let batch norm see a single picture.
            drop_last=shuffle and len(sampler) >= self.batch_size,
            persistent_workers=self.workers > 0,
            worker_init_fn=_one_thread if self.workers else None,
        )


def _one_thread(_worker: int) -> None:
    """Keep OpenCV from starting as many threads in each worker as there are cores."""
    cv2.setNumThreads(0)
