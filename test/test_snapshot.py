"""A snapshot's files: what is read back is what the frame gave; nothing is overwritten."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from builtin_interfaces.msg import Time

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.errors import UserError
from sg_depth_ros.node import snapshot as snapshot_module
from sg_depth_ros.node.snapshot import Snapshot
from sg_depth_ros.node.snapshot import camera_info_yaml
from sg_depth_ros.node.snapshot import save_snapshot
from sg_depth_ros.node.snapshot import snapshot_folder

CAMERA = Intrinsics(fx=61.25, fy=1e-5 + 60, cx=31.1, cy=15.5, width=64, height=32)


@pytest.fixture
def snapshot() -> Snapshot:
    generator = np.random.default_rng(3)
    depth_m = generator.uniform(1, 80, (32, 64)).astype(np.float32)
    depth_m[0, :5], depth_m[1, :7] = np.nan, np.inf
    return Snapshot(
        image=generator.integers(0, 256, (32, 64, 3), np.uint8),
        depth_m=depth_m,
        labels=generator.integers(0, 19, (32, 64), np.uint8),
        confidence=generator.integers(0, 256, (32, 64), np.uint8),
        camera=CAMERA,
        stamp=Time(sec=17, nanosec=42),
        frame_id='front "camera"',
    )


def test_every_file_holds_what_the_frame_gave(snapshot: Snapshot, tmp_path: Path):
    folder = save_snapshot(snapshot, tmp_path / 'new' / 'folder')
    assert folder == tmp_path / 'new' / 'folder' / '17.000000042'
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    image = cv2.imread(str(folder / 'image.png'))
    np.testing.assert_array_equal(image[..., ::-1], snapshot.image)
    for name in ('labels', 'confidence'):
        pixels = cv2.imread(str(folder / f'{name}.png'), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(pixels, getattr(snapshot, name))
    np.testing.assert_array_equal(np.load(folder / 'depth.npy'), snapshot.depth_m)


def test_the_cloud_is_a_ply_of_the_points_that_have_a_depth(snapshot: Snapshot, tmp_path: Path):
    content = (save_snapshot(snapshot, tmp_path) / 'cloud.ply').read_bytes()
    header, _, body = content.partition(b'end_header\n')
    lines = header.decode().splitlines()
    assert lines[:2] == ['ply', 'format binary_little_endian 1.0']
    assert 'element vertex 2036' in lines  # 32 x 64 without 5 and 7
    properties = [line.split()[1:] for line in lines if line.startswith('property')]
    kinds = {'float': '<f4', 'uchar': 'u1'}
    points = np.frombuffer(body, [(name, kinds[kind]) for kind, name in properties])
    assert len(points) == 2036
    valid = np.isfinite(snapshot.depth_m)
    np.testing.assert_array_equal(points['z'], snapshot.depth_m[valid])
    u, v = np.meshgrid(np.arange(64), np.arange(32))
    z = snapshot.depth_m[valid]
    np.testing.assert_allclose(points['x'], (u[valid] - CAMERA.cx) / CAMERA.fx * z, rtol=1e-4)
    np.testing.assert_allclose(points['y'], (v[valid] - CAMERA.cy) / CAMERA.fy * z, rtol=1e-4)
    colors = np.stack([points[name] for name in ('red', 'green', 'blue')], axis=-1)
    np.testing.assert_array_equal(colors, snapshot.image[valid])
    np.testing.assert_array_equal(points['label'], snapshot.labels[valid])


def test_the_camera_is_in_the_format_of_camera_calibration():
    content = yaml.safe_load(camera_info_yaml(CAMERA, 'front "camera" \\ 1'))
    assert content['camera_name'] == 'front "camera" \\ 1'
    assert (content['image_width'], content['image_height']) == (64, 32)
    matrix = content['camera_matrix']
    assert (matrix['rows'], matrix['cols']) == (3, 3)
    assert matrix['data'] == CAMERA.matrix().ravel().tolist()
    assert content['distortion_model'] == 'plumb_bob'
    assert content['distortion_coefficients']['data'] == [0.0] * 5
    assert content['rectification_matrix']['data'] == np.eye(3).ravel().tolist()
    projection = np.reshape(content['projection_matrix']['data'], (3, 4))
    np.testing.assert_array_equal(projection[:, :3], CAMERA.matrix())


def test_our_own_reader_of_camera_files_takes_it(tmp_path: Path):
    from training.data.sources.camera_file import read_camera_file

    path = tmp_path / 'camera.yaml'
    path.write_text(camera_info_yaml(CAMERA, 'front'))
    camera = read_camera_file(path)
    assert Intrinsics.from_matrix(camera.k.reshape(3, 3), camera.width, camera.height) == CAMERA


def test_a_second_snapshot_of_a_stamp_leaves_the_first_alone(snapshot: Snapshot, tmp_path: Path):
    folders = [save_snapshot(snapshot, tmp_path) for _ in range(3)]
    assert [folder.name for folder in folders] == [
        '17.000000042', '17.000000042_2', '17.000000042_3',
    ]  # fmt: skip
    assert len({path.read_bytes() for path in tmp_path.glob('*/depth.npy')}) == 1


def test_without_depth_or_camera_the_rest_is_written(snapshot: Snapshot, tmp_path: Path):
    folder = save_snapshot(snapshot._replace(depth_m=None), tmp_path / 'a')
    names = {'image.png', 'labels.png', 'confidence.png', 'camera_info.yaml'}
    assert {path.name for path in folder.iterdir()} == names
    folder = save_snapshot(snapshot._replace(camera=None), tmp_path / 'b')
    names = {'image.png', 'labels.png', 'confidence.png', 'depth.npy'}
    assert {path.name for path in folder.iterdir()} == names


def test_a_failed_write_leaves_nothing_behind(snapshot: Snapshot, tmp_path: Path, monkeypatch):
    def full_disk(*arguments: object) -> bytes:
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(snapshot_module, 'cloud_ply', full_disk)
    with pytest.raises(UserError, match='No space left'):
        save_snapshot(snapshot, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_file_in_the_way_is_said(snapshot: Snapshot, tmp_path: Path):
    (tmp_path / 'file').touch()
    with pytest.raises(UserError, match='file'):
        save_snapshot(snapshot, tmp_path / 'file' / 'node')


def test_every_node_has_a_folder_of_its_own(monkeypatch):
    assert snapshot_folder('/data', '/front/depth_node') == Path('/data/front/depth_node')
    monkeypatch.setenv('ROS_HOME', '/ros')
    assert snapshot_folder('', '/depth_node') == Path('/ros/sg_depth_ros/depth_node')
    monkeypatch.delenv('ROS_HOME')
    monkeypatch.setenv('HOME', '/home/somebody')
    expected = Path('/home/somebody/.ros/sg_depth_ros/depth_node')
    assert snapshot_folder('', '/depth_node') == expected
