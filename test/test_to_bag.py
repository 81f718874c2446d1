import re
from pathlib import Path

import numpy as np
import pytest
from kitti_trees import CAMERA
from kitti_trees import lidar_points
from kitti_trees import numbers
from kitti_trees import write_raw_drive
from kitti_trees import write_sequence

from sg_depth_ros.bags.bag import open_bag
from sg_depth_ros.bags.connecting import static_transforms
from sg_depth_ros.bags.messages import stamp_ns
from sg_depth_ros.bags.transforms import pose_sample
from sg_depth_ros.bags.transforms import quaternion_matrix
from training.__main__ import main as training_main
from training.data.sources import SourceOptions
from training.data.sources import open_source
from training.data.synthetic.recording import Recipe
from training.data.synthetic.recording import record
from training.data.vehicle_bag.kitti import kitti_raw_recording

EARTH_RADIUS_M = 6_371_000.0


def to_bag(*arguments):
    return training_main(['to_bag', *map(str, arguments)])


def write_oxts(drive, *, frames=8, speed_m_s=8.0, yaw_rad=0.5, pitch_rad=0.0):
    """Let the unit of a raw drive move straight ahead, stamped 7 ms after the images."""
    lines = []
    for number in range(frames):
        ns = 967_930_880 + number * 103_000_000 + 7_000_000
        lines.append(f'2011-09-26 13:08:{24 + ns // 10**9:02d}.{ns % 10**9:09d}\n')
        way = speed_m_s * number * 0.103 / EARTH_RADIUS_M
        fields = np.zeros(30)
        fields[:2] = np.degrees([way * np.sin(yaw_rad), way * np.cos(yaw_rad)])
        fields[2:6] = 100.0, 0.0, pitch_rad, yaw_rad
        fields[8:11] = speed_m_s, 0.0, 0.0
        fields[17:20] = 0.0, 0.0, 0.125
        (drive / 'oxts' / 'data' / f'{number:010d}.txt').write_text(numbers(fields))
    (drive / 'oxts' / 'timestamps.txt').write_text(''.join(lines))


def write_unit_calibration(drive):
    """Put the unit 0.8 m behind and below the Velodyne, 0.3 m to its left."""
    text = f'R: {numbers(np.eye(3))}\nT: {numbers([-0.8, 0.3, -0.8])}\n'
    (drive.parent / 'calib_imu_to_velo.txt').write_text(text)


@pytest.fixture
def raw_drive(tmp_path):
    drive = write_raw_drive(tmp_path)
    write_oxts(drive)
    write_unit_calibration(drive)
    return drive


def messages_of(bag, topic):
    with open_bag(bag) as opened:
        return [entry.message for entry in opened.messages(topic)]


def static_transform(bag, target, source):
    with open_bag(bag) as opened:
        return static_transforms(opened).lookup(target, source)


@pytest.mark.parametrize('storage', ['sqlite3', 'mcap'])
@pytest.mark.parametrize('compressed', [False, True])
def test_a_raw_drive_reads_back_as_training_reads_the_drive(
    raw_drive, tmp_path, storage, compressed
):
    extra = ['--compressed'] if compressed else []
    assert to_bag(raw_drive, '--out', tmp_path / 'bag', '--storage', storage, *extra) == 0
    drive, bag = (open_source(path, SourceOptions()) for path in (raw_drive, tmp_path / 'bag'))
    assert bag.intrinsics == drive.intrinsics
    assert [f.stamp_ns for f in bag.frames] == [f.stamp_ns for f in drive.frames]
    np.testing.assert_allclose([f.speed_m_s for f in bag.frames], 8.0, rtol=1e-6)
    pairs = list(zip(bag.read(), drive.read()))
    assert len(pairs) == 8
    for number, (found, expected) in enumerate(pairs):
        np.testing.assert_array_equal(found.image, expected.image)
        assert (found.lidar_m is None) == (number % 2 == 1)
        if found.lidar_m is not None:
            np.testing.assert_allclose(found.lidar_m, expected.lidar_m, atol=1e-3)
            np.testing.assert_allclose(found.lidar_m, lidar_points()[1], atol=1e-3)


