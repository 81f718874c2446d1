"""Where labelled images come from: what is found, how ids are read, and what is refused."""

import numpy as np
import pytest
from labelled_drives import write_labelled_drive
from labelled_folders import write_cityscapes
from labelled_folders import write_pair

from sg_depth_ros.classes import CLASS_NAMES
from sg_depth_ros.errors import UserError
from training.data.drive import write_labels
from training.data.segmentation_frames import CITYSCAPES_IDS
from training.data.segmentation_frames import HoldOut
from training.data.segmentation_frames import LabelledFrame
from training.data.segmentation_frames import held_out_blocks
from training.data.segmentation_frames import read_labelled_image
from training.data.segmentation_frames import train_ids
from training.data.segmentation_sources import FolderPair
from training.data.segmentation_sources import is_cityscapes
from training.data.segmentation_sources import read_cityscapes
from training.data.segmentation_sources import read_dataset_folder
from training.data.segmentation_sources import read_folders

RULE = HoldOut(0.25, 10)


def test_frames_without_labels_are_skipped_and_no_frame_both_teaches_and_judges(tmp_path):
    write_labelled_drive(tmp_path / 'a', 12, labelled=range(2, 12))
    write_labelled_drive(tmp_path / 'b', 3, labelled=range(0))
    split = read_dataset_folder(tmp_path, HoldOut(share=0.3, block=3))
    assert len(split.training) == 7
    assert len(split.validation) == 3
    assert not set(split.training) & set(split.validation)
    assert all(f.labels.exists() for f in (*split.training, *split.validation))


def test_held_out_frames_are_neighbours_in_evenly_spread_blocks():
    held_out = held_out_blocks(200, share=0.1, block=10)
    assert len(held_out) == 20
    starts = [i for i in sorted(held_out) if i - 1 not in held_out]
    assert starts == [45, 145]


@pytest.mark.parametrize('count', [0, 1, 2, 3, 7, 51])
@pytest.mark.parametrize('share', [0.01, 0.1, 0.5])
def test_something_is_held_out_and_something_is_left(count, share):
    held_out = held_out_blocks(count, share, block=10)
    assert held_out <= set(range(count))
    if count >= 2:
        assert len(held_out) == max(1, round(share * count)) < count
    else:
        assert not held_out


def test_labels_of_kittis_test_drives_are_refused_unless_allowed(tmp_path):
    write_labelled_drive(tmp_path / '2011_09_26_drive_0009_02', 12, labelled=range(12))
    write_labelled_drive(tmp_path / 'other', 12, labelled=range(12))
    with pytest.raises(UserError, match=r'drive_0009.*--data.allow_test_drives true'):
        read_dataset_folder(tmp_path, RULE)
    assert read_dataset_folder(tmp_path, RULE, allow_test_drives=True).training
    for path in (tmp_path / '2011_09_26_drive_0009_02/labels').iterdir():
        path.unlink()  # then nothing is learnt from it
    assert read_dataset_folder(tmp_path, RULE).training


def test_dataset_without_labels_is_refused(tmp_path):
    write_labelled_drive(tmp_path / 'a', 3, labelled=range(0))
    with pytest.raises(UserError, match='no frame has labels'):
        read_dataset_folder(tmp_path, HoldOut(0.1, 10))


def test_drives_of_different_size_are_refused_unless_windows_are_cut(tmp_path):
    write_labelled_drive(tmp_path / 'a', 3)
    write_labelled_drive(tmp_path / 'b', 3, size=(96, 32))
    with pytest.raises(UserError, match='drive b is 96x32, but a is 64x32'):
        read_dataset_folder(tmp_path, RULE)
    assert len(read_dataset_folder(tmp_path, RULE, one_size=False).training) == 4


@pytest.mark.parametrize('with_train_ids', [True, False])
def test_cityscapes_gives_the_same_train_ids_from_either_file(tmp_path, with_train_ids):
    write_cityscapes(tmp_path, 3, 2, train_ids=with_train_ids)
    assert is_cityscapes(tmp_path)
    split = read_cityscapes(tmp_path)
    assert len(split.training) == 3
    assert len(split.validation) == 2
    assert {f.image.parts[-3] for f in split.training} == {'train'}
    assert {f.image.parts[-3] for f in split.validation} == {'val'}
    ending = '_labelTrainIds.png' if with_train_ids else '_labelIds.png'
    for frame in split.training:
        assert frame.labels.name.endswith(ending)
        assert frame.labels.name.startswith(frame.image.name.removesuffix('_leftImg8bit.png'))
        image, labels = read_labelled_image(frame, class_count=19)
        assert (labels[:8] == 255).all()
        # The strongest channel of a pixel tells its class in these pictures.
        assert np.array_equal(labels[8:], image[8:].argmax(axis=2))


