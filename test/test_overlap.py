"""What two splits share: images, instants, stretches of road, drives."""

import pytest
from tiny_model import tiny_contract

from sg_depth_ros.errors import UserError
from training.__main__ import main as run_verb
from training.checking.sharing import check_splits
from training.checking.sharing import judge_origin
from training.data.drive import Drive
from training.data.drive import Frame
from training.data.drive import read_drive
from training.data.drive import write_drive
from training.data.eigen import EIGEN_TEST_DRIVES
from training.data.overlap import Kinship
from training.data.overlap import open_split
from training.data.overlap import overlap
from training.data.splits import eigen_test_lines

RAW = '2011_09_26/2011_09_26_drive_0009_sync'  # a test drive; its frames 0, 16, 32 ... are tested
OTHER = '2011_09_26/2011_09_26_drive_0001_sync'


def split_of(folder, name, *lines):
    (folder / name).write_text('\n'.join(lines))
    return str(folder / name)


def write_described(dataset, name='road', source='test', numbers=(0, 1, 2, 5, 6)):
    """Write a drive without images, and return the dataset folder."""
    camera = tiny_contract().intrinsics
    frames = tuple(Frame(i, i, number=number) for i, number in enumerate(numbers))
    (dataset / name).mkdir(parents=True)
    write_drive(Drive(name, source, camera, camera, frames), dataset / name)
    return str(dataset)


def compare(first, second, margin=10):
    return overlap(open_split(first, {}), open_split(second, {}), margin)


def test_the_test_list_of_eigen_has_697_left_images_of_the_28_test_drives():
    lines = eigen_test_lines()
    assert len(set(lines)) == len(lines) == 697
    assert {line.camera.recording for line in lines} == set(EIGEN_TEST_DRIVES)
    assert {line.camera.number for line in lines} == {2}
    # All have 25 but one.
    of_0048 = [line.frame for line in lines if line.camera.recording == '2011_09_26_drive_0048']
    assert of_0048 == list(range(22))


def test_every_frame_counts_once_as_the_nearest_it_is(tmp_path):
    train = split_of(
        tmp_path,
        'train.txt',
        f'{RAW} 16 l',  # tested
        f'{RAW} 32 r',  # beside a tested one
        f'{RAW} 47 l',  # one before
        f'{RAW} 58 l',  # ten after 48
        f'{RAW} 0000000016 l',  # again
        f'{RAW} 410 r',  # the drive goes on behind the last tested frame, 388
        f'{OTHER} 16 l',
    )
    found = compare(train, 'eigen')
    assert found.of_first == (6, 1, 1, 2, 1, 1)
    assert compare(train, 'eigen', margin=0).of_first == (6, 1, 1, 0, 3, 1)
    # From the other side: 48 and 64 are near 47 and 58, the others of 0009 are farther off.
    assert found.of_second == (697, 1, 1, 2, 21, 672)
    (drive,) = found.drives
    assert drive.recording == '2011_09_26_drive_0009'
    assert drive.first == (5, 1, 1, 2, 1, 0)
    ((row, kinship),) = found.examples
    assert (str(row), kinship) == (f'{RAW[11:32]} camera 2 frame 16', Kinship.SAME)


def test_a_list_without_the_tested_images_still_holds_what_they_show(tmp_path):
    # So is the list of 71,634 rows that goes by the name of eigen_zhou: of the depth benchmark's
    # training list only the left test images were taken out.
    tested = [0, 16, 32]
    train = split_of(
        tmp_path,
        'train.txt',
        *(f'{RAW} {n} l' for n in range(40) if n not in tested),
        *(f'{RAW} {n} r' for n in range(40)),
    )
    assert compare(train, 'eigen').of_first == (77, 0, 3, 74, 0, 0)


def test_frames_of_odometry_are_found_in_the_raw_drives(tmp_path):
    sequences = split_of(tmp_path, 'odometry.txt', '8 10 l', '9 7 r', '08/image_0/000020.png')
    drive = '2011_09_30/2011_09_30_drive_00'
    raw = split_of(
        tmp_path,
        'raw.txt',
        f'{drive}28_sync 1110 l',  # sequence 08 begins at frame 1100
        f'{drive}33_sync 7 l',  # sequence 09 at frame 0
        f'{drive}28_sync/image_00/data/0000001120.png',
    )
    found = compare(sequences, raw)
    assert found.of_first == (3, 2, 1, 0, 0, 0)
    assert '08 camera 2 frame 10 (2011_09_30_drive_0028 1110)' in map(
        str, (row for row, _ in found.examples)
    )


def test_sequences_of_unknown_origin_are_no_raw_drives(tmp_path):
    eleven = split_of(tmp_path, 'eleven.txt', '11 3 l', '11 4 l')
    assert compare(eleven, 'eigen').of_first.apart == 2
    assert compare(eleven, eleven).of_first.same == 2


