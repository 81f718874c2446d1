"""
The ground plane: all hypotheses in one step against a loop over them; one core.

    OMP_NUM_THREADS=1 python -m benchmarks.ground [--figures FILE]
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from benchmarks.figures import Figure
from benchmarks.figures import add_figures_option
from benchmarks.figures import less_is_better
from benchmarks.figures import write_figures
from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.ground import CAMERA_UP
from sg_depth_ros.ground import MAX_POINTS
from sg_depth_ros.ground import GroundPlane
from sg_depth_ros.ground import clearly_below
from sg_depth_ros.ground import find_infinite_depth
from sg_depth_ros.ground import fit_ground_plane
from sg_depth_ros.ransac import Planes
from sg_depth_ros.ransac import refine_plane

CAMERA = Intrinsics(fx=371.0, fy=371.0, cx=319.5, cy=87.0, width=640, height=192)
CAMERA_HEIGHT_M = 1.65
HYPOTHESES = 200
TOLERANCE = 0.1
REPEATS = 15


def street_depth(rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a road between two walls with 3 % of noise, and a car at infinity."""
    rays = CAMERA.rays()
    down, side = np.maximum(rays[..., 1], 1e-9), np.maximum(np.abs(rays[..., 0]), 1e-9)
    depth = np.minimum(np.minimum(CAMERA_HEIGHT_M / down, 6.0 / side), 100.0)
    depth[95:130, 300:340] = 100.0
    return (depth * (1 + 0.03 * rng.standard_normal(depth.shape))).astype(np.float32)


def fit_in_a_loop(points: NDArray[np.floating], seed: int = 0) -> NDArray[np.float64] | None:
    """Fit as fit_ground_plane does, one hypothesis after the other; return normal and offset."""
    rng = np.random.default_rng(seed)
    cloud = np.asarray(points, np.float64)
    cloud = cloud[rng.choice(len(cloud), MAX_POINTS, replace=False)]
    best, best_cost = None, math.inf
    for _ in range(HYPOTHESES):
        a, b, c = cloud[rng.integers(0, len(cloud), 3)]
        normal = np.cross(b - a, c - a)
        length = float(np.linalg.norm(normal))
        if length < 1e-9:
            continue
        normal = normal / length
        if normal @ np.array(CAMERA_UP) < 0:
            normal = -normal
        offset = -float(normal @ a)
        if normal @ np.array(CAMERA_UP) < math.cos(math.radians(15)) or offset <= 0:
            continue
        distances = (cloud @ normal + offset) / (TOLERANCE * offset)
        cost = float(np.minimum(distances**2, 1.0).sum())
        if cost < best_cost:
            best, best_cost = Planes(normal[None], np.array([offset])), cost
    refined = None if best is None else refine_plane(cloud, best, TOLERANCE)
    return None if refined is None else np.array([*refined.normal, refined.offset])


def find_with_points(depth_m: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Find infinite depth as it is defined: all pixels become points in float64."""
    depth = np.asarray(depth_m, np.float64)
    points = CAMERA.rays().astype(np.float64) * depth[..., None]
    cloud = points[CAMERA.rays()[..., 1] > 0]
    cloud = cloud[(cloud[:, 2] >= 3.0) & (cloud[:, 2] <= 30.0)]
    fitted = fit_in_a_loop(cloud)
    assert fitted is not None
    return clearly_below(points, GroundPlane(fitted[:3], float(fitted[3]), 1.0, 0.0))


def median_ms(work: Callable[[], object]) -> float:
    """Return the median time on this core, in CPU milliseconds."""
    times_s = []
    for _ in range(REPEATS):
        started_s = time.process_time()
        work()
        times_s.append(time.process_time() - started_s)
    return 1e3 * statistics.median(times_s)


def compared(name: str, plain_ms: float, fast: Callable[[], object]) -> Figure:
    """Measure, and print a row."""
    fast_ms = median_ms(fast)
    print(f'{name:<44}{plain_ms:>7.1f} ms{fast_ms:>9.2f} ms{plain_ms / fast_ms:>8.1f}')
    return less_is_better(name, fast_ms, 'ms', 'loop', plain_ms)


def main() -> None:
    """Print one row for the fit and two for a whole image."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_figures_option(parser)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    depth = street_depth(rng)
    points = (CAMERA.rays() * depth[..., None])[depth < 30]
    ours, loop = fit_ground_plane(points), fit_in_a_loop(points)
    assert isinstance(ours, GroundPlane)
    assert loop is not None
    assert float(ours.normal @ loop[:3]) > math.cos(math.radians(0.3))
    assert abs(ours.offset_m / loop[3] - 1) < 0.01
    found, expected = find_infinite_depth(depth, CAMERA, metric=True), find_with_points(depth)
    assert np.mean(found.below != expected) < 1e-3
    print(f'{"":<44}{"loop":>10}{"vectorised":>12}{"ratio":>8}')
    name = f'plane through {len(points)} points'
    loop_ms = median_ms(lambda: fit_in_a_loop(points))
    figures = [compared(name, loop_ms, lambda: fit_ground_plane(points))]
    plain_ms = median_ms(lambda: find_with_points(depth))
    for name, metric in (('metric', True), ('no scale, so two fits', False)):
        find = partial(find_infinite_depth, depth, CAMERA, metric=metric)
        figures.append(compared(f'infinite depth, 640x192, {name}', plain_ms, find))
    print(f'{found.below.sum()} pixels below; plane {found.plane}')
    write_figures(figures, options.figures)


if __name__ == '__main__':
    main()
