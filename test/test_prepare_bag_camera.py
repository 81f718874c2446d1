"""The camera of a bag: distortion, regions and binning, rectified topics, several cameras."""

import cv2
import numpy as np
import pytest
from bag_messages import camera_info
from bag_messages import compressed_image
from bag_messages import write_bag
from preparing import prepare
from preparing import refused
from recordings import CAMERA
from recordings import START_NS
from recordings import STEP_NS
from recordings import picture

from sg_depth_ros.camera import Intrinsics
from training.data.drive import frame_path
from training.data.drive import read_drive
from training.data.drive import read_image

pytestmark = pytest.mark.usefixtures('wide_console')


def images(count=4, topic='/camera/image_raw/compressed', step_ns=STEP_NS):
    return [(topic, i, compressed_image(START_NS + i * step_ns, picture(i))) for i in range(count)]


@pytest.mark.parametrize(
    ('model', 'coefficients'),
    [
        ('plumb_bob', (-0.3, 0.1, 0.001, -0.002, 0.0)),
        ('rational_polynomial', (0.1, 0.02, 0.0, 0.0, 0.0, 0.4, 0.0, 0.0)),
        ('equidistant', (0.02, -0.01, 0.0, 0.0)),
    ],
)
def test_distortion_is_undone(tmp_path, capsys, model, coefficients):
    """Spots are drawn where the lens shows them and must appear where a pinhole does."""
    target = Intrinsics(60.0, 60.0, 62.0, 31.0, 128, 64)
    spots = np.array([(30.0, 20.0), (100.0, 45.0), (90.0, 12.0), (64.0, 32.0)])
    rays = np.column_stack([(spots - [target.cx, target.cy]) / target.fx, np.ones(4)])
    raw, d = CAMERA.matrix(), np.array(coefficients)
    zero = np.zeros(3)
    if model == 'equidistant':
        distorted, _ = cv2.fisheye.projectPoints(rays[:, None], zero, zero, raw, d)
    else:
        distorted, _ = cv2.projectPoints(rays, zero, zero, raw, d)
    y, x = np.mgrid[0 : CAMERA.height, 0 : CAMERA.width]
    image = np.zeros((CAMERA.height, CAMERA.width, 3), np.uint8)
    for u, v in distorted.reshape(-1, 2):
        spot = 250 * np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * 1.5**2))
        image = np.maximum(image, spot[..., None].astype(np.uint8))
    messages = [('/image', i, compressed_image(START_NS + i, image)) for i in range(2)]
    info = camera_info(START_NS, CAMERA, model=model, d=coefficients, p=target)
    bag = write_bag(tmp_path / 'a', [*messages, ('/camera_info', 1, info)])

    assert prepare(bag, tmp_path / 'dataset') == 0

    folder = tmp_path / 'dataset' / 'a'
    assert read_drive(folder).original_intrinsics == target
    seen = read_image(frame_path(folder, 0))[..., 1].astype(float)
    for u, v in spots.astype(int):
        window = seen[v - 5 : v + 6, u - 5 : u + 6]
        dv, du = np.mgrid[-5:6, -5:6]
        offset = (window * du).sum() / window.sum(), (window * dv).sum() / window.sum()
        assert offset == pytest.approx((0.0, 0.0), abs=0.35)
    assert 'distortion is undone' in capsys.readouterr().out


def test_unknown_distortion_and_uncalibrated_cameras_are_refused(tmp_path, capsys):
    info = camera_info(START_NS, CAMERA, model='double_sphere', d=(0.1,))
    bag = write_bag(tmp_path / 'a', [*images(), ('/camera/camera_info', 1, info)])
    assert "'double_sphere' is unknown" in refused(capsys, bag, tmp_path / 'dataset')

    info = camera_info(START_NS, CAMERA)
    info.k[:] = 0
    bag = write_bag(tmp_path / 'b', [*images(), ('/camera/camera_info', 1, info)])
    assert 'uncalibrated camera' in refused(capsys, bag, tmp_path / 'dataset')

    info.k[:] = CAMERA.matrix().ravel() / np.repeat([CAMERA.width, CAMERA.height, 1], 3)
    bag = write_bag(tmp_path / 'shares', [*images(), ('/camera/camera_info', 1, info)])
    assert 'shares of the image' in refused(capsys, bag, tmp_path / 'dataset')

    other = Intrinsics(70.0, 70.0, 50.0, 50.0, 100, 100)
    bag = write_bag(
        tmp_path / 'c', [*images(), ('/camera/camera_info', 1, camera_info(START_NS, other))]
    )
    assert 'no pure scale' in refused(capsys, bag, tmp_path / 'dataset')


def test_region_of_interest_and_binning_move_the_intrinsics(tmp_path):
    sensor = Intrinsics(140.0, 140.0, 300.0, 200.0, 640, 400)
    info = camera_info(START_NS, sensor, roi=(100, 60, 256, 128), binning=2)
    bag = write_bag(tmp_path / 'a', [*images(), ('/camera/camera_info', 1, info)])

    prepare(bag, tmp_path / 'dataset')

    camera = read_drive(tmp_path / 'dataset' / 'a').original_intrinsics
    assert (camera.fx, camera.width, camera.height) == (70.0, 128, 64)
    assert camera.cx == pytest.approx((300.0 - 100 + 0.5) / 2 - 0.5)
    assert camera.cy == pytest.approx((200.0 - 60 + 0.5) / 2 - 0.5)


def test_rectified_topic_is_described_by_p_and_left_alone(tmp_path, capsys):
    rectified = Intrinsics(60.0, 60.0, 60.0, 30.0, 128, 64)
    info = camera_info(START_NS, CAMERA, d=(-0.3, 0.1, 0.0, 0.0, 0.0), p=rectified)
    topic = '/camera/image_rect_color/compressed'
    bag = write_bag(tmp_path / 'a', [*images(topic=topic), ('/camera/camera_info', 1, info)])

    prepare(bag, tmp_path / 'dataset')

    folder = tmp_path / 'dataset' / 'a'
    assert read_drive(folder).original_intrinsics == rectified
    assert 'undone' not in capsys.readouterr().out
    difference = read_image(frame_path(folder, 1)).astype(int) - picture(1)
    assert np.abs(difference).mean() < 3


def test_one_of_several_cameras_is_named(tmp_path, capsys):
    messages = []
    for side in ('left', 'right'):
        messages += images(topic=f'/{side}/image/compressed')
        messages.append((f'/{side}/camera_info', 9, camera_info(START_NS, CAMERA)))
    bag = write_bag(tmp_path / 'stereo', messages)

    assert 'several cameras' in refused(capsys, bag, tmp_path / 'dataset')
    assert 'choose its camera with --image-topic' in refused(
        capsys, bag, tmp_path / 'dataset', '--camera', '02'
    )
    topic = '/right/image/compressed'
    assert prepare(bag, tmp_path / 'dataset', '--image-topic', topic) == 0
    assert (tmp_path / 'dataset' / 'stereo_right_image_compressed').is_dir()
