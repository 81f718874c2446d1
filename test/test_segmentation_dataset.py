"""Labelled frames: which are used, which are held out, and how they are augmented."""

import cv2
import numpy as np
import pytest
import torch
from labelled_drives import COLORS
from labelled_drives import write_labelled_drive

from sg_depth_ros.errors import UserError
from training.data.drive import labels_path
from training.data.drive import write_labels
from training.data.keyed_sampler import KeyedSampler
from training.data.keyed_sampler import SampleKey
from training.data.segmentation_augmentation import SegmentationAugmentation
from training.data.segmentation_augmentation import augment
from training.data.segmentation_augmentation import random_window
from training.data.segmentation_datamodule import SegmentationData
from training.data.segmentation_dataset import SegmentationDataset
from training.data.segmentation_dataset import held_out_blocks
from training.data.segmentation_dataset import read_labelled_split


def test_frames_without_labels_are_skipped_and_no_frame_both_teaches_and_judges(tmp_path):
    write_labelled_drive(tmp_path / 'a', 12, labelled=range(2, 12))
    write_labelled_drive(tmp_path / 'b', 3, labelled=range(0))
    split = read_labelled_split(tmp_path, validation_share=0.3, validation_block=3)
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


def test_dataset_without_labels_is_refused(tmp_path):
    write_labelled_drive(tmp_path / 'a', 3, labelled=range(0))
    with pytest.raises(UserError, match='no frame has labels'):
        read_labelled_split(tmp_path, 0.1, 10)


def test_drives_of_different_size_are_refused(tmp_path):
    write_labelled_drive(tmp_path / 'a', 3)
    write_labelled_drive(tmp_path / 'b', 3, size=(96, 32))
    with pytest.raises(UserError, match='drive b is 96x32, but a is 64x32'):
        read_labelled_split(tmp_path, 0.1, 10)


def test_size_that_the_network_cannot_take_is_refused(tmp_path):
    write_labelled_drive(tmp_path / 'a', 3, size=(80, 32))
    with pytest.raises(UserError, match='multiples of 32'):
        read_labelled_split(tmp_path, 0.1, 10)


def test_class_id_out_of_range_is_refused(tmp_path):
    write_labelled_drive(tmp_path / 'a', 3)
    path = labels_path(tmp_path / 'a', 0)
    write_labels(np.full((32, 64), 33, np.uint8), path)
    frames = read_labelled_split(tmp_path, 0.1, 10).training
    dataset = SegmentationDataset(frames, 19, None, seed=0)
    with pytest.raises(UserError, match=f'{path}: class id 33'):
        dataset[SampleKey(0, 0)]


def batches(data: SegmentationData, epochs: int) -> list[torch.Tensor]:
    found = []
    loader = data.train_dataloader()
    for epoch in range(epochs):
        loader.sampler.set_epoch(epoch)
        found += [torch.cat([b.image.flatten(), b.labels.flatten()]) for b in loader]
    return found


def test_batches_do_not_depend_on_the_number_of_workers(tmp_path):
    write_labelled_drive(tmp_path / 'a', 10)
    found = []
    for workers in (0, 2):
        data = SegmentationData(tmp_path, batch_size=3, workers=workers)
        data.setup()
        found.append(batches(data, epochs=2))
    assert len(found[0]) == len(found[1]) == 6
    assert all(torch.equal(a, b) for a, b in zip(*found))


def test_views_differ_between_epochs_and_seeds(tmp_path):
    write_labelled_drive(tmp_path / 'a', 4)
    frames = read_labelled_split(tmp_path, 0.1, 10).training
    settings = SegmentationAugmentation()
    first, second = (SegmentationDataset(frames, 19, settings, seed) for seed in (0, 1))
    key = SampleKey(0, 0)
    assert torch.equal(first[key].image, first[key].image)
    assert not torch.equal(first[key].image, first[SampleKey(0, 1)].image)
    assert not torch.equal(first[key].image, second[key].image)


def test_sampler_shares_every_sample_out_once():
    samplers = [KeyedSampler(11, 0, True, rank, world_size=2) for rank in range(2)]
    shares = [[key.sample for key in sampler] for sampler in samplers]
    assert [len(s) for s in shares] == [len(s) for s in samplers] == [5, 5]
    assert len(set(shares[0]) | set(shares[1])) == 10
    judged = [key.sample for r in range(2) for key in KeyedSampler(11, 0, False, r, 2)]
    assert sorted(judged) == list(range(11))


def test_sampler_changes_its_order_with_the_epoch():
    sampler = KeyedSampler(50, 0, True)
    first = [key.sample for key in sampler]
    sampler.set_epoch(1)
    second = [key.sample for key in sampler]
    assert first != second
    assert sorted(first) == sorted(second)


@pytest.mark.parametrize('seed', range(5))
def test_labels_go_with_their_pixels(seed):
    labels = np.zeros((64, 96), np.uint8)
    labels[:, 40:] = 1
    labels[40:, :30] = 2
    settings = SegmentationAugmentation(brightness=0, contrast=0, saturation=0)
    image, seen = augment(COLORS[labels], labels, settings, np.random.default_rng(seed))
    assert image.shape == (64, 96, 3)
    # Colours mix at borders; away from them a pixel has the colour of its class.
    inside = cv2.erode((seen != 255).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    for other in range(3):
        border = cv2.dilate((seen == other).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        inside &= ~border | (seen == other)
    assert inside.sum() > 1000
    assert np.abs(image[inside].astype(int) - COLORS[seen[inside]].astype(int)).max() <= 1


def test_zoom_of_one_changes_nothing():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (32, 64, 3)).astype(np.uint8)
    labels = rng.integers(0, 19, (32, 64)).astype(np.uint8)
    seen, seen_labels = random_window(image, labels, 1.0, 1.0, rng)
    assert np.array_equal(seen, image)
    assert np.array_equal(seen_labels, labels)


def test_rim_of_a_smaller_image_has_no_class():
    labels = np.zeros((64, 64), np.uint8)
    _, seen = random_window(COLORS[labels], labels, 0.5, 0.5, np.random.default_rng(0))
    assert (seen == 0).sum() == 32 * 32
    assert (seen == 255).sum() == 64 * 64 - 32 * 32


@pytest.mark.parametrize(
    'wrong', [{'min_zoom': 2.0}, {'flip_probability': 1.5}, {'brightness': -0.1}]
)
def test_augmentation_that_cannot_be_drawn_is_refused(wrong):
    with pytest.raises(UserError):
        SegmentationAugmentation(**wrong)
