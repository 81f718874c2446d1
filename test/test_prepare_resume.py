"""However prepare was run and interrupted, the dataset is the same to the byte."""

import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from kitti_trees import image
from kitti_trees import write_image
from kitti_trees import write_raw_drive
from kitti_trees import write_sequence

from training.__main__ import main
from training.data import prepare_frames
from training.data.drive import read_drive

ROOT = Path(__file__).resolve().parents[1]
NAME = '2011_09_26_drive_0001_02'
HIDDEN = f'.prepare-{NAME}'
SIZE = ('--width', '96', '--height', '32')


def prepare(source, dataset, *options):
    return main(['prepare', str(source), '--out', str(dataset), *SIZE, *options])


def tree(folder):
    """Return all there is in a folder, byte for byte; empty folders too."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob('*'))
    }


@pytest.fixture
def drive(tmp_path):
    """Return a drive whose motion only the optical flow tells, with labels and LiDAR."""
    drive = write_raw_drive(tmp_path)
    for path in (drive / 'oxts' / 'data').iterdir():
        path.unlink()
    for number in (4, 5):  # it stands
        write_image(drive / 'image_02' / 'data' / f'{number:010d}.png', image(3))
    return drive


@pytest.fixture
def whole(drive, tmp_path):
    """Return the dataset of an uninterrupted run."""
    assert prepare(drive, tmp_path / 'whole') == 0
    dropped = [f.index for f in read_drive(tmp_path / 'whole' / NAME).frames if f.dropped]
    assert dropped == [3, 4, 5]
    return tree(tmp_path / 'whole')


def interrupt_at(monkeypatch, index, error):
    """Make writing of one frame fail, once its image is there."""
    write = prepare_frames.write_labels

    def write_or_fail(labels, path):
        write(labels, path)
        if path.stem == f'{index:06d}':
            raise error

    monkeypatch.setattr(prepare_frames, 'write_labels', write_or_fail)


def interrupted(drive, dataset, monkeypatch, index, *options):
    """Prepare up to the middle of a frame."""
    with monkeypatch.context() as patch:
        interrupt_at(patch, index, KeyboardInterrupt())
        assert prepare(drive, dataset, *options) == 130
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
    write = prepare_frames.write_frame
    monkeypatch.setattr(
        prepare_frames, 'write_frame', lambda i, p: (written.append(int(p.stem)), write(i, p))
    )
    assert prepare(drive, dataset) == 0

    assert sorted(written) == list(range(index, 8))
    assert f'goes on at frame {index + 1} of 8' in capsys.readouterr().out
    assert (dataset / NAME / 'frames' / '000000.jpg').stat().st_mtime_ns == written_ns
    assert tree(dataset) == whole


def test_interrupted_before_the_first_frame_leaves_nothing(drive, tmp_path, monkeypatch):
    interrupt_at(monkeypatch, 0, KeyboardInterrupt())
    assert prepare(drive, tmp_path / 'new' / 'dataset') == 130
    assert not (tmp_path / 'new').exists()


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from training.__main__ import main
    from training.data import prepare, prepare_frames, prepare_journal, prepare_workspace

    def die(*arguments, **options):
        os.kill(os.getpid(), signal.SIGKILL)

    def halfway(stream, data):
        stream.write(data[: len(data) // 2])
        stream.flush()
        die()

    def in_the_middle_of_a_frame():
        write = prepare_frames.write_labels
        def half(labels, path):
            write(labels, path)
            if path.stem == '000005':
                path.write_bytes(path.read_bytes()[:20])
                die()
        prepare_frames.write_labels = half

    def in_the_middle_of_a_line_of_the_journal():
        add = prepare_journal.Journal.add
        def half(self, record):
            if record.index == 5:
                halfway(self._stream, prepare_journal.json.dumps(vars(record)).encode())
            add(self, record)
        prepare_journal.Journal.add = half

    def before_drive_json():
        prepare.write_drive = die

    def before_the_exchange():
        prepare_workspace.Workspace.publish = die

    def in_the_middle_of_the_exchange():
        rename = Path.rename
        def second_dies(self, target):
            if self.parent.name.startswith('.prepare-') and self.name != '.replaced':
                die()
            return rename(self, target)
        Path.rename = second_dies

    def before_cleaning():
        prepare_workspace._remove = die

    globals()[sys.argv[1]]()
    main(sys.argv[2:])
"""


