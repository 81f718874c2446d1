import struct
from pathlib import Path

import numpy as np
import pytest
from bag_messages import camera_info
from bag_messages import compressed_image
from bag_messages import header
from bag_messages import make
from bag_messages import point_cloud
from bag_messages import twist_stamped
from bag_messages import write_bag

from sg_depth_ros.bags.bag import is_bag
from sg_depth_ros.bags.bag import open_bag
from sg_depth_ros.bags.connecting import static_transforms
from sg_depth_ros.bags.writer import BagWriter
from sg_depth_ros.bags.writer import FrameTransform
from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.errors import UserError

CAMERA = Intrinsics(30.0, 30.0, 15.5, 11.5, 32, 24)
STEP_NS = 100_000_000


def picture(number):
    return np.random.default_rng(number).integers(0, 256, (24, 32, 3), np.uint8)


def rotation_z(angle_rad, translation=(0.0, 0.0, 0.0)):
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    transform = np.eye(4)
    transform[:3, :3] = [[c, -s, 0], [s, c, 0], [0, 0, 1]]
    transform[:3, 3] = translation
    return transform


@pytest.fixture(params=['sqlite3', 'mcap'])
def storage(request):
    return request.param


@pytest.fixture
def bag_path(tmp_path, storage):
    path = tmp_path / 'recording'
    with BagWriter(path, storage) as writer:
        for i in range(3):
            stamp_ns = 10**9 + i * STEP_NS
            writer.image('/camera/image_raw', stamp_ns, 'camera', picture(i), stamp_ns + 7)
            writer.camera_info('/camera/camera_info', stamp_ns, 'camera', CAMERA)
    return path


@pytest.mark.parametrize('compression', [None, 'FILE', 'MESSAGE'])
def test_images_come_back_with_stamp_frame_and_pixels(tmp_path, storage, compression):
    messages = [('/image/compressed', 50 + i, compressed_image(i + 1, picture(i))) for i in (0, 1)]
    path = write_bag(tmp_path / 'b', messages, storage, compression)

    with open_bag(path) as bag:
        images = list(bag.images(bag.camera()))

    assert [(i.stamp_ns, i.received_ns, i.frame_id) for i in images] == [
        (1, 50, 'camera'),
        (2, 51, 'camera'),
    ]
    np.testing.assert_array_equal(images[1].image, picture(1))


def test_camera_and_its_info_are_found_by_type(bag_path):
    with open_bag(bag_path) as bag:
        camera = bag.camera()
        images = list(bag.images(camera))
        info = bag.camera_info(camera)

    assert camera == ('/camera/image_raw', '/camera/camera_info', False)
    assert [i.stamp_ns for i in images] == [10**9, 10**9 + STEP_NS, 10**9 + 2 * STEP_NS]
    assert images[0].received_ns == images[0].stamp_ns + 7
    np.testing.assert_array_equal(images[2].image, picture(2))
    np.testing.assert_array_equal(np.reshape(info.k, (3, 3)), CAMERA.matrix())


def test_files_are_read_without_metadata_and_by_themselves(bag_path):
    (bag_path / 'metadata.yaml').unlink()
    (file,) = bag_path.iterdir()

    for path in (bag_path, file):
        assert is_bag(path)
        with open_bag(path) as bag:
            assert len(list(bag.images(bag.camera()))) == 3


def test_raw_topic_is_preferred_to_its_compressed_transport(tmp_path):
    path = tmp_path / 'b'
    messages = [
        ('/cam/image/compressed', 1, compressed_image(1, picture(0))),
        ('/cam/image', 1, image_message(1, picture(0))),
    ]
    with open_bag(write_bag(path, messages)) as bag:
        assert bag.camera().image == '/cam/image'
        assert bag.camera('/cam/image/compressed').compressed


def test_info_of_a_compressed_topic_lies_beside_its_raw_name(tmp_path):
    messages = [
        ('/left/image/compressed', 1, compressed_image(1, picture(0))),
        ('/left/camera_info', 1, camera_info(1, CAMERA)),
        ('/right/camera_info', 1, camera_info(1, CAMERA)),
    ]
    with open_bag(write_bag(tmp_path / 'b', messages)) as bag:
        assert bag.camera().camera_info == '/left/camera_info'


