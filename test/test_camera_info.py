import warnings
from typing import Any

import numpy as np
import pytest
from camera_infos import info_of
from camera_infos import region
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from tiny_model import tiny_contract

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.camera_info import calibration_key
from sg_depth_ros.camera_info import read_camera_info
from sg_depth_ros.errors import UserError
from sg_depth_ros.preprocessing import Preprocessor
from sg_depth_ros.rectification import rectified_camera

CAMERA = Intrinsics(fx=180.0, fy=190.0, cx=161.5, cy=117.0, width=320, height=240)


def camera_of(width: int = 320, height: int = 240, **fields: Any) -> Intrinsics:
    return rectified_camera(info_of(CAMERA, **fields), width, height, False).camera


def test_a_region_moves_the_principal_point():
    camera = camera_of(100, 80, roi=region(40, 20, 100, 80))
    assert camera == Intrinsics(180.0, 190.0, 121.5, 97.0, 100, 80)


def test_binning_divides_and_leaves_out_what_fills_no_bin():
    camera = camera_of(106, 80, binning_x=3, binning_y=3)
    assert (camera.fx, camera.fy) == pytest.approx((60, 190 / 3))
    assert camera.cx == pytest.approx((161.5 + 0.5) / 3 - 0.5)


@pytest.mark.parametrize(
    ('width', 'height', 'fits'), [(640, 480, True), (160, 121, True), (160, 125, False)]
)
def test_a_scale_may_differ_by_one_percent(width: int, height: int, fits: bool):
    if fits:
        assert camera_of(width, height).width == width
    else:
        with pytest.raises(UserError, match='320x240 image, the image is 160x125'):
            camera_of(width, height)


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        ({'width': 0, 'height': 0}, '0x0'),
        ({'k': np.full(9, np.nan)}, 'uncalibrated'),
        ({'k': [1e30, 0, 160, 0, 1e30, 120, 0, 0, 1]}, 'cannot be pixels'),
        ({'k': [180, 0, -1e7, 0, 190, 120, 0, 0, 1]}, 'cannot be pixels'),
        ({'k': [180.0, 0, 160]}, 'K has 3 numbers'),
        ({'roi': region(300, 0, 100, 100)}, 'no part of the sensor'),
        ({'roi': region(-1, 0, 100, 100)}, 'no part of the sensor'),
        ({'roi': region(0, 0, 0, 100)}, 'no part of the sensor'),
        ({'roi': region(0, 0, 4000, 4000)}, 'no part of the sensor'),
        ({'binning_x': 1000}, 'leaves nothing'),
        ({'d': [0.1] * 5, 'distortion_model': 'plumb_bob', 'r': np.ones(9)}, 'no rotation'),
        ({'d': [0.1] * 5, 'distortion_model': 'plumb_bob', 'r': [np.nan] * 9}, 'no rotation'),
        ({'d': [0.1] * 5, 'distortion_model': 'plumb_bob', 'p': [np.nan] * 12}, 'P: uncalibrated'),
    ],
)
def test_what_cannot_be_a_calibration_is_refused(fields: dict[str, Any], message: str):
    with pytest.raises(UserError, match=message):
        rectified_camera(info_of(CAMERA, **fields), 320, 240, False)


def test_an_empty_image_is_refused():
    with pytest.raises(UserError, match='empty'):
        camera_of(0, 240)


def test_what_is_not_used_may_be_anything():
    broken = {'p': [np.nan] * 12, 'r': np.ones(9)}
    assert camera_of(**broken) == CAMERA
    only_p = info_of(CAMERA, k=np.zeros(9), r=np.ones(9))
    assert rectified_camera(only_p, 320, 240, True).camera == CAMERA


def test_a_rotation_is_told_from_identity_and_from_nothing():
    distorted = {'d': [0.1, 0, 0, 0, 0], 'distortion_model': 'plumb_bob'}
    turned = [0.0, -1, 0, 1, 0, 0, 0, 0, 1]
    assert read_camera_info(info_of(CAMERA, **distorted, r=turned)).turns
    assert not read_camera_info(info_of(CAMERA, **distorted, r=np.zeros(9))).turns
    assert not read_camera_info(info_of(CAMERA, **distorted)).turns


# Numbers as they come from memory that nobody wrote, and calibrations gone wrong.
ODD = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([0.0, 1.0, -1.0, 1e-300, 1e300, 180.0, 160.0]),
)
SIZES = st.one_of(st.integers(0, 400), st.sampled_from([320, 240, 2**31, 2**32 - 1]))
MODELS = st.sampled_from(['', 'plumb_bob', 'rational_polynomial', 'equidistant', 'fisheye'])


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_camera_info_gives_a_camera_or_a_user_error(data: st.DataObject):
    def odd(usual: Any, size: int) -> Any:
        return data.draw(st.one_of(st.just(usual), st.lists(ODD, min_size=size, max_size=size)))

    sizes = [data.draw(SIZES) if data.draw(st.booleans()) else 0 for _ in range(6)]
    usual = info_of(CAMERA)
    info = info_of(
        CAMERA,
        k=odd(usual.k, 9),
        p=odd(usual.p, 12),
        r=odd(usual.r, 9),
        d=data.draw(st.lists(ODD, max_size=15)),
        distortion_model=data.draw(MODELS),
        width=data.draw(st.one_of(st.just(320), SIZES)),
        height=data.draw(st.one_of(st.just(240), SIZES)),
        roi=region(*sizes[:4]),
        binning_x=sizes[4],
        binning_y=sizes[5],
    )
    calibration_key(info)
    image = np.zeros((48, 64, 3), np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        try:
            rectified = rectified_camera(info, 64, 48, data.draw(st.booleans()))
        except UserError as error:
            assert '\n' not in str(error) and len(str(error)) < 600
            return
        for fit in ('stretch', 'crop'):
            preprocessor = Preprocessor(64, 48, rectified, tiny_contract(32, 16), fit)
            assert preprocessor.apply(image).shape == (16, 32, 3)


def test_the_key_changes_with_whatever_geometry_depends_on():
    keys = {
        calibration_key(info_of(CAMERA, **fields))
        for fields in (
            {}, {'d': [0.1] * 5}, {'p': np.zeros(12)}, {'binning_x': 2}, {'width': 3},
            {'distortion_model': 'equidistant'}, {'k': np.ones(9)}, {'roi': region(1)},
        )
    }  # fmt: skip
    assert len(keys) == 8
    assert calibration_key(info_of(CAMERA)) == calibration_key(info_of(CAMERA))
