"""
The camera's motion over a window of frames together with the points' depth (bundle adjustment).

Two images leave the focal length almost unseen: where a point lies along its epipolar line is
explained by its depth. Over several images the same depth must explain every position, and a turn
bends the paths of points by an amount that depends on the focal length. So the camera that is
tested is held fixed, motion and depth are fitted, and what remains tells how well it fits.

Each point is a ray n of the window's first image with an inverse depth rho; a later view sees it
at R n + rho t. Many windows are fitted at once, padded to a common number of points.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.checking.two_view import Array
from training.checking.two_view import Camera
from training.checking.two_view import PairBatch
from training.checking.two_view import cross_matrix
from training.checking.two_view import inverse_depth
from training.checking.two_view import rotation_of
from training.checking.two_view import two_view_motion

_HIGHEST_INVERSE_DEPTH = 5.0  # of the way to the last view
_CONVERGED = 1e-4  # share of the cost that a step must gain


class WindowBatch(NamedTuple):
    """Tracks of many windows, in pixels."""

    first: Array  # [W, N, 2]
    later: Array  # [W, V, N, 2]
    mask: Array  # [W, N], 1 where there is a point


class WindowFit(NamedTuple):
    """Motion and depth of many windows; the way to the last view has length 1."""

    rotation: Array  # [W, V, 3, 3]
    translation: Array  # [W, V, 3]
    inverse_depth: Array  # [W, N]
    cost: Array  # [W]


def start_windows(camera: Camera, windows: WindowBatch, noise_px: float) -> WindowFit:
    """Fit every view to the first on its own, and bring their lengths to one scale."""
    count, views = windows.later.shape[:2]
    rotation = np.zeros((count, views, 3, 3))
    translation = np.zeros((count, views, 3))
    depths = np.zeros((count, views, windows.mask.shape[1]))
    for view in range(views):
        pairs = PairBatch(windows.first, windows.later[:, view], windows.mask)
        motion = two_view_motion(camera, pairs, noise_px)
        rotation[:, view], translation[:, view] = motion.rotation, motion.direction
        depths[:, view] = inverse_depth(camera, motion.rotation, motion.direction, pairs)
    last = np.clip(depths[:, -1], 1e-4, _HIGHEST_INVERSE_DEPTH)
    for view in range(views - 1):
        ratios = np.where(windows.mask > 0, depths[:, view] / last, np.nan)
        translation[:, view] *= np.clip(np.nanmedian(ratios, axis=1), 0.02, 1.5)[:, None]
    return WindowFit(rotation, translation, last, np.full(count, np.inf))


def fit_windows(
    camera: Camera, windows: WindowBatch, start: WindowFit, noise_px: float, steps: int
) -> WindowFit:
    """
    Improve motion and depth of every window for one camera, until nothing is gained.

    :param start: near the solution; its cost is not used.
    :param noise_px: where the Cauchy weight of a point has fallen to a half.
    """
    rays = camera.rays(windows.first)
    fit, errors = _judged(camera, rays, windows, start, noise_px)
    damping = np.full(len(fit.cost), 1e-3)
    for _ in range(steps):
        proposed = _step(camera, rays, windows, fit, errors, noise_px, damping)
        new_fit, new_errors = _judged(camera, rays, windows, proposed, noise_px)
        better = new_fit.cost < fit.cost
        # A step that was refused says nothing, unless even a short one was.
        done = np.where(better, fit.cost - new_fit.cost < _CONVERGED * fit.cost, damping > 1.0)
        fit = select(better, new_fit, fit)
        errors = _select(better, new_errors, errors)
        damping = np.where(better, np.maximum(damping * 0.3, 1e-7), np.minimum(damping * 6, 1e6))
        if done.all():
            break
    return fit


def select(chosen: NDArray[np.bool_], new: WindowFit, old: WindowFit) -> WindowFit:
    """Return the new fit of the chosen windows and the old one of the others."""
    return WindowFit(*(_select(chosen, a, b) for a, b in zip(new, old)))


def _select(chosen: NDArray[np.bool_], new: Array, old: Array) -> Array:
    return np.where(chosen.reshape(-1, *(1,) * (new.ndim - 1)), new, old)


def _points(rays: Array, fit: WindowFit) -> Array:
    """Return points in the views' frames, times their inverse depth: (W, V, N, 3)."""
    turned = rays[:, None] @ np.swapaxes(fit.rotation, -1, -2)
    moved = fit.translation[:, :, None] * fit.inverse_depth[:, None, :, None]
    return np.asarray(turned + moved, np.float64)


