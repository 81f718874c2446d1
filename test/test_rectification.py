from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.camera_info import calibration_key
from sg_depth_ros.errors import UserError
from sg_depth_ros.rectification import rectified_camera

CAMERA = Intrinsics(fx=180.0, fy=190.0, cx=161.5, cy=117.0, width=320, height=240)
COEFFICIENTS = {
    'plumb_bob': [-0.25, 0.08, 0.001, -0.002, -0.01],
    'rational_polynomial': [0.1, -0.05, 0.001, 0.001, 0.01, 0.35, -0.04, 0.02],
    'equidistant': [-0.02, 0.01, -0.004, 0.001],
}


def info_of(camera: Intrinsics = CAMERA, **fields: Any) -> Any:
    p = np.zeros((3, 4))
    p[:, :3] = camera.matrix()
    contents = {
        'width': camera.width,
        'height': camera.height,
        'k': camera.matrix().ravel(),
        'd': [],
        'r': np.eye(3).ravel(),
        'p': p.ravel(),
        'distortion_model': '',
        'binning_x': 0,
        'binning_y': 0,
        'roi': SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0),
    }
    return SimpleNamespace(**{**contents, **fields})


@pytest.mark.parametrize('model', COEFFICIENTS)
def test_a_scene_point_is_found_where_the_pinhole_camera_puts_it(model: str):
    d = np.array(COEFFICIENTS[model])
    rectified = rectified_camera(info_of(d=d, distortion_model=model), 320, 240, False)
    assert rectified.undistortion is not None
    point = np.array([[0.35, -0.25, 1.0]])
    distort = cv2.fisheye.projectPoints if model == 'equidistant' else cv2.projectPoints
    pixel, _ = distort(point[None], np.zeros(3), np.zeros(3), CAMERA.matrix(), d)
    u, v = pixel.ravel()
    image = np.zeros((240, 320, 3), np.uint8)
    rows, columns = np.mgrid[0:240, 0:320]
    image[...] = (255 * np.exp(-((columns - u) ** 2 + (rows - v) ** 2) / 8))[..., None]
    straight = rectified.undistortion.apply(image)[..., 0].astype(float)
    straight[straight < 20] = 0
    found = (straight * columns).sum() / straight.sum(), (straight * rows).sum() / straight.sum()
    camera = rectified.camera
    expected = camera.fx * 0.35 + camera.cx, camera.fy * -0.25 + camera.cy
    assert found == pytest.approx(expected, abs=0.3)
    assert np.hypot(expected[0] - u, expected[1] - v) > 0.8, 'the lens must matter here'


def test_what_the_lens_did_not_see_is_known():
    pincushion = info_of(d=[0.3, 0.0, 0.0, 0.0, 0.0], distortion_model='plumb_bob')
    undistortion = rectified_camera(pincushion, 320, 240, False).undistortion
    assert undistortion is not None and undistortion.outside is not None
    assert undistortion.outside[0, 0] and not undistortion.outside[120, 160]
    white = undistortion.apply(np.full((240, 320, 3), 255, np.uint8))
    assert not white[undistortion.outside].all()


def test_rectified_images_follow_p_and_are_left_alone():
    p = np.array([150.0, 0, 160, 0, 0, 150, 120, 0, 0, 0, 1, 0])
    info = info_of(p=p, d=[0.5] * 5, distortion_model='whatever')
    rectified = rectified_camera(info, 320, 240, True)
    assert rectified.undistortion is None
    assert (rectified.camera.fx, rectified.camera.cx) == (150, 160)
    without_p = info_of(p=np.zeros(12))
    assert rectified_camera(without_p, 320, 240, True).camera == CAMERA


def test_without_distortion_k_holds():
    p = np.array([150.0, 0, 160, 0, 0, 150, 120, 0, 0, 0, 1, 0])
    rectified = rectified_camera(info_of(p=p, d=[0.0] * 5), 320, 240, False)
    assert rectified.undistortion is None
    assert rectified.camera == CAMERA


def test_a_stereo_rotation_does_not_turn_the_frame():
    p = np.array([150.0, 0, 160, 0, 0, 150, 120, 0, 0, 0, 1, 0])
    turned = cv2.Rodrigues(np.array([0.0, 0.02, 0.0]))[0].ravel()
    distorted = {'d': COEFFICIENTS['plumb_bob'], 'distortion_model': 'plumb_bob', 'p': p}
    assert rectified_camera(info_of(**distorted, r=turned), 320, 240, False).camera == CAMERA
    assert rectified_camera(info_of(**distorted), 320, 240, False).camera.fx == 150


def test_region_and_binning_come_before_undistortion():
    region = SimpleNamespace(x_offset=40, y_offset=20, width=240, height=160)
    info = info_of(
        d=COEFFICIENTS['plumb_bob'], distortion_model='plumb_bob', roi=region,
        binning_x=2, binning_y=2, p=np.zeros(12),
    )  # fmt: skip
    part = rectified_camera(info, 120, 80, False)
    whole = rectified_camera(
        info_of(d=COEFFICIENTS['plumb_bob'], distortion_model='plumb_bob', p=np.zeros(12)),
        320, 240, False,
    )  # fmt: skip
    assert part.undistortion is not None and whole.undistortion is not None and not part.scaled
    columns = np.repeat(np.linspace(0, 250, 320)[None], 240, axis=0)
    image = np.repeat(columns[..., None], 3, axis=2).astype(np.uint8)
    from_whole = whole.undistortion.apply(image)[20:180, 40:280]
    window = cv2.resize(image[20:180, 40:280], (120, 80), interpolation=cv2.INTER_AREA)
    from_part = part.undistortion.apply(window)
    half = cv2.resize(from_whole, (120, 80), interpolation=cv2.INTER_AREA)
    inner = np.s_[8:-8, 8:-8]
    assert np.abs(half[inner].astype(int) - from_part[inner]).max() <= 2


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        ({'d': [0.1] * 5, 'distortion_model': 'scaramuzza'}, 'scaramuzza'),
        ({'d': [0.1] * 3, 'distortion_model': 'plumb_bob'}, '4 or 5'),
        ({'d': [float('nan')] * 4, 'distortion_model': 'equidistant'}, 'finite'),
        ({'k': np.zeros(9)}, 'uncalibrated'),
        ({'width': 100}, '100x240'),
    ],
)
def test_what_cannot_be_rectified_is_refused(fields: dict[str, Any], message: str):
    with pytest.raises(UserError, match=message):
        rectified_camera(info_of(**fields), 320, 240, False)


def test_a_pure_scale_is_taken_and_told():
    rectified = rectified_camera(info_of(), 160, 120, False)
    assert rectified.scaled
    assert rectified.camera == CAMERA.resized(160, 120)


def test_the_key_changes_with_whatever_geometry_depends_on():
    keys = {
        calibration_key(info_of(**fields))
        for fields in (
            {}, {'d': [0.1] * 5}, {'p': np.zeros(12)}, {'binning_x': 2}, {'width': 3},
            {'distortion_model': 'equidistant'}, {'k': np.ones(9)},
            {'roi': SimpleNamespace(x_offset=1, y_offset=0, width=0, height=0)},
        )
    }  # fmt: skip
    assert len(keys) == 8
    assert calibration_key(info_of()) == calibration_key(info_of())
