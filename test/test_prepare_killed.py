"""Prepare that is killed, or stopped from outside, at any moment goes on and loses nothing."""

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
from folder_bytes import tree
from kitti_trees import write_image
from kitti_trees import write_raw_drive
from preparing import HIDDEN
from preparing import NAME
from preparing import SMALL
from preparing import prepare_small
from preparing import whole_dataset
from preparing import write_standing_drive

from training.__main__ import main

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def drive(tmp_path):
    return write_standing_drive(tmp_path)


@pytest.fixture
def whole(drive, tmp_path):
    return whole_dataset(drive, tmp_path / 'whole')


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from training.__main__ import main
    from training.data.preparation import frames, journal, prepare, workspace

    def die(*arguments, **options):
        os.kill(os.getpid(), signal.SIGKILL)

    def halfway(stream, data):
        stream.write(data[: len(data) // 2])
        stream.flush()
        die()

    def in_the_middle_of_a_frame():
        write = frames.write_labels
        def half(labels, path):
            write(labels, path)
            if path.stem == '000005':
                path.write_bytes(path.read_bytes()[:20])
                die()
        frames.write_labels = half

    def in_the_middle_of_a_line_of_the_journal():
        add = journal.Journal.add
        def half(self, record):
            if record.index == 5:
                halfway(self._stream, journal.json.dumps(vars(record)).encode())
            add(self, record)
        journal.Journal.add = half

    def before_drive_json():
        prepare.write_drive = die

    def before_the_exchange():
        workspace.Workspace.publish = die

    def in_the_middle_of_the_exchange():
        rename = Path.rename
        def second_dies(self, target):
            if self.parent.name.startswith('.prepare-') and self.name != '.replaced':
                die()
            return rename(self, target)
        Path.rename = second_dies

    def before_cleaning():
        workspace._remove = die

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
    assert prepare_small(drive, dataset, '--licence', 'old') == 0
    command = ['prepare', str(drive), '--out', str(dataset), *SMALL, '--overwrite']

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


@pytest.mark.usefixtures('interruptible')
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
