"""The dataset folder: what is written comes back, and damage is named."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.errors import UserError
from training.data import drive as drives
from training.data.drive import Drive
from training.data.drive import Frame

CAMERA = Intrinsics(100.0, 101.0, 47.5, 31.5, 96, 64)
FINITE = st.floats(-1e6, 1e6)


def straight_pose(x_m, y_m, z_m):
    return (1.0, 0.0, 0.0, x_m, 0.0, 1.0, 0.0, y_m, 0.0, 0.0, 1.0, z_m)


def a_drive(*frames):
    return Drive('town', 'made up', CAMERA, CAMERA.resized(1920, 1280), frames, 'CC0')


@st.composite
def frames(draw):
    return tuple(
        Frame(
            index,
            draw(st.integers(0, 2**62)),
            draw(st.none() | FINITE),
            draw(st.none() | st.tuples(*[FINITE] * 12)),
            draw(st.none() | st.integers(0, 10**9)),
            draw(st.none() | st.text(max_size=20)),
        )
        for index in range(draw(st.integers(0, 5)))
    )


@settings(max_examples=60, deadline=None)
@given(frames(), st.text(max_size=20), st.text(max_size=20))
def test_every_drive_comes_back_as_it_went(tmp_path_factory, frames, source, licence):
    folder = tmp_path_factory.mktemp('dataset') / 'town'
    folder.mkdir()
    drive = replace(a_drive(*frames), source=source, licence=licence)
    drives.write_drive(drive, folder)
    assert drives.read_drive(folder) == drive
    assert [p.name for p in folder.iterdir()] == ['drive.json']


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / 'town'
    folder.mkdir()
    drives.write_drive(a_drive(Frame(0, 0, 10.0), Frame(1, 10**8, 10.0)), folder)
    return folder


def refusal(folder):
    with pytest.raises(UserError) as refused:
        drives.read_drive(folder)
    assert str(folder / 'drive.json') in str(refused.value)
    assert '\n' not in str(refused.value)
    return str(refused.value)


def test_a_missing_drive_file_is_named(tmp_path):
    assert 'prepare' in refusal(tmp_path)


@pytest.mark.parametrize('text', ['', '{', '[]', 'null', '"text"', '{"format_version": 1}'])
def test_a_damaged_drive_file_is_named(folder, text):
    (folder / 'drive.json').write_text(text)
    refusal(folder)


def test_a_drive_file_that_is_no_text_is_named(folder):
    (folder / 'drive.json').write_bytes(b'\xff\xfe\x00\x81')
    refusal(folder)


def test_a_truncated_drive_file_is_named(folder):
    path = folder / 'drive.json'
    path.write_text(path.read_text()[:-40])
    refusal(folder)


def change(folder, **changes):
    path = folder / 'drive.json'
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    'changes',
    [
        {'format_version': 2},
        {'intrinsics_px': {'fx': 1}},
        {'intrinsics_px': None},
        {'frames': None},
        {'frames': [{}]},
        {'frames': ['text']},
        {'frames': [{'index': 0, 'stamp_ns': 'noon'}]},
        {'frames': [{'index': 0, 'stamp_ns': 0, 'speed_m_s': 'fast'}]},
        {'frames': [{'index': 0, 'stamp_ns': 0, 'number': '7'}]},
        {'frames': [{'index': 1, 'stamp_ns': 0}]},  # not numbered from 0
        {'frames': [{'index': 0, 'stamp_ns': 0, 'T_world_camera': [1, 0, 0]}]},
    ],
    ids=str,
)
def test_a_wrong_field_of_a_drive_file_is_refused(folder, changes):
    change(folder, **changes)
    refusal(folder)


def test_an_uncalibrated_camera_in_a_drive_file_is_refused(folder):
    change(folder, intrinsics_px={**vars(CAMERA), 'fx': 0.0})
    assert 'uncalibrated' in refusal(folder)


def test_drives_are_listed_by_name_and_incomplete_ones_are_not(tmp_path):
    for name in ('b', 'a'):
        (tmp_path / name).mkdir()
        drives.write_drive(a_drive(), tmp_path / name)
    (tmp_path / 'unfinished').mkdir()
    assert [p.name for p in drives.list_drives(tmp_path)] == ['a', 'b']


def test_a_folder_without_drives_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / 'missing'):
        with pytest.raises(UserError, match='prepare'):
            drives.list_drives(path)


def test_displacement_from_poses_is_the_distance_between_them():
    drive = a_drive(
        Frame(0, 0, 99.0, straight_pose(1, 2, 3)),
        Frame(1, 10**8, 99.0, straight_pose(1, 2, 4)),
        Frame(2, 2 * 10**8, 99.0, straight_pose(4, 2, 7)),
    )
    assert drive.scale_source == 'poses'
    assert drive.displacement_m(0, 2) == pytest.approx(5.0)
    assert drive.displacement_m(2, 0) == pytest.approx(5.0)
    assert drive.displacement_m(1, 1) == 0.0


def test_displacement_from_speed_is_integrated_over_the_real_stamps():
    drive = a_drive(Frame(0, 0, 10.0), Frame(1, 100_000_000, 12.0), Frame(2, 400_000_000, 8.0))
    assert drive.scale_source == 'speed'
    by_hand_m = 0.1 * (10 + 12) / 2 + 0.3 * (12 + 8) / 2
    assert drive.displacement_m(0, 2) == pytest.approx(by_hand_m)
    assert drive.displacement_m(2, 0) == pytest.approx(by_hand_m)


def test_driving_backwards_is_a_displacement_too():
    drive = a_drive(Frame(0, 0, -5.0), Frame(1, 10**9, -5.0))
    assert drive.displacement_m(0, 1) == pytest.approx(5.0)


def test_displacement_is_unknown_where_motion_is():
    drive = a_drive(Frame(0, 0, 10.0), Frame(1, 10**8), Frame(2, 2 * 10**8, 10.0))
    assert drive.displacement_m(0, 2) is None
    assert drive.displacement_m(0, 1) is None
    unmeasured = a_drive(Frame(0, 0), Frame(1, 10**8))
    assert unmeasured.scale_source == 'none'
    assert unmeasured.displacement_m(0, 1) is None


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 40), min_size=2, max_size=8), st.floats(0.01, 0.5))
def test_displacements_along_a_drive_add_up(speeds_m_s, step_s):
    drive = a_drive(
        *(Frame(i, round(i * step_s * 1e9), speed) for i, speed in enumerate(speeds_m_s))
    )
    last = len(speeds_m_s) - 1
    steps_m = [drive.displacement_m(i, i + 1) for i in range(last)]
    assert drive.displacement_m(0, last) == pytest.approx(math.fsum(steps_m), abs=1e-9)


def test_frames_are_stored_nearly_without_loss_and_in_the_right_colour_order(tmp_path):
    image = np.zeros((64, 96, 3), np.uint8)
    image[:, :48] = (250, 10, 60)
    image[:, 48:] = (10, 200, 120)
    drives.write_frame(image, tmp_path / 'a.jpg')
    back = drives.read_image(tmp_path / 'a.jpg')
    assert np.abs(back.astype(int) - image).max() <= 6
    # Full chroma: with 4:2:0 the colours of a single column bleed into its neighbours.
    fine = np.zeros((64, 96, 3), np.uint8)
    fine[:, ::2] = (255, 0, 0)
    drives.write_frame(fine, tmp_path / 'b.jpg')
    red = drives.read_image(tmp_path / 'b.jpg')[..., 0].astype(int)
    assert (red[:, ::2] - red[:, 1::2]).min() > 200


def test_a_missing_and_a_damaged_image_are_told_apart(tmp_path):
    with pytest.raises(UserError, match='no such image'):
        drives.read_image(tmp_path / 'a.jpg')
    (tmp_path / 'a.jpg').write_bytes(b'\xff\xd8\xff')
    with pytest.raises(UserError, match='damaged'):
        drives.read_image(tmp_path / 'a.jpg')


def test_labels_come_back_exactly(tmp_path):
    labels = np.arange(64 * 96, dtype=np.uint32).reshape(64, 96).astype(np.uint8)
    drives.write_labels(labels, tmp_path / 'a.png')
    np.testing.assert_array_equal(drives.read_labels(tmp_path / 'a.png'), labels)


def test_lidar_comes_back_to_a_256th_of_a_metre(tmp_path):
    depth_m = np.random.default_rng(0).uniform(0, 255, (64, 96)).astype(np.float32)
    depth_m[:8] = 0
    drives.write_lidar(depth_m, tmp_path / 'a.png')
    back = drives.read_lidar(tmp_path / 'a.png')
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, depth_m, atol=0.5 / 256)
    assert (back[:8] == 0).all()


def test_lidar_that_16_bits_cannot_hold_becomes_no_measurement(tmp_path):
    depth_m = np.array([[255.99, 256.0, 1000.0, np.inf, np.nan, 5.0]], np.float32)
    drives.write_lidar(depth_m, tmp_path / 'a.png')
    back = drives.read_lidar(tmp_path / 'a.png')[0]
    assert back[1:5].tolist() == [0, 0, 0, 0]
    assert back[5] == 5.0
    assert back[0] == pytest.approx(255.99, abs=0.5 / 256)


def test_files_of_another_kind_are_refused(tmp_path):
    drives.write_frame(np.zeros((64, 96, 3), np.uint8), tmp_path / 'a.jpg')
    for read in (drives.read_labels, drives.read_lidar):
        for name in ('a.jpg', 'missing.png'):
            with pytest.raises(UserError, match=name):
                read(tmp_path / name)
