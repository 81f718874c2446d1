import math
from dataclasses import replace

import numpy as np
import pytest
from tiny_model import tiny_contract

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.classes import CLASS_NAMES
from sg_depth_ros.classes import ROAD_ID
from sg_depth_ros.engines.engine import Prediction
from sg_depth_ros.ground import GroundPlane
from sg_depth_ros.ground import GroundPlaneRefusal
from sg_depth_ros.height_scale import FEWEST_PLANES
from sg_depth_ros.height_scale import HeightScale
from sg_depth_ros.height_scale import ground_of

CAMERA = Intrinsics(70.0, 70.0, 79.5, 30.0, 160, 64)
CONTRACT = replace(tiny_contract(160, 64, metric=False), intrinsics=CAMERA)
BUILDING_ID = CLASS_NAMES.index('building')


def street(height: float, camera: Intrinsics = CAMERA, far: float = 40.0) -> Prediction:
    """Return a flat road ``height`` units below the camera, up to a wall ``far`` heights away."""
    down = np.maximum(camera.rays()[..., 1], 1e-6)
    depth = np.minimum(1 / down, far).astype(np.float32)
    labels = np.where(depth < far, ROAD_ID, BUILDING_ID).astype(np.uint8)
    return Prediction(height * depth, labels, np.full_like(labels, 255))


def known_scale(height: float = 0.5, smoothing_s: float = 2.0) -> HeightScale:
    scale = HeightScale(1.5, CONTRACT, smoothing_s)
    for number in range(FEWEST_PLANES):
        scale.update(street(height), CAMERA, 0.1 * number)
    return scale


def test_the_scale_is_mounting_height_over_height_in_units():
    scale = HeightScale(1.5, CONTRACT, 2.0)
    found = [scale.update(street(0.5), CAMERA, 0.1 * n) for n in range(FEWEST_PLANES)]
    assert found[0].scale is None and '1 of 3' in found[0].note
    assert found[-1].scale == pytest.approx(3.0, rel=1e-3) and not found[-1].note


def test_a_camera_that_zooms_keeps_the_scale():
    """At another focal length the network sees the same street too near by their ratio."""
    zoomed = replace(CAMERA, fx=105.0, fy=105.0)
    scale = HeightScale(1.5, CONTRACT, 2.0)
    for number in range(FEWEST_PLANES):
        found = scale.update(street(0.5 / 1.5, zoomed), zoomed, 0.1 * number)
    assert found.scale == pytest.approx(4.5, rel=1e-3)
    assert scale.update(street(0.5), CAMERA, 0.25).scale == pytest.approx(3.0, rel=1e-3)


def test_a_slow_change_is_followed_with_the_time_constant():
    scale = known_scale()
    for number in range(3):  # until the median is the new value
        scale.update(street(0.25), CAMERA, 1.0 + number)
    late = [scale.update(street(0.25), CAMERA, 4.0 + number).scale for number in range(20)]
    assert late[0] is not None and 3.0 < late[0] < 6.0
    assert np.all(np.diff(np.array(late, float)) >= 0)
    assert late[-1] == pytest.approx(6.0, rel=0.01)
    missing = np.log(6.0) - np.log(np.array(late[:4], float))
    np.testing.assert_allclose(missing[1:] / missing[:-1], math.exp(-1 / 2), rtol=0.02)
    at_once = known_scale(smoothing_s=0.0)
    for number in range(3):
        found = at_once.update(street(0.25), CAMERA, 1.0 + number)
    assert found.scale == pytest.approx(6.0, rel=1e-3)


def test_one_wrong_plane_does_nothing():
    scale = known_scale()
    assert scale.update(street(5.0), CAMERA, 1.0).scale == pytest.approx(3.0, rel=1e-3)


def test_between_looks_the_ground_is_not_looked_at():
    scale = known_scale(smoothing_s=0.0)
    wall = Prediction(*(np.ones_like(part) for part in street(0.5)))
    for number in range(5):
        found = scale.update(wall, CAMERA, 0.21 + 0.001 * number)
        assert found.scale == pytest.approx(3.0, rel=1e-3) and not found.note
    later = scale.update(wall, CAMERA, 1.0)
    assert later.scale == pytest.approx(3.0, rel=1e-3)
    assert 'no ground plane' in later.note and 'kept' in later.note


def test_what_is_known_is_forgotten_when_asked():
    scale = known_scale()
    scale.reset()
    assert scale.update(street(0.5), CAMERA, 0.0).scale is None


def test_stamps_that_go_back_do_no_harm():
    scale = known_scale()
    for stamp_s in (5.0, 0.0, -3.0, 1e9, 0.0):
        found = scale.update(street(0.5), CAMERA, stamp_s)
        assert found.scale == pytest.approx(3.0, rel=1e-3)


def test_without_stamps_every_image_is_looked_at():
    scale = HeightScale(1.5, CONTRACT, 0.0)
    for _ in range(FEWEST_PLANES):
        found = scale.update(street(0.5), CAMERA)
    assert found.scale == pytest.approx(3.0, rel=1e-3)


@pytest.mark.parametrize('spoiled', [np.nan, np.inf, 0.0, -1.0])
def test_pixels_without_depth_are_left_out(spoiled: float):
    prediction = street(0.5)
    prediction.depth_m[::3] = spoiled
    plane = ground_of(prediction, CAMERA, CLASS_NAMES)
    assert isinstance(plane, GroundPlane) and plane.offset_m == pytest.approx(0.5, rel=1e-3)


def test_large_images_are_looked_at_every_few_pixels_in_their_right_place():
    large = CAMERA.resized(960, 384)
    plane = ground_of(street(0.5, large), large, CLASS_NAMES)
    assert isinstance(plane, GroundPlane) and plane.offset_m == pytest.approx(0.5, rel=1e-3)


def test_no_road_no_scale_but_a_meadow_does():
    prediction = street(0.5)
    walls = prediction._replace(labels=np.full_like(prediction.labels, BUILDING_ID))
    refused = ground_of(walls, CAMERA, CLASS_NAMES)
    assert isinstance(refused, GroundPlaneRefusal) and 'hardly any' in refused.reason
    terrain = np.where(prediction.labels == ROAD_ID, CLASS_NAMES.index('terrain'), BUILDING_ID)
    meadow = prediction._replace(labels=terrain.astype(np.uint8))
    assert isinstance(ground_of(meadow, CAMERA, CLASS_NAMES), GroundPlane)


def test_a_model_without_classes_is_looked_at_whole():
    nothing = street(0.5)._replace(labels=np.full((64, 160), 255, np.uint8))
    plane = ground_of(nothing, CAMERA, ())
    assert isinstance(plane, GroundPlane) and plane.offset_m == pytest.approx(0.5, rel=1e-3)


@pytest.mark.parametrize('height_m', [0.0, -1.0, float('nan'), float('inf')])
def test_a_camera_below_the_ground_is_refused(height_m: float):
    with pytest.raises(ValueError, match='above the ground'):
        HeightScale(height_m, CONTRACT, 1.0)
