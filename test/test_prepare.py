"""KITTI drives and sequences become dataset folders: content, camera, motion, names."""

import math
import re

import cv2
import kitti_trees
import numpy as np
import pytest
from kitti_trees import CAMERA
from kitti_trees import lidar_points
from kitti_trees import write_raw_drive
from kitti_trees import write_sequence
from preparing import NAME
from preparing import prepare
from preparing import refused

from sg_depth_ros.camera import Intrinsics
from training.data.drive import frame_path
from training.data.drive import labels_path
from training.data.drive import lidar_path
from training.data.drive import list_drives
from training.data.drive import read_drive
from training.data.drive import read_image
from training.data.drive import read_labels
from training.data.drive import read_lidar
from training.data.preparation.prepare import network_size

pytestmark = pytest.mark.usefixtures('wide_console')


def test_raw_drive_becomes_a_dataset_folder(tmp_path):
    drive_folder = write_raw_drive(tmp_path)

    assert prepare(drive_folder, tmp_path / 'dataset', '--width', '96', '--height', '32') == 0

    (folder,) = list_drives(tmp_path / 'dataset')
    drive = read_drive(folder)
    assert folder.name == NAME
    assert drive.scale_source == 'speed'
    assert [f.speed_m_s for f in drive.frames] == [8.0] * 8
    assert np.diff([f.stamp_ns for f in drive.frames]).tolist() == [103_000_000] * 7
    assert drive.frames[0].stamp_ns == 1_317_042_504_967_930_880
    assert all(f.dropped is None for f in drive.frames)
    assert read_image(frame_path(folder, 7)).shape == (32, 96, 3)
    np.testing.assert_array_equal(read_labels(labels_path(folder, 5)), np.full((32, 96), 5))
    assert [i for i in range(8) if lidar_path(folder, i).exists()] == [0, 2, 4, 6]
    assert 'KITTI' in drive.licence
    assert sorted(p.name for p in (tmp_path / 'dataset').iterdir()) == [NAME]


def test_intrinsics_follow_the_resize_at_pixel_centres(tmp_path):
    prepare(write_raw_drive(tmp_path), tmp_path / 'dataset', '--width', '96', '--height', '32')

    drive = read_drive(tmp_path / 'dataset' / NAME)

    camera = drive.intrinsics
    assert vars(drive.original_intrinsics) == pytest.approx(vars(CAMERA))
    assert (camera.width, camera.height) == (96, 32)
    assert camera.fx == pytest.approx(CAMERA.fx * 0.6)
    assert camera.fy == pytest.approx(CAMERA.fy * 32 / 48)
    assert camera.cx == pytest.approx((CAMERA.cx + 0.5) * 0.6 - 0.5)
    assert camera.cy == pytest.approx((CAMERA.cy + 0.5) * 32 / 48 - 0.5)


def test_image_content_moves_with_the_intrinsics(tmp_path):
    """A bright spot seen in one direction is seen in the same direction after the resize."""
    drive_folder = write_raw_drive(tmp_path, 3)
    y, x = np.mgrid[0 : CAMERA.height, 0 : CAMERA.width]
    spot = np.exp(-((x - 120.0) ** 2 + (y - 15.0) ** 2) / (2 * 6.0**2)) * 250
    path = drive_folder / 'image_02' / 'data' / '0000000001.png'
    kitti_trees.write_image(path, np.repeat(spot[..., None], 3, 2).astype(np.uint8))

    prepare(drive_folder, tmp_path / 'dataset', '--width', '64', '--height', '32')

    folder = tmp_path / 'dataset' / NAME
    camera = read_drive(folder).intrinsics
    seen = read_image(frame_path(folder, 1))[..., 0].astype(float)
    seen[seen < 30] = 0
    v, u = np.mgrid[0:32, 0:64]
    center = (seen * u).sum() / seen.sum(), (seen * v).sum() / seen.sum()
    ray = (center[0] - camera.cx) / camera.fx, (center[1] - camera.cy) / camera.fy
    expected = (120.0 - CAMERA.cx) / CAMERA.fx, (15.0 - CAMERA.cy) / CAMERA.fy
    assert ray == pytest.approx(expected, abs=0.15 / camera.fx)


def test_scans_are_projected_into_the_chosen_camera(tmp_path):
    prepare(write_raw_drive(tmp_path), tmp_path / 'dataset')

    measured = read_lidar(lidar_path(tmp_path / 'dataset' / NAME, 4))

    np.testing.assert_allclose(measured, lidar_points()[1], atol=0.003)


def test_scans_without_their_calibration_are_left_out_and_said_so(tmp_path, capsys):
    drive_folder = write_raw_drive(tmp_path)
    (drive_folder.parent / 'calib_velo_to_cam.txt').unlink()

    assert prepare(drive_folder, tmp_path / 'dataset') == 0

    assert 'LiDAR left out' in capsys.readouterr().out
    assert not (tmp_path / 'dataset' / NAME / 'lidar').exists()


