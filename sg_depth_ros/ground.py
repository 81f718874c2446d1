"""
The ground plane under the camera, by RANSAC, and the depth pixels that lie clearly below it.

Frames are optical: x right, y down, z forward. Everything is relative to the camera's height h
over the plane, so it also works where depth has no metric scale: a ground pixel whose depth is too
large by a share e lies e x h below the plane, at any distance.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import Intrinsics

CAMERA_UP = (0.0, -1.0, 0.0)
FIT_RANGE_M = (3.0, 30.0)
CAR_CAMERA_HEIGHT_M = 1.65  # KITTI's; turns the range into camera heights where scale is unknown
FEWEST_POINTS = 30
FARTHEST = 1e6  # stands for infinity, so that arithmetic stays finite


@dataclass(frozen=True, eq=False)
class GroundPlane:
    """The plane ``normal . p + offset_m = 0``; the normal has length 1 and points up."""

    normal: NDArray[np.float64]  # (3,)
    offset_m: float  # the camera's height over it, > 0, in the points' unit
    inlier_share: float  # of the points fitted
    residual_m: float  # root mean square distance of the inliers


class GroundPlaneRefusal(NamedTuple):
    """Why no plane can be told from the points."""

    reason: str


class InfiniteDepth(NamedTuple):
    """The pixels of one depth image that lie clearly below the ground."""

    below: NDArray[np.bool_]  # [H, W]; all False where the plane was refused
    plane: GroundPlane | GroundPlaneRefusal


@dataclass(frozen=True)
class BelowGround:
    """How far below the plane is clearly below; the margin is ours, the paper gives none."""

    margin: float = 0.3  # in camera heights: a ground pixel's depth is too large by 30 %
    # A plane tilted by this much is off by z x tan(angle) at depth z. 0 is the paper's plain form.
    angle_deg: float = 0.5


BELOW_GROUND = BelowGround()


def height_above_plane(points: NDArray[np.floating], plane: GroundPlane) -> NDArray[np.float64]:
    """Return the height of points (..., 3) over the plane, (...), negative below it."""
    return np.asarray(np.asarray(points, np.float64) @ plane.normal + plane.offset_m, np.float64)


def fit_ground_plane(
    points: NDArray[np.floating],
    *,
    up: tuple[float, float, float] = CAMERA_UP,
    max_tilt_deg: float = 15.0,
    tolerance: float = 0.1,
    hypotheses: int = 200,
    min_inlier_share: float = 0.2,
    max_below_share: float = 0.15,
    max_points: int = 4000,
    seed: int = 0,
) -> GroundPlane | GroundPlaneRefusal:
    """
    Fit the ground plane: all hypotheses scored in one step, then least squares on the inliers.

    :param points: (N, 3) in the optical frame; not finite ones are ignored.
    :param up: the camera's vertical, the prior for the normal.
    :param max_tilt_deg: the normal's largest angle to ``up``.
    :param tolerance: inliers are nearer to the plane than this share of its camera height.
    :param min_inlier_share: refuse a plane that explains less of the points.
    :param max_below_share: refuse a plane with more points three tolerances below it.
    :param max_points: a seeded draw of so many points is looked at.
    :return: the plane, or why there is none; the same for the same input and seed.
    """
    rng = np.random.default_rng(seed)
    cloud = np.asarray(points, np.float64).reshape(-1, 3)
    cloud = cloud[np.isfinite(cloud).all(axis=1)]
    if len(cloud) < FEWEST_POINTS:
        return GroundPlaneRefusal(f'only {len(cloud)} points to fit, {FEWEST_POINTS} are needed')
    if len(cloud) > max_points:
        cloud = cloud[rng.choice(len(cloud), max_points, replace=False)]
    vertical = np.asarray(up, np.float64) / np.linalg.norm(up)
    upright = math.cos(math.radians(max_tilt_deg))

    normals, offsets = _hypotheses(cloud, vertical, hypotheses, rng)
    plausible = (normals @ vertical >= upright) & (offsets > 0)
    if not plausible.any():
        return GroundPlaneRefusal(
            f'no plane through the points has its normal within {max_tilt_deg:g} degrees of the '
            "camera's vertical and the camera above it"
        )
    normals, offsets = normals[plausible], offsets[plausible]
    # Truncated squares rather than counts: of two planes with the same inliers the closer wins.
    distances = (cloud @ normals.T + offsets) / (tolerance * offsets)  # (N, hypotheses)
    best = int(np.argmin(np.minimum(distances**2, 1.0).sum(axis=0)))
    plane = _refined(cloud, normals[best], float(offsets[best]), tolerance)
    if plane is None:
        return GroundPlaneRefusal('the points of the best plane lie on a line')
    if plane.normal @ vertical < upright or plane.offset_m <= 0:
        return GroundPlaneRefusal(f'the refined plane is tilted by more than {max_tilt_deg:g} deg')
    below = float(np.mean(height_above_plane(cloud, plane) < -3 * tolerance * plane.offset_m))
    if below > max_below_share:
        return GroundPlaneRefusal(
            f'{below:.0%} of the points lie below the best plane, which is no ground then'
        )
    if plane.inlier_share < min_inlier_share:
        return GroundPlaneRefusal(
            f'the best plane explains {plane.inlier_share:.0%} of the points, '
            f'{min_inlier_share:.0%} are needed'
        )
    return plane


def find_infinite_depth(
    depth_m: NDArray[np.floating],
    camera: Intrinsics,
    *,
    metric: bool,
    fit_pixels: NDArray[np.bool_] | None = None,
    limits: BelowGround = BELOW_GROUND,
    fit_range_m: tuple[float, float] = FIT_RANGE_M,
    seed: int = 0,
) -> InfiniteDepth:
    """
    Find the pixels whose depth puts them clearly below the ground: holes of infinite depth.

    The plane comes from near pixels (``fit_range_m``) below the image of the horizon; the search
    covers all depths, because a hole is far away by definition.

    :param depth_m: (H, W), positive; infinity is allowed.
    :param camera: of the depth image.
    :param metric: whether depth is in metres; else the range is taken in camera heights.
    :param fit_pixels: (H, W) pixels that may be ground, for instance road; default all.
    """
    depth = np.minimum(np.asarray(depth_m, np.float64), FARTHEST)
    points = camera.rays().astype(np.float64) * depth[..., None]
    candidates = np.isfinite(depth) & (camera.rays()[..., 1] > 0)
    if fit_pixels is not None:
        candidates &= fit_pixels
    cloud = points[candidates]
    if metric:
        plane = fit_ground_plane(_within(cloud, *fit_range_m), seed=seed)
    else:
        plane = _fit_without_scale(cloud, fit_range_m, seed)
    if isinstance(plane, GroundPlaneRefusal):
        return InfiniteDepth(np.zeros(depth.shape, np.bool_), plane)
    return InfiniteDepth(clearly_below(points, plane, limits), plane)


def clearly_below(
    points: NDArray[np.floating], plane: GroundPlane, limits: BelowGround = BELOW_GROUND
) -> NDArray[np.bool_]:
    """Return which points (..., 3) lie below the plane by more than the limits allow."""
    slack = limits.margin * plane.offset_m
    slack = slack + math.tan(math.radians(limits.angle_deg)) * np.abs(points[..., 2])
    return np.asarray(height_above_plane(points, plane) < -slack, np.bool_)


def _hypotheses(
    cloud: NDArray[np.float64],
    vertical: NDArray[np.float64],
    count: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return normals (count, 3) and offsets (count,) of planes through three points each."""
    a, b, c = np.moveaxis(cloud[rng.integers(0, len(cloud), (count, 3))], 1, 0)
    normals = np.cross(b - a, c - a)
    lengths = np.linalg.norm(normals, axis=1)
    spread = np.linalg.norm(b - a, axis=1) * np.linalg.norm(c - a, axis=1)
    distinct = lengths > 1e-6 * spread  # else three points on a line, or one drawn twice
    normals = normals[distinct] / lengths[distinct, None]
    normals *= np.where(normals @ vertical < 0, -1.0, 1.0)[:, None]
    return normals, -np.einsum('ij,ij->i', normals, a[distinct])


