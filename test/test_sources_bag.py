import numpy as np
import pytest
from bag_messages import camera_info
from bag_messages import compressed_image
from bag_messages import twist_stamped
from bag_messages import write_bag
from kitti_trees import write_raw_drive
from kitti_trees import write_sequence
from recordings import CAMERA
from recordings import LENSES
from recordings import PINHOLE
from recordings import START_NS
from recordings import STEP_NS
from recordings import picture
from recordings import spot_offsets
from recordings import spots_through_lens
from recordings import write_camera
from recordings import write_images
from recordings import write_video
from rosbags.highlevel import AnyReader

from sg_depth_ros.bags import bag as bag_module
from sg_depth_ros.bags.bag import open_bag
from sg_depth_ros.bags.writer import BagWriter
from sg_depth_ros.bags.writer import FrameTransform
from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.errors import UserError
from training.data.sources import SourceOptions
from training.data.sources import list_cameras
from training.data.sources import open_source
from training.data.sources import options_of_camera

RIGHT = Intrinsics(90.0, 90.0, 60.0, 30.0, 128, 64)


def write_lidar_bag(path, storage='sqlite3', frames=9):
    """Write images with one repeated stamp, and a cloud for every second of them."""
    with BagWriter(path, storage) as bag:
        bag.tf_static(START_NS, [FrameTransform('camera', 'lidar', np.eye(4))])
        for i in range(frames):
            received_ns = START_NS + i * STEP_NS
            stamp_ns = received_ns if i != 4 else received_ns - STEP_NS
            bag.image('/image', stamp_ns, 'camera', picture(i), received_ns)
            bag.camera_info('/camera_info', stamp_ns, 'camera', CAMERA, received_ns)
            if i % 2 == 0:
                points = np.random.default_rng(i).uniform(-1, 1, (200, 3)) + [0, 0, 5 + i]
                bag.cloud('/lidar', received_ns, 'lidar', points)
    return path


def same(a, b):
    def equal(x, y):
        return (x is None) == (y is None) and (x is None or np.array_equal(x, y))

    return (
        np.array_equal(a.image, b.image)
        and equal(a.labels, b.labels)
        and equal(a.lidar_m, b.lidar_m)
    )


@pytest.mark.parametrize('kind', ['sqlite3', 'mcap', 'kitti raw', 'kitti odometry'])
def test_reading_from_any_frame_gives_the_same_contents(tmp_path, kind):
    if kind == 'kitti raw':
        path = write_raw_drive(tmp_path)
    elif kind == 'kitti odometry':
        path = write_sequence(tmp_path)
    else:
        path = write_lidar_bag(tmp_path / 'town', kind)
    source = open_source(path, SourceOptions())
    whole = list(source.read())
    assert len(whole) == len(source.frames) == 8
    assert any(c.lidar_m is not None for c in whole) or kind == 'kitti odometry'
    for first in range(9):
        rest = list(source.read(first))
        assert len(rest) == 8 - first
        assert all(same(a, b) for a, b in zip(rest, whole[first:]))


def test_skipped_messages_are_not_decoded(tmp_path, monkeypatch):
    source = open_source(write_lidar_bag(tmp_path / 'town'), SourceOptions())
    decoded = []

    def counted(name):
        decode = getattr(bag_module, name)

        def count(message):
            decoded.append(name)
            return decode(message)

        monkeypatch.setattr(bag_module, name, count)

    counted('decode_image')
    counted('cloud_points')
    assert sum(c.lidar_m is not None for c in source.read(5)) == 2
    assert decoded.count('decode_image') == 3
    assert decoded.count('cloud_points') == 2


def test_messages_are_read_one_at_a_time(tmp_path, monkeypatch):
    """Only so a bag may be larger than the memory."""
    fetched = []
    read_all = AnyReader.messages

    def count(reader, *arguments, **options):
        for item in read_all(reader, *arguments, **options):
            fetched.append(item[0].topic)
            yield item

    monkeypatch.setattr(AnyReader, 'messages', count)
    path = write_lidar_bag(tmp_path / 'town')
    with open_bag(path) as bag:
        images = bag.images(bag.camera())
        assert [next(images).stamp_ns for _ in range(2)] == [START_NS, START_NS + STEP_NS]
        images.close()
        assert fetched == ['/image'] * 2
    fetched.clear()
    contents = open_source(path, SourceOptions()).read()
    fetched.clear()
    for number in range(1, 4):
        next(contents)
        assert fetched.count('/image') == number
        assert fetched.count('/lidar') == (number + 1) // 2


def test_positions_choose_messages(tmp_path):
    with open_bag(write_lidar_bag(tmp_path / 'town')) as bag:

        def chosen(only):
            return [
                (m.received_ns - START_NS) // STEP_NS for m in bag.messages('/image', only=only)
            ]

        assert chosen([1, 3]) == [1, 3]
        assert chosen([]) == []
        assert chosen([8, 9, 10]) == [8]