def test_summary_says_what_was_understood(tmp_path, capsys):
    prepare(write_raw_drive(tmp_path), tmp_path / 'dataset', '--height', '32')

    text = capsys.readouterr().out
    assert '96x32 (was 160x48)' in text
    assert f'{CAMERA.horizontal_fov_deg():.1f} x' in text
    # 90 px and (77.3, 24.6) at 160x48.
    assert '54.0, 60.0 px; (46.2, 16.2) px, 49 % right, 52 % down' in text
    assert '9.7 Hz over 0.7 s, no gaps' in text
    assert '8.0 to 8.0 m/s' in text
    assert '8 kept of 8' in text
    assert 'on 4 of 8 frames' in text


def test_frame_numbers_with_a_gap_keep_their_own_speed_stamp_and_scan(tmp_path, capsys):
    drive_folder = write_raw_drive(tmp_path)
    (drive_folder / 'oxts' / 'data' / '0000000004.txt').write_text(
        ' '.join(['0'] * 8 + ['3.5'] + ['0'] * 21)
    )
    for number in (2, 3):
        (drive_folder / 'image_02' / 'data' / f'{number:010d}.png').unlink()

    prepare(drive_folder, tmp_path / 'dataset')

    folder = tmp_path / 'dataset' / NAME
    drive = read_drive(folder)
    assert [f.speed_m_s for f in drive.frames] == [8.0, 8.0, 3.5, 8.0, 8.0, 8.0]
    assert drive.frames[2].stamp_ns - drive.frames[1].stamp_ns == 3 * 103_000_000
    assert [i for i in range(6) if lidar_path(folder, i).exists()] == [0, 2, 4]
    assert '1 gap of up to 0.31 s' in capsys.readouterr().out


def test_drive_without_oxts_and_stamps_assumes_10_hz_and_measures_flow(tmp_path, capsys):
    drive_folder = write_raw_drive(tmp_path)
    (drive_folder / 'image_02' / 'timestamps.txt').unlink()
    for path in (drive_folder / 'oxts' / 'data').iterdir():
        path.unlink()
    # It stands from frame 4 to 6.
    for number in (5, 6):
        path = drive_folder / 'image_02' / 'data' / f'{number:010d}.png'
        kitti_trees.write_image(path, kitti_trees.image(4))

    prepare(drive_folder, tmp_path / 'dataset')

    drive = read_drive(tmp_path / 'dataset' / NAME)
    assert [f.stamp_ns for f in drive.frames] == [i * 100_000_000 for i in range(8)]
    assert drive.scale_source == 'none'
    assert [f.index for f in drive.frames if f.dropped] == [4, 5, 6]
    assert 'static' in drive.frames[5].dropped
    text = capsys.readouterr().out
    assert '10 Hz assumed' in text
    assert 'scale will be unknown' in text
    assert any('10 Hz' in note for note in drive.notes)


def test_standing_camera_is_marked_by_its_speed(tmp_path):
    drive_folder = write_raw_drive(tmp_path, 20)
    for number in range(10, 20):
        oxts = drive_folder / 'oxts' / 'data' / f'{number:010d}.txt'
        oxts.write_text(' '.join(['0'] * 8 + ['0.01'] + ['0'] * 21))

    prepare(drive_folder, tmp_path / 'dataset')

    drive = read_drive(tmp_path / 'dataset' / NAME)
    dropped = [f.index for f in drive.frames if f.dropped]
    # From the first whose next five frames are at rest to the last whose previous five are.
    assert dropped == list(range(10, 19))
    assert re.fullmatch(r'static: 0\.01 m in the next 5 frames', drive.frames[12].dropped)


def test_slow_camera_at_a_high_rate_is_not_static(tmp_path):
    prepare(write_raw_drive(tmp_path, 14, speed_m_s=0.5), tmp_path / 'a')
    prepare(
        tmp_path / '2011_09_26' / '2011_09_26_drive_0001_sync',
        tmp_path / 'b',
        '--min-motion',
        '0.3',
    )

    # 5 cm from frame to frame, 26 cm over the five that training would try.
    assert not any(f.dropped for f in read_drive(tmp_path / 'a' / NAME).frames)
    assert any(f.dropped for f in read_drive(tmp_path / 'b' / NAME).frames)


def test_images_smaller_than_their_calibration_scale_the_camera(tmp_path, capsys):
    drive_folder = write_raw_drive(tmp_path, 3)
    for path in (drive_folder / 'image_02' / 'data').iterdir():
        cv2.imwrite(str(path), cv2.resize(cv2.imread(str(path)), (80, 24)))
    for path in (drive_folder / 'semantic_02' / 'data').iterdir():
        path.unlink()

    prepare(drive_folder, tmp_path / 'dataset')
    drive = read_drive(tmp_path / 'dataset' / NAME)
    assert drive.original_intrinsics.fx == pytest.approx(45.0)

    for path in (drive_folder / 'image_02' / 'data').iterdir():
        cv2.imwrite(str(path), np.zeros((40, 80, 3), np.uint8))
    assert 'no pure scale' in refused(capsys, drive_folder, tmp_path / 'other')


