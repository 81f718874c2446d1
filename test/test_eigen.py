"""KITTI's test drives are recognised, and not trained on unless allowed."""

from dataclasses import replace

import pytest
from training_run import write_noise_dataset

from sg_depth_ros.errors import UserError
from sg_depth_ros.evaluation.frame_key import FrameKey
from training.data.datamodule import DepthData
from training.data.drive import read_drive
from training.data.drive import write_drive
from training.data.drive import write_split
from training.data.eigen import EIGEN_TEST_DRIVES
from training.data.eigen import kitti_origin


@pytest.fixture
def dataset(tmp_path):
    return write_noise_dataset(tmp_path / 'dataset')


def describe(dataset, name='road', **changes):
    """Rename the dataset's drive and change what its drive.json says."""
    (dataset / 'road').rename(dataset / name)
    write_drive(replace(read_drive(dataset / name), **changes), dataset / name)


def test_there_are_28_test_drives():
    assert len(set(EIGEN_TEST_DRIVES)) == 28


@pytest.mark.parametrize(
    ('name', 'drive'),
    [
        ('KITTI raw 2011_09_26_drive_0009, camera 02', '2011_09_26_drive_0009'),
        ('2011_09_26_drive_0009_03', '2011_09_26_drive_0009'),
        ('rosbag2 kitti_2011_09_26_drive_0009_synced, /camera', '2011_09_26_drive_0009'),
        ('KITTI odometry 04, camera 2', '2011_09_30_drive_0016'),
        ('odometry_00_2', '2011_10_03_drive_0027'),
        ('kitti_data_odometry_color_sequence_05', '2011_09_30_drive_0018'),
        ('KITTI odometry 07, camera 0', '2011_09_30_drive_0027'),
    ],
)
def test_test_drives_are_recognised(name, drive):
    origin = kitti_origin('test', name)
    assert origin is not None
    assert origin.drive == drive
    assert origin.is_test_drive


@pytest.mark.parametrize(
    'name',
    [
        '2011_09_26_drive_0001_02',
        # Not 0009, though it begins like it.
        '2011_09_26_drive_00091_02',
        'KITTI odometry 01, camera 2',
        'KITTI odometry 06, camera 2',
        'KITTI odometry 15, camera 2',
        'odometry_04',
        'my_odometry_run_04',
        'rosbag2 monday_04, /camera/image_raw',
    ],
)
def test_other_drives_are_not_taken_for_test_drives(name):
    origin = kitti_origin(name)
    assert origin is None or not origin.is_test_drive


@pytest.mark.parametrize(
    ('name', 'source', 'says'),
    [
        ('2011_09_26_drive_0009_02', 'test', '2011_09_26_drive_0009_02'),
        ('monday', 'KITTI raw 2011_09_26_drive_0052, camera 02', 'monday.*drive_0052'),
        ('odometry_04_2', 'test', 'odometry 04.*2011_09_30_drive_0016'),
    ],
)
def test_training_on_one_is_refused_unless_allowed(dataset, name, source, says):
    describe(dataset, name, source=source)
    with pytest.raises(UserError, match=f'{says}.*--data.allow_test_drives true'):
        DepthData(str(dataset))
    assert len(DepthData(str(dataset), allow_test_drives=True).dataset) > 0


def test_a_test_drive_that_the_split_leaves_out_does_no_harm(dataset, tmp_path):
    write_noise_dataset(tmp_path / 'other')
    (tmp_path / 'other' / 'road').rename(dataset / '2011_09_26_drive_0009_02')
    with pytest.raises(UserError, match='drive_0009'):
        DepthData(str(dataset))
    write_split([FrameKey('road', 3)], tmp_path / 'split.txt')
    assert len(DepthData(str(dataset), str(tmp_path / 'split.txt')).dataset) == 1


def test_recordings_of_the_days_of_kitti_are_told(dataset):
    assert DepthData(str(dataset)).dataset.cautions == ()
    drive = read_drive(dataset / 'road')
    on_that_day_ns = 1_317_042_272 * 10**9  # 26 September 2011, 13:04 UTC
    frames = tuple(replace(f, stamp_ns=f.stamp_ns + on_that_day_ns) for f in drive.frames)
    describe(dataset, frames=frames)
    (caution,) = DepthData(str(dataset)).dataset.cautions
    assert 'road: recorded on the days of KITTI' in caution
