"""The synthetic drive as a folder: its bag, what reads it back, and the command that makes it."""

from pathlib import Path

import numpy as np
import pytest
from rosbags.highlevel import AnyReader

from sg_depth_ros.errors import UserError
from training.__main__ import main as training_main
from training.data.synthetic import read_synthetic
from training.data.synthetic import recording
from training.data.synthetic.recording import Recipe
from training.data.synthetic.recording import record

RECIPE = Recipe(seconds=3.0, seed=4, width=192, height=64)


@pytest.fixture(scope='module')
def recorded():
    return list(recording.instants(RECIPE))


@pytest.fixture(scope='module')
def drive(tmp_path_factory):
    return record(RECIPE, tmp_path_factory.mktemp('synthetic') / 'drive', lambda: None)


def read_bag(path):
    messages = {}
    with AnyReader([path]) as reader:
        for connection, received_ns, data in reader.messages():
            message = reader.deserialize(data, connection.msgtype)
            messages.setdefault(connection.topic, []).append((received_ns, message))
    return messages


def stamp_ns(message):
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def test_the_folder_reads_back(drive, recorded):
    read = read_synthetic(drive.folder)
    assert read == drive
    assert [f.stamp_ns for f in read.frames] == [i.frame.stamp_ns for i in recorded]
    assert [f.T_world_camera for f in read.frames] == [i.frame.T_world_camera for i in recorded]
    for index in (0, 11, 29):
        picture = recorded[index].picture
        np.testing.assert_array_equal(read.labels(index), picture.labels)
        np.testing.assert_array_equal(read.same_speed(index), picture.same_speed)
        expected = np.where(picture.depth_m < 255.9, picture.depth_m, 0)
        stored = read.depth_m(index)
        close = picture.depth_m < 255.9
        assert np.abs(stored - expected)[close].max() <= 0.5 / 256 + 1e-5
        assert (stored[picture.depth_m > 256.1] == 0).all()
    stretch = [f.index for f in read.frames if f.same_speed_car]
    assert stretch
    for index in stretch:
        np.testing.assert_array_equal(read.same_speed(index), recorded[index].picture.same_speed)
    assert [p.name for p in drive.folder.parent.iterdir()] == ['drive']


def test_the_bag_holds_what_a_vehicle_records(drive, recorded):
    messages = read_bag(drive.bag)
    types = {topic: type(entries[0][1]).__name__ for topic, entries in messages.items()}
    assert types == {
        '/camera/image_raw': 'sensor_msgs__msg__Image',
        '/camera/camera_info': 'sensor_msgs__msg__CameraInfo',
        '/odometry': 'nav_msgs__msg__Odometry',
        '/lidar/points': 'sensor_msgs__msg__PointCloud2',
        '/tf': 'tf2_msgs__msg__TFMessage',
        '/tf_static': 'tf2_msgs__msg__TFMessage',
    }
    stamps = [frame.stamp_ns for frame in drive.frames]
    for topic in ('/camera/image_raw', '/camera/camera_info', '/odometry', '/lidar/points'):
        assert [stamp_ns(m) for _, m in messages[topic]] == stamps
        assert [received_ns for received_ns, _ in messages[topic]] == stamps
    assert np.diff(stamps).tolist() == [100_000_000] * 29
    image = messages['/camera/image_raw'][7][1]
    assert (image.encoding, image.header.frame_id) == ('rgb8', 'camera_optical')
    np.testing.assert_array_equal(image.data.reshape(64, 192, 3), recorded[7].picture.image)
    info = messages['/camera/camera_info'][7][1]
    np.testing.assert_array_equal(info.k.reshape(3, 3), drive.intrinsics.matrix())
    odometry = messages['/odometry'][7][1]
    assert odometry.child_frame_id == 'base_link'
    assert odometry.twist.twist.linear.x == drive.frames[7].speed_m_s
    cloud = messages['/lidar/points'][7][1]
    assert [f.name for f in cloud.fields] == ['x', 'y', 'z', 'intensity']
    points = cloud.data.view('<f4').reshape(-1, 4)
    np.testing.assert_array_equal(points, recorded[7].scan.points)


def test_the_bag_s_transforms_lead_from_lidar_to_camera(drive):
    ((_, message),) = read_bag(drive.bag)['/tf_static']
    by_child = {t.child_frame_id: t for t in message.transforms}
    assert {t.header.frame_id for t in message.transforms} == {'base_link'}
    rotation = by_child['camera_optical'].transform.rotation
    # Optical axes seen from base_link: x right, y down, z ahead is (-1/2, 1/2, -1/2, 1/2).
    quaternion = np.array([rotation.x, rotation.y, rotation.z, rotation.w])
    np.testing.assert_allclose(quaternion * np.sign(rotation.w), [-0.5, 0.5, -0.5, 0.5])
    assert by_child['camera_optical'].transform.translation.z == 1.5
    assert by_child['lidar'].transform.translation.z == 1.8


def test_command_writes_mcap_and_says_what_it_made(tmp_path, capsys):
    out = tmp_path / 'new' / 'drive'
    size = ['--width', '64', '--height', '32']
    arguments = ['synthesize', '--out', str(out), '--seconds', '0.3', '--storage', 'mcap']
    assert training_main(arguments + size) == 0
    assert '3 frames of 64x32' in capsys.readouterr().out
    assert len(read_synthetic(out).frames) == 3
    assert len(list((out / 'bag').glob('*.mcap'))) == 1


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (['--seconds', '0'], '--seconds'),
        (['--seconds', 'nan'], '--seconds'),
        (['--seconds', '0.1'], 'at least 3'),
        (['--rate', '-1'], '--rate'),
        (['--width', '8'], '--width'),
        (['--height', '100000'], '--height'),
        (['--seed', '-3'], '--seed'),
    ],
)
def test_impossible_options_are_refused_in_one_line(tmp_path, capsys, options, words):
    out = tmp_path / 'drive'
    assert training_main(['synthesize', '--out', str(out), *options]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count('\n') == 1
    assert not list(tmp_path.iterdir())


def test_a_taken_folder_is_left_alone(tmp_path, capsys):
    (tmp_path / 'notes.txt').write_text('mine')
    assert training_main(['synthesize', '--out', str(tmp_path), '--seconds', '1']) == 2
    assert 'exists already' in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ['notes.txt']
    assert training_main(['synthesize', '--out', str(tmp_path / 'notes.txt')]) == 2
    assert (tmp_path / 'notes.txt').read_text() == 'mine'


def test_an_interrupted_drive_leaves_nothing(tmp_path):
    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        record(Recipe(seconds=1.0, width=64, height=32), tmp_path / 'drive', interrupt)
    assert not list(tmp_path.iterdir())


def test_a_damaged_description_is_named(tmp_path):
    with pytest.raises(UserError, match=r'synthetic\.json.*run synthesize'):
        read_synthetic(tmp_path)
    Path(tmp_path / 'synthetic.json').write_text('{"format_version": 1}')
    with pytest.raises(UserError, match='damaged'):
        read_synthetic(tmp_path)
    Path(tmp_path / 'synthetic.json').write_text('{"format_version": 9}')
    with pytest.raises(UserError, match='format_version 9'):
        read_synthetic(tmp_path)
    Path(tmp_path / 'synthetic.json').write_text('[]')
    with pytest.raises(UserError, match='damaged'):
        read_synthetic(tmp_path)
