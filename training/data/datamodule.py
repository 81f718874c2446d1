"""Loading triplets for training: JPEGs at network size, decoded to uint8 and nothing more."""

import hashlib
import math
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.contract import ScaleSource
from sg_depth_ros.errors import UserError
from training.data.augmentation import AugmentationConfig
from training.data.augmentation import AugmentationDraw
from training.data.augmentation import draw_augmentation
from training.data.drive import DRIVE_FILE
from training.data.drive import Drive
from training.data.drive import frame_path
from training.data.drive import list_drives
from training.data.drive import read_drive
from training.data.drive import read_image
from training.data.eigen import look_like_kitti
from training.data.eigen import refuse_test_drives
from training.data.keyed_sampler import KeyedSampler
from training.data.keyed_sampler import Position
from training.data.keyed_sampler import SampleKey
from training.data.splits import find_split
from training.data.triplets import DEFAULT_MIN_DISPLACEMENT_M
from training.data.triplets import TripletIndex
from training.data.triplets import list_triplets


class TripletBatch(NamedTuple):
    """A batch of training samples; without a batch dimension, one."""

    images: Tensor  # uint8 [B, 3, H, W, 3]: target, previous, following; RGB
    intrinsics: Tensor  # float32 [B, 3, 3], pixels at H x W
    displacement_m: Tensor  # float32 [B, 2], NaN where unknown
    augmentation: AugmentationDraw
    sample: Tensor  # int64 [B], its number in the dataset


class TripletDataset(Dataset[TripletBatch]):
    """
    The triplets of a dataset folder.

    :param root: the dataset folder.
    :param split: a split file that names the targets to use; None uses all.
    :param min_displacement_m: how far the camera must have moved to a context frame.
    :param augmentation: what is drawn for each sample.
    :param seed: of the draws.
    :param allow_test_drives: do not refuse drives that published tables are measured on.
    :raises UserError: where drives differ in size, nothing can be trained on, or test drives are
        among them.
    """

    def __init__(
        self,
        root: Path,
        split: Path | None,
        min_displacement_m: float,
        augmentation: AugmentationConfig,
        seed: int,
        allow_test_drives: bool = False,
    ) -> None:
        self.augmentation = augmentation
        self.seed = seed
        self.drives = {folder: read_drive(folder) for folder in list_drives(root)}
        self.samples: list[tuple[Path, Drive, TripletIndex]] = []
        chosen = None if split is None else find_split(split, self.drives.values(), root)
        allowed = None if chosen is None else chosen.entries
        for folder, drive in self.drives.items():
            for triplet in list_triplets(drive, min_displacement_m):
                if allowed is None or (drive.name, triplet.target) in allowed:
                    self.samples.append((folder, drive, triplet))
        if not self.samples:
            raise UserError(
                f'{split or root}: no frame to train on; a target needs a neighbour on both sides '
                f'at least {min_displacement_m} m away (data.min_displacement_m)'
            )
        sizes = {(d.intrinsics.width, d.intrinsics.height) for d in self.drives.values()}
        if len(sizes) > 1:
            raise UserError(f'{root}: drives differ in size {sorted(sizes)}; prepare them alike')
        self.trained_on = tuple({folder: drive for folder, drive, _ in self.samples}.values())
        if not allow_test_drives:
            refuse_test_drives(self.trained_on)
        self.cautions = () if split is None or chosen is None else chosen.cautions(split)
        if allowed is not None and len(allowed) > len(self.samples):
            self.cautions += (
                f'{split}: {len(allowed) - len(self.samples)} of its frames are no targets: at '
                f'rest, or without neighbours at least {min_displacement_m} m away',
            )
        if doubtful := look_like_kitti(self.trained_on):
            self.cautions += (
                f'{doubtful[0]}: recorded on the days of KITTI, and maybe one of its test drives',
            )

    def __len__(self) -> int:
        return len(self.samples)

    def describe(self, sample: int) -> str:
        """Return drive and frame of a sample's target, as a split names them."""
        _, drive, triplet = self.samples[sample]
        return f'{drive.name} {triplet.target:06d}'

    def __getitem__(self, key: SampleKey) -> TripletBatch:
        folder, drive, triplet = self.samples[key.sample]
        frames = (triplet.target, triplet.previous, triplet.following)
        images = np.stack([read_image(frame_path(folder, f)) for f in frames])
        expected = (3, drive.intrinsics.height, drive.intrinsics.width, 3)
        if images.shape != expected:
            path = frame_path(folder, triplet.target)
            raise UserError(f'{path}: size {images.shape[1:3]}, {DRIVE_FILE} says {expected[1:3]}')
        return TripletBatch(
            torch.from_numpy(images),
            torch.from_numpy(drive.intrinsics.matrix().astype(np.float32)),
            torch.tensor(triplet.displacement_m, dtype=torch.float32),
            draw_augmentation(self.augmentation, self.seed, key.sample, key.epoch),
            torch.tensor(key.sample),
        )


