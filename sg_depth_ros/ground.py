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
from sg_depth_ros.ransac import SCORED_POINTS
from sg_depth_ros.ransac import PlaneFit
from sg_depth_ros.ransac import best_plane
from sg_depth_ros.ransac import draw_planes
from sg_depth_ros.ransac import draw_points
from sg_depth_ros.ransac import judge_plane
from sg_depth_ros.ransac import refine_plane

CAMERA_UP = (0.0, -1.0, 0.0)
FIT_RANGE_M = (3.0, 30.0)
CAR_CAMERA_HEIGHT_M = 1.65  # KITTI's; turns the range into camera heights where scale is unknown
FEWEST_POINTS = 30
MAX_POINTS = 4000  # a seeded draw of them is fitted: more make no better plane, only a slower one
FARTHEST = 1e6  # stands for infinity, so that arithmetic stays finite
LOWEST_CAMERA = 1e-9  # over a plane, in units of the farthest point


@dataclass(frozen=True)
class PlaneLimits:
    """How the ground is searched for, and which plane is refused."""

    max_tilt_deg: float = 15.0  # the normal's angle to the camera's vertical
    tolerance: float = 0.1  # inliers are nearer to the plane than this share of its camera height
    hypotheses: int = 200  # planes through three points, drawn at random
    min_inlier_share: float = 0.2  # of the points that the plane must explain
    max_below_share: float = 0.15  # of the points that may lie three tolerances below it
    min_confidence: float = 0.02  # see GroundPlane


PLANE_LIMITS = PlaneLimits()


@dataclass(frozen=True, eq=False)
class GroundPlane:
    """
    The plane ``normal . p + offset_m = 0``; the normal has length 1 and points up.

    ``confidence`` is a product of three shares, each 1 for a perfect fit:

    * lead: the share of the points that the plane explains, less the share that the best other
      hypothesis explains of the points left over: a wall of the same size brings it to 0.
    * tightness: 1 - 3 (residual / tolerance)^2; 0 for points spread evenly over the tolerance.
    * width: the inliers' standard deviation across their narrower direction, in camera heights,
      at most 1: a plane through a narrow strip may turn about it.

    It orders fits of the same kind of points; it is no probability. Half of a picture's points
    on walls and trees make 0.5 of a faultless road.
    """

    normal: NDArray[np.float64]  # (3,)
    offset_m: float  # the camera's height over it, > 0, in the points' unit
    inlier_share: float  # of the points fitted
    residual_m: float  # root mean square distance of the inliers
    confidence: float = 1.0  # 0..1; 1 where the plane was not fitted but is known


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
    points: NDArray[np.floating], *, limits: PlaneLimits = PLANE_LIMITS, seed: int = 0
) -> GroundPlane | GroundPlaneRefusal:
    """
    Fit the ground plane: all hypotheses scored in one step, then least squares on the inliers.

    :param points: (N, 3) in the optical frame; not finite ones are ignored.
    :return: the plane, or why there is none; the same for the same input and seed.
    """
    rng = np.random.default_rng(seed)
    cloud = draw_points(points, MAX_POINTS, rng)
    if len(cloud) < FEWEST_POINTS:
        return GroundPlaneRefusal(f'only {len(cloud)} points to fit, {FEWEST_POINTS} are needed')
    unit = float(np.abs(cloud).max()) or 1.0  # so that no unit of length over- or underflows
    cloud /= unit

    vertical = np.array(CAMERA_UP)
    upright = math.cos(math.radians(limits.max_tilt_deg))
    drawn = draw_planes(cloud, limits.hypotheses, vertical, rng)
    if len(drawn.offsets) == 0:
        return GroundPlaneRefusal('the points lie on a line or in one spot')
    drawn = drawn.where((drawn.normals @ vertical >= upright) & (drawn.offsets > LOWEST_CAMERA))
    if len(drawn.offsets) == 0:
        return GroundPlaneRefusal(
            'no plane through the points has its normal within '
            f"{limits.max_tilt_deg:g} degrees of the camera's vertical and the camera above it"
        )
    # The cloud is in random order, so that its first points are a draw.
    scored = drawn.distances(cloud[:SCORED_POINTS], limits.tolerance)
    plane = refine_plane(cloud, best_plane(drawn, scored), limits.tolerance)
    if plane is None:
        return GroundPlaneRefusal('the points of the best plane lie on a line')
    if plane.normal @ vertical < upright:
        return GroundPlaneRefusal(
            f'the refined plane is tilted by more than {limits.max_tilt_deg:g} deg'
        )
    fit = judge_plane(cloud, plane, scored, limits.tolerance)
    reason = _why_no_ground(fit, limits)
    if reason:
        return GroundPlaneRefusal(reason)
    residual = fit.residual * plane.offset * unit
    return GroundPlane(plane.normal, plane.offset * unit, fit.share, residual, fit.confidence)


