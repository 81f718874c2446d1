"""
Where labelled images come from: dataset folders, Cityscapes' own layout, any pair of folders.

Each reader finds the files and says which frames teach and which judge; none opens an image.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from sg_depth_ros.errors import UserError
from training.data.drive import Drive
from training.data.drive import frame_path
from training.data.drive import labels_path
from training.data.drive import list_drives
from training.data.drive import read_drive
from training.data.eigen import refuse_test_drives
from training.data.segmentation_frames import HoldOut
from training.data.segmentation_frames import LabelIds
from training.data.segmentation_frames import LabelledFrame
from training.data.segmentation_frames import LabelledSplit
from training.data.segmentation_frames import hold_out

IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.webp', '.tif', '.tiff')
LABEL_SUFFIXES = ('.png',)
CITYSCAPES_IMAGES = 'leftImg8bit'
CITYSCAPES_LABELS = 'gtFine'
NAMED_FILES = 3  # in messages


class FolderPair(NamedTuple):
    """A folder of images and one of labels, with equal names up to the suffix."""

    images: Path
    labels: Path


def is_cityscapes(root: Path) -> bool:
    """Return whether a folder has Cityscapes' layout rather than that of ``prepare``."""
    return (root / CITYSCAPES_IMAGES).is_dir() or (root / CITYSCAPES_LABELS).is_dir()


def read_dataset_folder(
    root: Path, rule: HoldOut, *, one_size: bool = True, allow_test_drives: bool = False
) -> LabelledSplit:
    """
    Find a dataset's labelled frames and hold some of each drive out.

    :param root: folder written by ``prepare``; frames without labels are skipped.
    :param one_size: whether all drives must have the same image size.
    :param allow_test_drives: do not refuse drives that published tables are measured on.
    :raises UserError: where there are no labels, the drives differ in size, or one is refused.
    """
    training: list[LabelledFrame] = []
    validation: list[LabelledFrame] = []
    first: Drive | None = None
    labelled: list[Drive] = []
    for folder in list_drives(root):
        drive = read_drive(folder)
        first = first or drive
        if one_size:
            check_size(drive, first)
        frames = [
            LabelledFrame(frame_path(folder, f.index), labels_path(folder, f.index))
            for f in drive.frames
        ]
        frames = [f for f in frames if f.labels.exists()]
        if frames:
            labelled.append(drive)
        split = hold_out(frames, rule)
        training += split.training
        validation += split.validation
    if not training and not validation:
        raise UserError(
            f'{root}: no frame has labels (*/labels/*.png with Cityscapes train ids); '
            'use a recording with labels, such as one made by synthesize'
        )
    if not allow_test_drives:
        refuse_test_drives(labelled)
    if not validation:
        raise UserError(f'{root}: too few labelled frames to hold any out for validation')
    return LabelledSplit(tuple(training), tuple(validation))


def check_size(drive: Drive, first: Drive) -> None:
    """
    Require images that a batch can hold.

    :raises UserError: naming the drive.
    """
    size = (drive.intrinsics.width, drive.intrinsics.height)
    expected = (first.intrinsics.width, first.intrinsics.height)
    if size != expected:
        raise UserError(
            f'drive {drive.name} is {size[0]}x{size[1]}, but {first.name} is '
            f'{expected[0]}x{expected[1]}; prepare both with the same --width and --height, or '
            'give --data.height and --data.width'
        )


def read_cityscapes(root: Path) -> LabelledSplit:
    """
    Find Cityscapes' finely labelled images; its validation split judges.

    :param root: holds ``leftImg8bit/{train,val}/CITY/*_leftImg8bit.png`` and
        ``gtFine/{train,val}/CITY/*_gtFine_labelTrainIds.png``, or ``*_gtFine_labelIds.png``, as
        downloaded, where there are no train ids.
    :raises UserError: where a part is missing, naming it.
    """
    return LabelledSplit(_cityscapes_part(root, 'train'), _cityscapes_part(root, 'val'))


