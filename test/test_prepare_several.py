"""Several drives in one call: their order, their processes and their failures."""

import multiprocessing
import shutil

import pytest
from bag_messages import camera_info
from bag_messages import compressed_image
from bag_messages import write_bag
from folder_bytes import tree
from kitti_trees import write_raw_drive
from kitti_trees import write_sequence
from preparing import NAME
from preparing import SMALL
from preparing import break_a_pipe
from recordings import CAMERA
from recordings import picture
from recordings import write_camera
from recordings import write_images

from training.__main__ import main
from training.data.drive import list_drives
from training.data.drive import read_drive
from training.data.preparation.prepare import PreparedDrive
from training.data.preparation.prepare import PrepareOptions
from training.data.preparation.tasks import Recording
from training.data.preparation.tasks import Task
from training.data.preparation.tasks import make_drive
from training.data.preparation.workers import Failed
from training.data.preparation.workers import Job
from training.data.preparation.workers import Workers
from training.data.sources import SourceOptions
from training.data.sources import open_source

SECOND = '2011_09_26_drive_0002_02'


pytestmark = pytest.mark.usefixtures('wide_console')


@pytest.fixture
def drives(tmp_path):
    """Return two drives of one day."""
    first = write_raw_drive(tmp_path)
    shutil.copytree(first, second := first.with_name('2011_09_26_drive_0002_sync'))
    return first, second


def prepare(dataset, *arguments):
    return main(['prepare', *map(str, arguments), '--out', str(dataset), *SMALL])


def test_dataset_is_the_same_in_any_order_and_number_of_processes(drives, tmp_path, capsys):
    sources = [*drives, write_sequence(tmp_path)]
    calls = {
        'two': [[*sources, '--jobs', '2']],
        'one': [[*reversed(sources), '--jobs', '1']],
        'each': [[source] for source in sources],
        'again': [sources[:2], sources],
    }
    for name, commands in calls.items():
        for command in commands:
            capsys.readouterr()
            assert prepare(tmp_path / name, *command) == 0
    text = capsys.readouterr().out
    assert f'{tmp_path / "again" / NAME}: already prepared' in text
    assert '3 drives: 1 prepared, 2 already there, 8 frames kept of 8' in text
    assert f'Next: python -m training check {tmp_path / "again"}' in text
    datasets = [tree(tmp_path / name) for name in calls]
    assert len(list_drives(tmp_path / 'one')) == 3
    assert datasets.count(datasets[0]) == len(calls)


def test_summaries_come_in_the_order_given(drives, tmp_path, capsys):
    assert prepare(tmp_path / 'dataset', drives[1], drives[0]) == 0
    # Without any white space: a table's title breaks anywhere, also within a name.
    text = ''.join(capsys.readouterr().out.split())
    assert text.index(SECOND) < text.index(NAME) < text.index('2drives:2prepared')


def test_failure_of_one_drive_does_not_lose_the_others(drives, tmp_path, capsys):
    (drives[0] / 'image_02' / 'data' / '0000000005.png').write_bytes(b'')
    calibration = drives[0].parent / 'calib_cam_to_cam.txt'
    dataset = tmp_path / 'dataset'

    assert prepare(dataset, drives[0], calibration, drives[1]) == 2

    captured = capsys.readouterr()
    first, second = captured.err.splitlines()
    assert first.startswith(f'error: {NAME}: ')
    assert '0000000005.png' in first
    assert second.startswith(f'error: {calibration}: unknown kind of recording')
    assert '3 drives: 1 prepared, 2 failed, 8 frames kept of 8' in captured.out
    assert [p.name for p in dataset.iterdir()] == [SECOND]


def test_process_that_is_killed_costs_its_drive_only(drives, tmp_path):
    dataset = tmp_path / 'dataset'
    dataset.mkdir()
    tasks = [
        Task(
            Recording(path, SourceOptions()),
            open_source(path, SourceOptions()),
            dataset,
            PrepareOptions(width=96, height=32),
        )
        for path in drives
    ]
    outcomes = {}

    def kill_the_first(number, progressed):
        if number == 0:
            for process in multiprocessing.active_children():
                process.kill()
                process.join()

    with Workers(1) as workers:
        workers.run(Job(make_drive, kill_the_first, outcomes.__setitem__), tasks)

    # The last frame may be done before the signal arrives.
    assert isinstance(outcomes[0], Failed)
    assert 'ended by signal 9' in outcomes[0].message
    assert isinstance(outcomes[1], PreparedDrive)
    assert len(read_drive(dataset / SECOND).frames) == 8


