"""The drives that depth is trained on, as batches for a Lightning trainer."""

import gc
import hashlib
import os
import sys
from pathlib import Path
from typing import Any

import cv2
import lightning
import numpy as np
import torch
from torch.utils.data import DataLoader

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.contract import ScaleSource
from sg_depth_ros.engines.cores import usable_cores
from sg_depth_ros.errors import UserError
from training.data.augmentation import AugmentationConfig
from training.data.drive import DRIVE_FILE
from training.data.keyed_sampler import KeyedSampler
from training.data.keyed_sampler import Position
from training.data.replaced_samples import ReplacedSamples
from training.data.triplet_dataset import Damaged
from training.data.triplet_dataset import TripletBatch
from training.data.triplet_dataset import TripletDataset
from training.data.triplets import DEFAULT_MIN_DISPLACEMENT_M

BATCHES_AHEAD = 2  # per loader process
# One reads some 300 samples/s at 640x192: enough for any GPU, and for slow disks.
MOST_DEFAULT_WORKERS = 8
SHARED_MEMORY = Path('/dev/shm')  # where loader processes put their batches


class DepthData(lightning.LightningDataModule):
    """
    The drives that depth is trained on.

    :param root: dataset folder, made by ``prepare``.
    :param split: split file with the targets to use: one written by ``resample``, or one of KITTI
        in monodepth2's or packnet-sfm's format; without it every frame with moving neighbours is
        used.
    :param batch_size: triplets per step and device.
    :param workers: loader processes; 0 loads in the training process. By default none where
        networks train on the CPU, else the cores of this process's share, at most 8.
    :param min_displacement_m: how far the camera must have moved to a context frame.
    :param augmentation: of the images that the networks see; the loss sees them unchanged.
    :param seed: of the order and of the augmentation.
    :param allow_test_drives: train on the test drives of KITTI (Eigen et al.) too; the result then
        compares with no published table.
    :param damaged: what a frame does that is missing, damaged or of another size: ``stop``
        training and say which, or ``skip`` it: the next sample stands in, which is told,
        counted, and logged as ``data/replaced``.
    """

    def __init__(
        self,
        root: str,
        split: str | None = None,
        batch_size: int = 4,
        workers: int | None = None,
        min_displacement_m: float = DEFAULT_MIN_DISPLACEMENT_M,
        augmentation: AugmentationConfig = AugmentationConfig(),
        seed: int = 0,
        allow_test_drives: bool = False,
        damaged: Damaged = 'stop',
    ) -> None:
        super().__init__()
        if batch_size < 1 or (workers is not None and workers < 0):
            raise UserError(
                f'data.batch_size {batch_size}, data.workers {workers}: must be at least 1 and 0'
            )
        self.root = Path(root)
        self.split = None if split is None else Path(split)
        self.batch_size = batch_size
        self.workers = workers
        self.seed = seed
        self.start = Position()
        self.dataset = TripletDataset(
            self.root,
            self.split,
            min_displacement_m,
            augmentation,
            seed,
            allow_test_drives,
            damaged,
        )
        self.replaced = ReplacedSamples(self.dataset)

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
        on_gpu = trainer is not None and trainer.strategy.root_device.type == 'cuda'
        workers = self._count_workers(on_gpu, 1 if trainer is None else trainer.num_devices)
        if self.workers is None and workers and trainer is not None and trainer.global_rank == 0:
            print(f'data: {workers} loader processes; --data.workers sets how many', flush=True)
        return DataLoader(
            self.dataset,
            batch_size=self.batch_size,
            sampler=sampler,
            num_workers=workers,
            collate_fn=_keep_batch,  # type: ignore[arg-type]
            persistent_workers=workers > 0,
            prefetch_factor=BATCHES_AHEAD if workers else None,
            worker_init_fn=_begin_worker if workers else None,
            pin_memory=on_gpu,
            drop_last=len(sampler) >= self.batch_size,
            # Its own, so that torch's global random state depends on the networks only.
            generator=torch.Generator(),
        )

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Count and tell of samples that stand in, while the batch is on the CPU."""
        if isinstance(batch, TripletBatch) and self.replaced.add(batch) and self.trainer:
            for logger in self.trainer.loggers:
                metrics = {'data/replaced': float(self.replaced.count)}
                logger.log_metrics(metrics, self.trainer.global_step)
        return batch

    def teardown(self, stage: str) -> None:
        """Say how many samples were replaced."""
        self._tell_replaced()

    def on_exception(self, exception: BaseException) -> None:
        """Say so of an interrupted run as well."""
        self._tell_replaced()

    def _tell_replaced(self) -> None:
        if self.replaced.count:
            print(self.replaced.summary(), file=sys.stderr, flush=True)
            self.replaced = ReplacedSamples(self.dataset)

    def _count_workers(self, on_gpu: bool, processes: int) -> int:
        """Return how many loader processes this one starts, of those that train here."""
        free_bytes = _free_shared_memory_bytes() // processes
        worker_bytes = BATCHES_AHEAD * self.batch_size * self.dataset.empty_images(1).nbytes
        if self.workers is None:
            if not on_gpu:
                return 0  # networks on the CPU take all cores, and a hundred times as long
            cores = max(usable_cores() // processes, 1)
            return min(cores, free_bytes // worker_bytes, MOST_DEFAULT_WORKERS)
        if self.workers * worker_bytes > free_bytes:
            raise UserError(
                f'{SHARED_MEMORY}: {self.workers} loader processes need '
                f'{self.workers * worker_bytes >> 20} MB, {free_bytes >> 20} MB are free; give a '
                'container more (docker run --shm-size 8g), or set --data.workers lower'
            )
        return self.workers

    @property
    def intrinsics(self) -> Intrinsics:
        """Return the camera of the drive with the most triplets, which the model file states."""
        folder = self.dataset.folders[np.bincount(self.dataset.drive).argmax()]
        return self.dataset.drives[folder].intrinsics

    @property
    def scale_source(self) -> ScaleSource:
        """Return where metres come from; ``none`` if no triplet has a measured displacement."""
        measured = np.isfinite(self.dataset.displacement_m).all(1)
        if not measured.any():
            return 'none'
        folder = self.dataset.folders[self.dataset.drive[measured.argmax()]]
        return self.dataset.drives[folder].scale_source

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
        for number, (target, _, _) in zip(self.dataset.drive, self.dataset.frames):
            digest.update(f'{self.dataset.folders[number].name} {target}\n'.encode())
        return digest.hexdigest()


def _begin_worker(_number: int) -> None:
    """Prepare a loader process, which is a fork where that is the system's way."""
    # OpenCV's threads do not survive a fork: whoever waits for them waits for ever.
    cv2.setNumThreads(0)
    # Else the first collection writes into every object, and copies the trainer's memory.
    gc.freeze()


def _keep_batch(batch: TripletBatch) -> TripletBatch:
    """Collate: the dataset's batches are whole."""
    return batch


def _free_shared_memory_bytes() -> int:
    if not SHARED_MEMORY.is_dir():
        return sys.maxsize
    space = os.statvfs(SHARED_MEMORY)
    return space.f_bavail * space.f_frsize
