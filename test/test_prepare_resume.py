"""However prepare was run and interrupted, the dataset is the same to the byte."""

import errno
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from bag_messages import camera_info
from bag_messages import compressed_image
from bag_messages import write_bag
from folder_bytes import tree
from kitti_trees import write_image
from preparing import HIDDEN
from preparing import NAME
from preparing import prepare_small
from preparing import whole_dataset
from preparing import write_standing_drive
from recordings import CAMERA
from recordings import picture
from recordings import write_camera
from recordings import write_images
from recordings import write_video

from sg_depth_ros.errors import UserError
from training.data.drive import list_drives
from training.data.preparation import frames
from training.data.preparation import workspace
from training.data.preparation.workspace import locked_workspace

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def drive(tmp_path):
    return write_standing_drive(tmp_path)


@pytest.fixture
def whole(drive, tmp_path):
    return whole_dataset(drive, tmp_path / 'whole')


def interrupt_at(monkeypatch, index, error):
    """Make writing of one frame fail, once its image is there."""
    write = frames.write_labels

    def write_or_fail(labels, path):
        write(labels, path)
        if path.stem == f'{index:06d}':
            raise error

    monkeypatch.setattr(frames, 'write_labels', write_or_fail)


def interrupted(drive, dataset, monkeypatch, index, *options):
    """Prepare up to the middle of a frame."""
    with monkeypatch.context() as patch:
        interrupt_at(patch, index, KeyboardInterrupt())
        assert prepare_small(drive, dataset, *options) == 130
    assert [p.name for p in dataset.iterdir() if p.name.startswith('.')] == [HIDDEN]


@pytest.mark.parametrize('index', [1, 4, 7])
def test_interrupted_drive_goes_on_where_it_was(
    drive, whole, tmp_path, monkeypatch, capsys, index
):
    dataset = tmp_path / 'dataset'
    interrupted(drive, dataset, monkeypatch, index)
    assert 'same command goes on' in capsys.readouterr().out
    kept = dataset / HIDDEN / NAME / 'frames' / '000000.jpg'
    written_ns = kept.stat().st_mtime_ns

    written = []
    write = frames.write_frame
    monkeypatch.setattr(
        frames, 'write_frame', lambda i, p: (written.append(int(p.stem)), write(i, p))
    )
    assert prepare_small(drive, dataset) == 0

    assert sorted(written) == list(range(index, 8))
    assert f'goes on at frame {index + 1} of 8' in capsys.readouterr().out
    assert (dataset / NAME / 'frames' / '000000.jpg').stat().st_mtime_ns == written_ns
    assert tree(dataset) == whole


def test_interrupted_before_the_first_frame_leaves_nothing(drive, tmp_path, monkeypatch):
    interrupt_at(monkeypatch, 0, KeyboardInterrupt())
    assert prepare_small(drive, tmp_path / 'new' / 'dataset') == 130
    assert not (tmp_path / 'new').exists()


def test_exchange_that_was_interrupted_is_undone_for_another_command(drive, tmp_path):
    dataset = tmp_path / 'dataset'
    assert prepare_small(drive, dataset, '--licence', 'old') == 0
    before = tree(dataset)
    (dataset / HIDDEN).mkdir()
    (dataset / NAME).rename(dataset / HIDDEN / '.replaced')

    assert prepare_small(drive, dataset, '--licence', 'other') == 2

    assert tree(dataset) == before


def test_other_options_start_over_and_say_so(drive, whole, tmp_path, monkeypatch, capsys):
    dataset = tmp_path / 'dataset'
    interrupted(drive, dataset, monkeypatch, 5, '--min-motion', '0.5', '--licence', 'other')
    assert prepare_small(drive, dataset) == 0
    assert 'starts over: recording or options changed' in capsys.readouterr().out
    assert tree(dataset) == whole


def test_file_that_was_written_to_meanwhile_starts_over(
    drive, whole, tmp_path, monkeypatch, capsys
):
    """Of the same size, so that only its time tells."""
    path = drive / 'semantic_02' / 'data' / '0000000002.png'
    right = path.read_bytes()
    for value in range(8, 256):
        write_image(path, np.full((48, 160), value, np.uint8))
        if path.stat().st_size == len(right):
            break
    assert path.stat().st_size == len(right)
    dataset = tmp_path / 'dataset'
    interrupted(drive, dataset, monkeypatch, 5)

    path.write_bytes(right)
    assert prepare_small(drive, dataset) == 0
    assert 'starts over' in capsys.readouterr().out
    assert tree(dataset) == whole


@pytest.mark.parametrize('damage', ['short', 'missing'])
def test_files_that_a_power_failure_took_are_made_again(
    drive, whole, tmp_path, monkeypatch, capsys, damage
):
    dataset = tmp_path / 'dataset'
    interrupted(drive, dataset, monkeypatch, 7)
    path = dataset / HIDDEN / NAME / 'lidar' / '000004.png'
    if damage == 'short':
        path.write_bytes(b'')
    else:
        path.unlink()

    assert prepare_small(drive, dataset) == 0

    assert 'goes on at frame 5 of 8' in capsys.readouterr().out
    assert tree(dataset) == whole


