"""
Planes through points by RANSAC: all hypotheses at once, the best refined and judged.

Distances are taken in tolerances, which are a share of the camera's height over the plane.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SCORED_POINTS = 1000  # on these all planes are compared; the best is refined on all points
REFINEMENTS = 3  # more change nothing beyond the noise


class Planes(NamedTuple):
    """Planes with their normals pointing up."""

    normals: NDArray[np.float64]  # [K, 3]
    offsets: NDArray[np.float64]  # [K]

    def where(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> 'Planes':
        """Return some of them."""
        return Planes(self.normals[chosen], self.offsets[chosen])

    def distances(self, points: NDArray[np.float64], tolerance: float) -> NDArray[np.float32]:
        """Return each point's distance to each plane in tolerances, [N, K]; at most 1."""
        scaled = (self.normals / (tolerance * self.offsets[:, None])).astype(np.float32)
        signed = points.astype(np.float32) @ scaled.T + np.float32(1.0 / tolerance)
        return np.asarray(np.minimum(np.abs(signed), np.float32(1.0)), np.float32)


class RefinedPlane(NamedTuple):
    """A plane and the inliers' standard deviation across their narrower direction."""

    normal: NDArray[np.float64]
    offset: float
    width: float


class PlaneFit(NamedTuple):
    """How a plane fits the points; shares of all points, lengths in camera heights."""

    share: float  # inliers
    below: float
    rival: float  # what the best other hypothesis explains of the points left over
    residual: float
    width: float
    confidence: float


def draw_points(
    points: NDArray[np.floating], count: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return at most ``count`` of the finite points, in random order."""
    cloud = np.asarray(points).reshape(-1, 3)
    with np.errstate(invalid='ignore', over='ignore'):
        finite = np.flatnonzero(np.isfinite(cloud @ np.ones(3, np.float32)))
    chosen = rng.choice(finite, min(len(finite), count), replace=False)
    return np.asarray(cloud[chosen], np.float64)


def draw_planes(
    cloud: NDArray[np.float64],
    count: int,
    vertical: NDArray[np.float64],
    rng: np.random.Generator,
) -> Planes:
    """Return planes through three points each; fewer than ``count`` where these are on a line."""
    a, b, c = np.moveaxis(cloud[rng.integers(0, len(cloud), (count, 3))], 1, 0)
    normals = np.cross(b - a, c - a)
    lengths = np.linalg.norm(normals, axis=1)
    spread = np.linalg.norm(b - a, axis=1) * np.linalg.norm(c - a, axis=1)
    distinct = lengths > 1e-6 * spread  # else three points on a line, or one drawn twice
    normals = normals[distinct] / lengths[distinct, None]
    normals *= np.where(normals @ vertical < 0, -1.0, 1.0)[:, None]
    return Planes(normals, -np.einsum('ij,ij->i', normals, a[distinct]))


def best_plane(drawn: Planes, scored: NDArray[np.floating]) -> Planes:
    """
    Return the plane nearest to the points, each point's distance counting up to a tolerance.

    Truncated squares (MSAC) rather than counts: of two planes with the same inliers the closer
    wins.

    :param scored: ``distances`` of some points, [N, K].
    """
    return drawn.where(np.array([np.argmin((scored**2).sum(axis=0))]))


def refine_plane(
    cloud: NDArray[np.float64], start: Planes, tolerance: float
) -> RefinedPlane | None:
    """
    Refit to the inliers, the close ones counting more; None where they do not span a plane.

    Weights (1 - d^2)^2 of the distance d in tolerances (Tukey's biweight) keep what stands on
    the ground, or lies beside it as a sidewalk does, from tilting it.
    """
    normal, offset, width = start.normals[0], float(start.offsets[0]), 0.0
    for _ in range(REFINEMENTS):
        distances = (cloud @ normal + offset) / (tolerance * offset)
        inside = np.abs(distances) < 1
        inliers, weights = cloud[inside], (1 - distances[inside] ** 2) ** 2
        if len(inliers) < 3:
            return None
        center = weights @ inliers / weights.sum()
        spread = inliers - center
        variances, axes = np.linalg.eigh((spread * weights[:, None]).T @ spread / weights.sum())
        if variances[1] < 1e-4 * variances[2] or variances[1] <= 2 * variances[0]:
            return None
        normal = axes[:, 0] if axes[:, 0] @ normal > 0 else -axes[:, 0]
        offset, width = -float(normal @ center), math.sqrt(variances[1])
        if offset <= 0:
            return None
    return RefinedPlane(normal, offset, width)


def judge_plane(
    cloud: NDArray[np.float64],
    plane: RefinedPlane,
    scored: NDArray[np.floating],
    tolerance: float,
) -> PlaneFit:
    """Compare a plane with the points and with the other hypotheses."""
    heights = cloud @ plane.normal / plane.offset + 1.0
    inside = np.abs(heights) < tolerance
    share = float(inside.mean())
    residual = float(np.sqrt(np.mean(heights[inside] ** 2))) if share else tolerance
    left_over = scored[~inside[: len(scored)]]
    rival = float((left_over < 1).sum(axis=0).max()) / len(scored)
    tightness = max(0.0, 1 - 3 * (residual / tolerance) ** 2)
    width = plane.width / plane.offset
    return PlaneFit(
        share=share,
        below=float(np.mean(heights < -3 * tolerance)),
        rival=rival,
        residual=residual,
        width=width,
        confidence=max(0.0, share - rival) * tightness * min(1.0, width),
    )