def find_ground_plane(
    depth_m: NDArray[np.floating],
    camera: Intrinsics,
    *,
    metric: bool,
    fit_pixels: NDArray[np.bool_] | None = None,
    fit_range_m: tuple[float, float] = FIT_RANGE_M,
    seed: int = 0,
) -> GroundPlane | GroundPlaneRefusal:
    """
    Fit the ground plane to the near pixels of a depth image that look down.

    :param depth_m: (H, W), positive; infinity is allowed, NaN is ignored.
    :param camera: of the depth image.
    :param metric: whether depth is in metres; else the range is taken in camera heights.
    :param fit_pixels: (H, W) pixels that may be ground, for instance road; default all.
    """
    top = min(max(math.floor(camera.cy) + 1, 0), camera.height)  # rays below it look down
    depth = np.array(depth_m[top:], np.float64)
    if fit_pixels is not None:
        depth[~fit_pixels[top:]] = np.nan
    if metric:
        return fit_ground_plane(_near_points(depth, camera, *fit_range_m, seed), seed=seed)
    # Without scale: to the nearer half of the points, then within a range of camera heights.
    seen = depth[np.isfinite(depth)]
    half = float(np.median(seen)) if seen.size else 0.0
    plane = fit_ground_plane(_near_points(depth, camera, 0.0, half, seed), seed=seed)
    if isinstance(plane, GroundPlaneRefusal):
        return plane
    near, far = (limit * plane.offset_m / CAR_CAMERA_HEIGHT_M for limit in fit_range_m)
    return fit_ground_plane(_near_points(depth, camera, near, far, seed), seed=seed)


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

    The plane comes from near pixels (``fit_range_m``); the search covers all depths, because a
    hole is far away by definition.

    :param depth_m: (H, W), positive; infinity is allowed.
    :param metric: and the other parameters as in ``find_ground_plane``.
    """
    plane = find_ground_plane(
        depth_m,
        camera,
        metric=metric,
        fit_pixels=fit_pixels,
        fit_range_m=fit_range_m,
        seed=seed,
    )
    if isinstance(plane, GroundPlaneRefusal):
        return InfiniteDepth(np.zeros(depth_m.shape, np.bool_), plane)
    # clearly_below() of depth x ray, but without the points: ray . normal is a row plus a column.
    x = plane.normal[0] * (np.arange(camera.width) - camera.cx) / camera.fx
    y = plane.normal[1] * (np.arange(camera.height) - camera.cy) / camera.fy
    y += plane.normal[2] + math.tan(math.radians(limits.angle_deg))
    falling = y.astype(np.float32)[:, None] + x.astype(np.float32)
    sunk = np.minimum(depth_m, np.float32(FARTHEST)) * falling
    return InfiniteDepth(sunk < np.float32(-(1 + limits.margin) * plane.offset_m), plane)


def clearly_below(
    points: NDArray[np.floating], plane: GroundPlane, limits: BelowGround = BELOW_GROUND
) -> NDArray[np.bool_]:
    """Return which points (..., 3) lie below the plane by more than the limits allow."""
    slack = limits.margin * plane.offset_m
    slack = slack + math.tan(math.radians(limits.angle_deg)) * np.abs(points[..., 2])
    return np.asarray(height_above_plane(points, plane) < -slack, np.bool_)


def _near_points(
    depth: NDArray[np.float64], camera: Intrinsics, near: float, far: float, seed: int
) -> NDArray[np.float64]:
    """Return at most MAX_POINTS points (N, 3) of the image's lowest rows, drawn at random."""
    chosen = np.flatnonzero((depth >= near) & (depth <= far))
    if len(chosen) > MAX_POINTS:
        chosen = np.random.default_rng(seed).choice(chosen, MAX_POINTS, replace=False)
    rows, columns = np.divmod(chosen, camera.width)
    z = depth.ravel()[chosen]
    y = rows + (camera.height - len(depth)) - camera.cy
    return np.stack([(columns - camera.cx) / camera.fx * z, y / camera.fy * z, z], axis=1)


def _why_no_ground(fit: PlaneFit, limits: PlaneLimits) -> str:
    """Say why the best plane is no ground; empty where it is."""
    if fit.below > limits.max_below_share:
        return f'{fit.below:.0%} of the points lie below the best plane, which is no ground then'
    if fit.share < limits.min_inlier_share:
        return (
            f'the best plane explains {fit.share:.0%} of the points, '
            f'{limits.min_inlier_share:.0%} are needed'
        )
    if fit.confidence < limits.min_confidence:
        return (
            f'no plane is clear: the best explains {fit.share:.0%} of the points, another '
            f'{fit.rival:.0%} of what it leaves over; around the best they lie {fit.residual:.3f} '
            f'camera heights off it and {fit.width:.2f} wide'
        )
    return ''