def write_two_cameras(path, left='/left', right='/right'):
    messages = []
    for i in range(4):
        stamp = START_NS + i * STEP_NS
        for topic, camera, number in ((left, CAMERA, i), (right, RIGHT, 10 + i)):
            image = compressed_image(stamp, picture(number))
            messages.append((f'{topic}/image_raw/compressed', stamp, image))
            messages.append((f'{topic}/camera_info', stamp, camera_info(stamp, camera)))
        messages.append(('/speed', stamp, twist_stamped(stamp, 5.0)))
    return write_bag(path, messages)


def test_each_camera_of_a_bag_is_a_drive_of_its_own(tmp_path):
    path = write_two_cameras(tmp_path / 'town')
    cameras = list_cameras(path)
    assert cameras == ('/left/image_raw/compressed', '/right/image_raw/compressed')
    with pytest.raises(UserError, match='several cameras; name one image topic of: /left'):
        open_source(path, SourceOptions())
    left, right = (open_source(path, options_of_camera(path, c, SourceOptions())) for c in cameras)
    assert left.intrinsics == CAMERA
    assert right.intrinsics == RIGHT
    assert left.name == 'town_left_image_raw_compressed'
    assert right.name == 'town_right_image_raw_compressed'
    for source, offset in ((left, 0), (right, 10)):
        assert [f.speed_m_s for f in source.frames] == [5.0] * 4
        for i, content in enumerate(source.read()):
            np.testing.assert_array_equal(content.image, picture(offset + i))


def test_topics_that_look_alike_give_drives_of_different_names(tmp_path):
    path = write_two_cameras(tmp_path / 'town', '/a/b', '/a_b')
    names = {
        open_source(path, options_of_camera(path, c, SourceOptions())).name
        for c in list_cameras(path)
    }
    assert names == {'town_a_b_image_raw_compressed_1', 'town_a_b_image_raw_compressed_2'}


def test_a_raw_topic_and_its_own_compressed_one_are_one_camera(tmp_path):
    path = write_lidar_bag(tmp_path / 'town')
    assert list_cameras(path) == ('/image',)
    assert list_cameras(write_raw_drive(tmp_path)) == ('02',)
    assert list_cameras(write_sequence(tmp_path)) == ('2',)
    assert list_cameras(write_video(tmp_path / 'a.avi', [picture(0)])) == ()


@pytest.mark.parametrize(('model', 'd'), LENSES)
@pytest.mark.parametrize('kind', ['bag', 'video', 'images'])
def test_lens_distortion_is_undone_on_the_way_in(tmp_path, kind, model, d):
    image = spots_through_lens(model, d)
    assert np.abs(spot_offsets(image)).max() > 1.0
    options = SourceOptions()
    if kind == 'bag':
        info = camera_info(START_NS, CAMERA, model=model, d=d, p=PINHOLE)
        messages = [
            ('/image', START_NS + i, compressed_image(START_NS + i, image)) for i in (1, 2)
        ]
        path = write_bag(tmp_path / 'town', [*messages, ('/camera_info', START_NS + 3, info)])
    else:
        yaml = write_camera(tmp_path / 'camera.yaml', CAMERA, model, d, PINHOLE)
        options = SourceOptions(camera_info=yaml)
    if kind == 'video':
        path = write_video(tmp_path / 'town.avi', [image] * 2)
    if kind == 'images':
        stamped = [f'{START_NS + i}.png' for i in (1, 2)]
        path = write_images(tmp_path / 'town', [image] * 2, stamped)

    source = open_source(path, options)

    assert source.intrinsics == PINHOLE
    assert f'Lens distortion is undone ({model}).' in source.notes
    contents = list(source.read())
    assert len(contents) == 2
    for content in contents:
        assert np.abs(spot_offsets(content.image)).max() < 0.3


def test_files_stand_in_for_what_a_bag_lacks(tmp_path):
    messages = [
        ('/image', START_NS + i, compressed_image(START_NS + i * STEP_NS, picture(i)))
        for i in range(3)
    ]
    path = write_bag(tmp_path / 'town', messages)
    speed = tmp_path / 'speed.csv'
    speed.write_text(f'stamp_ns,speed_m_s\n{START_NS},2\n{START_NS + STEP_NS},3\n')
    camera = write_camera(tmp_path / 'camera.yaml')
    with pytest.raises(UserError, match='no camera_info'):
        open_source(path, SourceOptions())
    source = open_source(path, SourceOptions(camera_info=camera, speed=speed))
    assert source.intrinsics == CAMERA
    assert [f.speed_m_s for f in source.frames] == pytest.approx([2.0, 3.0, 3.0])
    assert 'Intrinsics are those of camera.yaml, not of the bag.' in source.notes
    with pytest.raises(UserError, match='comes from one of them'):
        open_source(path, SourceOptions(speed=speed, odometry_topic='/speed'))
    with pytest.raises(UserError, match='come from one of them'):
        open_source(path, SourceOptions(camera_info=camera, camera_info_topic='/info'))
    with pytest.raises(UserError, match='--rate does not apply; it is for: video'):
        open_source(path, SourceOptions(rate_hz=10.0))
