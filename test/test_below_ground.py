"""Pixels of a depth image that lie clearly below the ground: found, and none of the road's."""

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.ground import BelowGround
from sg_depth_ros.ground import GroundPlaneRefusal
from sg_depth_ros.ground import clearly_below
from sg_depth_ros.ground import find_ground_plane
from sg_depth_ros.ground import find_infinite_depth

# Libraries may switch subnormal numbers off for the whole process, which hypothesis minds.
number = partial(st.floats, allow_subnormal=False)

CAMERA = Intrinsics(fx=190.0, fy=190.0, cx=159.5, cy=47.5, width=320, height=96)


def road_depth(height: float, camera: Intrinsics = CAMERA, far: float = 100.0):
    """Return the depth image of a level road under an open sky."""
    down = camera.rays()[..., 1]
    return np.minimum(np.where(down > 0, height / np.maximum(down, 1e-9), far), far)


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


@settings(max_examples=40, deadline=None)
@given(
    pitch=number(-8, 8),
    focal_px=number(80, 400),
    height=number(0.5, 3.0),
    metric=st.booleans(),
    margin=number(0.1, 0.6),
    angle_deg=number(0, 2),
    seed=st.integers(0, 10_000),
)
def test_pixels_below_are_the_points_below(
    pitch: float,
    focal_px: float,
    height: float,
    metric: bool,
    margin: float,
    angle_deg: float,
    seed: int,
):
    # The image is judged without its points; the definition is of points.
    rng = np.random.default_rng(seed)
    camera = Intrinsics(focal_px, focal_px, 79.3, 30.7, 160, 64)
    up = np.array([0.0, -math.cos(math.radians(pitch)), math.sin(math.radians(pitch))])
    down = -(camera.rays() @ up)
    depth = np.where(down > height / 90, height / np.maximum(down, 1e-9), 90.0)
    depth *= rng.uniform(0.95, 1.05, depth.shape)
    depth[rng.uniform(size=depth.shape) < 0.1] = 200.0
    depth[rng.uniform(size=depth.shape) < 0.01] = np.inf
    depth[rng.uniform(size=depth.shape) < 0.01] = np.nan
    limits = BelowGround(margin, angle_deg)
    found = find_infinite_depth(depth, camera, metric=metric, limits=limits)
    if isinstance(found.plane, GroundPlaneRefusal):
        assert not found.below.any()
        return
    points = camera.rays() * np.minimum(depth, 1e6)[..., None]
    expected = clearly_below(points, found.plane, limits)
    assert found.below.sum() == pytest.approx(expected.sum(), abs=1)  # on the limit: rounding
    assert (found.below != expected).sum() <= 1


def test_pixels_above_the_horizon_and_unwanted_ones_are_not_fitted():
    depth = road_depth(1.65)
    depth[:48] = 5.0  # a ceiling
    depth[:, 200:] = 4.0  # a wall, not road
    road = np.zeros(depth.shape, np.bool_)
    road[:, :200] = True
    plane = find_ground_plane(depth, CAMERA, metric=True, fit_pixels=road)
    assert plane.inlier_share == 1.0
    assert plane.offset_m == pytest.approx(1.65)
