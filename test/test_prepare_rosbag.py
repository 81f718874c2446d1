"""Bags become dataset folders: images, clouds, speed, stamps; what is missing is told."""

import cv2
import numpy as np
import pytest
from bag_messages import camera_info
from bag_messages import compressed_image
from bag_messages import twist_stamped
from bag_messages import write_bag
from preparing import prepare
from preparing import refused
from recordings import CAMERA
from recordings import START_NS
from recordings import STEP_NS
from recordings import picture

from sg_depth_ros.bags.writer import BagWriter
from sg_depth_ros.bags.writer import FrameTransform
from training.data.drive import frame_path
from training.data.drive import labels_path
from training.data.drive import lidar_path
from training.data.drive import read_drive
from training.data.drive import read_image
from training.data.drive import read_labels
from training.data.drive import read_lidar
from training.data.sources.rosbag import match_clouds
from training.data.synthetic.layout import SyntheticDrive
from training.data.synthetic.layout import SyntheticFrame
from training.data.synthetic.layout import synthetic_labels_path
from training.data.synthetic.layout import write_synthetic

T_BASE_CAMERA = np.array(
    [[0.0, 0.0, 1.0, 1.5], [-1.0, 0.0, 0.0, 0.1], [0.0, -1.0, 0.0, 1.4], [0.0, 0.0, 0.0, 1.0]]
)
T_BASE_LIDAR = np.array(
    [[0.0, -1.0, 0.0, 0.2], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.9], [0.0, 0.0, 0.0, 1.0]]
)


pytestmark = pytest.mark.usefixtures('wide_console')


def cloud_and_depth(number):
    """Return points in the LiDAR's frame that hit pixel centres, and their depth image."""
    rng = np.random.default_rng(number)
    v, u = np.divmod(rng.choice(CAMERA.width * CAMERA.height, 100, replace=False), CAMERA.width)
    depth_m = rng.uniform(3.0, 50.0, 100)
    points = CAMERA.rays()[v, u].astype(np.float64) * depth_m[:, None]
    T_lidar_camera = np.linalg.inv(T_BASE_LIDAR) @ T_BASE_CAMERA
    expected = np.zeros((CAMERA.height, CAMERA.width), np.float32)
    expected[v, u] = depth_m
    return points @ T_lidar_camera[:3, :3].T + T_lidar_camera[:3, 3], expected


def write_vehicle_bag(path, storage='sqlite3', frames=8, *, info=True, tf=True):
    """Write what a vehicle records: odometry off the images' stamps, a cloud for every second."""
    with BagWriter(path, storage) as writer:
        if tf:
            transforms = (('camera', T_BASE_CAMERA), ('lidar', T_BASE_LIDAR))
            writer.tf_static(START_NS, [FrameTransform('base', n, T) for n, T in transforms])
        for i in range(-1, frames + 1):
            stamp_ns = START_NS + i * STEP_NS
            # Speed 5 + 2 t m/s, 40 ms beside the images.
            seconds = (i * STEP_NS + 40_000_000) * 1e-9
            velocity = (5.0 + 2.0 * seconds, 0.0, 0.0)
            writer.odometry('/odom', stamp_ns + 40_000_000, 'odom', 'base', np.eye(4), velocity)
            if not 0 <= i < frames:
                continue
            writer.image('/camera/image_raw', stamp_ns, 'camera', picture(i))
            if info:
                writer.camera_info('/camera/camera_info', stamp_ns, 'camera', CAMERA)
            if i % 2 == 1:
                writer.cloud('/lidar', stamp_ns - 30_000_000, 'lidar', cloud_and_depth(i)[0])
    return path


