"""
Mistakes that published code makes: those that no other test would find.

docs/method.md lists all of them and what finds each.
"""

import json
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from kitti_trees import write_raw_drive
from rendered_triplet import CAMERA
from rendered_triplet import PLACES
from rendered_triplet import render
from rendered_triplet import true_motion
from rendered_triplet import write_rendered_drive
from torch.nn import functional
from training_run import NARROW

from sg_depth_ros.errors import UserError
from training import train
from training.__main__ import main
from training.data import augmentation
from training.data.augmentation import AugmentationConfig
from training.data.datamodule import DepthData
from training.data.drive import DRIVE_FILE
from training.data.drive import frame_path
from training.data.drive import read_image
from training.networks.depth import DepthNetworkConfig
from training.networks.motion import Motion
from training.networks.motion import invert
from training.objective import depth_module
from training.objective.depth_module import DepthModule
from training.objective.objective import ObjectiveConfig
from training.objective.objective import objective

ROOT = Path(__file__).resolve().parents[1]
TINY = DepthNetworkConfig(
    encoder_width=8, decoder_channels=(8, 8, 8, 8, 8), guidance='none', initial_depth_m=8.0
)
STRONG = AugmentationConfig(0.5, 0.5, 0.5, 0.2, jitter_probability=1.0, flip_probability=0.0)


@pytest.fixture
def dataset(tmp_path):
    write_rendered_drive(tmp_path / 'dataset')
    return tmp_path / 'dataset'


def load(dataset, config):
    data = DepthData(str(dataset), batch_size=1, augmentation=config)
    return next(iter(data.train_dataloader()))


def without_flip(batch, flip=False):
    return batch._replace(augmentation=batch.augmentation._replace(flip=torch.tensor([flip])))


# 1. Colour jitter per frame.


def test_networks_see_one_change_of_colour_per_triplet_and_the_loss_sees_none(
    dataset, monkeypatch
):
    batch = without_flip(load(dataset, STRONG))
    target = batch.images[:, :1].expand_as(batch.images)  # three times the same frame
    module = DepthModule(None, TINY).eval()
    seen, judged = [], []
    module.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    depth = module.network.inverse_depth
    monkeypatch.setattr(module.network, 'inverse_depth', lambda x: seen.append(x) or depth(x))
    pose = module.pose.forward
    monkeypatch.setattr(
        module.pose, 'forward', lambda t, c: seen.extend([t, *c.unbind(1)]) or pose(t, c)
    )

    def spy(inverse_depth, motion, target, contexts, *others):
        judged.extend([target, *contexts.unbind(1)])
        return objective(inverse_depth, motion, target, contexts, *others)

    monkeypatch.setattr(depth_module, 'objective', spy)
    module.terms(batch._replace(images=target))
    clean = target[:, 0].permute(0, 3, 1, 2) / 255
    assert len(seen) == 4
    for image in seen:
        torch.testing.assert_close(image, seen[0])
    assert (seen[0] - clean).abs().mean() > 0.03
    assert len(judged) == 3
    for image in judged:
        torch.testing.assert_close(image, clean)


# 2. Native-size frames, PNG, resizing and colour work in the loader.


def test_the_loader_does_nothing_but_decode_jpegs_of_network_size(tmp_path, monkeypatch):
    recording = write_raw_drive(tmp_path)  # PNG, 160x48
    main(['prepare', str(recording), '--out', str(tmp_path / 'dataset'), '--height', '32'])
    (drive,) = (tmp_path / 'dataset').iterdir()
    stored = sorted((drive / 'frames').iterdir())
    assert stored
    for path in stored:
        assert path.read_bytes()[:2] == b'\xff\xd8'
        assert read_image(path).shape == (32, 96, 3)

    def refuse(*arguments, **options):
        raise AssertionError('work that belongs into prepare, or on the device')

    for name in ('resize', 'warpAffine', 'remap', 'LUT', 'flip'):
        monkeypatch.setattr(cv2, name, refuse)
    monkeypatch.setattr(augmentation, 'jitter_color', refuse)
    monkeypatch.setattr(augmentation, 'flip_where', refuse)
    data = DepthData(str(tmp_path / 'dataset'), batch_size=2, augmentation=STRONG)
    batch = next(iter(data.train_dataloader()))
    monkeypatch.undo()
    assert batch.images.dtype == torch.uint8
    assert batch.images.shape == (2, 3, 32, 96, 3)
    for sample, images in zip(batch.sample.tolist(), batch.images.numpy()):
        target = int(data.dataset.describe(sample).split()[-1])
        np.testing.assert_array_equal(images[0], read_image(frame_path(drive, target)))


# 4. Dummy, missing and normalised intrinsics.


