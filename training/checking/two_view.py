"""
The camera's motion between two images from matched points: rotation and direction of travel.

X_second = R X_first + t. Every function works on many pairs of images at once, padded to a common
number of points, with a mask. Errors are Sampson's distances in pixels (Hartley and Zisserman,
Multiple View Geometry, 11.4.3), weighted as by a Cauchy distribution: points on other cars fall
out. The parameters' changes are small rotations and steps on the sphere of directions.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import Intrinsics

Array = NDArray[np.float64]

STEP = 1e-5  # of numerical derivatives, radians or shares
_LONGEST_UPDATE = 0.2


class Camera(NamedTuple):
    """A pinhole camera in pixels, without a size."""

    fx: float
    fy: float
    cx: float
    cy: float

    @staticmethod
    def of(intrinsics: Intrinsics) -> 'Camera':
        """Return the camera of an image."""
        return Camera(intrinsics.fx, intrinsics.fy, intrinsics.cx, intrinsics.cy)

    def rays(self, pixels: Array) -> Array:
        """Return rays (..., 3) with z = 1 of pixels (..., 2)."""
        x = (pixels[..., 0] - self.cx) / self.fx
        y = (pixels[..., 1] - self.cy) / self.fy
        return np.stack([x, y, np.ones_like(x)], axis=-1)

    def pixels(self, points: Array) -> Array:
        """Return pixels (..., 2) of points (..., 3); what lies behind goes far away."""
        z = np.maximum(points[..., 2], 1e-3)
        u = self.fx * points[..., 0] / z + self.cx
        v = self.fy * points[..., 1] / z + self.cy
        return np.stack([u, v], axis=-1)


class PairBatch(NamedTuple):
    """Matched points of many pairs of images."""

    first: Array  # [P, N, 2], pixels
    second: Array  # [P, N, 2]
    mask: Array  # [P, N], 1 where there is a match


class TwoViewMotion(NamedTuple):
    """The motion of many pairs; directions have length 1."""

    rotation: Array  # [P, 3, 3]
    direction: Array  # [P, 3]
    error_px: Array  # [P, N], signed Sampson distances
    cost: Array  # [P], of all points


def cross_matrix(vectors: Array) -> Array:
    """Return [v]x, shape (..., 3, 3), of vectors (..., 3)."""
    x, y, z = np.moveaxis(vectors, -1, 0)
    zero = np.zeros_like(x)
    rows = [zero, -z, y, z, zero, -x, -y, x, zero]
    return np.stack(rows, axis=-1).reshape(*vectors.shape[:-1], 3, 3)


def rotation_of(vectors: Array) -> Array:
    """Return rotations (..., 3, 3) of rotation vectors (..., 3), by Rodrigues' formula."""
    angle = np.maximum(np.linalg.norm(vectors, axis=-1), 1e-12)[..., None, None]
    k = cross_matrix(vectors)
    rotation: Array = (
        np.eye(3) + np.sin(angle) / angle * k + (1 - np.cos(angle)) / angle**2 * k @ k
    )
    return rotation


def rotation_vector(rotations: Array) -> Array:
    """Return rotation vectors (..., 3) of rotations by less than half a turn."""
    trace = np.trace(rotations, axis1=-2, axis2=-1)
    angle = np.arccos(np.clip((trace - 1) / 2, -1.0, 1.0))
    r = rotations
    parts = (r[..., 2, 1] - r[..., 1, 2], r[..., 0, 2] - r[..., 2, 0], r[..., 1, 0] - r[..., 0, 1])
    axis = np.stack(parts, axis=-1)
    factor = np.where(angle < 1e-6, 0.5, angle / np.maximum(2 * np.sin(angle), 1e-12))
    return np.asarray(axis * factor[..., None], np.float64)


def robust_cost(squared_px: Array, mask: Array, noise_px: float) -> Array:
    """Return half of the Cauchy cost, summed over the last axis."""
    return np.asarray(0.5 * (mask * np.log1p(squared_px / noise_px**2)).sum(-1), np.float64)


def sampson_px(camera: Camera, rotation: Array, direction: Array, pairs: PairBatch) -> Array:
    """Return the signed distances (P, N) of matches from the epipolar constraint, in pixels."""
    essential = cross_matrix(direction) @ rotation
    first, second = camera.rays(pairs.first), camera.rays(pairs.second)
    line_second = first @ np.swapaxes(essential, -1, -2)
    line_first = second @ essential
    scale = np.array([camera.fx, camera.fy])
    squared = ((line_second[..., :2] / scale) ** 2 + (line_first[..., :2] / scale) ** 2).sum(-1)
    return np.asarray((second * line_second).sum(-1) / np.sqrt(squared + 1e-18), np.float64)


