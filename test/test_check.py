"""Every broken promise of the node must be found: recordings made by hand, one fault each."""

import numpy as np
import pytest
from rosbags.typesys import Stores
from rosbags.typesys import get_typestore

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.point_cloud import PointCloudBuilder
from sg_depth_ros.replay.live.check import find_problems
from sg_depth_ros.replay.live.recording import OUTPUT_TYPES
from sg_depth_ros.replay.live.recording import Recording
from sg_depth_ros.replay.live.recording import Sent
from sg_depth_ros.replay.live.recording import header_stamp_ns
from sg_depth_ros.replay.live.recording import image_pixels

STORE = get_typestore(Stores.ROS2_JAZZY)
CAMERA = Intrinsics(20.0, 22.0, 9.5, 5.5, 20, 12)
CLASSES = 19
STAMPS_NS = (5_000_000_000, 5_100_000_000, 5_200_000_000)


def make(kind, **fields):
    return STORE.types[kind](**fields)


def header(stamp_ns, frame_id='camera'):
    seconds, nanoseconds = divmod(stamp_ns, 10**9)
    stamp = make('builtin_interfaces/msg/Time', sec=seconds, nanosec=nanoseconds)
    return make('std_msgs/msg/Header', stamp=stamp, frame_id=frame_id)


def depth_of(stamp_ns):
    depth_m = np.linspace(2, 60, 240, dtype=np.float32).reshape(12, 20) + stamp_ns % 7
    depth_m[0] = np.inf
    depth_m[1, 1] = np.nan
    return depth_m


def depth_image(stamp_ns, depth_m=None, frame_id='camera', encoding='32FC1'):
    depth_m = depth_of(stamp_ns) if depth_m is None else depth_m
    return make(
        'sensor_msgs/msg/Image',
        header=header(stamp_ns, frame_id),
        height=depth_m.shape[0],
        width=depth_m.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=4 * depth_m.shape[1],
        data=np.ascontiguousarray(depth_m, '<f4').view(np.uint8).reshape(-1),
    )


def camera_info(stamp_ns, camera=CAMERA, d=0.0, frame_id='camera'):
    projection = np.zeros((3, 4))
    projection[:, :3] = camera.matrix()
    roi = STORE.types['sensor_msgs/msg/RegionOfInterest']
    return make(
        'sensor_msgs/msg/CameraInfo',
        header=header(stamp_ns, frame_id),
        height=camera.height,
        width=camera.width,
        distortion_model='plumb_bob',
        d=np.full(5, d),
        k=camera.matrix().reshape(-1),
        r=np.eye(3).reshape(-1),
        p=projection.reshape(-1),
        binning_x=0,
        binning_y=0,
        roi=roi(x_offset=0, y_offset=0, height=0, width=0, do_rectify=False),
    )


def points(stamp_ns, depth_m=None, stride=1, camera=CAMERA):
    depth_m = depth_of(stamp_ns) if depth_m is None else depth_m
    builder = PointCloudBuilder(camera, stride)
    cloud = builder.build(depth_m, np.zeros((12, 20, 3), np.uint8))
    field = STORE.types['sensor_msgs/msg/PointField']
    return make(
        'sensor_msgs/msg/PointCloud2',
        header=header(stamp_ns),
        height=builder.height,
        width=builder.width,
        fields=[
            field(name=n, offset=4 * i, datatype=7, count=1)
            for i, n in enumerate(('x', 'y', 'z', 'rgb'))
        ],
        is_bigendian=False,
        point_step=16,
        row_step=16 * builder.width,
        data=np.ascontiguousarray(cloud).view(np.uint8).reshape(-1).copy(),
        is_dense=False,
    )


def mask(stamp_ns, label=3, size=(20, 12), encoding='mono8'):
    width, height = size
    return make(
        'sensor_msgs/msg/Image',
        header=header(stamp_ns),
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=0,
        step=width,
        data=np.full(width * height, label, np.uint8),
    )


def play(recording, replaced=None, extra=()):
    """Record three images and their outputs, 20 ms later; ``replaced`` are the second's."""
    for number, stamp_ns in enumerate(STAMPS_NS):
        sent_ns = number * 100_000_000
        recording.send(Sent(stamp_ns, 'camera', sent_ns))
        outputs = {
            'depth': [depth_image(stamp_ns)],
            'camera_info': [camera_info(stamp_ns)],
            'points': [points(stamp_ns)],
            'mask': [mask(stamp_ns)],
        }
        if number == 1:
            outputs |= replaced or {}
        for kind, messages in outputs.items():
            for message in messages:
                add(recording, kind, message, sent_ns + 20_000_000)
    for kind, message in extra:
        add(recording, kind, message, 10**9)


def add(recording, kind, message, received_ns):
    recording.add(kind, bytes(STORE.serialize_cdr(message, OUTPUT_TYPES[kind])), received_ns)


def check(tmp_path, replaced=None, extra=(), every=True):
    with Recording(tmp_path) as recording:
        play(recording, replaced, extra)
        return find_problems(recording, CAMERA, CLASSES, every)


def test_what_is_right_passes(tmp_path):
    assert check(tmp_path) == ()


SECOND = STAMPS_NS[1]
WRONG_CAMERA = Intrinsics(20.0, 22.0, 10.5, 5.5, 20, 12)