def _judged(
    camera: Camera, rays: Array, windows: WindowBatch, fit: WindowFit, noise_px: float
) -> tuple[WindowFit, Array]:
    """Return the fit with its cost, and what is seen minus what was measured (W, V, N, 2)."""
    errors = camera.pixels(_points(rays, fit)) - windows.later
    weighted = windows.mask[:, None] * np.log1p((errors**2).sum(-1) / noise_px**2)
    return fit._replace(cost=0.5 * weighted.sum((1, 2))), errors


def _step(
    camera: Camera,
    rays: Array,
    windows: WindowBatch,
    fit: WindowFit,
    errors: Array,
    noise_px: float,
    damping: Array,
) -> WindowFit:
    """Take a damped Gauss-Newton step; the depths are eliminated first (Schur complement)."""
    count, views, points = errors.shape[:3]
    by_motion, by_depth = _derivatives(camera, rays, fit)
    weight = windows.mask[:, None] / (1 + (errors**2).sum(-1) / noise_px**2)  # [W, V, N]
    weight_motion = by_motion * weight[..., None, None]
    depth_normal = (by_depth**2).sum(-1) * weight
    depth_normal = depth_normal.sum(1) * (1 + damping[:, None]) + 1e-6  # [W, N]
    depth_gradient = ((by_depth * errors).sum(-1) * weight).sum(1)
    mixed = (weight_motion * by_depth[..., None]).sum(-2)  # [W, V, N, 6]

    flat = (count, views, points * 2, 6)
    normal = np.swapaxes(by_motion.reshape(flat), -1, -2) @ weight_motion.reshape(flat)
    gradient = (weight_motion * errors[..., None]).sum((2, 3))  # [W, V, 6]
    normal = normal * (1 + damping[:, None, None, None] * np.eye(6)) + 1e-6 * np.eye(6)

    size = views * 6
    wide = np.swapaxes(mixed, 2, 3).reshape(count, size, points)
    reduced = -(wide / depth_normal[:, None]) @ np.swapaxes(wide, 1, 2)
    for view in range(views):
        block = slice(6 * view, 6 * view + 6)
        reduced[:, block, block] += normal[:, view]
    reduced += 1e-4 * np.eye(size)  # the scale of a window is free
    right = (
        gradient.reshape(count, size) - (wide @ (depth_gradient / depth_normal)[..., None])[..., 0]
    )
    motion = -np.linalg.solve(reduced, right[..., None])[..., 0]
    depth = -(depth_gradient + (motion[:, None] @ wide)[:, 0]) / depth_normal

    change = motion.reshape(count, views, 6)
    rotation = rotation_of(np.clip(change[..., :3], -0.2, 0.2)) @ fit.rotation
    translation = fit.translation + change[..., 3:]
    new_depth = np.clip(fit.inverse_depth + depth, -0.02, _HIGHEST_INVERSE_DEPTH)
    scale = np.maximum(np.linalg.norm(translation[:, -1], axis=1), 1e-9)
    return WindowFit(
        rotation, translation / scale[:, None, None], new_depth * scale[:, None], fit.cost
    )


def _derivatives(camera: Camera, rays: Array, fit: WindowFit) -> tuple[Array, Array]:
    """Return pixels by rotation and translation (W, V, N, 2, 6), and by inverse depth (.., 2)."""
    points = _points(rays, fit)
    z = np.maximum(points[..., 2], 1e-3)
    zero = np.zeros_like(z)
    by_point = np.stack(
        [
            np.stack([camera.fx / z, zero, -camera.fx * points[..., 0] / z**2], -1),
            np.stack([zero, camera.fy / z, -camera.fy * points[..., 1] / z**2], -1),
        ],
        axis=-2,
    )  # [W, V, N, 2, 3]
    turned = rays[:, None] @ np.swapaxes(fit.rotation, -1, -2)
    by_rotation = -by_point @ cross_matrix(turned)
    by_translation = by_point * fit.inverse_depth[:, None, :, None, None]
    by_depth = (by_point * fit.translation[:, :, None, None]).sum(-1)
    return np.concatenate([by_rotation, by_translation], axis=-1), by_depth