def two_view_motion(camera: Camera, pairs: PairBatch, noise_px: float) -> TwoViewMotion:
    """
    Fit the motion of each pair, once from travel ahead and once from travel sideways.

    The direction's sign is chosen so that most points lie in front of the camera.
    """
    best: TwoViewMotion | None = None
    for start in ((0.0, 0.0, 1.0), (0.98, 0.0, 0.2)):
        direction = np.tile(np.array(start) / np.linalg.norm(start), (len(pairs.first), 1))
        rotation = np.tile(np.eye(3), (len(pairs.first), 1, 1))
        coarse = refine_motion(camera, rotation, direction, pairs, 4 * noise_px, 10)
        found = refine_motion(camera, coarse.rotation, coarse.direction, pairs, noise_px, 10)
        best = found if best is None else _better(best, found)
    assert best is not None
    depth = inverse_depth(camera, best.rotation, best.direction, pairs)
    behind = (np.sign(depth) * pairs.mask).sum(1) < 0
    return best._replace(direction=np.where(behind[:, None], -best.direction, best.direction))


def inverse_depth(camera: Camera, rotation: Array, direction: Array, pairs: PairBatch) -> Array:
    """Return length of the way / depth in the first image, (P, N), by least squares."""
    second = camera.rays(pairs.second)
    turned = np.cross(second, camera.rays(pairs.first) @ np.swapaxes(rotation, -1, -2))
    moved = np.cross(second, np.broadcast_to(direction[:, None], second.shape))
    length = np.maximum((moved * moved).sum(-1), 1e-12)
    return np.asarray(-(turned * moved).sum(-1) / length, np.float64)


def refine_motion(
    camera: Camera,
    rotation: Array,
    direction: Array,
    pairs: PairBatch,
    noise_px: float,
    steps: int,
) -> TwoViewMotion:
    """Improve the motion of each pair by Levenberg and Marquardt's method."""
    error = sampson_px(camera, rotation, direction, pairs)
    cost = robust_cost(error**2, pairs.mask, noise_px)
    damping = np.full(len(cost), 1e-3)
    for _ in range(steps):
        columns = []
        for number in range(5):
            change = np.zeros((len(cost), 5))
            change[:, number] = STEP
            moved = sampson_px(camera, *_changed(rotation, direction, change), pairs)
            columns.append((moved - error) / STEP)
        jacobian = np.stack(columns, axis=-1)  # [P, N, 5]
        weighted = jacobian * (pairs.mask / (1 + (error / noise_px) ** 2))[..., None]
        normal = np.swapaxes(jacobian, 1, 2) @ weighted
        gradient = (weighted * error[..., None]).sum(1)
        mean = np.trace(normal, axis1=1, axis2=2) / 5 + 1e-9
        normal = normal + (damping * mean)[:, None, None] * np.eye(5)
        change = -np.linalg.solve(normal, gradient[..., None])[..., 0]
        length = np.linalg.norm(change, axis=1, keepdims=True)
        change *= np.minimum(1.0, _LONGEST_UPDATE / np.maximum(length, 1e-12))
        new_rotation, new_direction = _changed(rotation, direction, change)
        new_error = sampson_px(camera, new_rotation, new_direction, pairs)
        new_cost = robust_cost(new_error**2, pairs.mask, noise_px)
        better = new_cost < cost
        rotation = np.where(better[:, None, None], new_rotation, rotation)
        direction = np.where(better[:, None], new_direction, direction)
        error = np.where(better[:, None], new_error, error)
        cost = np.where(better, new_cost, cost)
        damping = np.where(better, damping * 0.3, np.minimum(damping * 5, 1e6))
    return TwoViewMotion(rotation, direction, error, cost)


def _changed(rotation: Array, direction: Array, change: Array) -> tuple[Array, Array]:
    """Turn by change[..., :3] and step by change[..., 3:] on the sphere of directions."""
    helper = np.where(np.abs(direction[:, :1]) < 0.7, [[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]])
    across = np.cross(direction, helper)
    across /= np.linalg.norm(across, axis=-1, keepdims=True)
    other = np.cross(direction, across)
    moved = direction + change[:, 3:4] * across + change[:, 4:5] * other
    moved /= np.linalg.norm(moved, axis=-1, keepdims=True)
    return rotation_of(change[:, :3]) @ rotation, moved


def _better(one: TwoViewMotion, other: TwoViewMotion) -> TwoViewMotion:
    chosen = other.cost < one.cost
    return TwoViewMotion(
        np.where(chosen[:, None, None], other.rotation, one.rotation),
        np.where(chosen[:, None], other.direction, one.direction),
        np.where(chosen[:, None], other.error_px, one.error_px),
        np.where(chosen, other.cost, one.cost),
    )
