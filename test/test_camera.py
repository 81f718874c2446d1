"""The geometry survives resize and crop, and agrees with what OpenCV does to pixels."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.camera import project
from sg_depth_ros.camera import resize_image
from sg_depth_ros.camera import resize_labels
from sg_depth_ros.camera import sparse_depth_image
from sg_depth_ros.errors import UserError

KITTI = Intrinsics(fx=721.5, fy=721.5, cx=609.6, cy=172.9, width=1242, height=375)


@st.composite
def cameras(draw):
    width, height = draw(st.integers(16, 2000)), draw(st.integers(16, 1500))
    focal = st.floats(0.2, 3.0)
    return Intrinsics(
        fx=draw(focal) * width,
        fy=draw(focal) * width,
        cx=draw(st.floats(0.2, 0.8)) * width,
        cy=draw(st.floats(0.2, 0.8)) * height,
        width=width,
        height=height,
    )


# What each change of the image does to a pixel position (u, v), centres at integers.
@st.composite
def changes(draw):
    kind = draw(st.sampled_from(['resize', 'crop']))
    a, b = draw(st.floats(0.3, 2.0)), draw(st.floats(0.3, 2.0))
    return kind, a, b


def apply_change(change, camera, pixel):
    kind, a, b = change
    u, v = pixel
    if kind == 'resize':
        width, height = max(1, round(a * camera.width)), max(1, round(b * camera.height))
        # The image's edges, at -0.5 and size - 0.5, stay its edges.
        u = (u + 0.5) / camera.width * width - 0.5
        v = (v + 0.5) / camera.height * height - 0.5
        return camera.resized(width, height), (u, v)
    left, top = int(a * camera.width / 4), int(b * camera.height / 4)
    width, height = max(1, camera.width - left - 1), max(1, camera.height - top - 1)
    return camera.cropped(left, top, width, height), (u - left, v - top)


@settings(max_examples=200, deadline=None)
@given(
    cameras(),
    st.lists(changes(), max_size=6),
    st.tuples(st.floats(-5, 5), st.floats(-3, 3), st.floats(1, 80)),
)
def test_a_point_lands_at_the_same_place_of_the_scene_after_any_chain_of_changes(
    camera, chain, point
):
    pixel = tuple(project(np.array([point]), camera)[0])
    for change in chain:
        camera, pixel = apply_change(change, camera, pixel)
    seen = project(np.array([point]), camera)[0]
    np.testing.assert_allclose(seen, pixel, rtol=1e-9, atol=1e-6)


@settings(max_examples=100, deadline=None)
@given(cameras(), st.integers(1, 3000), st.integers(1, 3000))
def test_resizing_and_back_gives_the_same_camera(camera, width, height):
    back = camera.resized(width, height).resized(camera.width, camera.height)
    for name in ('fx', 'fy', 'cx', 'cy'):
        assert getattr(back, name) == pytest.approx(getattr(camera, name), rel=1e-9, abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(8, 60),
    st.integers(8, 60),
    st.floats(0.2, 2.0),
    st.integers(0, 2**32 - 1),
)
def test_rays_times_depth_project_to_their_own_pixels(width, height, focal, seed):
    camera = Intrinsics(
        focal * width, 1.1 * focal * width, 0.4 * width, 0.6 * height, width, height
    )
    depth_m = np.random.default_rng(seed).uniform(0.5, 100, (height, width, 1))
    pixels = project((camera.rays() * depth_m).reshape(-1, 3), camera).reshape(height, width, 2)
    v, u = np.mgrid[:height, :width]
    np.testing.assert_allclose(pixels[..., 0], u, atol=2e-3)
    np.testing.assert_allclose(pixels[..., 1], v, atol=2e-3)


def ramp(width, height, du, dv):
    v, u = np.mgrid[:height, :width]
    return (20 + du * u + dv * v).astype(np.float32)


@pytest.mark.parametrize('width, height', [(160, 48), (320, 96), (64, 96)])
def test_shrinking_pixels_and_shrinking_intrinsics_agree(width, height):
    """The value at a resized pixel is the ramp's value at the place where its ray meets it."""
    source = Intrinsics(300, 300, 310, 90, 640, 192)
    image = ramp(640, 192, 0.25, 0.35)
    resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    # The same function as in production, on what it takes: bytes.
    produced = resize_image(np.rint(image).astype(np.uint8), width, height)
    expected = ramp_seen_through(source, source.resized(width, height))
    np.testing.assert_allclose(resized, expected, atol=0.02)
    np.testing.assert_allclose(produced, expected, atol=1.01)


@pytest.mark.parametrize('width, height', [(1280, 384), (960, 200)])
def test_enlarging_pixels_and_enlarging_intrinsics_agree(width, height):
    source = Intrinsics(300, 300, 310, 90, 640, 192)
    image = ramp(640, 192, 0.25, 0.35)
    resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    produced = resize_image(np.rint(image).astype(np.uint8), width, height)
    expected = ramp_seen_through(source, source.resized(width, height))
    inner = np.s_[2:-2, 2:-2]  # beyond the outermost centres OpenCV repeats the border
    np.testing.assert_allclose(resized[inner], expected[inner], atol=0.02)
    np.testing.assert_allclose(produced[inner], expected[inner], atol=1.01)


