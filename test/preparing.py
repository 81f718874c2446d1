"""Running ``prepare``, and a drive that is prepared in every way: for tests."""

from folder_bytes import tree
from kitti_trees import image
from kitti_trees import write_image
from kitti_trees import write_raw_drive

from training.__main__ import main
from training.data.drive import read_drive

NAME = '2011_09_26_drive_0001_02'  # of what kitti_trees writes, prepared
HIDDEN = f'.prepare-{NAME}'
SMALL = ('--width', '96', '--height', '32')


def prepare(source, dataset, *options):
    """Run the command; return its status."""
    return main(['prepare', str(source), '--out', str(dataset), *options])


def prepare_small(source, dataset, *options):
    """Run the command for small images."""
    return prepare(source, dataset, *SMALL, *options)


def refused(capsys, source, dataset, *options):
    """Run prepare, which must fail in one line and change nothing; return the line."""
    before = sorted(dataset.rglob('*')) if dataset.exists() else None
    assert prepare(source, dataset, *options) == 2
    error = capsys.readouterr().err
    assert error.startswith('error: ')
    assert error.count('\n') == 1
    assert (sorted(dataset.rglob('*')) if dataset.exists() else None) == before
    return error


def write_standing_drive(root):
    """Write a drive whose motion only the optical flow tells, with labels and LiDAR."""
    drive = write_raw_drive(root)
    for path in (drive / 'oxts' / 'data').iterdir():
        path.unlink()
    for number in (4, 5):  # it stands
        write_image(drive / 'image_02' / 'data' / f'{number:010d}.png', image(3))
    return drive


def whole_dataset(standing_drive, dataset):
    """Return all that an uninterrupted run writes of it."""
    assert prepare_small(standing_drive, dataset) == 0
    dropped = [f.index for f in read_drive(dataset / NAME).frames if f.dropped]
    assert dropped == [3, 4, 5]
    return tree(dataset)


def break_a_pipe(number, report):
    """Do what a process does that talks to another one which ended: fail for the first drive."""
    if number == 0:
        raise BrokenPipeError
    return number
