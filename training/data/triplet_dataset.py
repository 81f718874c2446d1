"""
The triplets of a dataset folder, read as whole batches: uint8 as decoded and nothing more.

Frames are decoded to where they lie in the batch. What a loader process needs is held in arrays:
they are shared with it, while objects would be copied bit by bit as their references are counted.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from typing import Literal
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from sg_depth_ros.errors import UserError
from training.data.augmentation import AugmentationConfig
from training.data.augmentation import AugmentationDraw
from training.data.augmentation import draw_augmentations
from training.data.drive import DamagedImageError
from training.data.drive import frame_path
from training.data.drive import list_drives
from training.data.drive import read_drive
from training.data.drive import read_frame_into
from training.data.eigen import look_like_kitti
from training.data.eigen import refuse_test_drives
from training.data.keyed_sampler import SampleKey
from training.data.splits import find_split
from training.data.triplets import list_triplets

Damaged = Literal['stop', 'skip']
# More in a row are not single damaged files but a disk that is gone, or a copy that is not done.
MAX_DAMAGED_IN_A_ROW = 100


class TripletBatch(NamedTuple):
    """A batch of training samples; without a batch dimension, one."""

    images: Tensor  # uint8 [B, 3, H, W, 3]: target, previous, following; RGB
    intrinsics: Tensor  # float32 [B, 3, 3], pixels at H x W
    displacement_m: Tensor  # float32 [B, 2], NaN where unknown
    augmentation: AugmentationDraw
    sample: Tensor  # int64 [B], its number in the dataset
    replaced: Tensor  # bool [B]: it stands in for a sample with a damaged frame


class TripletDataset(Dataset[TripletBatch]):
    """
    The triplets of a dataset folder.

    :param root: the dataset folder.
    :param split: a split file that names the targets to use; None uses all.
    :param min_displacement_m: how far the camera must have moved to a context frame.
    :param augmentation: what is drawn for each sample.
    :param seed: of the draws.
    :param allow_test_drives: do not refuse drives that published tables are measured on.
    :param damaged: whether a damaged frame is an error, or the next sample in the dataset's order
        stands in for those that need it.
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
        damaged: Damaged = 'stop',
    ) -> None:
        self.augmentation = augmentation
        self.seed = seed
        self.damaged = damaged
        self.drives = {folder: read_drive(folder) for folder in list_drives(root)}
        self.folders = tuple(self.drives)
        chosen = None if split is None else find_split(split, self.drives.values(), root)
        allowed = None if chosen is None else chosen.entries
        triplets = [
            (number, triplet)
            for number, drive in enumerate(self.drives.values())
            for triplet in list_triplets(drive, min_displacement_m)
            if allowed is None or (drive.name, triplet.target) in allowed
        ]
        if not triplets:
            raise UserError(
                f'{split or root}: no frame to train on; a target needs a neighbour on both sides '
                f'at least {min_displacement_m} m away (data.min_displacement_m)'
            )
        self.drive = np.array([number for number, _ in triplets], np.int32)  # [N], of folders
        self.frames = np.array([t[:3] for _, t in triplets], np.int32)  # [N, 3]
        self.displacement_m = np.array([t.displacement_m for _, t in triplets], np.float32)
        cameras = [drive.intrinsics for drive in self.drives.values()]
        self.intrinsics = np.array([c.matrix() for c in cameras], np.float32)  # [drives, 3, 3]
        sizes = {(c.width, c.height) for c in cameras}
        if len(sizes) > 1:
            raise UserError(f'{root}: drives differ in size {sorted(sizes)}; prepare them alike')
        self.width, self.height = sizes.pop()
        self.trained_on = tuple(self.drives[self.folders[n]] for n in np.unique(self.drive))
        if not allow_test_drives:
            refuse_test_drives(self.trained_on)
        self.cautions = () if split is None or chosen is None else chosen.cautions(split)
        if allowed is not None and len(allowed) > len(self):
            self.cautions += (
                f'{split}: {len(allowed) - len(self)} of its frames are no targets: at '
                f'rest, or without neighbours at least {min_displacement_m} m away',
            )
        if doubtful := look_like_kitti(self.trained_on):
            self.cautions += (
                f'{doubtful[0]}: recorded on the days of KITTI, and maybe one of its test drives',
            )

    def __len__(self) -> int:
        return len(self.drive)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what a spawned loader process has no use for: thousands of frames' stamps."""
        return {**self.__dict__, 'drives': {}, 'trained_on': ()}

    def describe(self, sample: int) -> str:
        """Return drive and frame of a sample's target, as a split names them."""
        return f'{self.folders[self.drive[sample]].name} {self.frames[sample, 0]:06d}'

    def paths(self, sample: int) -> tuple[Path, ...]:
        """Return the files of a sample: target, previous, following."""
        folder = self.folders[self.drive[sample]]
        return tuple(frame_path(folder, int(frame)) for frame in self.frames[sample])

    def empty_images(self, count: int) -> NDArray[np.uint8]:
        """Return memory for the images of some samples: [count, 3, H, W, 3]."""
        # Of numpy, which asks for huge pages: faulting small ones in costs a tenth of decoding.
        return np.empty((count, 3, self.height, self.width, 3), np.uint8)

    def __getitem__(self, key: SampleKey) -> TripletBatch:
        batch = self.__getitems__([key])
        return TripletBatch(
            batch.images[0],
            batch.intrinsics[0],
            batch.displacement_m[0],
            AugmentationDraw(*(column[0] for column in batch.augmentation)),
            batch.sample[0],
            batch.replaced[0],
        )

    def __getitems__(self, keys: Sequence[SampleKey]) -> TripletBatch:
        """
        Read a batch; the DataLoader asks for whole ones.

        :raises UserError: where a frame is damaged and no other sample may stand in.
        """
        images = self.empty_images(len(keys))
        wanted = np.array([key.sample for key in keys])
        read = np.array([self._read(key.sample, image) for key, image in zip(keys, images)])
        return TripletBatch(
            torch.from_numpy(images),
            torch.from_numpy(self.intrinsics[self.drive[read]]),
            torch.from_numpy(self.displacement_m[read]),
            draw_augmentations(self.augmentation, self.seed, keys),
            torch.from_numpy(read),
            torch.from_numpy(read != wanted),
        )

    def find_damage(self, sample: int, images: NDArray[np.uint8]) -> DamagedImageError | None:
        """
        Read a sample.

        :param images: [3, H, W, 3], is written.
        :return: None where all its frames can be read, else what is wrong with the first.
        """
        try:
            for path, image in zip(self.paths(sample), images):
                read_frame_into(path, image)
        except DamagedImageError as error:
            return error
        return None

    def _read(self, sample: int, images: NDArray[np.uint8]) -> int:
        """Read a sample, or the next that can be read; return which."""
        attempts = min(MAX_DAMAGED_IN_A_ROW, len(self))
        for candidate in ((sample + i) % len(self) for i in range(attempts)):
            damage = self.find_damage(candidate, images)
            if damage is None:
                return candidate
            if self.damaged == 'stop':
                raise UserError(
                    f'{damage}; prepare its drive again, or train without such frames: '
                    '--data.damaged skip'
                ) from damage
        raise UserError(f'{damage}; {attempts} samples in a row cannot be read')
