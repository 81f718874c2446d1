import numpy as np
import pytest
from tiny_model import tiny_contract

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.classes import CAR_ID
from sg_depth_ros.classes import SKY_ID
from sg_depth_ros.engines.engine import Prediction
from sg_depth_ros.pipeline import corrected_depth
from sg_depth_ros.pipeline import focal_correction
from sg_depth_ros.pipeline import prepare_image

CONTRACT = tiny_contract(8, 4)


def prediction(depth_m, labels=None):
    depth_m = np.broadcast_to(np.asarray(depth_m, np.float32), (4, 8)).copy()
    if labels is None:
        labels = np.full((4, 8), CAR_ID, np.uint8)
    return Prediction(depth_m, labels, np.zeros((4, 8), np.uint8))


def scaled(factor: float) -> Intrinsics:
    c = CONTRACT.intrinsics
    return Intrinsics(c.fx * factor, c.fy * factor, c.cx, c.cy, c.width, c.height)


def test_image_and_camera_come_to_the_network_size():
    camera = Intrinsics(100.0, 100.0, 39.5, 29.5, 80, 60)
    prepared = prepare_image(np.zeros((60, 80, 3), np.uint8), camera, CONTRACT)
    assert prepared.image.shape == (4, 8, 3)
    assert prepared.camera == camera.resized(8, 4)


def test_depth_grows_with_the_focal_length():
    depth_m = corrected_depth(prediction(10.0), CONTRACT, scaled(1.5))
    assert depth_m == pytest.approx(15.0)
    assert corrected_depth(prediction(10.0), CONTRACT, None) == pytest.approx(10.0)


def test_the_same_scene_at_another_size_has_the_same_depth():
    large = Intrinsics(8.0, 8.0, 7.5, 3.5, 16, 8)
    small = prepare_image(np.zeros((8, 16, 3), np.uint8), large, CONTRACT).camera
    assert focal_correction(small, CONTRACT) == pytest.approx(1.0)


def test_sky_and_beyond_the_limit_are_infinite():
    labels = np.full((4, 8), CAR_ID, np.uint8)
    labels[0] = SKY_ID
    depth_m = corrected_depth(prediction(60.0, labels), CONTRACT, scaled(1.0))
    assert np.isposinf(depth_m[0]).all()
    assert depth_m[1:] == pytest.approx(60.0)
    assert np.isposinf(corrected_depth(prediction(60.0), CONTRACT, scaled(2.0))).all()
    assert np.isposinf(corrected_depth(prediction(60.0), CONTRACT, None, 50.0)).all()


@pytest.mark.parametrize('bad', [0.0, -3.0, np.nan, np.inf, -np.inf])
def test_what_is_no_depth_becomes_nan_even_in_the_sky(bad):
    depth_m = np.full((4, 8), 10.0, np.float32)
    depth_m[0, 0] = depth_m[3, 3] = bad
    labels = np.full((4, 8), CAR_ID, np.uint8)
    labels[0] = SKY_ID
    result = corrected_depth(prediction(depth_m, labels), CONTRACT, scaled(1.0))
    assert np.isnan(result[0, 0])
    assert np.isnan(result[3, 3])
    assert np.isnan(result).sum() == 2


def test_the_prediction_is_left_as_it_is():
    given = prediction(500.0)
    corrected_depth(given, CONTRACT, scaled(1.0))
    assert (given.depth_m == 500.0).all()
