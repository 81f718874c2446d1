"""Recordings that are damaged and options that are wrong: one line, and nothing left behind."""

import cv2
import numpy as np
import pytest
from kitti_trees import CAMERA
from kitti_trees import write_raw_drive
from kitti_trees import write_sequence
from preparing import NAME
from preparing import prepare
from preparing import refused

from sg_depth_ros.errors import UserError
from training.data.drive import read_drive
from training.data.preparation.prepare import network_size

pytestmark = pytest.mark.usefixtures('wide_console')


def test_name_that_would_break_a_split_is_refused(tmp_path, capsys):
    drive_folder = write_raw_drive(tmp_path, 3)
    for name in ('two words', '../outside', '.hidden', ''):
        assert '--name' in refused(capsys, drive_folder, tmp_path / 'dataset', '--name', name)


def test_damaged_image_in_the_middle_leaves_nothing_behind(tmp_path, capsys):
    drive_folder = write_raw_drive(tmp_path, suffix='.jpg')
    path = drive_folder / 'image_02' / 'data' / '0000000005.jpg'
    path.write_bytes(path.read_bytes()[:-200])

    error = refused(capsys, drive_folder, tmp_path / 'new' / 'dataset')

    assert '0000000005.jpg: truncated JPEG' in error
    assert not (tmp_path / 'new').exists()


def test_damaged_image_does_not_cost_the_drive_it_should_replace(tmp_path, capsys):
    drive_folder = write_raw_drive(tmp_path)
    dataset = tmp_path / 'dataset'
    prepare(drive_folder, dataset)
    (drive_folder / 'image_02' / 'data' / '0000000005.png').write_bytes(b'')

    refused(capsys, drive_folder, dataset, '--overwrite')

    assert len(read_drive(dataset / NAME).frames) == 8


def remove_camera_calibration(drive):
    (drive.parent / 'calib_cam_to_cam.txt').unlink()


def remove_projection(drive):
    (drive.parent / 'calib_cam_to_cam.txt').write_text('R_rect_00: 1 0 0 0 1 0 0 0 1\n')


def truncate_scan(drive):
    path = drive / 'velodyne_points' / 'data' / '0000000004.bin'
    path.write_bytes(path.read_bytes()[:-3])


def truncate_oxts(drive):
    (drive / 'oxts' / 'data' / '0000000001.txt').write_text('49.0 8.4')


def break_timestamps(drive):
    path = drive / 'image_02' / 'timestamps.txt'
    path.write_text(path.read_text().replace('2011-09-26 13', 'yesterday', 1))


def remove_images(drive):
    for path in (drive / 'image_02' / 'data').iterdir():
        path.unlink()


def resize_one_image(drive):
    path = drive / 'image_02' / 'data' / '0000000003.png'
    cv2.imwrite(str(path), np.zeros((50, 160, 3), np.uint8))


def resize_labels(drive):
    path = drive / 'semantic_02' / 'data' / '0000000003.png'
    cv2.imwrite(str(path), np.zeros((50, 160), np.uint8))


@pytest.mark.parametrize(
    ('damage', 'words'),
    [
        (remove_camera_calibration, 'no intrinsics: calib_cam_to_cam.txt'),
        (remove_projection, 'no entry "P_rect_02"'),
        (truncate_scan, '0000000004.bin: truncated scan'),
        (truncate_oxts, '0000000001.txt: no forward velocity'),
        (break_timestamps, 'is no timestamp'),
        (remove_images, 'no images'),
        (resize_one_image, '160x50, the first one was 160x48'),
        (resize_labels, 'labels of 160x50'),
    ],
)
def test_damaged_drive_is_refused_in_one_line(tmp_path, capsys, damage, words):
    drive_folder = write_raw_drive(tmp_path)
    damage(drive_folder)

    assert words in refused(capsys, drive_folder, tmp_path / 'dataset')


def test_sequence_without_calibration_or_with_short_poses_is_refused(tmp_path, capsys):
    sequence = write_sequence(tmp_path)
    poses = tmp_path / 'poses' / '07.txt'
    poses.write_text(''.join(poses.read_text().splitlines(keepends=True)[:5]))
    assert '5 lines of 12 numbers' in refused(capsys, sequence, tmp_path / 'dataset')
    poses.write_text('no poses\n')
    assert 'no list of poses' in refused(capsys, sequence, tmp_path / 'dataset')
    (sequence / 'calib.txt').unlink()
    assert 'calib.txt is missing' in refused(capsys, sequence, tmp_path / 'dataset')


def test_unknown_folder_lists_what_was_looked_for(tmp_path, capsys):
    (tmp_path / 'folder').mkdir()

    error = refused(capsys, tmp_path / 'folder', tmp_path / 'dataset')

    for kind in ('KITTI raw', 'KITTI odometry', 'rosbag2', 'synthetic', 'image_02/data'):
        assert kind in error


def test_wrong_options_are_refused(tmp_path, capsys):
    drive_folder = write_raw_drive(tmp_path, 3)
    dataset = tmp_path / 'dataset'
    assert 'no such file' in refused(capsys, tmp_path / 'nothing', dataset)
    assert 'take 96 or 128' in refused(capsys, drive_folder, dataset, '--width', '100')
    assert '--height' in refused(capsys, drive_folder, dataset, '--height', '-32')
    assert 'it has 02' in refused(capsys, drive_folder, dataset, '--camera', '03')
    assert 'no topics' in refused(capsys, drive_folder, dataset, '--image-topic', '/image')
    assert 'stays untouched' in refused(capsys, drive_folder, drive_folder / 'dataset')
    (tmp_path / 'file').touch()
    assert 'no folder' in refused(capsys, drive_folder, tmp_path / 'file')


def test_size_errors_are_user_errors():
    with pytest.raises(UserError, match='no multiple of 32'):
        network_size(CAMERA, 640, 190)
