from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from tiny_model import tiny_contract

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.camera import Window
from sg_depth_ros.classes import CAR_ID
from sg_depth_ros.classes import SKY_ID
from sg_depth_ros.engines.engine import Prediction
from sg_depth_ros.pipeline import DepthCorrection
from sg_depth_ros.pipeline import fit_window
from sg_depth_ros.pipeline import fitted_camera
from sg_depth_ros.pipeline import focal_correction
from sg_depth_ros.pipeline import prepare_image
from sg_depth_ros.pipeline import stretch
from sg_depth_ros.pipeline import window_of

CONTRACT = tiny_contract(8, 4)
# KITTI's, which most models are trained with: wide pictures, the horizon below the middle.
WIDE = replace(tiny_contract(640, 192), intrinsics=Intrinsics(372, 369, 314, 88, 640, 192))


def prediction(depth_m, labels=None):
    depth_m = np.broadcast_to(np.asarray(depth_m, np.float32), (4, 8)).copy()
    if labels is None:
        labels = np.full((4, 8), CAR_ID, np.uint8)
    return Prediction(depth_m, labels, np.zeros((4, 8), np.uint8))


def scaled(factor: float) -> Intrinsics:
    c = CONTRACT.intrinsics
    return Intrinsics(c.fx * factor, c.fy * factor, c.cx, c.cy, c.width, c.height)


def corrected_depth(given, camera, max_depth_m=None):
    scale = focal_correction(camera, CONTRACT)
    return DepthCorrection(CONTRACT).apply(given, scale, max_depth_m).depth_m


def test_image_and_camera_come_to_the_network_size():
    camera = Intrinsics(100.0, 100.0, 39.5, 29.5, 80, 60)
    prepared = prepare_image(np.zeros((60, 80, 3), np.uint8), camera, CONTRACT)
    assert prepared.image.shape == (4, 8, 3)
    assert prepared.camera == camera.resized(8, 4)


def test_depth_grows_with_the_focal_length():
    depth_m = corrected_depth(prediction(10.0), scaled(1.5))
    assert depth_m == pytest.approx(15.0)
    assert corrected_depth(prediction(10.0), None) == pytest.approx(10.0)


def test_the_same_scene_at_another_size_has_the_same_depth():
    large = Intrinsics(8.0, 8.0, 7.5, 3.5, 16, 8)
    small = prepare_image(np.zeros((8, 16, 3), np.uint8), large, CONTRACT).camera
    assert focal_correction(small, CONTRACT) == pytest.approx(1.0)


def test_sky_and_beyond_the_limit_are_infinite():
    labels = np.full((4, 8), CAR_ID, np.uint8)
    labels[0] = SKY_ID
    depth_m = corrected_depth(prediction(60.0, labels), scaled(1.0))
    assert np.isposinf(depth_m[0]).all()
    assert depth_m[1:] == pytest.approx(60.0)
    assert np.isposinf(corrected_depth(prediction(60.0), scaled(2.0))).all()
    assert np.isposinf(corrected_depth(prediction(60.0), None, 50.0)).all()


@pytest.mark.parametrize('bad', [0.0, -3.0, np.nan, np.inf, -np.inf])
def test_what_is_no_depth_becomes_nan_even_in_the_sky(bad):
    depth_m = np.full((4, 8), 10.0, np.float32)
    depth_m[0, 0] = depth_m[3, 3] = bad
    labels = np.full((4, 8), CAR_ID, np.uint8)
    labels[0] = SKY_ID
    result = corrected_depth(prediction(depth_m, labels), scaled(1.0))
    assert np.isnan(result[0, 0])
    assert np.isnan(result[3, 3])
    assert np.isnan(result).sum() == 2


def test_the_prediction_is_left_as_it_is():
    given = prediction(500.0)
    corrected_depth(given, scaled(1.0))
    assert (given.depth_m == 500.0).all()