def test_a_broken_pipe_costs_its_drive_only():
    outcomes = {}
    with Workers(1) as workers:
        workers.run(Job(break_a_pipe, lambda *told: None, outcomes.__setitem__), (0, 1))
    assert isinstance(outcomes[0], Failed)
    assert outcomes[1] == 1


def test_names_that_collide_are_refused_before_anything_is_written(drives, tmp_path, capsys):
    other = shutil.copytree(drives[0].parent, tmp_path / 'other' / drives[0].parent.name)
    other /= drives[0].name

    assert prepare(tmp_path / 'dataset', drives[1], drives[0], other) == 2

    error = capsys.readouterr().err
    assert error.startswith(f'error: {drives[0]} and {other} would both be called {NAME}; ')
    assert not (tmp_path / 'dataset').exists()


def test_one_name_for_several_drives_is_refused(drives, tmp_path, capsys):
    assert prepare(tmp_path / 'dataset', *drives, '--name', 'street') == 2
    assert '--name street: names one drive, not 2' in capsys.readouterr().err
    with pytest.raises(SystemExit):
        prepare(tmp_path / 'dataset', *drives, '--jobs', '0')
    assert not (tmp_path / 'dataset').exists()


def two_cameras(path):
    messages = []
    for offset, side in enumerate(('left', 'right')):
        for i in range(6):
            image = compressed_image(i * 10**8 + 1, picture(i + offset))
            messages.append((f'/{side}/image_raw/compressed', i, image))
        messages.append((f'/{side}/camera_info', 9, camera_info(1, CAMERA)))
    return write_bag(path, messages)


def test_each_camera_of_a_bag_becomes_a_drive(tmp_path, capsys):
    bag = two_cameras(tmp_path / 'stereo')
    dataset = tmp_path / 'dataset'

    assert prepare(dataset, bag, '--all-cameras') == 0

    folders = list_drives(dataset)
    assert len(folders) == 2
    assert ['left' in f.name for f in folders] == [True, False]
    assert len({tree(f)['frames/000000.jpg'] for f in folders}) == 2
    # One of them named is the same drive.
    capsys.readouterr()
    assert prepare(dataset, bag, '--image-topic', '/right/image_raw/compressed') == 0
    assert f'{folders[1]}: already prepared' in capsys.readouterr().out
    assert prepare(dataset, bag, '--all-cameras', '--image-topic', '/right/image') == 2
    assert 'give one of them' in capsys.readouterr().err


def test_all_cameras_of_a_recording_with_one_is_that_one(drives, tmp_path, capsys):
    assert prepare(tmp_path / 'dataset', drives[0], '--all-cameras') == 0
    assert prepare(tmp_path / 'dataset', drives[0]) == 0
    assert 'already prepared' in capsys.readouterr().out
    assert prepare(tmp_path / 'dataset', tmp_path / 'nothing', '--all-cameras') == 2
    assert 'no such file' in capsys.readouterr().err


def test_files_and_rate_apply_to_all_recordings(tmp_path):
    pictures = [picture(i) for i in range(6)]
    names = [f'{i:04d}.png' for i in range(6)]
    folders = [write_images(tmp_path / name, pictures, names) for name in ('a', 'b')]
    camera = write_camera(tmp_path / 'camera.yaml')
    speed = tmp_path / 'speed.csv'
    speed.write_text('time_s,speed_m_s\n' + ''.join(f'{0.2 * i:.1f},3.0\n' for i in range(9)))
    dataset = tmp_path / 'dataset'

    files = ('--camera-info', camera, '--speed', speed, '--rate', '4')
    assert prepare(dataset, *folders, *files) == 0

    for folder in list_drives(dataset):
        drive = read_drive(folder)
        assert drive.original_intrinsics == CAMERA
        assert [f.stamp_ns - drive.frames[0].stamp_ns for f in drive.frames] == [
            i * 250_000_000 for i in range(6)
        ]
        assert [f.speed_m_s for f in drive.frames] == pytest.approx([3.0] * 6)
