"""The self-supervised objective: geometry against the camera module, minimum at the truth."""

import math

import numpy as np
import pytest
import torch

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.camera import project
from training.networks.motion import Motion
from training.networks.motion import euler_to_rotation
from training.networks.motion import motion_to_transform
from training.objective.objective import ObjectiveConfig
from training.objective.objective import objective
from training.objective.photometric import minimum_error
from training.objective.photometric import photometric_error
from training.objective.photometric import window_statistics
from training.objective.smoothness import smoothness
from training.objective.velocity import velocity_loss
from training.objective.warping import pixel_rays
from training.objective.warping import sample_grid
from training.objective.warping import warp

CAMERA = Intrinsics(60.0, 58.0, 31.0, 14.5, 64, 32)


def intrinsics(batch=1):
    return torch.from_numpy(CAMERA.matrix()).float().expand(batch, 3, 3)


def scene_image(z_camera, rays):
    """Render a textured ground 1.5 m below a camera that stands at (0, 0, z), and a far wall."""
    y = rays[..., 1]
    depth = np.where(y > 0.06, 1.5 / np.maximum(y, 0.06), 25.0 - z_camera)
    depth = np.minimum(depth, 25.0 - z_camera)
    x, z = rays[..., 0] * depth, depth + z_camera
    height = rays[..., 1] * depth
    texture = [
        0.5 + 0.2 * np.sin(a * x) + 0.2 * np.cos(b * z + 0.7 * height)
        for a, b in ((1.1, 0.5), (0.8, 0.4), (1.4, 0.6))
    ]
    return np.stack(texture).astype(np.float32), depth.astype(np.float32)


def triplet(step_m=0.5):
    """Return the target's depth and the target, previous and following images of a drive."""
    rays = CAMERA.rays()
    target, depth = scene_image(0.0, rays)
    contexts = [scene_image(z, rays)[0] for z in (-step_m, step_m)]
    return (
        torch.from_numpy(depth)[None, None],
        torch.from_numpy(target)[None],
        torch.from_numpy(np.stack(contexts))[None],
    )


def true_motion(step_m=0.5):
    translation = torch.tensor([[[0.0, 0.0, step_m], [0.0, 0.0, -step_m]]])
    return Motion(torch.eye(3).expand(1, 2, 3, 3), translation)


def pyramid(depth):
    return tuple(
        torch.nn.functional.avg_pool2d(1 / depth, 2**s) if s else 1 / depth for s in range(4)
    )


def loss_at(depth, motion, config=ObjectiveConfig(), displacement=0.5):
    _, target, contexts = triplet()
    measured = torch.full((1, 2), displacement)
    return objective(pyramid(depth), motion, target, contexts, intrinsics(), measured, config)


def test_grid_says_where_the_camera_module_projects():
    depth = 2 + torch.rand(1, 1, 32, 64) * 5
    rotation = euler_to_rotation(torch.tensor([[0.02, -0.03, 0.01]]))
    transform = motion_to_transform(Motion(rotation, torch.tensor([[0.3, -0.1, 0.4]])))
    grid = sample_grid(pixel_rays(intrinsics(), 32, 64), depth, transform, intrinsics())
    points = (CAMERA.rays() * depth[0, 0, ..., None].numpy()).reshape(-1, 3)
    moved = points @ transform[0, :3, :3].numpy().T + transform[0, :3, 3].numpy()
    pixels = project(moved, CAMERA).reshape(32, 64, 2)
    u = (grid[0, ..., 0].numpy() + 1) * 64 / 2 - 0.5
    v = (grid[0, ..., 1].numpy() + 1) * 32 / 2 - 0.5
    np.testing.assert_allclose(np.stack([u, v], -1), pixels, atol=2e-3)


def test_warp_without_motion_is_the_image():
    image, depth = torch.rand(2, 3, 32, 64), torch.full((2, 1, 32, 64), 7.0)
    transform = torch.eye(4).expand(2, 4, 4)
    grid = sample_grid(pixel_rays(intrinsics(2), 32, 64), depth, transform, intrinsics(2))
    torch.testing.assert_close(warp(image, grid), image, atol=1e-4, rtol=0)


