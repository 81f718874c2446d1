"""The ground plane: found under noise and outliers, refused with a reason where there is none."""

import itertools
import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sg_depth_ros.ground import GroundPlane
from sg_depth_ros.ground import GroundPlaneRefusal
from sg_depth_ros.ground import fit_ground_plane
from sg_depth_ros.ground import height_above_plane

# Libraries may switch subnormal numbers off for the whole process, which hypothesis minds.
number = partial(st.floats, allow_subnormal=False)


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
    points[wrong, 1] -= rng.uniform(-0.5, 6, 3000)[wrong]  # what stands on it; a few too deep
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


def strip(width: float):
    rng = np.random.default_rng(7)
    x, z = rng.uniform(-width / 2, width / 2, 900), rng.uniform(3, 30, 900)
    return np.stack([x, 1.65 + 0.003 * rng.standard_normal(900), z], 1)


@pytest.mark.parametrize(
    ('points', 'reason'),
    [
        (np.zeros((0, 3)), 'only 0 points'),
        (np.full((500, 3), np.nan), 'only 0 points'),
        (np.zeros((500, 3)), 'in one spot'),
        (np.full((500, 3), 4.0), 'in one spot'),
        (line(), 'on a line'),
        (strip(0.02), 'on a line'),
        (strip(0.15), 'on a line'),
        (vertical_wall(), 'no plane'),
        (ground_points(tilted_normal(0, 0), -2.0, 500, np.random.default_rng(0)), 'no plane'),
        (ground_points(tilted_normal(25, 0), 1.6, 500, np.random.default_rng(0)), 'no plane'),
        (np.random.default_rng(0).uniform(-20, 20, (2000, 3)), 'are needed'),
    ],
    ids=[
        'none',
        'nan',
        'camera',
        'one point',
        'line',
        'thin strip',
        'strip',
        'wall',
        'ceiling',
        'steep',
        'cloud',
    ],
)
def test_what_is_no_ground_is_refused_with_a_reason(points: NDArray[np.floating], reason: str):
    plane = fit_ground_plane(points)
    assert isinstance(plane, GroundPlaneRefusal)
    assert reason in plane.reason


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10_000),
    st.integers(0, 60),
    st.sampled_from([0.0, 1e-300, 1e-9, 1.0, 1e9, 1e250]),
)
def test_any_points_give_a_plane_or_a_reason(seed: int, count: int, size: float):
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((count, 3)) * size
    points[rng.uniform(size=count) < 0.1] = np.inf
    result = fit_ground_plane(rng.choice(points, count) if count else points)
    assert isinstance(result, GroundPlane | GroundPlaneRefusal)


def side_wall(count: int, height: float, rng: np.random.Generator):
    return rng.uniform([4.0, -5.0, 3.0], [4.0 + 1e-6, height, 30.0], (count, 3))


def end_of_the_street(count: int, height: float, rng: np.random.Generator):
    return rng.uniform([-8.0, -5.0, 12.0], [8.0, height, 12.0 + 1e-6], (count, 3))


def sidewalk(count: int, height: float, rng: np.random.Generator):
    points = ground_points(tilted_normal(0, 0), 0.91 * height, count, rng)
    points[:, 0] = rng.uniform(4, 8, count)
    return points


def roof(count: int, height: float, rng: np.random.Generator):
    """Return the flat top of a low trailer ahead, below the camera."""
    return rng.uniform([-2.0, 0.45 * height, 8.0], [2.0, 0.45 * height + 1e-6, 20.0], (count, 3))


def hole(count: int, height: float, rng: np.random.Generator):
    """Return the ground 8 to 12 m ahead, pushed to 100 m."""
    points = rng.uniform([-2.0, height, 8.0], [2.0, height + 1e-6, 12.0], (count, 3))
    return points * (100 / points[:, 2:])


def hill(count: int, height: float, rng: np.random.Generator):
    """Return a road that rises by a tenth from 10 m on."""
    points = rng.uniform([-8.0, height, 10.0], [8.0, height + 1e-6, 30.0], (count, 3))
    points[:, 1] -= 0.1 * (points[:, 2] - 10)
    return points


STRUCTURES = (side_wall, end_of_the_street, sidewalk, roof, hole, hill)