@pytest.mark.parametrize('storage', ['sqlite3', 'mcap'])
def test_bag_becomes_a_dataset_folder(tmp_path, storage):
    bag = write_vehicle_bag(tmp_path / 'town', storage)

    assert prepare(bag, tmp_path / 'dataset', '--licence', 'ours') == 0

    folder = tmp_path / 'dataset' / 'town'
    drive = read_drive(folder)
    assert [f.stamp_ns for f in drive.frames] == [START_NS + i * STEP_NS for i in range(8)]
    speeds = [f.speed_m_s for f in drive.frames]
    assert speeds == pytest.approx([5.0 + 0.2 * i for i in range(8)], abs=1e-6)
    assert vars(drive.original_intrinsics) == pytest.approx(vars(CAMERA))
    assert drive.intrinsics == drive.original_intrinsics.resized(128, 64)
    assert drive.licence == 'ours'
    for i in range(8):
        difference = read_image(frame_path(folder, i)).astype(int) - picture(i)
        assert np.abs(difference).mean() < 3
    assert [i for i in range(8) if lidar_path(folder, i).exists()] == [1, 3, 5, 7]
    for i in (1, 7):
        measured = read_lidar(lidar_path(folder, i))
        np.testing.assert_allclose(measured, cloud_and_depth(i)[1], atol=0.003)


def test_bag_without_transforms_has_no_lidar_and_says_so(tmp_path, capsys):
    prepare(write_vehicle_bag(tmp_path / 'town', tf=False), tmp_path / 'dataset')

    assert not (tmp_path / 'dataset' / 'town' / 'lidar').exists()
    assert "does not connect 'camera' and 'lidar'" in capsys.readouterr().out


def test_bag_without_intrinsics_is_refused(tmp_path, capsys):
    bag = write_vehicle_bag(tmp_path / 'town', info=False)

    error = refused(capsys, bag, tmp_path / 'dataset')

    assert 'no camera_info for /camera/image_raw' in error


def images(count=4, topic='/camera/image_raw/compressed', step_ns=STEP_NS):
    return [(topic, i, compressed_image(START_NS + i * step_ns, picture(i))) for i in range(count)]


def test_bags_without_camera_or_messages_are_refused(tmp_path, capsys):
    no_camera = write_bag(tmp_path / 'a', [('/speed', 1, twist_stamped(1, 1.0))])
    assert 'no images' in refused(capsys, no_camera, tmp_path / 'dataset')
    empty = write_bag(tmp_path / 'b', [('/camera/image', 1, 'sensor_msgs/msg/Image')])
    assert 'the bag is empty' in refused(capsys, empty, tmp_path / 'dataset')


def test_truncated_image_in_the_middle_leaves_nothing_behind(tmp_path, capsys):
    messages = [*images(), ('/camera/camera_info', 9, camera_info(START_NS, CAMERA))]
    messages[2][2].data = messages[2][2].data[:-40]

    error = refused(capsys, write_bag(tmp_path / 'a', messages), tmp_path / 'dataset')

    assert '/camera/image_raw/compressed at 1700000000.200 s' in error
    assert 'truncated' in error


def test_compressed_images_and_twist_are_enough(tmp_path, capsys):
    messages = [*images(), ('/camera/camera_info', 9, camera_info(START_NS, CAMERA))]
    messages += [('/speed', i, twist_stamped(START_NS + i * STEP_NS, 4.0)) for i in range(3)]

    assert prepare(write_bag(tmp_path / 'a', messages), tmp_path / 'dataset') == 0

    drive = read_drive(tmp_path / 'dataset' / 'a')
    # The last image is 0.1 s behind the last twist.
    assert [f.speed_m_s for f in drive.frames] == [4.0, 4.0, 4.0, 4.0]
    assert 'No PointCloud2' in capsys.readouterr().out


def test_speed_is_unknown_far_from_any_odometry(tmp_path, capsys):
    step_ns = 10 * STEP_NS
    messages = [
        *images(5, step_ns=step_ns),
        ('/camera/camera_info', 9, camera_info(START_NS, CAMERA)),
        ('/speed', 9, twist_stamped(START_NS - 100_000_000, 4.0)),
        ('/speed', 9, twist_stamped(START_NS + 100_000_000, 6.0)),
        ('/speed', 9, twist_stamped(START_NS + 3 * step_ns, 8.0)),
    ]
    prepare(write_bag(tmp_path / 'a', messages), tmp_path / 'dataset')

    drive = read_drive(tmp_path / 'dataset' / 'a')
    assert [f.speed_m_s for f in drive.frames] == [5.0, None, None, 8.0, None]
    assert '3 images have no odometry near' in capsys.readouterr().out


