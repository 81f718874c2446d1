"""Frames of KITTI raw as published: which are judged, through which camera, against what."""

import argparse
import json
from pathlib import Path

import cv2
import kitti_trees
import numpy as np
import pytest
from kitti_trees import CAMERA
from kitti_trees import write_raw_drive
from tiny_dataset import write_road_model

from sg_depth_ros.errors import UserError
from sg_depth_ros.evaluation.frame_key import FrameKey
from training.__main__ import main as run_verb
from training.data.drive import write_lidar
from training.data.splits import read_split_lines
from training.evaluation.kitti_frames import KittiFrames
from training.evaluation.kitti_frames import published_depth
from training.evaluation.kitti_options import add_kitti_arguments
from training.evaluation.kitti_options import kitti_frames_from

DRIVE = '2011_09_26_drive_0001'
SYNC = f'2011_09_26/{DRIVE}_sync'


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp('kitti')
    write_raw_drive(folder)
    return folder


def lines_of(folder, *lines):
    path = folder / 'list.txt'
    path.write_text('\n'.join(lines))
    return read_split_lines(path)


def write_improved(folder: Path, number: int, depth_m):
    path = folder / f'{DRIVE}_sync' / 'proj_depth' / 'groundtruth' / 'image_02'
    path.mkdir(parents=True, exist_ok=True)
    write_lidar(depth_m, path / f'{number:010d}.png')


def options(*words):
    parser = argparse.ArgumentParser()
    parser.add_argument('--drive', action='append', default=[])
    add_kitti_arguments(parser)
    return kitti_frames_from(parser.parse_args([*map(str, words)]))


def test_the_scan_is_projected_where_it_belongs(root):
    frames = KittiFrames(root)
    entry = FrameKey(f'{DRIVE}_02', 2)
    _, expected = kitti_trees.lidar_points()
    np.testing.assert_allclose(frames.truth_m(entry), expected, rtol=1e-5)
    assert frames.camera(entry) == CAMERA
    assert frames.image(entry).shape == (CAMERA.height, CAMERA.width, 3)
    assert np.all(frames.labels(entry) == 2)
    assert frames.path(entry).name == '0000000002.png'


def test_published_depth_is_as_a_plain_loop_makes_it():
    rng = np.random.default_rng(7)
    scan = np.column_stack(
        [rng.uniform(-5, 40, 4000), rng.uniform(-25, 25, (4000, 1)), rng.uniform(-3, 2, (4000, 2))]
    ).astype(np.float32)
    scan[1] = 1.1 * scan[0]  # behind it, in the same pixel or one beside
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = kitti_trees.R_0_VELODYNE, kitti_trees.T_0_VELODYNE
    expected = np.full((CAMERA.height, CAMERA.width), np.inf)
    for x, y, z, _ in scan.astype(np.float64):
        point = T[:3, :3] @ (x, y, z) + T[:3, 3]
        if x < 0 or point[2] <= 0:
            continue
        u = round(CAMERA.fx * point[0] / point[2] + CAMERA.cx) - 1
        v = round(CAMERA.fy * point[1] / point[2] + CAMERA.cy) - 1
        if 0 <= u < CAMERA.width and 0 <= v < CAMERA.height:
            expected[v, u] = min(expected[v, u], x)
    expected[np.isinf(expected)] = 0.0
    assert np.count_nonzero(expected) > 500
    np.testing.assert_allclose(published_depth(scan, T, CAMERA), expected, rtol=1e-5)


def test_published_depth_is_a_pixel_off_and_measured_from_the_scanner(root):
    entry = FrameKey(f'{DRIVE}_02', 2)
    right = KittiFrames(root).truth_m(entry)
    published = KittiFrames(root, truth='published').truth_m(entry)
    moved = right[1:, 1:]
    np.testing.assert_array_equal(published[:-1, :-1] > 0, moved > 0)
    nearer = (published[:-1, :-1] - moved)[moved > 0]
    # The scanner stands 0.27 m behind camera 0, that 3 mm behind camera 2.
    np.testing.assert_allclose(nearer, 0.267, atol=1e-4)


def test_a_list_chooses_the_frames_in_the_order_of_time(root, tmp_path):
    lines = lines_of(tmp_path, f'{SYNC} 6 l', f'{SYNC}/image_02/data/0000000003.png x.bin 721')
    frames = KittiFrames(root, lines)
    assert frames.entries == ((f'{DRIVE}_02', 3), (f'{DRIVE}_02', 6))
    assert [frames.has_truth(entry) for entry in frames.entries] == [False, True]
    assert frames.truth_m(frames.entries[0]) is None
    assert '1 of 2 frames have no velodyne depth' in frames.cautions[0]