def test_sequence_poses_are_of_its_own_camera(tmp_path, capsys):
    prepare(write_sequence(tmp_path), tmp_path / 'dataset')

    drive = read_drive(tmp_path / 'dataset' / 'odometry_07_2')
    assert drive.scale_source == 'poses'
    assert [f.stamp_ns for f in drive.frames] == [i * 100_000_000 for i in range(8)]
    pose = np.array(drive.frames[5].T_world_camera).reshape(3, 4)
    c, s = math.cos(0.1), math.sin(0.1)
    rotation = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    np.testing.assert_allclose(pose[:, :3], rotation, atol=1e-8)
    # Camera 2 sits at -t in camera 0's frame.
    expected = rotation @ -kitti_trees.T_CAMERA_0 + [0, 0, 5.0]
    np.testing.assert_allclose(pose[:, 3], expected, atol=1e-6)
    text = capsys.readouterr().out
    assert '10 Hz assumed' in text
    assert 'from poses' in text


def test_gray_sequence_becomes_colour_images(tmp_path, capsys):
    sequence = write_sequence(tmp_path, camera='0')
    (tmp_path / 'poses' / '07.txt').unlink()

    prepare(sequence, tmp_path / 'dataset')

    folder = tmp_path / 'dataset' / 'odometry_07_0'
    stored = read_image(frame_path(folder, 3))
    np.testing.assert_array_equal(stored[..., 0], stored[..., 2])
    assert read_drive(folder).scale_source == 'none'
    assert 'Gray' in capsys.readouterr().out


def test_calls_add_drives_and_never_replace_one_unasked(tmp_path, capsys):
    drive_folder = write_raw_drive(tmp_path, 3)
    dataset = tmp_path / 'dataset'
    prepare(drive_folder, dataset)
    prepare(drive_folder, dataset, '--name', 'again')
    assert [p.name for p in list_drives(dataset)] == [NAME, 'again']

    error = refused(capsys, drive_folder, dataset, '--name', 'again', '--height', '32')
    assert 'made with width 160, with height 64; give another --name, or --overwrite' in error
    (dataset / 'again' / 'old').touch()
    assert prepare(drive_folder, dataset, '--name', 'again', '--overwrite') == 0
    assert not (dataset / 'again' / 'old').exists()
    assert sorted(p.name for p in dataset.iterdir()) == [NAME, 'again']


@pytest.mark.parametrize(
    ('original', 'width', 'height', 'expected'),
    [
        ((1242, 375), None, None, (640, 192)),
        ((1242, 375), 320, None, (320, 96)),
        ((1242, 375), None, 384, (1280, 384)),
        ((1242, 375), 640, 384, (640, 384)),
        ((1920, 1080), None, None, (640, 352)),
        ((500, 400), None, None, (480, 384)),
        ((640, 480), None, None, (640, 480)),
        ((30, 20), None, None, (32, 32)),
        ((2000, 20), None, None, (640, 32)),
    ],
)
def test_default_size_is_640_wide_in_steps_of_32(original, width, height, expected):
    camera = Intrinsics(100.0, 100.0, 10.0, 10.0, *original)
    assert network_size(camera, width, height) == expected


def test_real_drive_lands_on_the_road(shared_data, tmp_path):
    source = shared_data / 'kitti_raw' / '2011_09_26' / '2011_09_26_drive_0009_sync'
    if not source.is_dir():
        pytest.skip(f'no {source}')

    assert prepare(source, tmp_path, '--height', '96', '--width', '320') == 0

    folder = tmp_path / '2011_09_26_drive_0009_02'
    drive = read_drive(folder)
    camera = drive.original_intrinsics
    assert drive.scale_source == 'speed'
    speeds = [f.speed_m_s for f in drive.frames]
    assert (min(speeds), max(speeds)) == pytest.approx((10.2, 11.0), abs=0.1)
    assert len(list((folder / 'lidar').iterdir())) == 26
    depth_m = read_lidar(lidar_path(folder, 10))
    labels = cv2.resize(
        read_labels(labels_path(folder, 10)),
        (camera.width, camera.height),
        interpolation=cv2.INTER_NEAREST_EXACT,
    )
    v, u = np.nonzero((depth_m > 0) & (labels == 0))
    below_m = (v - camera.cy) / camera.fy * depth_m[v, u]
    # KITTI's camera is 1.65 m above the road.
    assert np.median(below_m) == pytest.approx(1.65, abs=0.15)