def image_message(stamp_ns, rgb, encoding='rgb8'):
    return make(
        'sensor_msgs/msg/Image',
        header=header(stamp_ns, 'camera'),
        height=rgb.shape[0],
        width=rgb.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=rgb.shape[1] * 3,
        data=rgb.reshape(-1),
    )


def test_several_cameras_must_be_named(tmp_path):
    messages = [(f'/{side}/image', 1, image_message(1, picture(0))) for side in ('left', 'right')]
    with open_bag(write_bag(tmp_path / 'b', messages)) as bag:
        with pytest.raises(UserError, match=r'several cameras; .*/left/image, /right/image'):
            bag.camera()
        assert bag.camera('/left/image').camera_info is None
        with pytest.raises(UserError, match='no camera_info for /left/image'):
            bag.camera_info(bag.camera('/left/image'))


def test_depth_images_are_no_camera_and_the_likely_one_of_several_is_told(tmp_path):
    camera, other = Intrinsics(64.0, 64.0, 31.5, 15.5, 64, 32), '/depth_node/semantic/mask'
    with BagWriter(tmp_path / 'b') as writer:
        for topic in ('/front/image_raw', '/depth_node/depth/image'):
            dtype = np.uint8 if 'front' in topic else np.float32
            shape = (32, 64, 3) if 'front' in topic else (32, 64)
            writer.image(topic, 1, 'camera', np.ones(shape, dtype))
            writer.camera_info(f'{topic.rpartition("/")[0]}/camera_info', 1, 'camera', camera)
    with open_bag(tmp_path / 'b') as bag:
        assert bag.camera() == ('/front/image_raw', '/front/camera_info', False)
        assert bag.cameras() == ('/front/image_raw',)
    for image in ('/front/image_raw', '/depth_node/image_rect_color'):
        with BagWriter(tmp_path / Path(image).name) as writer:
            writer.image(image, 1, 'camera', np.ones((32, 64, 3), np.uint8))
            writer.image(other, 1, 'camera', np.ones((32, 64), np.uint8))
            writer.camera_info('/front/camera_info', 1, 'camera', camera)
        with (
            open_bag(tmp_path / Path(image).name) as bag,
            pytest.raises(UserError, match=rf'several cameras; .*\(most likely {image}\)'),
        ):
            bag.camera()


def test_missing_wrong_and_absent_topics_are_explained(tmp_path):
    messages = [
        ('/speed', 1, twist_stamped(1, 1.0)),
        ('/camera/image', 1, 'sensor_msgs/msg/Image'),
    ]
    with open_bag(write_bag(tmp_path / 'b', messages)) as bag:
        with pytest.raises(UserError, match='no images'):
            bag.camera()
        with pytest.raises(UserError, match=r'no topic /nothing; topics: .*/speed'):
            bag.camera('/nothing')
        with pytest.raises(UserError, match='/speed is geometry_msgs/msg/TwistStamped, not'):
            bag.camera('/speed')
        with pytest.raises(UserError, match='no topic of sensor_msgs/msg/PointCloud2'):
            list(bag.clouds())
        assert list(static_transforms(bag).frames) == []


def test_missing_empty_and_foreign_paths_are_refused(tmp_path):
    foreign = tmp_path / 'text.txt'
    foreign.write_text('no bag')
    (tmp_path / 'folder').mkdir()
    empty = write_bag(tmp_path / 'empty', [('/image', 1, 'sensor_msgs/msg/Image')])
    for path, words in (
        (tmp_path / 'nothing', 'no such bag'),
        (foreign, 'no rosbag2'),
        (tmp_path / 'folder', 'no rosbag2'),
        (empty, 'the bag is empty'),
    ):
        with pytest.raises(UserError, match=words) as raised, open_bag(path):
            pass
        assert str(path) in str(raised.value)


def test_truncated_bag_is_one_readable_line(bag_path):
    (file,) = (p for p in bag_path.iterdir() if p.suffix != '.yaml')
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])

    with pytest.raises(UserError) as raised, open_bag(bag_path) as bag:
        list(bag.images(bag.camera()))

    assert str(bag_path) in str(raised.value)
    assert '\n' not in str(raised.value)


def test_damaged_message_names_the_bag(tmp_path):
    path = write_bag(tmp_path / 'b', [('/image', 1, image_message(1, picture(0)))], 'mcap')
    file = next(path.glob('*.mcap'))
    data = bytearray(file.read_bytes())
    # The length of the encoding's string, which then reaches beyond the message.
    place = data.index(b'rgb8\0') - 4
    data[place : place + 4] = struct.pack('<I', 2**31)
    file.write_bytes(bytes(data))

    with pytest.raises(UserError, match='cannot be read') as raised, open_bag(path) as bag:
        list(bag.images(bag.camera()))
    assert str(path) in str(raised.value)


