import math

import numpy as np
import pytest
from tiny_bag import FIRST_STAMP_NS
from tiny_bag import PERIOD_NS
from tiny_bag import T_CAMERA_LIDAR
from tiny_bag import write_tiny_bag
from tiny_model import RED_STEP_M
from tiny_model import tiny_contract
from tiny_model import tiny_ramp_m

from sg_depth_ros.bags.bag import open_bag
from sg_depth_ros.bags.writer import BagWriter
from sg_depth_ros.bags.writer import FrameTransform
from sg_depth_ros.errors import UserError
from sg_depth_ros.evaluation.published import judge_published
from sg_depth_ros.replay.extrinsics import read_extrinsics
from sg_depth_ros.replay.recorded_drive import BagOptions
from sg_depth_ros.replay.recorded_drive import recorded_camera
from sg_depth_ros.replay.recorded_drive import recorded_drive

CONTRACT = tiny_contract()


def depths_of(path, order=None, **options):
    """Return the measured depth of each image, asked for in their order or another."""
    chosen = BagOptions(**options)
    with open_bag(path) as bag:
        camera = recorded_camera(bag, chosen)
        images = list(bag.images(camera.topics))
        with recorded_drive('drive', bag, camera, chosen) as drive:
            asked = order or range(len(images))
            return [drive.truth_m(images[n], camera.intrinsics) for n in asked]


def why_not(path, **options):
    with open_bag(path) as bag:
        camera = recorded_camera(bag, BagOptions(**options))
        with recorded_drive('drive', bag, camera, BagOptions(**options)) as drive:
            return drive.truth.why_not


def expected(number):
    return tiny_ramp_m(CONTRACT) + 2 * number * RED_STEP_M


def test_clouds_are_projected_through_the_static_transforms(tmp_path):
    write_tiny_bag(tmp_path / 'bag', CONTRACT, frames=3)
    for number, depth_m in enumerate(depths_of(tmp_path / 'bag')):
        assert depth_m == pytest.approx(expected(number), rel=1e-4)


def test_it_may_be_asked_for_in_any_order(tmp_path):
    write_tiny_bag(tmp_path / 'bag', CONTRACT, frames=30)
    order = (25, 3, 4, 29, 0)
    for number, depth_m in zip(order, depths_of(tmp_path / 'bag', order)):
        assert depth_m == pytest.approx(expected(number), rel=1e-4)


def test_a_cloud_too_far_in_time_is_no_truth(tmp_path):
    write_tiny_bag(tmp_path / 'bag', CONTRACT, frames=2, lidar_delay_ns=15_000_000)
    assert all(d is not None for d in depths_of(tmp_path / 'bag', max_lidar_offset_s=0.02))
    assert depths_of(tmp_path / 'bag', max_lidar_offset_s=0.01) == [None, None]


def test_the_nearest_cloud_counts(tmp_path):
    delay_ns = PERIOD_NS * 3 // 4
    write_tiny_bag(tmp_path / 'bag', CONTRACT, frames=3, lidar_delay_ns=delay_ns)
    second = depths_of(tmp_path / 'bag', max_lidar_offset_s=1.0)[1]
    assert second == pytest.approx(expected(0), rel=1e-4)


def test_only_the_measurements_around_an_image_are_kept(tmp_path):
    write_tiny_bag(tmp_path / 'bag', CONTRACT, frames=60)
    with open_bag(tmp_path / 'bag') as bag:
        camera = recorded_camera(bag, BagOptions())
        with recorded_drive('drive', bag, camera, BagOptions()) as drive:
            kept = []
            for image in bag.images(camera.topics):
                drive.truth_m(image, camera.intrinsics)
                kept.append(len(drive.truth._near))
    assert max(kept) <= 13  # a second before, the image's, and one behind


def test_it_says_why_there_is_none(tmp_path):
    write_tiny_bag(tmp_path / 'no_lidar', CONTRACT, frames=1, lidar=False)
    assert 'no LiDAR' in why_not(tmp_path / 'no_lidar')
    write_tiny_bag(tmp_path / 'no_tf', CONTRACT, frames=1, transform=False)
    words = why_not(tmp_path / 'no_tf')
    assert '"lidar"' in words
    assert '"camera"' in words
    assert '--extrinsics' in words
    assert why_not(tmp_path / 'no_lidar', truth='none') == 'Ground truth was not wanted.'
    with pytest.raises(UserError, match='no LiDAR'):
        why_not(tmp_path / 'no_lidar', truth='lidar')


def turned_about_y(angle):
    T = np.eye(4)
    T[0, 0] = T[2, 2] = math.cos(angle)
    T[0, 2], T[2, 0] = math.sin(angle), -math.sin(angle)
    return T