def _refined(
    cloud: NDArray[np.float64], normal: NDArray[np.float64], offset: float, tolerance: float
) -> GroundPlane | None:
    """Refit to the inliers three times; None where they do not span a plane."""
    for _ in range(3):
        inliers = cloud[np.abs(cloud @ normal + offset) < tolerance * offset]
        if len(inliers) < 3:
            return None
        center = inliers.mean(axis=0)
        variances, axes = np.linalg.eigh(np.cov((inliers - center).T))
        if variances[1] < 1e-4 * variances[2] or variances[1] <= 2 * variances[0]:
            return None
        normal = axes[:, 0] if axes[:, 0] @ normal > 0 else -axes[:, 0]
        offset = -float(normal @ center)
    distances = np.abs(cloud @ normal + offset)
    inside = distances < tolerance * offset
    if not inside.any():
        return None
    residual = float(np.sqrt(np.mean(distances[inside] ** 2)))
    return GroundPlane(normal, offset, float(inside.mean()), residual)


def _within(cloud: NDArray[np.float64], near: float, far: float) -> NDArray[np.float64]:
    return cloud[(cloud[:, 2] >= near) & (cloud[:, 2] <= far)]


def _fit_without_scale(
    cloud: NDArray[np.float64], fit_range_m: tuple[float, float], seed: int
) -> GroundPlane | GroundPlaneRefusal:
    """Fit to the nearer half of the points, then to those within a range of camera heights."""
    if len(cloud) == 0:
        return GroundPlaneRefusal('no point to fit')
    plane = fit_ground_plane(_within(cloud, 0.0, float(np.median(cloud[:, 2]))), seed=seed)
    if isinstance(plane, GroundPlaneRefusal):
        return plane
    near, far = (limit * plane.offset_m / CAR_CAMERA_HEIGHT_M for limit in fit_range_m)
    return fit_ground_plane(_within(cloud, near, far), seed=seed)