def test_files_are_stored_as_they_are(raw_drive, tmp_path):
    to_bag(raw_drive, '--out', tmp_path / 'bag', '--compressed')
    message = messages_of(tmp_path / 'bag', '/camera/image_raw/compressed')[2]
    file = raw_drive / 'image_02' / 'data' / '0000000002.png'
    assert message.format == 'png'
    assert bytes(message.data) == file.read_bytes()


def test_the_vehicle_stands_below_its_unit_and_moves_as_that_measured(raw_drive, tmp_path):
    write_oxts(raw_drive, pitch_rad=0.1)
    to_bag(raw_drive, '--out', tmp_path / 'bag')
    # Velodyne: 0.93 m of the unit above the ground and 0.8 m above that.
    T_base_velodyne = static_transform(tmp_path / 'bag', 'base_link', 'velodyne')
    np.testing.assert_allclose(T_base_velodyne[:3, 3], [0.8, -0.3, 1.73], atol=1e-6)
    T_base_camera = static_transform(tmp_path / 'bag', 'base_link', 'camera_optical')
    np.testing.assert_allclose(T_base_camera[:3, :3] @ [0, 0, 1], [1, 0, 0], atol=1e-6)
    first, *_, last = messages_of(tmp_path / 'bag', '/odometry')
    assert (first.header.frame_id, first.child_frame_id) == ('odom', 'base_link')
    assert stamp_ns(first.header) % 10**9 == 974_930_880  # the unit's, not the image's
    position = last.pose.pose.position
    way_m = 7 * 8.0 * 0.103
    expected = [way_m * np.cos(0.5), way_m * np.sin(0.5)]
    # The earth is no sphere.
    np.testing.assert_allclose([position.x, position.y], expected, rtol=0.01)
    # Front down by 0.1 rad: what is level lies above the vehicle's own x.
    linear, angular = last.twist.twist.linear, last.twist.twist.angular
    expected = [8 * np.cos(0.1), 0.0, 8 * np.sin(0.1)]
    np.testing.assert_allclose([linear.x, linear.y, linear.z], expected, atol=1e-6)
    assert angular.z == 0.125


def T_parent_child(transform):
    sample = pose_sample(0, transform)
    return quaternion_matrix(sample.quaternion, np.array(sample.translation_m))


def test_tf_says_what_the_odometry_says(raw_drive, tmp_path):
    to_bag(raw_drive, '--out', tmp_path / 'bag')
    odometry = messages_of(tmp_path / 'bag', '/odometry')
    moving = messages_of(tmp_path / 'bag', '/tf')
    assert len(moving) == len(odometry) == 8
    for expected, message in zip(odometry, moving):
        (found,) = message.transforms
        assert (found.header.frame_id, found.child_frame_id) == ('odom', 'base_link')
        assert stamp_ns(found.header) == stamp_ns(expected.header)
        T_odom_base = T_parent_child(found.transform)
        position = expected.pose.pose.position
        assert T_odom_base[:3, 3].tolist() == [position.x, position.y, position.z]
        heading = np.arctan2(T_odom_base[1, 0], T_odom_base[0, 0])
        assert heading == pytest.approx(0.5)


def test_a_unit_of_another_clock_gets_the_images_stamps(raw_drive):
    (raw_drive / 'image_02' / 'timestamps.txt').unlink()
    moments = list(kitti_raw_recording(raw_drive, None).moments(False))
    assert moments[0].stamp_ns > 10**18
    assert [m.motion.stamp_ns for m in moments] == [m.stamp_ns for m in moments]


def test_without_the_units_calibration_the_vehicle_stands_below_the_camera(raw_drive):
    (raw_drive.parent / 'calib_imu_to_velo.txt').unlink()
    recording = kitti_raw_recording(raw_drive, None)
    np.testing.assert_array_equal(recording.T_base_camera[:3, 3], [0.0, 0.0, 1.65])
    assert any('calib_imu_to_velo.txt' in note for note in recording.notes)