def test_a_moving_lidar_is_where_tf_puts_it(tmp_path):
    write_tiny_bag(tmp_path / 'still', CONTRACT, frames=3, transform=False)
    with open_bag(tmp_path / 'still') as bag, BagWriter(tmp_path / 'moving') as writer:
        camera = recorded_camera(bag, BagOptions())
        writer.tf_static(FIRST_STAMP_NS, [FrameTransform('mast', 'lidar', T_CAMERA_LIDAR)])
        # The mast swings; half-way between two messages the camera sees what the LiDAR measured.
        for number in range(-1, 4):
            swing = turned_about_y(0.4 if number % 2 else -0.4)
            stamp_ns = FIRST_STAMP_NS + number * PERIOD_NS + PERIOD_NS // 2
            writer.tf(stamp_ns, [FrameTransform('camera', 'mast', swing)])
        writer.camera_info('/camera/camera_info', FIRST_STAMP_NS, 'camera', camera.intrinsics)
        for image in bag.images(camera.topics):
            writer.image('/camera/image_raw', image.stamp_ns, 'camera', image.image)
        for cloud in bag.clouds():
            writer.cloud('/lidar', cloud.stamp_ns, 'lidar', cloud.points)
    for number, depth_m in enumerate(depths_of(tmp_path / 'moving')):
        assert depth_m == pytest.approx(expected(number), rel=1e-3)


@pytest.mark.parametrize(
    'text',
    [
        'T_camera_lidar: [[0, -1, 0, 0], [0, 0, -1, -0.5], [1, 0, 0, 0], [0, 0, 0, 1]]',
        'T_camera_lidar: [[0, -1, 0, 0], [0, 0, -1, -0.5], [1, 0, 0, 0]]',
        'T_camera_lidar: {xyz: [0, -0.5, 0], quaternion: [0.5, -0.5, 0.5, 0.5]}',
        'T_camera_lidar: {xyz: [0, -0.5, 0], rpy_deg: [90, -90, 0]}',
        'T_camera_lidar: {xyz: [0, -0.5, 0], rpy: [1.5707963267948966, -1.5707963267948966, 0]}',
    ],
)
def test_a_file_tells_where_the_lidar_sits(text, tmp_path):
    (tmp_path / 'extrinsics.yaml').write_text(text)
    assert read_extrinsics(tmp_path / 'extrinsics.yaml') == pytest.approx(T_CAMERA_LIDAR, abs=1e-9)


def test_the_file_counts_more_than_the_bag(tmp_path):
    write_tiny_bag(tmp_path / 'bag', CONTRACT, frames=1, transform=False)
    (tmp_path / 'e.yaml').write_text('T_camera_lidar: {xyz: [0, -0.5, 0], rpy_deg: [90, -90, 0]}')
    depth_m = depths_of(tmp_path / 'bag', extrinsics=tmp_path / 'e.yaml')[0]
    assert depth_m == pytest.approx(expected(0), rel=1e-4)


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('', 'must hold T_camera_lidar alone'),
        ('T_lidar_camera: [[1]]', 'holds T_lidar_camera; it must hold'),
        ('T_camera_lidar: [1, 2, 3]', 'neither rows of a 4x4'),
        ('T_camera_lidar: {xyz: [0, 0, 0]}', 'needs xyz and one of'),
        ('T_camera_lidar: {xyz: [0, 0], rpy: [0, 0, 0]}', 'not a list of 3 numbers'),
        ('T_camera_lidar: {xyz: [0, 0, 0], quaternion: [0, 0, 0, 0]}', 'no direction'),
        ('T_camera_lidar: [[2, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]', 'is no rotation'),
        ('T_camera_lidar: [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, 0]]', 'mirrors'),
        (
            'T_camera_lidar: [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [1, 2, 3, 1]]',
            'transposed',
        ),
        ('T_camera_lidar: [', 'no YAML'),
    ],
)
def test_a_file_without_a_rigid_transform_is_refused(text, words, tmp_path):
    (tmp_path / 'extrinsics.yaml').write_text(text)
    with pytest.raises(UserError, match=words):
        read_extrinsics(tmp_path / 'extrinsics.yaml')


def test_infinite_depth_is_judged_as_far_and_nan_is_counted_apart():
    truth_m = np.full((20, 40), 10.0, np.float32)
    right = judge_published(truth_m.copy(), truth_m, crop='none')
    assert right.invalid_pixels == 0
    assert right.judgement.unscaled.abs_rel == pytest.approx(0.0, abs=1e-6)
    half = truth_m.copy()
    half[:, :20] = np.nan
    with_holes = judge_published(half, truth_m, crop='none')
    assert with_holes.invalid_pixels == 400
    assert with_holes.judgement.pixels == 400
    assert with_holes.judgement.unscaled.abs_rel == pytest.approx(0.0, abs=1e-6)
    half[:, :20] = np.inf
    with_sky = judge_published(half, truth_m, crop='none')
    assert with_sky.judgement.pixels == 800
    assert with_sky.judgement.unscaled.abs_rel == pytest.approx(0.5 * 7.0, rel=1e-3)  # 80 m


def test_an_image_without_any_valid_depth_is_not_judged():
    truth_m = np.full((20, 40), 10.0, np.float32)
    judged = judge_published(np.full((10, 20), np.nan, np.float32), truth_m, crop='none')
    assert judged.judgement is None
    assert judged.invalid_pixels == 800