def test_what_of_a_list_is_missing_is_counted_and_refused_only_if_nothing_is_left(root, tmp_path):
    lines = lines_of(
        tmp_path,
        f'{SYNC} 2 l',
        f'{SYNC} 99 l',
        f'{SYNC} 3 r',  # that camera is not there
        '2011_09_26/2011_09_26_drive_0009_sync 16 l',
        '2011_09_26/2011_09_26_drive_0009_sync 32 l',
    )
    frames = KittiFrames(root, lines)
    assert len(frames.entries) == 1
    absent, gaps = frames.cautions
    assert f'3 of 5 frames are of 2 drives or cameras that {root} does not hold' in absent
    assert f'1 of 5 frames are missing from drives that {root} holds' in gaps
    assert f'{DRIVE}_02 99' in gaps
    with pytest.raises(UserError, match='3 of 5 frames'):
        KittiFrames(root, lines, strict=True)
    with pytest.raises(UserError, match='2 of 2 frames'):
        KittiFrames(root, lines[-2:])


def test_resized_images_are_judged_at_the_full_resolution(tmp_path):
    drive = write_raw_drive(tmp_path, frames=3, suffix='.jpg')
    for path in (drive / 'image_02' / 'data').iterdir():
        image = cv2.imread(str(path))
        assert cv2.imwrite(str(path), cv2.resize(image, (CAMERA.width // 2, CAMERA.height // 2)))
    frames = KittiFrames(tmp_path)
    assert frames.camera(frames.entries[0]) == CAMERA.resized(80, 24)
    assert frames.truth_m(frames.entries[0]).shape == (CAMERA.height, CAMERA.width)


def test_the_improved_maps_are_found_where_they_unpack(root, tmp_path):
    _, depth_m = kitti_trees.lidar_points()
    depth_m = np.round(depth_m * 256) / 256
    write_improved(tmp_path / 'val', 5, depth_m)
    frames = KittiFrames(root, truth='improved', improved=tmp_path)
    assert len(frames.entries) == 8
    assert '7 of 8 frames have no improved depth' in frames.cautions[0]
    (entry,) = (e for e in frames.entries if frames.has_truth(e))
    assert entry.frame == 5
    np.testing.assert_array_equal(frames.truth_m(entry), depth_m.astype(np.float32))
    with pytest.raises(UserError, match='none of the 8 frames has an improved depth map'):
        KittiFrames(root, truth='improved')


def test_drives_are_chosen_by_any_of_their_names(root, tmp_path):
    for name in (DRIVE, f'{SYNC}/', f'{DRIVE}_02'):
        assert len(KittiFrames(root, drives=[name]).entries) == 8
    lines = lines_of(tmp_path, f'{SYNC} 2 l', '2011_09_26/2011_09_26_drive_0009_sync 16 l')
    assert KittiFrames(root, lines, drives=[DRIVE], strict=True).entries == ((f'{DRIVE}_02', 2),)
    with pytest.raises(UserError, match=f'no drive 2011_09_26_drive_0009; there are: {DRIVE}'):
        KittiFrames(root, drives=['2011_09_26_drive_0009'])
    with pytest.raises(UserError, match='names no drive'):
        KittiFrames(root, drives=['monday'])
    with pytest.raises(UserError, match='no frame to judge'):
        KittiFrames(root, camera='03')


def test_without_the_scanner_s_calibration_nothing_is_projected(tmp_path):
    write_raw_drive(tmp_path, frames=3)
    (tmp_path / '2011_09_26' / 'calib_velo_to_cam.txt').unlink()
    frames = KittiFrames(tmp_path)
    with pytest.raises(UserError, match='calib_velo_to_cam'):
        frames.truth_m(frames.entries[0])


def test_options_name_the_frames(root, tmp_path, capsys):
    assert options() is None
    assert options('--kitti', root).name == 'KITTI raw (velodyne)'
    (tmp_path / 'mine.txt').write_text(f'{SYNC} 2 l\n{SYNC} 99 l\n')
    frames = options('--kitti', root, '--list', tmp_path / 'mine.txt', '--truth', 'published')
    assert frames.name == f'{tmp_path}/mine.txt, 1 of 2 frames (published)'
    assert 'caution: ' in capsys.readouterr().out
    with pytest.raises(UserError, match=r'eigen: 697 of 697 frames are of 28 drives'):
        options('--kitti', root, '--list', 'eigen')


@pytest.mark.parametrize(
    'words',
    [
        ['--list', 'eigen'],
        ['--truth', 'improved'],
        ['--kitti', '.', '--improved', '.', '--truth', 'velodyne'],
        ['--kitti', '.', '--list', 'eigen', '--camera', '03'],
        ['--kitti', 'none'],
    ],
)
def test_options_that_do_not_fit_together_are_refused(words):
    with pytest.raises(UserError):
        options(*words)


def test_evaluate_judges_the_frames_of_a_list(root, tmp_path):
    model, listed = tmp_path / 'model.onnx', tmp_path / 'mine.txt'
    write_road_model(model)
    listed.write_text(f'{SYNC} 2 l\n{SYNC} 3 l\n{SYNC} 4 l\n{SYNC} 99 l\n')
    words = ['evaluate', '--model', model, '--kitti', root, '--list', listed]
    assert run_verb([*map(str, words), '--out', str(tmp_path / 'out')]) == 0
    document = json.loads((tmp_path / 'out' / 'metrics.json').read_text())
    assert (document['images'], document['frames']) == (2, 3)
    assert document['drives'] == [f'{DRIVE}_02']
    assert document['dataset'] == f'{listed}, 3 of 4 frames (velodyne)'
