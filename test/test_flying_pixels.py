"""Pixels between an object and its background are found; planes, poles and rims are left."""

import numpy as np
import pytest

from sg_depth_ros.flying_pixels import FlyingPixelFilter

HEIGHT, WIDTH = 40, 60


def flying(depth_m, share=0.05):
    depth_m = np.asarray(depth_m, np.float32)
    return FlyingPixelFilter(*depth_m.shape, share).find(depth_m)


def edge(width_px, near_m=5.0, far_m=30.0, inverse=True):
    """An object on the right, and an edge of ``width_px`` pixels between it and its background."""
    depth_m = np.full((HEIGHT, WIDTH), far_m)
    depth_m[:, 30:] = near_m
    ramp = np.linspace(0, 1, width_px + 2)[1:-1]
    if inverse:
        depth_m[:, 30 : 30 + width_px] = 1 / (1 / far_m + ramp * (1 / near_m - 1 / far_m))
    else:
        depth_m[:, 30 : 30 + width_px] = far_m + ramp * (near_m - far_m)
    return depth_m


@pytest.mark.parametrize('width_px', [1, 2, 3, 4])
@pytest.mark.parametrize('turn', [0, 1, 2, 3])
def test_pixels_between_object_and_background_fly(width_px, turn):
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[:, 30 : 30 + width_px] = True
    found = flying(np.rot90(edge(width_px), turn))
    np.testing.assert_array_equal(found, np.rot90(expected, turn))


def test_an_edge_linear_in_depth_is_found_too():
    found = flying(edge(2, inverse=False))
    assert found[:, 30:32].all()
    assert not found[:, :30].any() and not found[:, 32:].any()


def test_a_sharp_edge_has_no_pixel_between():
    assert not flying(edge(0)).any()


def test_an_object_before_the_sky_keeps_its_rim():
    depth_m = np.full((HEIGHT, WIDTH), np.inf)
    depth_m[:, 30:] = 10.0
    depth_m[:, 30] = 40.0
    found = flying(depth_m)
    assert found[:, 30].all() and found.sum() == HEIGHT


@pytest.mark.parametrize('width_px', [1, 2, 3])
def test_thin_objects_stay(width_px):
    depth_m = np.full((HEIGHT, WIDTH), 30.0)
    depth_m[:, 20 : 20 + width_px] = 5.0
    assert not flying(depth_m).any()


@pytest.mark.parametrize('slant', [0.0, 0.3, 1.5])
def test_planes_stay_however_slanted(slant):
    """A road seen from 1.5 m up, whose rows differ by a third near the horizon."""
    v, u = np.mgrid[:HEIGHT, :WIDTH]
    inverse = (v + 1 + slant * u) / (1.5 * 300)
    depth_m = 1 / inverse
    assert (depth_m[0, 0] / depth_m[1, 0]) > 1.3
    assert not flying(depth_m).any()


def test_a_step_within_the_share_of_the_nearer_depth_is_a_surface():
    depth_m = np.full((HEIGHT, WIDTH), 10.0)
    depth_m[:, 30], depth_m[:, 31:] = 11.05, 12.21
    assert not flying(depth_m, share=0.11).any()
    assert flying(depth_m, share=0.10)[:, 30].all()


@pytest.mark.parametrize('height', [7, 20])
def test_edges_are_found_along_every_row_that_has_surroundings(height):
    for row in range(3, height - 3):
        depth_m = np.full((height, 7), 30.0)
        depth_m[row], depth_m[row + 1 :] = 10.0, 5.0
        np.testing.assert_array_equal(np.flatnonzero(flying(depth_m).all(axis=1)), [row])


def test_unknown_depth_is_no_edge_and_infinite_is_farthest():
    depth_m = edge(2)
    depth_m[:, :30] = np.nan
    assert not flying(depth_m).any()
    assert not flying(np.full((HEIGHT, WIDTH), np.inf)).any()
    assert not flying(np.full((HEIGHT, WIDTH), np.nan)).any()


def test_the_next_image_begins_anew():
    finder = FlyingPixelFilter(HEIGHT, WIDTH, 0.05)
    assert finder.find(edge(2).astype(np.float32)).any()
    assert not finder.find(np.full((HEIGHT, WIDTH), 3, np.float32)).any()


@pytest.mark.parametrize('shape', [(1, 1), (3, 40), (40, 3), (7, 7)])
def test_small_images_are_no_trouble(shape):
    assert flying(np.full(shape, 2.0)).shape == shape