def ramp_seen_through(source, target):
    pixels = project(target.rays().reshape(-1, 3), source)
    values = 20 + 0.25 * pixels[:, 0] + 0.35 * pixels[:, 1]
    return values.reshape(target.height, target.width)


def test_half_a_pixel_of_error_in_the_principal_point_would_be_seen():
    """The tolerance above is finer than the mistake it guards against: cx * s without the half."""
    source = Intrinsics(300, 300, 310, 90, 640, 192)
    right = source.resized(160, 48)
    wrong = Intrinsics(right.fx, right.fy, 310 / 4, 90 / 4, 160, 48)
    difference = ramp_seen_through(source, wrong) - ramp_seen_through(source, right)
    assert np.abs(difference).min() > 0.5


def test_resize_keeps_the_image_itself_where_the_size_already_fits():
    image = np.zeros((48, 160, 3), np.uint8)
    assert resize_image(image, 160, 48) is image


def test_resize_averages_down_without_aliasing():
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 200
    assert np.unique(resize_image(stripes, 32, 32)).tolist() == [100]


def test_labels_are_never_mixed_and_keep_their_place():
    labels = np.zeros((64, 96), np.uint8)
    labels[:, 48:] = 13
    small = resize_labels(labels, 24, 16)
    assert small.shape == (16, 24)
    assert (small[:, :12] == 0).all()
    assert (small[:, 12:] == 13).all()


def test_field_of_view_of_known_cameras():
    assert Intrinsics(50, 50, 49.5, 49.5, 100, 100).horizontal_fov_deg() == pytest.approx(90)
    # atan of both halves of KITTI's image, in pixels from edge to edge.
    by_hand = math.degrees(math.atan(610.1 / 721.5) + math.atan((1241.5 - 609.6) / 721.5))
    assert KITTI.horizontal_fov_deg() == pytest.approx(by_hand)
    assert KITTI.resized(640, 192).horizontal_fov_deg() == pytest.approx(by_hand)


def test_intrinsics_from_projection_matrix():
    p = np.array([[721.5, 0, 609.6, 44.9], [0, 721.5, 172.9, 0.2], [0, 0, 1, 0.003]])
    camera = Intrinsics.from_matrix(p, 1242, 375)
    assert camera == KITTI
    np.testing.assert_array_equal(camera.matrix(), p[:, :3])


@pytest.mark.parametrize(
    'values',
    [
        (0, 721.5, 600, 170, 1242, 375),
        (721.5, -1, 600, 170, 1242, 375),
        (721.5, 721.5, math.nan, 170, 1242, 375),
        (math.inf, 721.5, 600, 170, 1242, 375),
        (721.5, 721.5, 600, 170, 0, 375),
        (721.5, 721.5, 600, 170, 1242, -5),
    ],
)
def test_what_is_no_camera_is_refused(values):
    with pytest.raises(UserError):
        Intrinsics(*values)


@pytest.mark.parametrize('size', [(1242, 375), (640, 192), (128, 64)])
def test_intrinsics_in_shares_of_the_image_are_refused(size):
    shares = (KITTI.fx / 1242, KITTI.fy / 375, KITTI.cx / 1242, KITTI.cy / 375)
    with pytest.raises(UserError, match=r'= 0\.58.*multiply fx and cx by the width'):
        Intrinsics(*shares, *size)


def test_sparse_depth_keeps_the_nearest_point_of_a_pixel_and_drops_the_rest():
    camera = Intrinsics(100, 100, 49.5, 29.5, 100, 60)
    points = np.array(
        [
            [0.0, 0.0, 20.0],  # hidden behind the next
            [0.0, 0.0, 10.0],
            [1.0, 0.5, 10.0],
            [0.0, 0.0, -5.0],  # behind the camera
            [90.0, 0.0, 10.0],  # beside the image
        ]
    )
    depth_m = sparse_depth_image(points, camera)
    assert depth_m.shape == (60, 100)
    # 49.5 and 29.5 round to even, as numpy does.
    assert depth_m[30, 50] == 10.0
    assert np.count_nonzero(depth_m) == 2
    v, u = np.argwhere(depth_m > 0)[-1]
    np.testing.assert_allclose((u, v), (59.5, 34.5), atol=0.51)


def test_a_cloud_of_another_frame_projects_like_a_plain_loop():
    camera = Intrinsics(50, 55, 31.3, 19.8, 64, 40)
    rng = np.random.default_rng(3)
    cloud = rng.normal(0, 20, (5000, 4)).astype(np.float32)
    cloud[:3, :3] = [[np.nan, 1, 1], [np.inf, 1, 1], [-np.inf, 1, np.nan]]
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    T_camera_lidar = np.eye(4)
    T_camera_lidar[:3, :3], T_camera_lidar[:3, 3] = rotation, (0.3, -0.1, 0.5)
    expected = np.zeros((40, 64))
    for point in cloud[3:, :3].astype(np.float64):
        x, y, z = rotation @ point + (0.3, -0.1, 0.5)
        if z > 0.1:
            u, v = round(50 * x / z + 31.3), round(55 * y / z + 19.8)
            if 0 <= u < 64 and 0 <= v < 40 and not 0 < expected[v, u] < z:
                expected[v, u] = z
    depth_m = sparse_depth_image(cloud[:, :3], camera, T_camera_lidar)
    assert depth_m.dtype == np.float32
    assert np.count_nonzero(depth_m) > 100
    np.testing.assert_allclose(depth_m, expected, rtol=1e-6)