def scene(
    structure: Callable[..., NDArray[np.floating]],
    share: float,
    noise: float = 0.03,
    seed: int = 0,
    turn: tuple[float, float] = (0.0, 0.0),
):
    """Return 2500 noisy points of a road, a share of them on something else, and its normal."""
    rng = np.random.default_rng(seed)
    count = int(2500 * share)
    road = ground_points(tilted_normal(0, 0), 1.65, 2500 - count, rng)
    points = np.concatenate([road, structure(count, 1.65, rng)])
    points *= 1 + noise * rng.standard_normal((2500, 1))
    pitch, roll = np.radians(turn)
    about_x = np.array(
        [[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]]
    )
    about_z = np.array(
        [[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]]
    )
    turned = about_z @ about_x
    return points @ turned.T, -turned[:, 1]


@settings(max_examples=60, deadline=None)
@given(
    structure=st.sampled_from(STRUCTURES),
    share=number(0, 0.6),
    pitch=number(-5, 5),
    roll=number(-5, 5),
    scale=st.sampled_from([1e-200, 0.01, 1.0, 1e200]),
    seed=st.integers(0, 10_000),
)
def test_structures_never_pass_for_the_ground(
    structure: Callable[..., NDArray[np.floating]],
    share: float,
    pitch: float,
    roll: float,
    scale: float,
    seed: int,
):
    points, normal = scene(structure, share, seed=seed, turn=(pitch, roll))
    plane = fit_ground_plane(points * scale, seed=seed)
    if isinstance(plane, GroundPlaneRefusal):
        # Below a hole lies nothing; a roof or a hill may hold as many points as the road.
        assert structure in (roof, hole, hill)
        assert share > (0.13 if structure is hole else 0.4)
        return
    # A sidewalk as wide as the road is ground, too, so that the plane lies between the two.
    assert angle_deg(plane.normal, normal) < (1.0 if structure is sidewalk else 0.1)
    assert plane.offset_m / scale == pytest.approx(
        1.65, rel=0.06 if structure is sidewalk else 0.015
    )


def test_a_sidewalk_hardly_tilts_the_road():
    points, normal = scene(sidewalk, 0.2, noise=0.01)
    plane = fit_ground_plane(points)
    assert angle_deg(plane.normal, normal) < 0.25  # plain least squares: 0.35
    assert plane.offset_m == pytest.approx(1.65, rel=0.01)  # and 0.014


@pytest.mark.parametrize(
    ('structure', 'share', 'reason'),
    [
        (roof, 0.6, 'below'),
        (hole, 0.4, 'below'),
        (hill, 0.55, 'below'),
        (roof, 0.5, 'no plane is'),
    ],
)
def test_a_doubtful_ground_is_refused(
    structure: Callable[..., NDArray[np.floating]], share: float, reason: str
):
    plane = fit_ground_plane(scene(structure, share, seed=1)[0])
    assert isinstance(plane, GroundPlaneRefusal)
    assert reason in plane.reason


def confidence(structure: Callable[..., NDArray[np.floating]], share: float, noise: float = 0.03):
    plane = fit_ground_plane(scene(structure, share, noise)[0])
    assert isinstance(plane, GroundPlane), plane
    assert 0 < plane.confidence <= 1
    return plane.confidence


def test_confidence_is_nearly_one_on_a_clean_road():
    assert confidence(side_wall, 0.0, 0.001) > 0.99


def falls(values: list[float]):
    return all(b < a - 0.02 for a, b in itertools.pairwise(values))


@pytest.mark.parametrize('structure', [side_wall, end_of_the_street, roof, hill])
def test_confidence_falls_with_the_share_of_other_things(
    structure: Callable[..., NDArray[np.floating]],
):
    assert falls([confidence(structure, share) for share in (0.0, 0.1, 0.2, 0.3, 0.4)])


def test_confidence_falls_with_noise():
    assert falls([confidence(side_wall, 0.2, noise) for noise in (0.0, 0.02, 0.035, 0.05)])


def test_confidence_is_lower_where_another_plane_is_a_rival():
    # The same road with the same share of other points: scattered, upright, parallel to the road.
    def scattered(count: int, height: float, rng: np.random.Generator):
        return rng.uniform([-12, -8, 3], [12, 0.8 * height, 30], (count, 3))

    assert confidence(scattered, 0.35) > confidence(roof, 0.35) + 0.2
    assert confidence(side_wall, 0.35) > confidence(roof, 0.35) + 0.2


def test_confidence_is_lower_in_a_narrow_strip():
    points = scene(side_wall, 0.0)[0]
    widths = [np.abs(points[:, 0]) < half for half in (8, 2, 1, 0.5)]
    assert falls([fit_ground_plane(points[chosen]).confidence for chosen in widths])