@pytest.mark.parametrize(
    ('moment', 'goes_on'),
    [
        ('in_the_middle_of_a_frame', 'at frame [1-6] of 8'),
        ('in_the_middle_of_a_line_of_the_journal', 'at frame 6 of 8'),
        ('before_drive_json', 'behind its last frame'),
        ('before_the_exchange', 'behind its last frame'),
        ('in_the_middle_of_the_exchange', 'behind its last frame'),
        ('before_cleaning', None),  # made again, as --overwrite asks
    ],
)
def test_killed_at_any_moment_it_goes_on_and_never_loses_the_old_drive(
    drive, whole, tmp_path, capsys, moment, goes_on
):
    dataset = tmp_path / 'dataset'
    assert prepare(drive, dataset, '--licence', 'old') == 0
    command = ['prepare', str(drive), '--out', str(dataset), *SIZE, '--overwrite']

    program = [sys.executable, '-c', textwrap.dedent(KILLED), moment]
    assert subprocess.run([*program, *command], cwd=ROOT).returncode == -signal.SIGKILL

    hidden = dataset / HIDDEN
    folders = (dataset / NAME, hidden / '.replaced')
    assert [(f / 'drive.json').exists() for f in folders].count(True) >= 1
    capsys.readouterr()
    assert main(command) == 0
    said = re.search('goes on (.+)', capsys.readouterr().out)
    assert re.fullmatch(goes_on, said[1]) if goes_on else said is None
    assert tree(dataset) == whole


def test_exchange_that_was_interrupted_is_undone_for_another_command(drive, tmp_path):
    dataset = tmp_path / 'dataset'
    assert prepare(drive, dataset, '--licence', 'old') == 0
    before = tree(dataset)
    (dataset / HIDDEN).mkdir()
    (dataset / NAME).rename(dataset / HIDDEN / '.replaced')

    assert prepare(drive, dataset, '--licence', 'other') == 2

    assert tree(dataset) == before


@pytest.fixture(scope='module')
def big_drives(tmp_path_factory):
    """Return two drives that take half a second each."""
    root = tmp_path_factory.mktemp('big')
    drive = write_raw_drive(root, frames=40)
    texture = np.random.default_rng(1).integers(0, 256, (50, 150, 3), np.uint8)
    for number in range(40):
        wide = cv2.resize(np.roll(texture, number, axis=1), (960, 288))
        write_image(drive / 'image_02' / 'data' / f'{number:010d}.png', wide)
        (drive / 'semantic_02' / 'data' / f'{number:010d}.png').unlink()
        (drive / 'oxts' / 'data' / f'{number:010d}.txt').unlink()
    shutil.copytree(drive, second := drive.with_name('2011_09_26_drive_0002_sync'))
    return str(drive), str(second)


@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGINT])
def test_processes_are_stopped_from_outside_and_go_on(big_drives, tmp_path, number):
    dataset = tmp_path / 'dataset'
    command = ['prepare', *big_drives, '--out', str(dataset), '--height', '192', '--jobs', '2']
    process = subprocess.Popen(
        [sys.executable, '-m', 'training', *command],
        cwd=ROOT,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not list(dataset.glob('.prepare-*/*/frames/000003.jpg')):
        assert process.poll() is None
        time.sleep(0.002)
    if number == signal.SIGKILL:
        process.kill()  # which its workers must notice
    else:
        os.killpg(process.pid, number)  # as a terminal does
    _, errors = process.communicate(timeout=60)

    # The pipes were closed, so the workers have ended.
    assert process.returncode == (130 if number == signal.SIGINT else -signal.SIGKILL)
    assert 'Traceback' not in errors
    assert len(list(dataset.glob('*/drive.json'))) < 2
    assert main(command) == 0
    for path in big_drives:
        assert main(['prepare', path, '--out', str(tmp_path / 'whole'), '--height', '192']) == 0
    assert tree(dataset) == tree(tmp_path / 'whole')


def test_several_drives_are_the_same_in_any_order_and_number_of_processes(drive, tmp_path, capsys):
    sources = [str(drive), str(write_sequence(tmp_path))]
    calls = {
        'two': [[*sources, '--jobs', '2']],
        'one': [[*reversed(sources), '--jobs', '1']],
        'each': [[source] for source in sources],
        'again': [sources, sources],
    }
    for name, commands in calls.items():
        for command in commands:
            capsys.readouterr()
            assert main(['prepare', *command, '--out', str(tmp_path / name), *SIZE]) == 0
    text = capsys.readouterr().out
    assert f'{tmp_path / "again" / NAME}: already prepared' in text.replace('\n', '')
    assert '2 drives: 2 already there' in text
    assert f'python -m training check {tmp_path / "again"}' in text.replace('\n', '')
    datasets = [tree(tmp_path / name) for name in calls]
    assert datasets[0] and datasets.count(datasets[0]) == len(calls)


def test_failure_of_one_drive_does_not_lose_the_others(drive, tmp_path, capsys):
    damaged = write_raw_drive(tmp_path / 'other', 3)
    damaged = damaged.rename(damaged.with_name('2011_09_26_drive_0002_sync'))
    (damaged / 'image_02' / 'data' / '0000000001.png').write_bytes(b'')
    dataset = tmp_path / 'dataset'

    status = main(['prepare', str(damaged), str(drive), '--out', str(dataset), *SIZE])

    captured = capsys.readouterr()
    assert status == 2
    assert captured.err.count('\n') == 1
    assert captured.err.startswith('error: 2011_09_26_drive_0002_02: ')
    assert '0000000001.png' in captured.err
    assert '2 drives: 1 prepared, 1 failed' in captured.out
    assert [p.name for p in dataset.iterdir()] == [NAME]
