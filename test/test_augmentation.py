"""Augmentation: one draw per triplet, colours stay colours, mirroring undoes itself."""

import colorsys
from dataclasses import replace

import torch

from training.data.augmentation import AugmentationConfig
from training.data.augmentation import AugmentationDraw
from training.data.augmentation import draw_augmentations
from training.data.augmentation import flip_where
from training.data.augmentation import jitter_color
from training.data.keyed_sampler import SampleKey

ALWAYS = AugmentationConfig(jitter_probability=1.0)


def draws(count: int, config: AugmentationConfig, seed: int = 0) -> AugmentationDraw:
    """Return the draws of a batch."""
    return draw_augmentations(config, seed, [SampleKey(s, 0) for s in range(count)])


def test_a_draw_is_a_function_of_seed_sample_and_epoch():
    def hues(seed):
        keys = [SampleKey(0, 0), SampleKey(1, 0), SampleKey(0, 1)]
        return draw_augmentations(ALWAYS, seed, keys).hue.tolist()

    first = [*hues(0), *hues(1)]
    torch.manual_seed(5)
    assert first == [*hues(0), *hues(1)]
    assert len(set(first)) == 6


def test_jitter_and_mirroring_happen_as_often_as_configured():
    config = AugmentationConfig(jitter_probability=0.25, flip_probability=0.75)
    batch = draws(400, config)
    assert 0.19 < (batch.brightness != 1).float().mean() < 0.31
    assert 0.69 < batch.flip.float().mean() < 0.81
    assert not draws(50, replace(config, flip_probability=0.0)).flip.any()


def test_the_frames_of_a_triplet_share_one_draw():
    torch.manual_seed(0)
    frame = torch.rand(4, 1, 3, 8, 8)
    changed = jitter_color(frame.expand(4, 3, 3, 8, 8), draws(4, ALWAYS))
    torch.testing.assert_close(changed[:, 0], changed[:, 1])
    torch.testing.assert_close(changed[:, 0], changed[:, 2])
    assert (changed[:, 0] - frame[:, 0]).abs().mean() > 0.01
    shift = (changed[:, 0] - frame[:, 0]).mean((1, 2, 3))
    assert shift.unique().numel() == 4


def test_without_jitter_images_are_unchanged():
    images = torch.rand(2, 3, 3, 8, 8)
    never = AugmentationConfig(jitter_probability=0.0)
    torch.testing.assert_close(jitter_color(images, draws(2, never)), images, atol=1e-5, rtol=0)


def test_grey_keeps_its_hue_and_colours_turn_at_most_the_configured_hue():
    torch.manual_seed(1)
    config = AugmentationConfig(0.0, 0.0, 0.0, 0.05, 1.0)
    grey = torch.full((8, 3, 3, 2, 2), 0.4)
    torch.testing.assert_close(jitter_color(grey, draws(8, config)), grey, atol=2e-3, rtol=0)
    red = torch.zeros(8, 3, 3, 2, 2)
    red[:, :, 0], red[:, :, 1:] = 0.7, 0.3
    for rgb in jitter_color(red, draws(8, config))[:, 0, :, 0, 0].tolist():
        hue = colorsys.rgb_to_hsv(*rgb)[0]
        assert min(hue, 1 - hue) < 0.08


def test_brightness_scales_the_image():
    torch.manual_seed(0)
    config = AugmentationConfig(0.2, 0.0, 0.0, 0.0, 1.0)
    image = torch.full((16, 3, 3, 2, 2), 0.5)
    factors = jitter_color(image, draws(16, config))[:, 0, 0, 0, 0] / 0.5
    assert (factors >= 0.799).all()
    assert (factors <= 1.201).all()
    assert factors.std() > 0.05


def test_mirroring_twice_gives_the_original_and_touches_only_the_drawn():
    torch.manual_seed(0)
    images = torch.rand(6, 3, 4, 5)
    flips = draws(6, AugmentationConfig()).flip
    assert flips.any()
    assert not flips.all()
    once = flip_where(images, flips)
    torch.testing.assert_close(once[~flips], images[~flips])
    torch.testing.assert_close(once[flips], images[flips].flip(-1))
    torch.testing.assert_close(flip_where(once, flips), images)