def test_warping_by_true_depth_and_motion_rebuilds_the_target():
    depth, target, contexts = triplet()
    transforms = motion_to_transform(true_motion())
    rays = pixel_rays(intrinsics(), 32, 64)
    # Beyond the far end of the road one pixel spans more than a wave of the texture.
    inner = (..., slice(20, -6), slice(10, -10))
    for context, transform in zip(contexts.unbind(1), transforms.unbind(1)):
        rebuilt = warp(context, sample_grid(rays, depth, transform, intrinsics()))
        error = (rebuilt - target)[inner].abs().mean()
        assert error < 0.02
        assert error < 0.5 * (context - target)[inner].abs().mean()


def test_loss_is_least_at_the_true_depth_and_motion():
    depth, _, _ = triplet()
    truth = loss_at(depth, true_motion()).photometric
    for factor in (0.5, 0.7, 1.4, 2.0):
        assert loss_at(depth * factor, true_motion()).photometric > 1.1 * truth


def test_measured_displacement_fixes_the_scale_of_the_motion():
    depth, _, _ = triplet()
    longer = true_motion(step_m=3.0)
    expected = loss_at(depth, true_motion()).loss
    torch.testing.assert_close(loss_at(depth, longer).loss, expected)
    free = ObjectiveConfig(scale='none')
    assert loss_at(depth, longer, free).photometric > 1.2 * expected


def test_velocity_loss_is_the_mean_over_motions_where_unknown_ones_add_nothing():
    translation = torch.tensor([[[3.0, 0.0, 4.0], [0.0, 0.0, 1.0]]])
    gap_m = 1.0  # 5 m predicted, 4 m measured
    loss = velocity_loss(translation, torch.tensor([[4.0, math.nan]]))
    assert loss.item() == pytest.approx(gap_m / 2)
    both = velocity_loss(translation, torch.tensor([[4.0, 1.5]]))
    assert both.item() == pytest.approx((gap_m + 0.5) / 2)
    assert velocity_loss(translation, torch.full((1, 2), math.nan)).item() == 0.0


def test_scene_that_moves_with_the_camera_is_masked_out():
    depth, target, _ = triplet()
    contexts = torch.stack([target, target], dim=1)
    measured = torch.full((1, 2), 0.5)
    terms = objective(
        pyramid(depth), true_motion(), target, contexts, intrinsics(), measured, ObjectiveConfig()
    )
    assert terms.masked_share > 0.9
    assert terms.photometric < 1e-6


def test_photometric_error_is_zero_for_equal_images_and_grows_with_difference():
    image = torch.rand(1, 3, 16, 16)
    statistics = window_statistics(image)
    assert photometric_error(image, image, statistics).abs().max() < 1e-6
    near = photometric_error(image + 0.05, image, statistics).mean()
    far = photometric_error(torch.rand(1, 3, 16, 16), image, statistics).mean()
    assert 0 < near < far


def test_photometric_error_equals_the_formula_at_one_pixel():
    a, b = torch.rand(1, 1, 3, 3), torch.rand(1, 1, 3, 3)
    error = photometric_error(a, b, window_statistics(b))[0, 0, 1, 1]
    ma, mb = a.mean(), b.mean()
    va, vb = (a - ma).square().mean(), (b - mb).square().mean()
    cov = ((a - ma) * (b - mb)).mean()
    ssim = (2 * ma * mb + 1e-4) * (2 * cov + 9e-4)
    ssim = ssim / ((ma**2 + mb**2 + 1e-4) * (va + vb + 9e-4))
    expected = 0.85 * (1 - ssim) / 2 + 0.15 * (a - b)[0, 0, 1, 1].abs()
    torch.testing.assert_close(error, expected, atol=1e-5, rtol=1e-4)


def test_minimum_over_contexts_takes_the_better_one_per_pixel():
    target = torch.rand(1, 3, 8, 8)
    broken = torch.rand(1, 3, 8, 8)
    error = minimum_error(torch.stack([broken, target], 1), target, window_statistics(target))
    assert error.max() < 1e-6


def test_smoothness_is_zero_on_a_constant_and_less_at_image_edges():
    step = torch.ones(1, 1, 8, 8)
    step[..., 4:] = 3.0
    edge = torch.zeros(1, 3, 8, 8)
    edge[..., 4:] = 1.0
    assert smoothness(torch.ones(1, 1, 8, 8), edge) == 0
    assert 0 < smoothness(step, edge) < smoothness(step, torch.zeros(1, 3, 8, 8))