def test_undecodable_image_names_topic_and_stamp(tmp_path):
    path = write_bag(tmp_path / 'b', [('/image', 1, image_message(2 * 10**9, picture(0), 'odd'))])
    with (
        open_bag(path) as bag,
        pytest.raises(UserError, match=r"/image at 2\.000 s: .*'odd' is not supported"),
    ):
        list(bag.images(bag.camera()))


@pytest.mark.parametrize('datatype', [7, 8])
@pytest.mark.parametrize('big_endian', [False, True])
@pytest.mark.parametrize('row_padding', [0, 6])
def test_cloud_is_read_by_its_fields(tmp_path, datatype, big_endian, row_padding):
    points = np.random.default_rng(0).normal(size=(3, 5, 3))
    points[1, 2, 0] = np.nan
    cloud = point_cloud(
        5, points, datatype=datatype, row_padding=row_padding, big_endian=big_endian
    )
    with open_bag(write_bag(tmp_path / 'b', [('/lidar', 9, cloud)])) as bag:
        (read,) = bag.clouds()

    expected = np.delete(points.reshape(-1, 3), 7, axis=0).astype(np.float32)
    np.testing.assert_array_equal(read.points, expected)
    assert (read.stamp_ns, read.received_ns, read.frame_id) == (5, 9, 'lidar')
    assert read.points.dtype == np.float32


def test_cloud_without_coordinates_is_refused(tmp_path):
    cloud = point_cloud(5, np.zeros((1, 2, 3)))
    cloud.fields[2].name = 'intensity'
    with (
        open_bag(write_bag(tmp_path / 'b', [('/lidar', 9, cloud)])) as bag,
        pytest.raises(UserError, match='/lidar: no field z'),
    ):
        list(bag.clouds())


def test_speed_is_the_length_of_the_velocity_and_negative_backwards(tmp_path):
    messages = [
        ('/speed', 1, twist_stamped(10, 3.0, 4.0)),
        ('/speed', 2, twist_stamped(20, -2.0)),
    ]
    with open_bag(write_bag(tmp_path / 'b', messages)) as bag:
        motion = list(bag.odometry())
    assert [(m.stamp_ns, m.speed_m_s) for m in motion] == [(10, 5.0), (20, -2.0)]
    assert motion[0].position_m is None


def test_odometry_gives_speed_and_position_and_is_preferred_to_twist(tmp_path):
    path = tmp_path / 'b'
    with BagWriter(path) as writer:
        pose = rotation_z(0.3, (1.0, 2.0, 3.0))
        writer.odometry('/odom', 4, 'odom', 'base', pose, (6.0, 0.0, 0.0))
    with open_bag(path) as bag:
        (motion,) = bag.odometry()
    assert motion.speed_m_s == pytest.approx(6.0)
    assert motion.position_m == pytest.approx((1.0, 2.0, 3.0))


def test_static_transforms_chain_through_parents_and_children(tmp_path):
    path = tmp_path / 'b'
    base_camera = rotation_z(0.4, (1.0, 0.0, 1.5))
    base_roof = rotation_z(-0.2, (0.0, 0.0, 2.0))
    roof_lidar = rotation_z(1.0, (0.3, 0.1, 0.2))
    with BagWriter(path) as writer:
        writer.tf_static(0, [FrameTransform('/base', 'camera', base_camera)])
        writer.tf_static(
            1,
            [
                FrameTransform('base', 'roof', base_roof),
                FrameTransform('roof', 'lidar', roof_lidar),
            ],
        )
    with open_bag(path) as bag:
        transforms = static_transforms(bag)

    camera_lidar = transforms.lookup('camera', 'lidar')
    expected = np.linalg.inv(base_camera) @ base_roof @ roof_lidar
    np.testing.assert_allclose(camera_lidar, expected, atol=1e-12)
    np.testing.assert_allclose(
        transforms.lookup('lidar', 'camera'), np.linalg.inv(expected), atol=1e-12
    )
    np.testing.assert_array_equal(transforms.lookup('lidar', 'lidar'), np.eye(4))
    assert transforms.lookup('camera', 'elsewhere') is None