def _cityscapes_part(root: Path, part: str) -> tuple[LabelledFrame, ...]:
    folder = root / CITYSCAPES_IMAGES / part
    images = sorted(folder.glob(f'*/*_{CITYSCAPES_IMAGES}.png'))
    if not images:
        raise UserError(
            f'{folder}: no CITY/*_{CITYSCAPES_IMAGES}.png; unpack leftImg8bit_trainvaltest.zip '
            f'into {root}'
        )
    frames: list[LabelledFrame] = []
    unlabelled: list[Path] = []
    for image in images:
        scene = image.name.removesuffix(f'_{CITYSCAPES_IMAGES}.png')
        stem = root / CITYSCAPES_LABELS / part / image.parent.name / scene
        ready = Path(f'{stem}_{CITYSCAPES_LABELS}_labelTrainIds.png')
        original = Path(f'{stem}_{CITYSCAPES_LABELS}_labelIds.png')
        if ready.exists():
            frames.append(LabelledFrame(image, ready))
        elif original.exists():
            frames.append(LabelledFrame(image, original, 'cityscapes'))
        else:
            unlabelled.append(image)
    if unlabelled:
        raise UserError(
            f'{root / CITYSCAPES_LABELS / part}: no *_labelTrainIds.png and no *_labelIds.png for '
            f'{_some(p.name for p in unlabelled)}; unpack gtFine_trainvaltest.zip into {root}'
        )
    return tuple(frames)


def read_folders(
    training: FolderPair, validation: FolderPair | None, label_ids: LabelIds, rule: HoldOut
) -> LabelledSplit:
    """
    Match images and labels by name, in subfolders too.

    :param training: what teaches.
    :param validation: what judges; None holds some of the training frames out.
    :param label_ids: which ids the labels use.
    :raises UserError: where a folder is missing or empty, or naming files without a partner.
    """
    frames = _matched(training, label_ids)
    if validation is not None:
        return LabelledSplit(tuple(frames), tuple(_matched(validation, label_ids)))
    split = hold_out(frames, rule)
    if not split.validation:
        raise UserError(
            f'{training.images}: a single image, none can be held out for validation; give '
            '--data.validation_images and --data.validation_labels'
        )
    return split


def _matched(pair: FolderPair, label_ids: LabelIds) -> list[LabelledFrame]:
    images = _by_name(pair.images, IMAGE_SUFFIXES)
    labels = _by_name(pair.labels, LABEL_SUFFIXES)
    lonely_images = sorted(set(images) - set(labels))
    lonely_labels = sorted(set(labels) - set(images))
    if lonely_images:
        raise UserError(
            f'{pair.labels}: no labels for {_some(images[n].name for n in lonely_images)} of '
            f'{pair.images}; names must be equal up to the suffix, labels end in .png'
        )
    if lonely_labels:
        raise UserError(
            f'{pair.images}: no image for {_some(labels[n].name for n in lonely_labels)} of '
            f'{pair.labels}; names must be equal up to the suffix'
        )
    return [LabelledFrame(images[name], labels[name], label_ids) for name in sorted(images)]


def _by_name(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """Return a folder's images by their path in it without suffix."""
    if not folder.is_dir():
        raise UserError(f'{folder}: no such folder')
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob('*')):
        if path.suffix.lower() not in suffixes or path.name.startswith('.'):
            continue
        name = path.relative_to(folder).with_suffix('').as_posix()
        if name in found:
            raise UserError(f'{folder}: {found[name].name} and {path.name} have the same name')
        found[name] = path
    if not found:
        raise UserError(f'{folder}: no image ({", ".join(suffixes)})')
    return found


def _some(names: Iterable[str]) -> str:
    every = list(names)
    more = len(every) - NAMED_FILES
    return ', '.join(every[:NAMED_FILES]) + (f' and {more} more' if more > 0 else '')