def test_label_ids_become_the_train_ids_that_cityscapes_publishes(tmp_path):
    published = {
        'road': 7,
        'building': 11,
        'pole': 17,
        'traffic light': 19,
        'sky': 23,
        'rider': 25,
        'bus': 28,
        'train': 31,
        'bicycle': 33,
    }
    for name, label_id in published.items():
        found = train_ids(np.full((1, 1), label_id, np.uint8), tmp_path)
        assert CLASS_NAMES[found.item()] == name
    # Ego vehicle, out of region, parking, bridge, caravan, trailer, and none.
    untrained = np.array([[1, 3, 9, 15, 29, 30, 255]], np.uint8)
    assert (train_ids(untrained, tmp_path) == 255).all()
    assert len(CITYSCAPES_IDS) == len(CLASS_NAMES)


def test_an_id_that_cityscapes_does_not_have_is_refused(tmp_path):
    with pytest.raises(UserError, match='label id 34'):
        train_ids(np.full((2, 2), 34, np.uint8), tmp_path / 'labels.png')


def test_cityscapes_without_a_part_or_a_label_is_refused(tmp_path):
    write_cityscapes(tmp_path, 5, 0)
    with pytest.raises(UserError, match='val: no CITY'):
        read_cityscapes(tmp_path)
    write_cityscapes(tmp_path, 5, 1)
    for path in (tmp_path / 'gtFine' / 'train').rglob('*.png'):
        path.unlink()
    with pytest.raises(
        UserError, match=r'train: .*traintown0_000000_000019_leftImg8bit\.png.* and 2 more'
    ):
        read_cityscapes(tmp_path)


def test_folders_are_matched_by_name_in_subfolders_too(tmp_path):
    names = ['b/2', 'a/1', '3']
    write_pair(tmp_path / 'i', tmp_path / 'l', names, (64, 32), suffix='.jpg')
    (tmp_path / 'i' / 'notes.txt').write_text('not an image')
    (tmp_path / 'i' / '._3.jpg').write_bytes(b'left behind by macOS')
    pair = FolderPair(tmp_path / 'i', tmp_path / 'l')
    split = read_folders(pair, None, 'cityscapes', RULE)
    frames = {*split.training, *split.validation}
    assert len(split.validation) == 1
    assert frames == {
        LabelledFrame(pair.images / f'{n}.jpg', pair.labels / f'{n}.png', 'cityscapes')
        for n in names
    }


def test_a_second_pair_of_folders_judges(tmp_path):
    pairs = []
    for name, count in (('t', 4), ('v', 2)):
        pairs.append(FolderPair(tmp_path / name / 'i', tmp_path / name / 'l'))
        write_pair(*pairs[-1], [str(n) for n in range(count)], (64, 32))
    split = read_folders(*pairs, 'train', RULE)
    assert [len(part) for part in split] == [4, 2]
    assert all(f.image.is_relative_to(tmp_path / 'v') for f in split.validation)


@pytest.mark.parametrize(
    ('folder', 'said'),
    [
        ('i', r'i: no image for 1\.png, 2\.png, 3\.png and 1 more of .*l;'),
        ('l', r'l: no labels for 1\.png, 2\.png, 3\.png and 1 more of .*i;'),
    ],
)
def test_files_without_a_partner_are_named(tmp_path, folder, said):
    pair = FolderPair(tmp_path / 'i', tmp_path / 'l')
    write_pair(*pair, [str(n) for n in range(5)], (64, 32))
    for n in range(1, 5):
        (tmp_path / folder / f'{n}.png').unlink()
    with pytest.raises(UserError, match=said):
        read_folders(pair, None, 'train', RULE)


def test_folders_that_are_missing_empty_or_ambiguous_are_refused(tmp_path):
    pair = FolderPair(tmp_path / 'i', tmp_path / 'l')
    with pytest.raises(UserError, match='i: no such folder'):
        read_folders(pair, None, 'train', RULE)
    pair.images.mkdir()
    with pytest.raises(UserError, match='i: no image'):
        read_folders(pair, None, 'train', RULE)
    write_pair(*pair, ['1'], (64, 32))
    with pytest.raises(UserError, match='validation_images'):
        read_folders(pair, None, 'train', RULE)
    write_pair(*pair, ['1'], (64, 32), suffix='.jpg')
    with pytest.raises(UserError, match=r'1\.jpg and 1\.png have the same name'):
        read_folders(pair, None, 'train', RULE)


def test_class_id_out_of_range_is_refused(tmp_path):
    pair = FolderPair(tmp_path / 'i', tmp_path / 'l')
    write_pair(*pair, ['1'], (64, 32))
    path = pair.labels / '1.png'
    write_labels(np.full((32, 64), 33, np.uint8), path)
    with pytest.raises(UserError, match=f'{path}: class id 33.*label_ids'):
        read_labelled_image(LabelledFrame(pair.images / '1.png', path), 19)
    frame = LabelledFrame(pair.images / '1.png', path, 'cityscapes')
    assert (read_labelled_image(frame, 19).labels == 18).all()