def test_a_dataset_stands_for_its_frames_as_the_recording_numbers_them(tmp_path):
    source = 'KITTI raw 2011_09_26_drive_0009, camera 02'
    dataset = write_described(tmp_path / 'a', 'monday', source, numbers=(0, 1, 2, 16, 40))
    found = compare(dataset, 'eigen')
    # 40 is 8 from 32 and from 48; 1 and 2 are near 0.
    assert found.of_first == (5, 2, 0, 3, 0, 0)


def test_our_lines_are_looked_up_in_the_dataset_they_are_of(tmp_path, capsys):
    source = 'KITTI raw 2011_09_26_drive_0009, camera 02'
    dataset = write_described(tmp_path / 'a', 'monday', source, numbers=(5, 16, 40))
    split = split_of(tmp_path, 'kept.txt', 'monday 000001')
    assert run_verb(['overlap', split, 'eigen']) == 0
    assert run_verb(['overlap', split, 'eigen', '--data', dataset]) == 1
    assert 'monday frame 1: same image' in capsys.readouterr().out


def test_names_that_prepare_gives_are_known_without_the_dataset(tmp_path):
    split = open_split(split_of(tmp_path, 'kept.txt', '2011_09_26_drive_0009_03 000016'), {})
    assert overlap(split, open_split('eigen', {})).of_first.instant == 1
    assert 'give its dataset with --data' in split.cautions[0]


def test_bags_tell_which_drive_but_not_which_frame(tmp_path):
    source = 'rosbag2 kitti_2011_09_26_drive_0009_synced, /camera'
    dataset = write_described(tmp_path / 'a', 'bag', source, numbers=(None, None, None))
    found = compare(dataset, 'eigen')
    assert found.of_first == (3, 0, 0, 0, 3, 0)
    assert '3 frames are of drives of KITTI' in found.first.cautions[0]


def test_own_drives_are_compared_by_name(tmp_path):
    train = split_of(tmp_path, 'train.txt', 'monday 000001', 'tuesday 000001')
    held = split_of(tmp_path, 'held.txt', 'tuesday 000005', 'friday 000001')
    assert compare(train, held).of_first == (2, 0, 0, 1, 0, 1)


@pytest.mark.parametrize(
    ('line', 'status_of_eigen', 'status'),
    [
        (f'{OTHER} 16 l', 0, 0),
        (f'{RAW} 410 l', 1, 0),
        (f'{RAW} 17 l', 1, 0),
        (f'{RAW} 16 r', 1, 1),
        (f'{RAW} 16 l', 1, 1),
    ],
)
def test_the_status_guards_drives_of_the_test_list_and_instants_of_other_splits(
    tmp_path, capsys, line, status_of_eigen, status
):
    split = split_of(tmp_path, 'train.txt', line)
    tested = split_of(tmp_path, 'test.txt', f'{RAW} 16 l')
    assert run_verb(['overlap', split, 'eigen']) == status_of_eigen
    assert run_verb(['overlap', split, tested]) == status
    assert run_verb(['overlap', split, tested, '--fail-on', 'never']) == 0
    assert f'exit status {status} (--fail-on instant)' in capsys.readouterr().out


def test_what_is_no_split_is_named(tmp_path, capsys):
    empty = split_of(tmp_path, 'empty.txt', '# nothing')
    with pytest.raises(UserError, match='empty'):
        open_split(empty, {})
    assert run_verb(['overlap', str(tmp_path / 'none.txt'), 'eigen']) == 2
    assert 'none.txt' in capsys.readouterr().err


def test_check_tells_what_splits_share_with_each_other_and_with_the_test_list(tmp_path):
    source = 'KITTI raw 2011_09_26_drive_0009, camera 02'
    dataset = tmp_path / 'a'
    write_described(dataset, 'monday', source, numbers=(14, 15, 16, 17))
    drives = {'monday': read_drive(dataset / 'monday')}
    first = tmp_path / split_of(tmp_path, 'train.txt', 'monday 000000', f'{OTHER} 3 l')
    second = tmp_path / split_of(tmp_path, 'val.txt', 'monday 000002')
    apart = check_splits([first, second], drives, dataset)
    assert not apart.share_an_instant
    text = '\n'.join(apart.sentences)
    assert f'{first}: 1 frames of {dataset}' in text
    assert '1 of 2 lines are of 1 drives that are not prepared' in text
    assert '0 show the same instant by another camera, 1 more lie within 10 frames' in text
    assert 'val.txt, 1 are the same' in text  # frame 16 is tested
    assert check_splits([first, first], drives, dataset).share_an_instant


def test_check_names_a_test_drive(tmp_path):
    write_described(tmp_path, 'odometry_04_2')
    (finding,) = judge_origin(read_drive(tmp_path / 'odometry_04_2'))
    assert finding.number == '2011_09_30_drive_0016, odometry 04'
    write_described(tmp_path, 'odometry_06_2')
    assert judge_origin(read_drive(tmp_path / 'odometry_06_2')) == []
