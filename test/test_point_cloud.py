import numpy as np
import pytest
from numpy.typing import NDArray

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.camera import project
from sg_depth_ros.point_cloud import PointCloudBuilder

Depth = NDArray[np.float32]
Image = NDArray[np.uint8]
CAMERA = Intrinsics(fx=40.0, fy=30.0, cx=11.3, cy=6.2, width=24, height=14)


@pytest.fixture
def depth_m():
    return np.random.default_rng(0).uniform(1, 60, (14, 24)).astype(np.float32)


@pytest.fixture
def image():
    return np.random.default_rng(1).integers(0, 256, (14, 24, 3), np.uint8)


def points_of(cloud):
    return np.stack([cloud['x'], cloud['y'], cloud['z']], axis=-1)


def colors_of(cloud):
    # As PCL and RViz read them: 0x00rrggbb.
    packed = np.ascontiguousarray(cloud['rgb']).view('<u4')
    return np.stack([packed >> 16, packed >> 8, packed], axis=-1).astype(np.uint8)


def test_points_project_back_onto_their_pixels(depth_m: Depth, image: Image):
    points = points_of(PointCloudBuilder(CAMERA).build(depth_m, image))
    v, u = np.mgrid[0:14, 0:24]
    np.testing.assert_allclose(points[..., 2], depth_m)
    pixels = project(points.reshape(-1, 3), CAMERA)
    np.testing.assert_allclose(pixels, np.stack([u.ravel(), v.ravel()], 1), atol=1e-4)


def test_bytes_are_x_y_z_and_rgb_as_rviz_reads_them(depth_m: Depth, image: Image):
    builder = PointCloudBuilder(CAMERA)
    out = np.zeros(builder.byte_count, np.uint8)
    builder.build(depth_m, image, out=out)
    assert builder.point_step == 16
    points = out.reshape(14, 24, 16)
    xyz = points[..., :12].copy().view('<f4')
    np.testing.assert_allclose(xyz, CAMERA.rays() * depth_m[..., None], rtol=1e-6)
    np.testing.assert_array_equal(points[..., 12:15], image[..., ::-1])
    assert not points[..., 15].any()


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf, 0.0, -1.0])
def test_invalid_depth_is_a_point_of_nan_that_keeps_its_place(
    depth_m: Depth, image: Image, bad: float
):
    depth_m[3, 5] = bad
    points = points_of(PointCloudBuilder(CAMERA).build(depth_m, image))
    assert np.isnan(points[3, 5]).all()
    assert np.isfinite(points).all(axis=-1).sum() == 14 * 24 - 1


@pytest.mark.parametrize('stride', [1, 3])
def test_hidden_pixels_make_no_point(depth_m: Depth, image: Image, stride: int):
    hidden = np.random.default_rng(2).uniform(size=depth_m.shape) < 0.3
    cloud = PointCloudBuilder(CAMERA, stride).build(depth_m, image, hidden=hidden)
    expected = hidden[::stride, ::stride]
    np.testing.assert_array_equal(np.isnan(points_of(cloud)).all(axis=-1), expected)


def test_the_next_cloud_keeps_nothing_of_the_last(depth_m: Depth, image: Image):
    builder = PointCloudBuilder(CAMERA)
    builder.build(np.full_like(depth_m, np.nan), image)
    again = builder.build(depth_m, image[::-1].copy())
    fresh = PointCloudBuilder(CAMERA).build(depth_m, image[::-1].copy())
    assert again.tobytes() == fresh.tobytes()


@pytest.mark.parametrize('stride', [2, 5])
def test_stride_takes_every_nth_row_and_column(depth_m: Depth, image: Image, stride: int):
    whole = PointCloudBuilder(CAMERA).build(depth_m, image)
    sparse = PointCloudBuilder(CAMERA, stride).build(depth_m, image)
    assert sparse.shape == (-(-14 // stride), -(-24 // stride))
    np.testing.assert_array_equal(points_of(sparse), points_of(whole)[::stride, ::stride])
    np.testing.assert_array_equal(colors_of(sparse), image[::stride, ::stride])


def test_labels_follow_the_colour(depth_m: Depth, image: Image):
    labels = np.arange(14 * 24).astype(np.uint8).reshape(14, 24)
    builder = PointCloudBuilder(CAMERA, 2, with_labels=True)
    cloud = builder.build(depth_m, image, labels)
    assert builder.dtype.fields['label'][1] == 16
    np.testing.assert_array_equal(cloud['label'], labels[::2, ::2])
    np.testing.assert_array_equal(colors_of(cloud), image[::2, ::2])


def test_what_does_not_fit_is_refused(depth_m: Depth, image: Image):
    builder = PointCloudBuilder(CAMERA)
    with pytest.raises(ValueError, match='do not fit'):
        builder.build(depth_m[1:], image)
    with pytest.raises(ValueError, match='with_labels'):
        builder.build(depth_m, image, image[..., 0])
    with pytest.raises(ValueError, match='out is'):
        builder.build(depth_m, image, out=np.zeros(7, np.uint8))
    with pytest.raises(ValueError, match='stride'):
        PointCloudBuilder(CAMERA, 0)
