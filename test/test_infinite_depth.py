"""When a frame counts as one with infinite depth."""

import math

import numpy as np
import pytest

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.classes import ROAD_ID
from sg_depth_ros.classes import UNKNOWN_ID
from sg_depth_ros.ground import GroundPlane
from sg_depth_ros.ground import GroundPlaneRefusal
from sg_depth_ros.infinite_depth import DEFAULT_CRITERION
from sg_depth_ros.infinite_depth import HoleCriterion
from sg_depth_ros.infinite_depth import find_holes_in_depth
from sg_depth_ros.infinite_depth import refuse_unlike_planes

CAMERA = Intrinsics(100.0, 100.0, 63.5, 19.5, 128, 64)
CAR_ID = 13
REFUSED = GroundPlaneRefusal('no plane')


def holes_of_a_street(labels, criterion=DEFAULT_CRITERION):
    """Return how many pixels are found of a car's 40 and a road's 30 at infinity."""
    rows = np.arange(CAMERA.height) - CAMERA.cy
    road_m = 150.0 / np.maximum(rows, 1e-9)
    depth_m = np.repeat(np.minimum(road_m, 100.0)[:, None], CAMERA.width, axis=1)
    depth_m[40:44, 50:60] = np.inf
    depth_m[50:53, 10:20] = 100.0
    found = find_holes_in_depth(depth_m, labels, CAMERA, metric=True, criterion=criterion)
    return int(found.pixels.sum()), found.plane_from, found.counted


def test_labels_choose_the_pixels_of_the_plane_and_of_the_holes():
    labels = np.full((64, 128), ROAD_ID, np.uint8)
    labels[38:46, 48:62] = CAR_ID
    assert holes_of_a_street(labels) == (40, 'road', 'movable')
    assert holes_of_a_street(np.full_like(labels, UNKNOWN_ID)) == (70, 'all', 'all')
    asked_not = HoleCriterion(plane_from='all', counted='all')
    assert holes_of_a_street(labels, asked_not) == (70, 'all', 'all')


def test_a_vehicle_that_is_not_where_it_stands_is_a_hole_though_nothing_is_below_the_ground():
    rows = np.arange(CAMERA.height)[:, None] - CAMERA.cy
    depth_m = np.broadcast_to(np.minimum(150.0 / np.maximum(rows, 1e-9), 100.0), (64, 128))
    labels = np.where(rows > 0, ROAD_ID, UNKNOWN_ID).repeat(128, axis=1).astype(np.uint8)
    labels[10:30, 50:70] = CAR_ID  # stands 14 m ahead, and rises above the horizon
    found = find_holes_in_depth(depth_m, labels, CAMERA, metric=True)
    assert not found.pixels[labels != CAR_ID].any()
    assert found.pixels[10:20, 50:70].all()
    assert (found.pixels == found.missing).all()
    plain = HoleCriterion(missing_vehicles=False)
    assert not find_holes_in_depth(
        depth_m, labels, CAMERA, metric=True, criterion=plain
    ).pixels.any()
    seen_m = np.where(labels == CAR_ID, 14.0, depth_m)
    assert not find_holes_in_depth(seen_m, labels, CAMERA, metric=True).pixels.any()


def test_the_threshold_grows_with_the_area_and_does_not_shrink():
    sizes = ((640, 192), (1280, 384), (192, 64))
    assert [DEFAULT_CRITERION.threshold_at(*size) for size in sizes] == [10, 40, 10]


def plane(height_m: float = 1.5, roll_deg: float = 0.0):
    roll = math.radians(roll_deg)
    normal = np.array([math.sin(roll), -math.cos(roll), 0.0])
    return GroundPlane(normal=normal, offset_m=height_m, inlier_share=0.9, residual_m=0.01)


def test_planes_unlike_those_of_their_drive_are_refused():
    usual = [plane() for _ in range(10)]
    high, tilted, near = plane(2.1), plane(1.5, 6.0), plane(1.8, 3.0)
    checked = refuse_unlike_planes([high, *usual, near, REFUSED, tilted])
    assert checked[1:13] == (*usual, near, REFUSED)
    for refused, words in ((checked[0], 'height 2.10'), (checked[-1], 'by 6.0 degrees')):
        assert isinstance(refused, GroundPlaneRefusal)
        assert words in refused.reason


@pytest.mark.parametrize('count', [0, 9])
def test_of_a_few_planes_nobody_can_tell_which_is_the_usual_one(count: int):
    few = [plane()] * (count - 1) + [plane(2.1)] * (count > 0)
    assert refuse_unlike_planes(few) == tuple(few)