class DepthData(lightning.LightningDataModule):
    """
    The drives that depth is trained on.

    :param root: dataset folder, made by ``prepare``.
    :param split: split file with the targets to use: one written by ``resample``, or one of KITTI
        in monodepth2's or packnet-sfm's format; without it every frame with moving neighbours is
        used.
    :param batch_size: triplets per step and device.
    :param workers: loader processes; 0 loads in the training process.
    :param min_displacement_m: how far the camera must have moved to a context frame.
    :param augmentation: of the images that the networks see; the loss sees them unchanged.
    :param seed: of the order and of the augmentation.
    :param allow_test_drives: train on the test drives of KITTI (Eigen et al.) too; the result then
        compares with no published table.
    """

    def __init__(
        self,
        root: str,
        split: str | None = None,
        batch_size: int = 4,
        workers: int = 0,
        min_displacement_m: float = DEFAULT_MIN_DISPLACEMENT_M,
        augmentation: AugmentationConfig = AugmentationConfig(),
        seed: int = 0,
        allow_test_drives: bool = False,
    ) -> None:
        super().__init__()
        self.root = Path(root)
        self.split = None if split is None else Path(split)
        self.batch_size = batch_size
        self.workers = workers
        self.seed = seed
        self.start = Position()
        self.dataset = TripletDataset(
            self.root, self.split, min_displacement_m, augmentation, seed, allow_test_drives
        )

    def resume_at(self, epoch: int, batches: int) -> None:
        """Begin with this batch of this epoch; to be called before training starts."""
        self.start = Position(epoch, batches * self.batch_size)

    def train_dataloader(self) -> DataLoader[TripletBatch]:
        """Return shuffled batches; a last incomplete one is left out where others are complete."""
        trainer = self.trainer
        sampler = KeyedSampler(
            len(self.dataset),
            self.seed,
            shuffle=True,
            rank=0 if trainer is None else trainer.global_rank,
            world_size=1 if trainer is None else trainer.world_size,
            start=self.start,
        )
        return DataLoader(
            self.dataset,
            batch_size=self.batch_size,
            sampler=sampler,  # type: ignore[arg-type]
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            drop_last=len(sampler) >= self.batch_size,
            # Its own, so that torch's global random state depends on the networks only.
            generator=torch.Generator(),
        )

    @property
    def intrinsics(self) -> Intrinsics:
        """Return the camera of the drive with the most triplets, which the model file states."""
        triplets = Counter(folder for folder, _, _ in self.dataset.samples)
        return self.dataset.drives[triplets.most_common(1)[0][0]].intrinsics

    @property
    def scale_source(self) -> ScaleSource:
        """Return where metres come from; ``none`` if no triplet has a measured displacement."""
        for _, drive, triplet in self.dataset.samples:
            if not any(math.isnan(d) for d in triplet.displacement_m):
                return drive.scale_source
        return 'none'

    @property
    def licence(self) -> str:
        """Return the licences of the drives."""
        return '; '.join(sorted({drive.licence for drive in self.dataset.drives.values()}))

    def sha256(self) -> str:
        """Return a digest of what is trained on: every drive's description and the targets."""
        digest = hashlib.sha256()
        for folder in self.dataset.drives:
            digest.update(folder.name.encode())
            digest.update((folder / DRIVE_FILE).read_bytes())
        for _, drive, triplet in self.dataset.samples:
            digest.update(f'{drive.name} {triplet.target}\n'.encode())
        return digest.hexdigest()
