import cv2
import numpy as np
import pytest

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.report.pictures import STREET
from sg_depth_ros.report.pictures import View
from sg_depth_ros.report.pictures import cloud_from_above
from sg_depth_ros.report.pictures import depth_legend
from sg_depth_ros.report.pictures import depth_picture
from sg_depth_ros.report.pictures import error_picture
from sg_depth_ros.report.pictures import picture_strip

CAMERA = Intrinsics(30.0, 30.0, 31.5, 15.5, 64, 32)


def test_a_colour_means_metres_whatever_else_is_in_the_picture():
    near = depth_picture(np.array([[10.0, 3.0]]))
    far = depth_picture(np.array([[10.0, 70.0]]))
    assert (near[0, 0] == far[0, 0]).all()
    assert not (near[0, 1] == far[0, 1]).all()


def test_depths_that_differ_look_different_over_the_whole_range():
    depths = 2.0 * 40.0 ** np.linspace(0, 1, 100)
    colors = depth_picture(depths[None])[0]
    assert len(np.unique(colors, axis=0)) == 100


def test_depth_outside_the_range_is_drawn_as_its_ends():
    picture = depth_picture(np.array([[0.5, 2.0, 80.0, 500.0]]))[0]
    assert (picture[0] == picture[1]).all()
    assert (picture[2] == picture[3]).all()


def test_infinite_and_invalid_have_colours_of_their_own():
    depths = 2.0 * 40.0 ** np.linspace(0, 1, 256)
    special = depth_picture(np.array([[np.inf, np.nan, 0.0, -1.0]]))[0]
    scale = depth_picture(depths[None])[0].astype(int)
    assert (special[1] == special[2]).all()
    assert (special[1] == special[3]).all()
    assert not (special[0] == special[1]).all()
    for color in special[:2].astype(int):
        assert np.abs(scale - color).sum(1).min() > 30


def test_legend_has_the_colours_of_the_picture():
    legend = depth_legend(400)
    at_20_m = round(np.log(20 / 2) / np.log(80 / 2) * 399)
    expected = depth_picture(np.array([[20.0]]))[0, 0].astype(int)
    assert np.abs(legend[2, at_20_m].astype(int) - expected).max() <= 6


def test_error_colours_are_blue_too_near_white_right_red_too_far():
    truth = np.array([[0.0, 10.0, 10.0, 10.0, 10.0]])
    predicted = np.array([[5.0, 4.0, 10.0, 30.0, np.inf]])
    background, near, right, far, infinite = error_picture(predicted, truth)[0].astype(int)
    assert near[2] > near[0] + 100
    assert right.min() > 230
    assert far[0] > far[2] + 100
    assert (infinite == far).all()
    assert background.max() < 40


@pytest.mark.parametrize(('x', 'z'), [(0.0, 10.0), (-12.0, 30.0), (15.0, 45.0)])
def test_points_from_above_lie_where_their_metres_say(x, z):
    white = np.full((1, 3), 255, np.uint8)
    empty = cloud_from_above(np.empty((0, 3)), np.empty((0, 3), np.uint8))
    picture = cloud_from_above(np.array([[x, 1.0, z]]), white)
    rows, columns = np.nonzero((picture != empty).any(2))
    assert abs(columns.mean() / STREET.pixels_per_m - STREET.half_width_m - x) < 0.2
    assert abs(STREET.ahead_m - rows.mean() / STREET.pixels_per_m - z) < 0.2


def test_points_too_high_outside_or_not_finite_are_left_out():
    points = np.array([[0, -9, 10], [0, 0, 80], [50, 0, 10], [np.nan] * 3, [0, 0, -5.0]])
    colors = np.full((5, 3), 255, np.uint8)
    empty = cloud_from_above(np.empty((0, 3)), np.empty((0, 3), np.uint8))
    assert (cloud_from_above(points, colors) == empty).all()


def test_the_higher_of_two_points_is_seen_from_above():
    points = np.array([[0.0, -1.0, 10.0], [0.0, 1.0, 10.0]])
    colors = np.array([[255, 0, 0], [0, 0, 255]], np.uint8)
    view = View(ahead_m=20.0, half_width_m=5.0)
    for order in ([0, 1], [1, 0]):
        picture = cloud_from_above(points[order], colors[order], view)
        assert (picture == (255, 0, 0)).all(2).any()
        assert not (picture == (0, 0, 255)).all(2).any()


def test_strip_shows_all_four_at_any_image_size():
    image = np.full((100, 200, 3), 90, np.uint8)
    labels = np.zeros((32, 64), np.uint8)
    depth_m = np.full((32, 64), 10.0, np.float32)
    depth_m[:4] = np.inf
    depth_m[4:6] = np.nan
    strip = picture_strip(image, labels, depth_m, CAMERA)
    assert strip.dtype == np.uint8
    for depth in (10.0, np.inf, np.nan):
        color = depth_picture(np.array([[depth]]))[0, 0]
        assert (strip == color).all(2).sum() > 500
    # The wall of points stands ten metres ahead in the part on the right.
    assert cv2.cvtColor(strip, cv2.COLOR_RGB2GRAY)[:, 520:].std() > 5