def test_pixels_that_show_nothing_have_no_depth():
    outside = np.zeros((4, 8), np.bool_)
    outside[0] = True
    corrected = DepthCorrection(CONTRACT).apply(prediction(10.0), 1.0, outside=outside)
    assert np.isnan(corrected.depth_m[0]).all() and not np.isnan(corrected.depth_m[1:]).any()
    assert corrected.valid_share == pytest.approx(0.75)


def test_the_memory_of_the_last_depth_is_filled_again():
    correction = DepthCorrection(CONTRACT)
    first = correction.apply(prediction(np.nan), 1.0).depth_m
    second = correction.apply(prediction(10.0), 2.0).depth_m
    assert second is first and (second == 20.0).all()


@pytest.mark.parametrize('scale', [1e-45, 1e38, 1e300])
def test_absurd_scales_give_infinity_or_nothing_but_never_zero(scale: float):
    depth_m = DepthCorrection(CONTRACT).apply(prediction(0.1), scale).depth_m
    assert np.isposinf(depth_m).all() or np.isnan(depth_m).all()


def test_a_high_picture_loses_rows_so_that_the_horizon_stays_at_its_height():
    camera = Intrinsics(740.0, 740.0, 639.5, 359.5, 1280, 720)
    window = fit_window(camera, WIDE, 'auto')
    assert (window.left, window.width) == (0, 1280)
    assert window.height == round(1280 * 192 / 640 * 372 / 369)
    trained = (88 + 0.5) / 192
    assert (359.5 + 0.5 - window.top) / window.height == pytest.approx(trained, abs=1 / 380)
    # Where the image does not reach so far, it is taken to its border.
    assert fit_window(replace(camera, cy=40.0), WIDE, 'auto').top == 0
    assert fit_window(replace(camera, cy=700.0), WIDE, 'auto').top == 720 - window.height


def test_a_wide_picture_loses_columns():
    camera = Intrinsics(740.0, 740.0, 900.0, 100.0, 1800, 200)
    window = fit_window(camera, WIDE, 'crop')
    assert (window.top, window.height) == (0, 200)
    assert (900.5 - window.left) / window.width == pytest.approx(314.5 / 640, abs=1 / 600)


def test_only_what_would_be_stretched_too_far_is_cropped_by_itself():
    camera = WIDE.intrinsics.resized(1242, 375)
    higher = camera.resized(1242, 400)
    whole = Window(0, 0, 1242, 400)
    assert stretch(camera, WIDE) == pytest.approx(1)
    assert fit_window(replace(higher, fy=camera.fy), WIDE, 'auto') == whole
    assert fit_window(replace(higher, fy=camera.fy), WIDE, 'crop').height == 375
    assert fit_window(replace(camera, fy=2 * camera.fy), WIDE, 'auto').height == 375
    assert fit_window(replace(camera, fy=2 * camera.fy), WIDE, 'stretch').width == 1242


@settings(max_examples=200, deadline=None)
@given(
    st.integers(40, 2000),
    st.integers(40, 2000),
    st.floats(0.3, 4.0),
    st.floats(0.5, 2.0),
    st.floats(-0.5, 1.5),
    st.floats(-0.5, 1.5),
)
def test_a_crop_is_the_largest_that_stretches_no_more_than_training(
    width: int, height: int, focal: float, aspect: float, cx: float, cy: float
):
    camera = Intrinsics(
        focal * width, aspect * focal * width, cx * width, cy * height, width, height
    )
    window = fit_window(camera, WIDE, 'crop')
    assert window.left >= 0 and window.left + window.width <= width
    assert window.top >= 0 and window.top + window.height <= height
    assert window.width == width or window.height == height
    rounded = 0.51 / (min(window.width, window.height) - 1)
    assert stretch(camera.cropped(*window), WIDE) == pytest.approx(1, rel=rounded)
    assert window_of(camera, fitted_camera(camera, WIDE, 'crop')) == window
