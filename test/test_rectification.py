import math
from types import SimpleNamespace
from typing import Any

import camera_infos
import cv2
import numpy as np
import pytest

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.errors import UserError
from sg_depth_ros.rectification import Lens
from sg_depth_ros.rectification import Undistortion
from sg_depth_ros.rectification import rectified_camera

CAMERA = Intrinsics(fx=180.0, fy=190.0, cx=161.5, cy=117.0, width=320, height=240)
COEFFICIENTS = {
    'plumb_bob': [-0.25, 0.08, 0.001, -0.002, -0.01],
    'rational_polynomial': [0.1, -0.05, 0.001, 0.001, 0.01, 0.35, -0.04, 0.02],
    'equidistant': [-0.02, 0.01, -0.004, 0.001],
}


def info_of(**fields: Any) -> Any:
    return camera_infos.info_of(CAMERA, **fields)


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


def test_beyond_the_reach_of_the_formula_there_is_no_second_image():
    # r - 0.5 r^3 turns back at r = 0.816: the corners would show the middle once more.
    info = info_of(d=[-0.5, 0.0, 0.0, 0.0, 0.0], distortion_model='plumb_bob')
    rectified = rectified_camera(info, 320, 240, False)
    assert rectified.undistortion is not None and rectified.undistortion.outside is not None
    rays = rectified.camera.rays()
    beyond = np.hypot(rays[..., 0], rays[..., 1]) > 0.8165
    assert beyond.any() and (rectified.undistortion.outside == beyond).mean() > 0.999
    white = rectified.undistortion.apply(np.full((240, 320, 3), 255, np.uint8))
    assert not white[rectified.undistortion.outside].any()


@pytest.mark.parametrize(
    ('model', 'd', 'farthest'),
    [  # where r (1 + k1 r^2 + ...) / (1 + k4 r^2 + ...) no longer grows; an angle in a fisheye
        ('plumb_bob', [-0.3, 0, 0, 0, 0], math.sqrt(1 / 0.9)),
        ('plumb_bob', [-0.1, -0.05, 0, 0], 1.21986),
        ('plumb_bob', [0, 0, 0, 0, -0.02], (1 / 0.14) ** (1 / 6)),
        ('rational_polynomial', [0, 0, 0, 0, 0, 0.5, 0, 0], math.sqrt(2)),
        ('rational_polynomial', [0, 0, 0, 0, 0, 0, 0.5, 0], (2 / 3) ** (1 / 4)),
        ('equidistant', [-0.3, 0, 0, 0], math.tan(math.sqrt(1 / 0.9))),
    ],
)
def test_a_formula_reaches_as_far_as_it_grows(model: str, d: list[float], farthest: float):
    raw = Intrinsics(100.0, 100.0, 1000.0, 1000.0, 2000, 2000)  # sees whatever the formula says
    target = Intrinsics(100.0, 100.0, 250.0, 250.0, 500, 500)
    outside = Undistortion(Lens(raw, np.array(d, np.float64), model), target).outside
    assert outside is not None
    rays = target.rays()
    radius = np.hypot(rays[..., 0], rays[..., 1])
    assert outside[radius > 1.02 * farthest].all()
    assert not outside[radius < 0.98 * farthest].any()


def test_the_lens_sees_to_the_border_of_its_image_and_no_further():
    lens = Lens(CAMERA, np.zeros(5), 'plumb_bob')
    shifted = Intrinsics(
        CAMERA.fx, CAMERA.fy, CAMERA.cx + 10.3, CAMERA.cy + 5.7, CAMERA.width + 30, 260
    )
    outside = Undistortion(lens, shifted).outside
    assert outside is not None
    rows, columns = np.nonzero(~outside)
    assert (columns.min(), columns.max()) == (10, 329)  # 9.8 to 329.8 are on the image
    assert (rows.min(), rows.max()) == (6, 245)
    assert (~outside).sum() == 320 * 240


def test_a_picture_that_is_mostly_black_is_refused_and_a_half_black_one_doubted():
    nothing = info_of(d=[30.0, 0.0, 0.0, 0.0, 0.0], distortion_model='plumb_bob')
    with pytest.raises(UserError, match='show anything; calibrate'):
        rectified_camera(nothing, 320, 240, False)
    half = info_of(d=[0.9, 0.0, 0.0, 0.0, 0.0], distortion_model='plumb_bob')
    assert 'show anything' in rectified_camera(half, 320, 240, False).doubt
    usual = info_of(d=COEFFICIENTS['plumb_bob'], distortion_model='plumb_bob')
    assert not rectified_camera(usual, 320, 240, False).doubt


def test_a_fisheye_lens_without_coefficients_is_doubted():
    rectified = rectified_camera(
        info_of(d=[0.0] * 4, distortion_model='equidistant'), 320, 240, False
    )
    assert rectified.lens is None and 'fisheye' in rectified.doubt


def test_the_maps_may_reach_only_a_part():
    info = info_of(d=COEFFICIENTS['plumb_bob'], distortion_model='plumb_bob')
    rectified = rectified_camera(info, 320, 240, False)
    assert rectified.lens is not None and rectified.undistortion is not None
    part = Undistortion(rectified.lens, rectified.camera.cropped(30, 40, 200, 100))
    image = np.random.default_rng(0).integers(0, 256, (240, 320, 3)).astype(np.uint8)
    whole = rectified.undistortion.apply(image)[40:140, 30:230]
    kept = np.empty((100, 200, 3), np.uint8)
    assert part.apply(image, kept) is kept
    # The maps' fractions are of a 32nd of a pixel.
    assert np.abs(kept.astype(int) - whole).mean() < 1
