"""Splits: which frames of prepared drives a text file means, in our format and in KITTI's."""

import re
from pathlib import Path

import pytest
from tiny_model import tiny_contract

from sg_depth_ros.errors import UserError
from sg_depth_ros.evaluation.frame_key import FrameKey
from training.data.drive import Drive
from training.data.drive import Frame
from training.data.drive import write_split
from training.data.splits import Camera
from training.data.splits import SplitLine
from training.data.splits import find_split
from training.data.splits import read_split_lines

RAW = '2011_09_26_drive_0022'
DATASET = Path('dataset')


def a_drive(name='drive', source='test', numbers=range(5)):
    camera = tiny_contract().intrinsics
    frames = tuple(Frame(i, i, number=number) for i, number in enumerate(numbers))
    return Drive(name, source, camera, camera, frames)


def raw_drive(camera, **more):
    source = f'KITTI raw {RAW}, camera 0{camera}'
    return a_drive(**{'name': f'{RAW}_0{camera}', 'source': source, **more})


def split_of(folder, *lines):
    path = folder / 'train.txt'
    path.write_text('\n'.join(lines))
    return path


def read_line(folder, line):
    (found,) = read_split_lines(split_of(folder, line))
    return found


def test_a_split_comes_back_as_it_went(tmp_path):
    entries = (FrameKey('a', 0), FrameKey('b_2011', 123), FrameKey('a', 1_234_567))
    write_split(entries, tmp_path / 'train.txt')
    lines = read_split_lines(tmp_path / 'train.txt')
    assert lines == tuple(SplitLine(Camera(e.drive, None), e.frame) for e in entries)


def test_a_split_may_hold_comments_and_empty_lines(tmp_path):
    path = split_of(tmp_path, '# kept frames', '', 'a 000007', '  ')
    assert read_split_lines(path) == (SplitLine(Camera('a', None), 7),)


@pytest.mark.parametrize(
    ('line', 'camera', 'frame'),
    [
        (f'2011_09_26/{RAW}_sync 473 r', Camera(RAW, 3), 473),
        (f'2011_09_26/{RAW}_sync 0000000069 l', Camera(RAW, 2), 69),
        ('8 4056 r', Camera('08', 3), 4056),
        ('10 0 l', Camera('10', 2), 0),
        (f'2011_09_26/{RAW}_sync/image_02/data/0000000085.png', Camera(RAW, 2), 85),
        (f'/kitti/2011_09_26/{RAW}_sync/image_03/data/85.jpg a/b.npz 7', Camera(RAW, 3), 85),
        ('sequences/04/image_2/000012.png', Camera('04', 2), 12),
        # Ours, though it looks like KITTI's: the name that prepare gives.
        (f'{RAW}_02 000085', Camera(f'{RAW}_02', None), 85),
    ],
)
def test_every_known_format_is_read(tmp_path, line, camera, frame):
    assert read_line(tmp_path, line) == SplitLine(camera, frame)


@pytest.mark.parametrize(
    'line',
    [
        'a',
        'a b',
        'a 1 2',
        'a -1',
        'a 1.5',
        'a ²',
        f'{RAW}_sync 3 m',
        f'{RAW}_sync/image_02/85.png',
    ],
)
def test_a_line_of_no_format_is_named(tmp_path, line):
    with pytest.raises(UserError, match=rf'train\.txt:2: {re.escape(repr(line))} is not'):
        read_split_lines(split_of(tmp_path, 'a 1', line))


def test_a_split_that_is_no_text_or_missing_is_named(tmp_path):
    (tmp_path / 'train.txt').write_bytes(b'\xff\xfe\x00\x81')
    with pytest.raises(UserError, match=r'train\.txt'):
        read_split_lines(tmp_path / 'train.txt')
    with pytest.raises(UserError, match=r'none\.txt'):
        read_split_lines(tmp_path / 'none.txt')


def test_frames_are_found_by_the_numbers_of_the_recording(tmp_path):
    # Frames 3 and 4 of the recording are missing, so that its frame 5 is our frame 3.
    drive = raw_drive(2, numbers=(0, 1, 2, 5, 6))
    split = split_of(tmp_path, f'2011_09_26/{RAW}_sync 5 l', f'2011_09_26/{RAW}_sync 3 l')
    match = find_split(split, [drive], DATASET)
    assert match.entries == {FrameKey(drive.name, 3)}
    assert match.missing_frames == 1
    assert '1 of 2 lines name frames' in match.cautions(split)[0]


def test_our_lines_count_files_not_numbers_of_the_recording(tmp_path):
    drive = raw_drive(2, numbers=(0, 1, 2, 5, 6))
    match = find_split(split_of(tmp_path, f'{drive.name} 000003'), [drive], DATASET)
    assert match.entries == {FrameKey(drive.name, 3)}


def test_left_and_right_are_two_drives(tmp_path):
    drives = [raw_drive(2), raw_drive(3)]
    split = split_of(tmp_path, f'd/{RAW}_sync 1 l', f'd/{RAW}_sync 1 r', f'd/{RAW}_sync 2 r')
    match = find_split(split, drives, DATASET)
    assert match.entries == {(drives[0].name, 1), (drives[1].name, 1), (drives[1].name, 2)}


def test_a_drive_is_found_under_any_name(tmp_path):
    drive = raw_drive(2, name='monday')
    match = find_split(split_of(tmp_path, f'd/{RAW}_sync 1 l'), [drive], DATASET)
    assert match.entries == {FrameKey('monday', 1)}
    odometry = a_drive('tuesday', 'KITTI odometry 08, camera 2')
    match = find_split(split_of(tmp_path, '8 3 l'), [odometry], DATASET)
    assert match.entries == {FrameKey('tuesday', 3)}


def test_lines_of_drives_that_are_not_prepared_are_counted(tmp_path):
    lines = ['d/2011_09_26_drive_0001_sync 1 l'] * 3 + [f'd/{RAW}_sync 1 r', f'd/{RAW}_sync 1 l']
    split = split_of(tmp_path, *lines)
    match = find_split(split, [raw_drive(2)], DATASET)
    assert match.unprepared == (
        (Camera('2011_09_26_drive_0001', 2), 3),
        (Camera(RAW, 3), 1),
    )
    (caution,) = match.cautions(split)
    assert '4 of 5 lines are of 2 drives that are not prepared' in caution
    assert '2011_09_26_drive_0001 camera 2' in caution


def test_a_split_of_other_drives_is_refused(tmp_path):
    with pytest.raises(UserError, match=f'none of its 1 lines.*dataset.*{RAW} camera 3'):
        find_split(split_of(tmp_path, f'd/{RAW}_sync 1 r'), [raw_drive(2)], DATASET)
    with pytest.raises(UserError, match='none of its frames'):
        find_split(split_of(tmp_path, f'd/{RAW}_sync 99 l'), [raw_drive(2)], DATASET)
    with pytest.raises(UserError, match='empty'):
        find_split(split_of(tmp_path, '# nothing'), [raw_drive(2)], DATASET)
