"""Samples of labelled images: sizes, random views, and the same ones whoever draws them."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from labelled_drives import COLORS
from labelled_drives import write_labelled_drive
from labelled_folders import write_pair

from sg_depth_ros.errors import UserError
from training.data.keyed_sampler import KeyedSampler
from training.data.keyed_sampler import SampleKey
from training.data.segmentation_augmentation import SegmentationAugmentation
from training.data.segmentation_augmentation import augment
from training.data.segmentation_augmentation import random_window
from training.data.segmentation_datamodule import SegmentationData
from training.data.segmentation_dataset import SegmentationDataset
from training.data.segmentation_dataset import SegmentationSample
from training.data.segmentation_dataset import View
from training.data.segmentation_dataset import padded_batch
from training.data.segmentation_frames import HoldOut
from training.data.segmentation_frames import LabelledFrame
from training.data.segmentation_sources import read_dataset_folder

VIEW = View(32, 64)


def training_frames(root):
    return read_dataset_folder(root, HoldOut(0.1, 10)).training


def batches(data: SegmentationData, epochs: int) -> list[torch.Tensor]:
    found = []
    loader = data.train_dataloader()
    for epoch in range(epochs):
        assert isinstance(loader.sampler, KeyedSampler)
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
    frames = training_frames(tmp_path)
    settings = SegmentationAugmentation()
    first, second = (SegmentationDataset(frames, 19, VIEW, settings, seed) for seed in (0, 1))
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
    image, seen = augment(COLORS[labels], labels, 64, 96, settings, np.random.default_rng(seed))
    assert image.shape == (64, 96, 3)
    # Colours mix at borders; away from them a pixel has the colour of its class.
    inside = cv2.erode((seen != 255).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    for other in range(3):
        border = cv2.dilate((seen == other).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        inside &= ~border | (seen == other)
    assert inside.sum() > 1000
    assert np.abs(image[inside].astype(int) - COLORS[seen[inside]].astype(int)).max() <= 1


def test_window_shows_a_part_of_a_larger_image():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 19, (96, 160)).astype(np.uint8)
    # Every pixel says where it is.
    y, x = np.mgrid[:96, :160].astype(np.uint8)
    image = np.stack([x, y, np.zeros_like(x)], axis=2)
    places = set()
    for _ in range(20):
        seen, seen_labels = random_window(image, labels, 32, 64, 1.0, 1.0, rng)
        assert seen.shape == (32, 64, 3)
        # Zoomed by one, the labels are those of some place, pixel by pixel.
        windows = np.lib.stride_tricks.sliding_window_view(labels, (32, 64))
        ((top, left),) = np.argwhere((windows == seen_labels).all(axis=(2, 3)))
        places.add((int(top), int(left)))
        assert np.abs(seen[0, 0, :2].astype(int) - (left, top)).max() <= 1
        assert np.abs(seen[-1, -1, :2].astype(int) - (left + 63, top + 31)).max() <= 1
    assert len(places) > 15
    assert max(top for top, _ in places) > 48
    assert max(left for _, left in places) > 72


def test_zoom_of_one_changes_nothing():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (32, 64, 3)).astype(np.uint8)
    labels = rng.integers(0, 19, (32, 64)).astype(np.uint8)
    seen, seen_labels = random_window(image, labels, 32, 64, 1.0, 1.0, rng)
    assert np.array_equal(seen, image)
    assert np.array_equal(seen_labels, labels)


def test_rim_of_a_smaller_image_has_no_class():
    labels = np.zeros((64, 64), np.uint8)
    _, seen = random_window(COLORS[labels], labels, 64, 64, 0.5, 0.5, np.random.default_rng(0))
    assert (seen == 0).sum() == 32 * 32
    assert (seen == 255).sum() == 64 * 64 - 32 * 32


@pytest.mark.parametrize(
    ('scale', 'expected'),
    [
        (None, (64, 80)),  # just covers: the height decides
        (0.5, (50, 62)),
        (1.0, (100, 125)),
    ],
)
def test_images_are_scaled_before_windows_are_cut(tmp_path, scale, expected):
    write_pair(tmp_path / 'i', tmp_path / 'l', ['1'], (125, 100))
    frame = LabelledFrame(tmp_path / 'i' / '1.png', tmp_path / 'l' / '1.png')
    view = View(64, 64, scale)
    whole = SegmentationDataset([frame], 19, view, None, seed=0)[SampleKey(0, 0)]
    assert whole.labels.shape == expected
    assert whole.image.shape == (3, *expected)
    cut = SegmentationDataset([frame], 19, view, SegmentationAugmentation(), seed=0)
    assert cut[SampleKey(0, 0)].labels.shape == (64, 64)


def test_images_of_other_sizes_are_refused_where_no_window_is_cut(tmp_path):
    write_pair(tmp_path / 'i', tmp_path / 'l', ['1', '2'], (64, 32))
    write_pair(tmp_path / 'i', tmp_path / 'l', ['1'], (96, 64))
    data = SegmentationData(images=tmp_path / 'i', labels=tmp_path / 'l', workers=0)
    data.setup()
    with pytest.raises(UserError, match=r'is 96x64, but others are 64x32; give --data.height'):
        list(data.val_dataloader())


def test_size_that_the_network_cannot_take_is_refused_unless_windows_are_cut(tmp_path):
    write_labelled_drive(tmp_path / 'a', 3, size=(80, 32))
    with pytest.raises(UserError, match=r'images of 80x32: .*multiples of 32'):
        SegmentationData(tmp_path).setup()
    data = SegmentationData(tmp_path, height=32, width=64, batch_size=2, workers=0)
    data.setup()
    (batch,) = data.train_dataloader()
    assert batch.image.shape == (2, 3, 32, 64)
    (batch,) = data.val_dataloader()
    assert batch.labels.shape == (1, 32, 96)
    assert (batch.labels[:, :, 80:] == 255).all()


def test_whole_images_of_several_sizes_fill_up_with_a_rim_without_labels():
    samples = [
        SegmentationSample(
            torch.full((3, h, w), 7, dtype=torch.uint8), torch.zeros(h, w, dtype=torch.uint8)
        )
        for h, w in ((40, 96), (64, 50))
    ]
    batch = padded_batch(samples)
    assert batch.image.shape == (2, 3, 64, 96)
    assert [(label == 0).sum() for label in batch.labels] == [40 * 96, 64 * 50]
    assert (batch.labels[0, 40:] == 255).all()
    assert (batch.labels[1, :, 50:] == 255).all()
    assert (batch.image[0, :, :40] == 7).all()
    assert (batch.image[0, :, 40:] == 115).all()


@pytest.mark.parametrize(
    ('wrong', 'said'),
    [
        ({}, '--data.root'),
        ({'root': Path('r'), 'images': Path('i'), 'labels': Path('l')}, 'either'),
        ({'images': Path('i')}, '--data.labels'),
        ({'root': Path('r'), 'label_ids': 'cityscapes'}, 'label_ids'),
        (
            {'images': Path('i'), 'labels': Path('l'), 'validation_images': Path('v')},
            '--data.validation_labels',
        ),
        ({'root': Path('r'), 'height': 64}, '--data.width'),
        ({'root': Path('r'), 'scale': 0.5}, '--data.height'),
        ({'root': Path('r'), 'height': 64, 'width': 50}, 'multiples of 32'),
        ({'root': Path('r'), 'height': 64, 'width': 64, 'scale': 0.0}, 'scale'),
    ],
)
def test_options_that_do_not_go_together_are_refused(wrong, said):
    with pytest.raises(UserError, match=said):
        SegmentationData(**wrong)


@pytest.mark.parametrize(
    'wrong', [{'min_zoom': 2.0}, {'flip_probability': 1.5}, {'brightness': -0.1}]
)
def test_augmentation_that_cannot_be_drawn_is_refused(wrong):
    with pytest.raises(UserError):
        SegmentationAugmentation(**wrong)