@pytest.mark.parametrize(
    ('change', 'says'),
    [
        (lambda camera: None, 'intrinsics_px'),
        (lambda camera: {**camera, 'fx': 0.0}, 'uncalibrated camera'),
        (
            lambda camera: {
                **camera,
                'fx': camera['fx'] / camera['width'],
                'fy': camera['fy'] / camera['height'],
                'cx': camera['cx'] / camera['width'],
                'cy': camera['cy'] / camera['height'],
            },
            'shares of the image',
        ),
    ],
    ids=['missing', 'uncalibrated', 'in shares of the image'],
)
def test_training_without_intrinsics_in_pixels_is_refused(dataset, tmp_path, change, says):
    path = dataset / 'rendered' / DRIVE_FILE
    drive = json.loads(path.read_text())
    camera = change(drive.pop('intrinsics_px'))
    path.write_text(json.dumps(drive if camera is None else {**drive, 'intrinsics_px': camera}))
    paths = ['--data.root', str(dataset), '--out', str(tmp_path / 'run')]
    with pytest.raises(UserError, match=says) as refused:
        train.main([*NARROW, '--model.network.guidance=none', *paths])
    assert str(path) in str(refused.value)
    assert not (tmp_path / 'run').exists()


def test_training_says_which_camera_it_understood(dataset, tmp_path, capsys):
    paths = ['--data.root', str(dataset), '--out', str(tmp_path / 'run')]
    more = ['--model.network.guidance=none', '--data.batch_size=1', '--trainer.max_steps=1']
    train.main([*NARROW, *more, *paths])
    plan = ' '.join(capsys.readouterr().out.split())
    assert f'128x64, field of view {CAMERA.horizontal_fov_deg():.0f} deg' in plan
    assert 'principal point (60.0, 27.0) px' in plan


# 5. Half a pixel in resizing and flipping: see test_camera.py; here the flip within training.


def test_a_mirrored_input_changes_nothing_for_a_network_that_is_blind_to_sides(
    dataset, monkeypatch
):
    """Off by a pixel, or with intrinsics of the wrong side, another depth would be warped by."""
    never = AugmentationConfig(jitter_probability=0.0)
    batch = load(dataset, never)
    module = DepthModule(None, TINY)

    def pointwise(image):
        grey = 0.05 + image.mean(1, keepdim=True) / 4
        return tuple(functional.avg_pool2d(grey, 2**s) if s else grey for s in range(4))

    monkeypatch.setattr(module.network, 'inverse_depth', pointwise)
    upright = module.terms(without_flip(batch, False))
    mirrored = module.terms(without_flip(batch, True))
    torch.testing.assert_close(mirrored.loss, upright.loss, rtol=1e-6, atol=0)


# 6. Losses that are no numbers dropped in silence; checkpoints: see test_resume.py.


def test_a_loss_that_is_no_number_stops_training(dataset, tmp_path, monkeypatch):
    losses = []

    def spoilt(*arguments):
        terms = objective(*arguments)
        losses.append(terms.loss * (torch.nan if len(losses) == 1 else 1.0))
        return terms._replace(loss=losses[-1])

    monkeypatch.setattr(depth_module, 'objective', spoilt)
    paths = ['--data.root', str(dataset), '--out', str(tmp_path / 'run')]
    more = ['--model.network.guidance=none', '--data.batch_size=1', '--trainer.max_steps=3']
    with pytest.raises(UserError, match='training stopped in step') as stopped:
        train.main([*NARROW, *more, *paths])
    assert 'rendered 000001' in str(stopped.value)
    assert len(losses) == 2
    assert not (tmp_path / 'run/depth.ckpt').exists()


# 8. Two conventions of transforms.


def photometric(motion):
    """Return the photometric error of the rendered triplet at its true depth and a motion."""
    images = [torch.from_numpy(render(p)[0]).permute(2, 0, 1) / 255 for p in (0, -1, 1)]
    depth_m = torch.from_numpy(render(0)[1]).float()[None, None]
    inverse_depth = tuple(
        functional.avg_pool2d(1 / depth_m, 2**s) if s else 1 / depth_m for s in range(4)
    )
    terms = objective(
        inverse_depth,
        motion,
        images[0][None],
        torch.stack(images[1:])[None],
        torch.from_numpy(CAMERA.matrix()).float()[None],
        torch.full((1, 2), torch.nan),
        replace(ObjectiveConfig(), scale='none', auto_mask=False),
    )
    return terms.photometric.item()


def test_only_context_from_target_explains_a_scene_seen_in_turning():
    parts = [true_motion(place) for place in (PLACES[0], PLACES[-1])]
    rotation, translation = (
        torch.from_numpy(np.stack(part)).float()[None] for part in zip(*parts)
    )
    true = Motion(rotation, translation)
    error = photometric(true)
    still = photometric(Motion(torch.eye(3).expand_as(rotation), torch.zeros_like(translation)))
    assert error < 0.25 * still
    wrong = {
        'target from context': invert(true),
        'contexts exchanged': Motion(rotation.flip(1), translation.flip(1)),
        'only the rotation transposed': Motion(rotation.mT, translation),
        'only the translation negated': Motion(rotation, -translation),
    }
    for name, motion in wrong.items():
        assert photometric(motion) > 5 * error, name


# The list itself.


def test_every_mistake_of_the_list_names_tests_that_exist():
    page = (ROOT / 'docs/method.md').read_text()
    rows = re.findall(r'^\| (\d) \| (.+?) \| (.+) \|$', page, re.MULTILINE)
    assert [int(number) for number, _, _ in rows] == list(range(1, 9))
    for number, _, tests in rows:
        named = re.findall(r'\[`(\w+)`\]\(\.\./(test/\w+\.py)\)', tests)
        assert named, number
        for name, file in named:
            assert re.search(rf'^def {name}\(', (ROOT / file).read_text(), re.MULTILINE), name
            assert name.startswith('test_')