@pytest.mark.parametrize(
    ('replaced', 'problem'),
    [
        ({'depth': []}, 'depth/image: missing for 1'),
        ({'camera_info': []}, 'depth/camera_info: missing for 1'),
        ({'points': []}, 'points: missing for 1'),
        ({'depth': [depth_image(SECOND)] * 2}, 'depth/image: more than one for 1'),
        ({'depth': [depth_image(SECOND, frame_id='base')]}, 'frame_id "base", not "camera"'),
        ({'camera_info': [camera_info(SECOND, frame_id='')]}, 'frame_id "", not "camera"'),
        ({'depth': [depth_image(SECOND + 1)]}, 'stamps of no image: 1'),
        ({'depth': [depth_image(SECOND, encoding='16UC1')]}, "encoding '16UC1', not 32FC1"),
        ({'depth': [depth_image(SECOND, np.zeros((12, 20)))]}, 'zero or negative'),
        ({'camera_info': [camera_info(SECOND, WRONG_CAMERA)]}, 'K does not fit the image'),
        ({'camera_info': [camera_info(SECOND, CAMERA.resized(40, 24))]}, '40x24, but the depth'),
        ({'camera_info': [camera_info(SECOND, d=0.1)]}, 'distortion'),
        ({'points': [points(SECOND, camera=WRONG_CAMERA)]}, 'away from ray times depth'),
        ({'points': [points(SECOND, depth_of(0) + 1)]}, 'away from ray times depth'),
        (
            {'points': [points(SECOND, np.nan_to_num(depth_of(SECOND), posinf=9.0))]},
            'points where the depth is invalid',
        ),
        ({'mask': []}, 'semantic/mask: missing for 1'),
        ({'mask': [mask(SECOND, CLASSES)]}, 'semantic/mask: class 19, but the model has 19'),
        ({'mask': [mask(SECOND, encoding='mono16')]}, "encoding 'mono16', not mono8"),
        ({'mask': [mask(SECOND, size=(21, 12))]}, '21x12, but the depth is 20x12'),
    ],
)
def test_each_fault_is_found(tmp_path, replaced, problem):
    problems = check(tmp_path, replaced)
    assert any(problem in text for text in problems), problems


def test_a_cloud_of_fewer_points_and_its_mask_are_right_too(tmp_path):
    strided = {'points': [points(SECOND, stride=2)], 'mask': [mask(SECOND, size=(10, 6))]}
    assert check(tmp_path, strided) == ()


def test_unknown_labels_are_right(tmp_path):
    assert check(tmp_path, {'mask': [mask(SECOND, 255)]}) == ()


def test_left_out_images_are_no_fault_at_recorded_speed(tmp_path):
    nothing = {'depth': [], 'camera_info': [], 'points': [], 'mask': []}
    assert check(tmp_path, nothing, every=False) == ()


def test_no_output_at_all_is_a_fault_in_every_mode(tmp_path):
    with Recording(tmp_path) as recording:
        recording.send(Sent(STAMPS_NS[0], 'camera', 0))
        problems = find_problems(recording, CAMERA, CLASSES, every=False)
    assert problems == ('depth/image: not a single one came',)


def test_clouds_that_were_not_kept_still_count(tmp_path):
    with Recording(tmp_path, clouds_kept_every=2) as recording:
        play(recording, {'points': [points(SECOND, camera=WRONG_CAMERA)]})  # not kept
        assert find_problems(recording, CAMERA, CLASSES, every=True) == ()
        assert [entry.size > 0 for entry in recording.of_kind('points')] == [True, False, True]


def test_a_fault_of_many_frames_is_told_once(tmp_path):
    extra = [('depth', depth_image(STAMPS_NS[0], frame_id='base')) for _ in range(3)]
    texts = [text for text in check(tmp_path, extra=extra) if 'frame_id' in text]
    assert texts == ['depth/image: frame_id "base", not "camera" (3 times)']


def test_faults_that_differ_in_numbers_only_are_told_once(tmp_path):
    with Recording(tmp_path) as recording:
        for number, stamp_ns in enumerate(STAMPS_NS):
            recording.send(Sent(stamp_ns, 'camera', 0))
            add(recording, 'depth', depth_image(stamp_ns), 1)
            add(recording, 'points', points(stamp_ns, depth_of(stamp_ns) + 1 + number), 1)
        texts = [t for t in find_problems(recording, CAMERA, CLASSES, True) if 'ray' in t]
    assert len(texts) == 1
    assert texts[0].endswith('m away from ray times depth (such as this, 3 times)')


def test_images_of_one_stamp_have_their_own_outputs(tmp_path):
    depths = [np.full((12, 20), value, np.float32) for value in (2, 3, 4)]
    with Recording(tmp_path) as recording:
        for depth_m in depths:
            recording.send(Sent(SECOND, 'camera', 0))
            add(recording, 'depth', depth_image(SECOND, depth_m), 1)
            add(recording, 'camera_info', camera_info(SECOND), 1)
            add(recording, 'points', points(SECOND, depth_m), 1)
            add(recording, 'mask', mask(SECOND), 1)
        assert find_problems(recording, CAMERA, CLASSES, every=True) == ()
        for number, depth_m in enumerate(depths):
            message = recording.of_image('depth', number)
            np.testing.assert_array_equal(image_pixels(message, 'f4'), depth_m)
        recording.send(Sent(SECOND, 'camera', 0))  # it gives nothing: whose are the three?
        assert recording.of_image('depth', 0) is None


def test_stamps_are_read_from_either_byte_order(tmp_path):
    message = header(1_234_567_890_987_654_321)
    little = bytes(STORE.serialize_cdr(message, 'std_msgs/msg/Header', little_endian=True))
    big = bytes(STORE.serialize_cdr(message, 'std_msgs/msg/Header', little_endian=False))
    assert header_stamp_ns(little) == header_stamp_ns(big) == 1_234_567_890_987_654_321


def test_the_recording_leaves_no_file(tmp_path):
    check(tmp_path)
    assert list(tmp_path.iterdir()) == []
