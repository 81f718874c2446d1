"""The ground plane: found under noise and outliers, refused with a reason where there is none."""

import math
import time
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.ground import BelowGround
from sg_depth_ros.ground import GroundPlane
from sg_depth_ros.ground import GroundPlaneRefusal
from sg_depth_ros.ground import find_infinite_depth
from sg_depth_ros.ground import fit_ground_plane
from sg_depth_ros.ground import height_above_plane

# Libraries may switch subnormal numbers off for the whole process, which hypothesis minds.
number = partial(st.floats, allow_subnormal=False)

CAMERA = Intrinsics(fx=190.0, fy=190.0, cx=159.5, cy=47.5, width=320, height=96)


def tilted_normal(pitch_deg: float, roll_deg: float):
    """Return the camera's up vector turned about x, then z."""
    pitch, roll = math.radians(pitch_deg), math.radians(roll_deg)
    y, z = -math.cos(pitch), math.sin(pitch)
    return np.array([-y * math.sin(roll), y * math.cos(roll), z])


def ground_points(
    normal: NDArray[np.floating], height: float, count: int, rng: np.random.Generator
):
    """Draw points on the plane, 3 to 30 m ahead."""
    x, z = rng.uniform(-8, 8, count), rng.uniform(3, 30, count)
    y = -(height + normal[0] * x + normal[2] * z) / normal[1]
    return np.stack([x, y, z], axis=1)


def angle_deg(a: NDArray[np.floating], b: NDArray[np.floating]):
    return math.degrees(math.acos(min(1.0, float(a @ b))))


def road_depth(height: float, camera: Intrinsics = CAMERA, far: float = 100.0):
    """Return the depth image of a level road under an open sky."""
    down = camera.rays()[..., 1]
    return np.minimum(np.where(down > 0, height / np.maximum(down, 1e-9), far), far)


@settings(max_examples=60, deadline=None)
@given(
    pitch=number(-8, 8),
    roll=number(-8, 8),
    height=number(0.3, 4.0),
    noise=number(0, 0.04),
    outliers=number(0, 0.6),
    scale=st.sampled_from([0.01, 1.0, 100.0]),
    seed=st.integers(0, 10_000),
)
def test_plane_is_found_under_noise_and_outliers(
    pitch: float,
    roll: float,
    height: float,
    noise: float,
    outliers: float,
    scale: float,
    seed: int,
):
    rng = np.random.default_rng(seed)
    normal = tilted_normal(pitch, roll)
    points = ground_points(normal, height, 3000, rng)
    points *= 1 + noise * rng.standard_normal((3000, 1))  # depth noise, along the ray
    wrong = rng.uniform(size=3000) < outliers
    points[wrong] = rng.uniform([-12, -6, 3], [12, height, 30], (3000, 3))[wrong]
    plane = fit_ground_plane(points * scale, seed=seed)
    assert isinstance(plane, GroundPlane), plane
    assert angle_deg(plane.normal, normal) < 0.7
    assert plane.offset_m / scale == pytest.approx(height, rel=0.05)
    assert np.linalg.norm(plane.normal) == pytest.approx(1.0)


def test_an_exact_plane_is_recovered_exactly():
    normal = tilted_normal(3.0, -2.0)
    points = ground_points(normal, 1.65, 500, np.random.default_rng(0))
    plane = fit_ground_plane(points)
    assert plane.normal == pytest.approx(normal)
    assert plane.offset_m == pytest.approx(1.65)
    assert plane.inlier_share == 1.0
    assert height_above_plane(points, plane) == pytest.approx(np.zeros(500), abs=1e-9)
    assert height_above_plane(np.zeros((1, 3)), plane) == pytest.approx([1.65])
    assert height_above_plane(np.array([[0.0, 5.0, 1.0]]), plane)[0] < 0


def test_the_larger_wall_is_not_taken_for_the_ground():
    rng = np.random.default_rng(1)
    ground = ground_points(tilted_normal(0, 0), 1.5, 800, rng)
    wall = np.stack([np.full(1200, 4.0), rng.uniform(-5, 1.5, 1200), rng.uniform(3, 30, 1200)], 1)
    plane = fit_ground_plane(np.concatenate([ground, wall]))
    assert angle_deg(plane.normal, tilted_normal(0, 0)) < 0.5


def test_the_same_seed_gives_the_same_plane():
    rng = np.random.default_rng(5)
    points = ground_points(tilted_normal(1, 1), 1.6, 9000, rng) + rng.normal(0, 0.05, (9000, 3))
    first, again = fit_ground_plane(points, seed=3), fit_ground_plane(points, seed=3)
    assert first.normal.tolist() == again.normal.tolist()
    assert first.offset_m == again.offset_m