def test_full_disk_keeps_the_frames(drive, whole, tmp_path, monkeypatch, capsys):
    dataset = tmp_path / 'dataset'
    with monkeypatch.context() as patch:
        interrupt_at(patch, 5, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        assert prepare_small(drive, dataset) == 2
    error = capsys.readouterr().err
    assert 'No space left on device' in error
    assert 'same command goes on' in error

    assert prepare_small(drive, dataset) == 0
    assert 'goes on at frame 6 of 8' in capsys.readouterr().out
    assert tree(dataset) == whole


def test_refusal_keeps_what_another_command_began(drive, tmp_path, monkeypatch):
    """Interrupted while replacing a drive, then called without --overwrite by mistake."""
    dataset = tmp_path / 'dataset'
    assert prepare_small(drive, dataset, '--licence', 'old') == 0
    interrupted(drive, dataset, monkeypatch, 5, '--overwrite')
    before = tree(dataset)
    assert prepare_small(drive, dataset) == 2
    assert tree(dataset) == before


def test_unfinished_drive_is_no_drive_to_others(drive, tmp_path, monkeypatch):
    dataset = tmp_path / 'dataset'
    interrupted(drive, dataset, monkeypatch, 7)
    with pytest.raises(UserError, match='holds no drive'):
        list_drives(dataset)
    assert not list(dataset.glob('*/frames'))


def test_two_commands_on_one_drive_do_not_mix(drive, whole, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(workspace, 'LOCK_PATIENCE_S', 0.0)
    dataset = tmp_path / 'dataset'
    interrupted(drive, dataset, monkeypatch, 5)
    with locked_workspace(dataset, NAME):
        before = tree(dataset)
        assert prepare_small(drive, dataset) == 2
        assert 'another prepare is working on it' in capsys.readouterr().err
        assert tree(dataset) == before
    assert prepare_small(drive, dataset) == 0
    assert tree(dataset) == whole


def test_recording_that_changed_since_is_not_taken_for_prepared(drive, tmp_path, capsys):
    dataset = tmp_path / 'dataset'
    assert prepare_small(drive, dataset) == 0
    shutil.copytree(drive.parent, tmp_path / 'copy' / drive.parent.name)  # a copy is the same
    copy = tmp_path / 'copy' / drive.parent.name / drive.name
    assert prepare_small(copy, dataset) == 0
    assert 'already prepared' in capsys.readouterr().out

    def labels_change():
        shutil.copy(
            copy / 'image_02' / 'data' / '0000000006.png',
            copy / 'semantic_02' / 'data' / '0000000006.png',
        )

    def lidar_moves():
        path = copy.parent / 'calib_velo_to_cam.txt'
        path.write_text(re.sub('T: [0-9.e+-]+', 'T: 0.3', path.read_text()))

    for change in (labels_change, lidar_moves):
        kept = tree(copy.parent)
        change()
        assert prepare_small(copy, dataset) == 2
        assert 'or the recording changed since; give another --name' in capsys.readouterr().err
        for name, data in kept.items():
            if data is not None:
                (copy.parent / name).write_bytes(data)
    assert prepare_small(copy, dataset) == 0


def test_links_and_hidden_files_do_not_confuse_what_is_known_of_a_recording(
    drive, tmp_path, capsys
):
    images = drive / 'image_02' / 'data'
    images.rename(tmp_path / 'elsewhere')
    images.symlink_to(tmp_path / 'elsewhere')
    (drive / 'itself').symlink_to(drive)
    (drive / 'dangling').symlink_to(tmp_path / 'nothing')
    dataset = tmp_path / 'dataset'
    assert prepare_small(drive, dataset) == 0
    (drive / '.viewed').touch()
    assert prepare_small(drive, dataset) == 0
    assert 'already prepared' in capsys.readouterr().out
    write_image(tmp_path / 'elsewhere' / '0000000005.png', np.zeros((48, 160, 3), np.uint8))
    assert prepare_small(drive, dataset) == 2


def bag_of_a_drive(root):
    messages = [('/image', i, compressed_image(i * 10**8 + 1, picture(i))) for i in range(8)]
    return write_bag(root / 'bag', [*messages, ('/camera_info', 9, camera_info(1, CAMERA))]), ()


def video_of_a_drive(root):
    camera = write_camera(root / 'camera.yaml', CAMERA, d=(-0.1, 0.0, 0.0, 0.0, 0.0))
    video = write_video(root / 'a.avi', [picture(i) for i in range(8)])
    return video, ('--camera-info', str(camera))


def images_of_a_drive(root):
    camera = write_camera(root / 'camera.yaml')
    pictures = [picture(i) for i in range(8)]
    folder = write_images(root / 'images', pictures, [f'{i:04d}.png' for i in range(8)])
    return folder, ('--camera-info', str(camera), '--rate', '5')


@pytest.mark.parametrize('record', [bag_of_a_drive, video_of_a_drive, images_of_a_drive])
def test_every_kind_of_recording_goes_on(tmp_path, monkeypatch, capsys, record):
    source, options = record(tmp_path)
    assert prepare_small(source, tmp_path / 'whole', *options) == 0
    dataset = tmp_path / 'dataset'
    write = frames.write_frame

    def write_or_stop(image, path):
        write(image, path)
        if path.stem == '000004':
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(frames, 'write_frame', write_or_stop)
        assert prepare_small(source, dataset, *options) == 130
    assert prepare_small(source, dataset, *options) == 0
    assert 'goes on at frame 5 of 8' in capsys.readouterr().out
    assert tree(dataset) == tree(tmp_path / 'whole')