def test_odometry_without_velocity_gives_speed_by_its_positions(tmp_path, capsys):
    path = tmp_path / 'town'
    with BagWriter(path) as writer:
        for i in range(6):
            stamp_ns = START_NS + i * STEP_NS
            pose = np.eye(4)
            pose[:2, 3] = 0.3 * i, 0.4 * i
            writer.odometry('/odom', stamp_ns, 'odom', 'base', pose, (0.0, 0.0, 0.0))
            writer.image('/image', stamp_ns, 'camera', picture(i))
            writer.camera_info('/camera_info', stamp_ns, 'camera', CAMERA)

    prepare(path, tmp_path / 'dataset')

    speeds = [f.speed_m_s for f in read_drive(tmp_path / 'dataset' / 'town').frames]
    assert speeds == pytest.approx([5.0] * 6)
    assert 'from its positions' in capsys.readouterr().out


def test_images_whose_stamps_go_back_are_left_out_with_their_clouds(tmp_path, capsys):
    path = tmp_path / 'town'
    with BagWriter(path) as writer:
        writer.tf_static(START_NS, [FrameTransform('camera', 'lidar', np.eye(4))])
        points = np.tile([[0.0, 0.0, 5.0]], (60, 1))
        for i, step in enumerate((0, 1, 1, 0, 2, 3)):
            stamp_ns = START_NS + step * STEP_NS
            writer.image('/image', stamp_ns, 'camera', picture(i), START_NS + i)
            writer.camera_info('/camera_info', stamp_ns, 'camera', CAMERA, START_NS + i)
        stamp_ns = START_NS + 2 * STEP_NS
        writer.cloud('/lidar', stamp_ns, 'lidar', points + [0, 0, 3], START_NS + 9)

    prepare(path, tmp_path / 'dataset')

    folder = tmp_path / 'dataset' / 'town'
    frames = read_drive(folder).frames
    assert [(f.stamp_ns - START_NS) // STEP_NS for f in frames] == [0, 1, 2, 3]
    difference = read_image(frame_path(folder, 2)).astype(int) - picture(4)
    assert np.abs(difference).mean() < 3
    assert [i for i in range(4) if lidar_path(folder, i).exists()] == [2]
    text = capsys.readouterr().out
    assert '2 images left out' in text
    assert 'optical one' in text  # a single pixel is hit


def test_images_without_stamps_are_refused(tmp_path, capsys):
    messages = [*images(step_ns=0), ('/camera/camera_info', 9, camera_info(START_NS, CAMERA))]
    error = refused(capsys, write_bag(tmp_path / 'a', messages), tmp_path / 'dataset')
    assert 'must stamp them' in error


def test_clouds_match_the_nearest_image_within_half_a_period():
    image_stamps = np.array([0, 100, 200, 300, 400])
    cloud_stamps = np.array([-60, 40, 70, 120, 250, 320, 460])

    # 40 goes to 0; of 70 and 120 the nearer to 100; 320 is nearer to 300 than 250 to 200 or 300.
    assert match_clouds(image_stamps, cloud_stamps) == {0: 1, 1: 3, 2: 4, 3: 5}
    assert match_clouds(image_stamps[:1], np.array([10])) == {0: 0}
    assert match_clouds(image_stamps, np.array([], np.int64)) == {}


def test_synthetic_drive_is_its_bag_with_true_labels(tmp_path):
    root = tmp_path / 'street'
    write_vehicle_bag(root / 'bag')
    stamps = [START_NS + i * STEP_NS for i in range(8)]
    pose = tuple(np.eye(4)[:3].reshape(-1))
    frames = tuple(SyntheticFrame(i, s, 5.0, pose, False, 0) for i, s in enumerate(stamps))
    write_synthetic(SyntheticDrive(root, 3, 10.0, CAMERA, pose, pose, frames))
    labels = synthetic_labels_path(root, 0).parent
    labels.mkdir(parents=True)
    for i in range(8):
        cv2.imwrite(str(labels / f'{i:06d}.png'), np.full((64, 128), i, np.uint8))

    assert prepare(root, tmp_path / 'dataset', '--width', '96', '--height', '32') == 0

    folder = tmp_path / 'dataset' / 'street'
    drive = read_drive(folder)
    assert drive.scale_source == 'speed'
    assert drive.frames[0].T_world_camera is None
    np.testing.assert_array_equal(read_labels(labels_path(folder, 6)), np.full((32, 96), 6))
    assert lidar_path(folder, 3).exists()
    assert 'seed 3' in drive.source