def vertical_wall():
    rng = np.random.default_rng(2)
    return np.stack([rng.uniform(-8, 8, 900), rng.uniform(-3, 3, 900), np.full(900, 12.0)], 1)


def line():
    return np.linspace([0.0, 1.6, 3.0], [2.0, 1.6, 30.0], 400)


@pytest.mark.parametrize(
    ('points', 'reason'),
    [
        (np.zeros((0, 3)), 'only 0 points'),
        (np.full((500, 3), np.nan), 'only 0 points'),
        (np.full((500, 3), 4.0), 'no plane'),
        (line(), 'no plane'),
        (vertical_wall(), 'no plane'),
        (ground_points(tilted_normal(0, 0), -2.0, 500, np.random.default_rng(0)), 'no plane'),
        (ground_points(tilted_normal(25, 0), 1.6, 500, np.random.default_rng(0)), 'no plane'),
        (np.random.default_rng(0).uniform(-20, 20, (2000, 3)), 'explains'),
    ],
    ids=['none', 'nan', 'one point', 'line', 'wall', 'ceiling', 'steep', 'cloud'],
)
def test_what_is_no_ground_is_refused_with_a_reason(points: NDArray[np.floating], reason: str):
    plane = fit_ground_plane(points)
    assert isinstance(plane, GroundPlaneRefusal)
    assert reason in plane.reason


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 60), st.sampled_from([0.0, 1e-9, 1.0, 1e9]))
def test_any_points_give_a_plane_or_a_reason(seed: int, count: int, size: float):
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((count, 3)) * size
    result = fit_ground_plane(rng.choice(points, count) if count else points)
    assert isinstance(result, GroundPlane | GroundPlaneRefusal)


@pytest.mark.parametrize('metric', [True, False])
def test_a_car_at_infinity_is_found_and_nothing_else(metric: bool):
    scale = 1.0 if metric else 0.03
    depth = road_depth(1.65) * np.random.default_rng(0).uniform(0.92, 1.08, (96, 320))
    clean = find_infinite_depth(depth * scale, CAMERA, metric=metric)
    assert clean.below.sum() == 0
    assert clean.plane.offset_m == pytest.approx(1.65 * scale, rel=0.03)
    depth[48:68, 150:175] = 100.0  # a car 15 m ahead, pushed to the farthest depth
    hole = find_infinite_depth(depth * scale, CAMERA, metric=metric)
    rows, columns = np.nonzero(hole.below)
    assert 25 * 10 < hole.below.sum() <= 25 * 20
    assert (columns.min(), columns.max(), rows.max()) == (150, 174, 67)


def test_truly_infinite_depth_below_the_horizon_counts():
    depth = road_depth(1.65)
    depth[60:70, 100:110] = np.inf
    assert find_infinite_depth(depth, CAMERA, metric=True).below.sum() == 100


def test_the_angle_keeps_a_tilted_far_road_out():
    # The near road is level; beyond 30 m it falls by 1 %: real ground, below the near plane.
    depth = road_depth(1.65)
    down = CAMERA.rays()[..., 1]
    far = depth > 30
    falling = np.minimum((1.65 - 0.3) / np.maximum(down - 0.01, 1e-9), 100.0)
    depth[far & (down > 0)] = falling[far & (down > 0)]
    plain = find_infinite_depth(depth, CAMERA, metric=True, limits=BelowGround(angle_deg=0.0))
    ours = find_infinite_depth(depth, CAMERA, metric=True, limits=BelowGround(angle_deg=0.5))
    assert plain.below.sum() > 0
    assert ours.below.sum() == 0


def test_fit_pixels_choose_the_road():
    # A lawn one metre above the road covers most of the picture.
    depth = road_depth(0.65)
    road = np.zeros(depth.shape, np.bool_)
    road[:, 130:190] = True
    depth[road] = road_depth(1.65)[road]
    everything = find_infinite_depth(depth, CAMERA, metric=True)
    road_only = find_infinite_depth(depth, CAMERA, metric=True, fit_pixels=road)
    assert 'below the best plane' in everything.plane.reason
    assert road_only.plane.offset_m == pytest.approx(1.65, rel=0.02)


def test_without_a_plane_nothing_is_below():
    result = find_infinite_depth(np.full((96, 320), 20.0), CAMERA, metric=True)
    assert isinstance(result.plane, GroundPlaneRefusal)
    assert not result.below.any()


def test_thousands_of_points_take_milliseconds():
    points = ground_points(tilted_normal(1, 0), 1.65, 20_000, np.random.default_rng(0))
    fit_ground_plane(points)
    times_s = []
    for _ in range(5):
        start_s = time.perf_counter()
        fit_ground_plane(points)
        times_s.append(time.perf_counter() - start_s)
    assert min(times_s) < 0.1  # about 6 ms on an idle core; the rest is for a busy machine