def test_a_sequence_turns_to_the_right_and_keeps_its_speed(tmp_path, capsys):
    # In the camera's frame a positive turn about y, which points down.
    sequence = write_sequence(tmp_path, step_m=1.0, turn_rad=0.02)
    to_bag(sequence, '--out', tmp_path / 'bag', '--camera', '02')
    assert '8 images, 0 scans, 8 poses' in capsys.readouterr().out
    drive = open_source(tmp_path / 'bag', SourceOptions())
    # Camera 2 is 6 cm beside camera 0, whose steps of 1 m at 10 Hz they are.
    np.testing.assert_allclose([f.speed_m_s for f in drive.frames], 10.0, rtol=2e-3)
    last = messages_of(tmp_path / 'bag', '/odometry')[-2]
    assert last.twist.twist.angular.z == pytest.approx(-0.2, rel=1e-6)
    (moved,) = messages_of(tmp_path / 'bag', '/tf')[5].transforms
    assert T_parent_child(moved.transform)[0, 3] == pytest.approx(5.0, abs=0.01)


def test_a_sequence_without_poses_has_no_odometry(tmp_path):
    sequence = write_sequence(tmp_path)
    (tmp_path / 'poses' / '07.txt').unlink()
    to_bag(sequence, '--out', tmp_path / 'bag')
    with open_bag(tmp_path / 'bag') as bag:
        assert {t.name for t in bag.topics} == {
            '/camera/camera_info',
            '/camera/image_raw',
            '/tf_static',
        }
        info = bag.camera_info(bag.camera())
    assert (info.width, info.height, info.k[0]) == (CAMERA.width, CAMERA.height, CAMERA.fx)


@pytest.fixture(scope='module')
def synthetic_drive(tmp_path_factory):
    folder = tmp_path_factory.mktemp('synthetic') / 'drive'
    recipe = Recipe(seconds=0.4, width=96, height=48)
    return record(recipe, folder, lambda: None)


def test_a_synthetic_drive_keeps_its_messages_and_gains_the_depth_of_every_pixel(
    synthetic_drive, tmp_path
):
    to_bag(synthetic_drive.folder, '--out', tmp_path / 'bag', '--depth')
    for topic in ('/camera/image_raw', '/camera/camera_info', '/lidar/points', '/odometry', '/tf'):
        found, expected = (
            messages_of(bag, topic) for bag in (tmp_path / 'bag', synthetic_drive.bag)
        )
        assert len(found) == len(expected) == 4
        assert stamp_ns_of(found[3]) == stamp_ns_of(expected[3])
        np.testing.assert_array_equal(data_of(found[3]), data_of(expected[3]))
    np.testing.assert_allclose(
        static_transform(tmp_path / 'bag', 'camera_optical', 'lidar'),
        static_transform(synthetic_drive.bag, 'camera_optical', 'lidar'),
        atol=1e-9,
    )
    depth = messages_of(tmp_path / 'bag', '/camera/depth/image_raw')[1]
    depth_m = depth.data.view(np.float32).reshape(48, 96)
    expected = synthetic_drive.depth_m(1)
    np.testing.assert_array_equal(depth_m[expected > 0], expected[expected > 0])
    assert np.isposinf(depth_m[expected == 0]).all()
    assert (expected == 0).any()


def data_of(message):
    return getattr(message, 'data', [])


def stamp_ns_of(message):
    header = message.header if hasattr(message, 'header') else message.transforms[0].header
    return stamp_ns(header)


def test_compressed_synthetic_images_lose_nothing(synthetic_drive, tmp_path):
    to_bag(synthetic_drive.folder, '--out', tmp_path / 'bag', '--compressed')
    found, expected = (
        list(open_source(path, SourceOptions()).read())
        for path in (tmp_path / 'bag', synthetic_drive.folder)
    )
    for frame, true in zip(found, expected):
        np.testing.assert_array_equal(frame.image, true.image)
        np.testing.assert_allclose(frame.lidar_m, true.lidar_m, atol=1e-5)


def test_several_drives_become_bags_of_their_names(raw_drive, tmp_path):
    sequence = write_sequence(tmp_path)
    assert to_bag(raw_drive, sequence, '--out', tmp_path / 'bags') == 0
    names = sorted(path.name for path in (tmp_path / 'bags').iterdir())
    assert names == ['2011_09_26_drive_0001_02', 'odometry_07_2']


def test_the_bag_says_where_it_is_from_and_under_which_licence(raw_drive, tmp_path):
    to_bag(raw_drive, '--out', tmp_path / 'bag')
    about = (tmp_path / 'bag' / 'metadata.yaml').read_text()
    assert 'licence: CC BY-NC-SA 3.0 (KITTI' in about
    assert 'source: KITTI raw 2011_09_26_drive_0001, camera 02' in about
    assert 'unused' not in about


