"""Batches of labelled images for the semantic network."""

from pathlib import Path

import cv2
import lightning
from torch.utils.data import DataLoader

from sg_depth_ros.classes import CLASS_COUNT
from sg_depth_ros.errors import UserError
from training.data.drive import read_image
from training.data.keyed_sampler import KeyedSampler
from training.data.keyed_sampler import Position
from training.data.segmentation_augmentation import SegmentationAugmentation
from training.data.segmentation_dataset import SegmentationDataset
from training.data.segmentation_dataset import SegmentationSample
from training.data.segmentation_dataset import View
from training.data.segmentation_dataset import padded_batch
from training.data.segmentation_frames import HoldOut
from training.data.segmentation_frames import LabelIds
from training.data.segmentation_frames import LabelledSplit
from training.data.segmentation_sources import FolderPair
from training.data.segmentation_sources import is_cityscapes
from training.data.segmentation_sources import read_cityscapes
from training.data.segmentation_sources import read_dataset_folder
from training.data.segmentation_sources import read_folders


class SegmentationData(lightning.LightningDataModule):
    """
    Labelled images, some held out for validation.

    Either ``root``, or ``images`` and ``labels``.

    :param root: dataset folder written by ``prepare`` (its frames without labels are skipped), or
        Cityscapes as downloaded (``leftImg8bit`` and ``gtFine``), whose validation split judges.
    :param images: folder of images, searched with its subfolders.
    :param labels: folder of 8-bit PNGs with class ids, named like the images.
    :param validation_images: folder of the images that judge; else some are held out.
    :param validation_labels: folder of their labels.
    :param label_ids: ids in ``labels``: ``train`` for Cityscapes' train ids (0 to 18), or
        ``cityscapes`` for its label ids (0 to 33).
    :param height: of the windows that are trained on, a multiple of 32; None for the images'.
    :param width: of the windows, a multiple of 32; None for the images'.
    :param scale: of the images before windows are cut, 1 for full size; None makes them just
        cover the window. Validation sees whole images at this scale.
    :param batch_size: images per step and device.
    :param workers: processes that read images; 0 reads in the training process.
    :param validation_share: of the labelled frames of each drive or folder, held out.
    :param validation_block: frames held out in a row, because neighbours are nearly the same.
    :param augmentation: how far random views stray from the recorded image.
    :param class_count: how many classes the labels tell apart; follows the network's.
    :param seed: of the order and the random views.
    :param allow_test_drives: learn from labels of KITTI's test drives (Eigen et al.) too; depth
        that is guided by them then compares with no published table.
    """

    def __init__(
        self,
        root: Path | None = None,
        images: Path | None = None,
        labels: Path | None = None,
        validation_images: Path | None = None,
        validation_labels: Path | None = None,
        label_ids: LabelIds = 'train',
        height: int | None = None,
        width: int | None = None,
        scale: float | None = None,
        batch_size: int = 8,
        workers: int = 4,
        validation_share: float = 0.1,
        validation_block: int = 10,
        augmentation: SegmentationAugmentation = SegmentationAugmentation(),  # noqa: B008
        class_count: int = CLASS_COUNT,
        seed: int = 0,
        allow_test_drives: bool = False,
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
        self.pair = _pair(images, labels, '')
        self.validation_pair = _pair(validation_images, validation_labels, 'validation_')
        if (root is None) == (self.pair is None):
            raise UserError(
                'give either --data.root (a dataset folder, or Cityscapes), or --data.images and '
                '--data.labels'
            )
        if root is not None and (self.validation_pair is not None or label_ids != 'train'):
            raise UserError(
                'validation_images, validation_labels and label_ids go with --data.images; what '
                'lies in --data.root says so itself'
            )
        if (height is None) != (width is None) or (height is None and scale is not None):
            raise UserError('give both --data.height and --data.width; --data.scale needs them')
        self.window = None if height is None or width is None else View(height, width, scale)
        self.label_ids = label_ids
        self.batch_size = batch_size
        self.workers = workers
        self.hold_out = HoldOut(validation_share, validation_block)
        self.augmentation = augmentation
        self.class_count = class_count
        self.seed = seed
        self.allow_test_drives = allow_test_drives
        self.start = Position()
        self.split = LabelledSplit((), ())
        self.view: View | None = self.window

    def setup(self, stage: str = 'fit') -> None:
        """
        Find the frames; once.

        :raises UserError: where the images are missing or cannot be used.
        """
        if not self.split.training:
            self.split = self._find()
        if self.view is None:
            height, width, _ = read_image(self.split.training[0].image).shape
            self.view = View(height, width)

    def resume_at(self, epoch: int, batches: int) -> None:
        """Begin with this batch of this epoch; to be called before training starts."""
        self.start = Position(epoch, batches * self.batch_size)

    def train_dataloader(self) -> DataLoader[SegmentationSample]:
        """Return batches of random views, in a new order every epoch."""
        return self._loader(training=True)

    def val_dataloader(self) -> DataLoader[SegmentationSample]:
        """Return the held-out images, whole."""
        return self._loader(training=False)

    def _find(self) -> LabelledSplit:
        if self.pair is not None:
            return read_folders(self.pair, self.validation_pair, self.label_ids, self.hold_out)
        assert self.root is not None
        if is_cityscapes(self.root):
            return read_cityscapes(self.root)
        return read_dataset_folder(
            self.root,
            self.hold_out,
            one_size=self.window is None,
            allow_test_drives=self.allow_test_drives,
        )

    def _loader(self, *, training: bool) -> DataLoader[SegmentationSample]:
        trainer = self.trainer
        assert self.view is not None, 'setup comes first'
        frames = self.split.training if training else self.split.validation
        sampler = KeyedSampler(
            len(frames),
            self.seed,
            training,
            rank=0 if trainer is None else trainer.global_rank,
            world_size=1 if trainer is None else trainer.world_size,
            start=self.start if training else Position(),
        )
        dataset = SegmentationDataset(
            frames,
            self.class_count,
            self.view,
            self.augmentation if training else None,
            self.seed,
            native=self.window is None,
        )
        return DataLoader(
            dataset,
            batch_size=self.batch_size,
            sampler=sampler,
            num_workers=self.workers,
            collate_fn=padded_batch,
            # A rest of one image would let batch norm see a single picture.
            drop_last=training and len(sampler) >= self.batch_size,
            persistent_workers=self.workers > 0,
            worker_init_fn=_one_thread if self.workers else None,
        )


def _pair(images: Path | None, labels: Path | None, prefix: str) -> FolderPair | None:
    if images is None and labels is None:
        return None
    if images is None or labels is None:
        raise UserError(f'--data.{prefix}images and --data.{prefix}labels go together')
    return FolderPair(images, labels)


def _one_thread(_worker: int) -> None:
    """Keep OpenCV from starting as many threads in each worker as there are cores."""
    cv2.setNumThreads(0)