def cut_scan(drive):
    (drive / 'velodyne_points' / 'data' / '0000000002.bin').write_bytes(b'too short')


def cut_image(drive):
    path = drive / 'image_02' / 'data' / '0000000003.png'
    path.write_bytes(path.read_bytes()[:200])


def cut_oxts(drive):
    (drive / 'oxts' / 'data' / '0000000001.txt').write_text('49.0 8.4 ' + '1 ' * 9)


@pytest.mark.parametrize(
    ('damage', 'said'),
    [
        (cut_scan, '0000000002.bin: truncated scan'),
        (cut_image, '0000000003.png'),
        (cut_oxts, '0000000001.txt: 11 numbers are no line of oxts'),
    ],
)
@pytest.mark.parametrize('compressed', [False, True])
def test_a_damaged_drive_leaves_no_bag(raw_drive, tmp_path, capsys, damage, said, compressed):
    damage(raw_drive)
    extra = ['--compressed'] if compressed else []
    assert to_bag(raw_drive, '--out', tmp_path / 'bags' / 'bag', *extra) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / 'bags').exists() or not any((tmp_path / 'bags').iterdir())


def test_what_cannot_become_a_bag_is_refused(raw_drive, synthetic_drive, tmp_path, capsys):
    bag = tmp_path / 'bag'
    to_bag(raw_drive, '--out', bag)
    capsys.readouterr()
    (tmp_path / 'empty').mkdir()
    new = tmp_path / 'new'
    for arguments, said in (
        ([bag, '--out', new], 'is a rosbag2 already'),
        ([tmp_path / 'empty', '--out', new], 'no KITTI raw drive'),
        ([tmp_path / 'missing', '--out', new], 'no such drive'),
        ([raw_drive, '--out', bag], 'exists already'),
        ([raw_drive, raw_drive, '--out', new], 'two drives are called'),
        ([raw_drive, '--depth', '--out', new], 'only those know every pixel'),
        ([synthetic_drive.folder, '--camera', '02', '--out', new], 'has one camera'),
    ):
        assert to_bag(*arguments) == 2
        assert re.search(said, capsys.readouterr().err)
        assert not new.exists()


def test_a_real_drive_reads_back(shared_data: Path, tmp_path):
    source = shared_data / 'kitti_raw' / '2011_09_26' / '2011_09_26_drive_0009_sync'
    to_bag(source, '--out', tmp_path / 'bag', '--compressed')
    drive, bag = (open_source(path, SourceOptions()) for path in (source, tmp_path / 'bag'))
    assert bag.intrinsics == drive.intrinsics
    stamps_ns = np.array([f.stamp_ns for f in drive.frames])
    # The unit measured some milliseconds after the camera.
    speeds = np.array([f.speed_m_s for f in drive.frames])
    np.testing.assert_allclose([f.speed_m_s for f in bag.frames], speeds, rtol=5e-3)
    found, expected = next(zip(bag.read(), drive.read()))
    np.testing.assert_array_equal(found.image, expected.image)
    measured = expected.lidar_m > 0
    # Rotations travel as quaternions: a point on the edge between two pixels may change sides.
    assert np.mean((found.lidar_m > 0) != measured) < 1e-4
    assert np.mean(np.abs(found.lidar_m - expected.lidar_m)[measured] < 1e-3) > 0.999
    positions = [m.pose.pose.position for m in messages_of(tmp_path / 'bag', '/odometry')]
    way_m = np.linalg.norm(np.diff([(p.x, p.y, p.z) for p in positions], axis=0), axis=1).sum()
    assert way_m == pytest.approx(speeds.mean() * np.ptp(stamps_ns) * 1e-9, rel=0.01)
    ground_m = []
    with open_bag(tmp_path / 'bag') as opened:
        T_base_velodyne = static_transforms(opened).lookup('base_link', 'velodyne')
        for cloud in opened.clouds():
            x, y, z = T_base_velodyne[:3, :3] @ cloud.points.T + T_base_velodyne[:3, 3:]
            ground_m.append(np.median(z[(np.abs(y) < 2) & (x > 5) & (x < 12)]))
    # base_link lies on the road.
    assert abs(np.median(ground_m)) < 0.1
