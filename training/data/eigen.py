"""
The drives of KITTI that published tables are measured on, so that nobody trains on one unawares.

Eigen et al., Depth Map Prediction from a Single Image, NIPS 2014, test on 697 images of 28 drives
of KITTI raw. The frames around a test image show what it shows, so that none of its drive may have
been trained on.

The list is that of SfMLearner (``data/kitti/test_scenes_eigen.txt``); the drives of its
``test_files_eigen.txt`` and those of monodepth2's ``splits/eigen/test_files.txt`` are the same.
The 697 images themselves are in ``eigen_test_frames.txt``, read by splits.py.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from sg_depth_ros.errors import UserError
from training.data.drive import Drive

EIGEN_TEST_DRIVES = (
    '2011_09_26_drive_0002',
    '2011_09_26_drive_0009',
    '2011_09_26_drive_0013',
    '2011_09_26_drive_0020',
    '2011_09_26_drive_0023',
    '2011_09_26_drive_0027',
    '2011_09_26_drive_0029',
    '2011_09_26_drive_0036',
    '2011_09_26_drive_0046',
    '2011_09_26_drive_0048',
    '2011_09_26_drive_0052',
    '2011_09_26_drive_0056',
    '2011_09_26_drive_0059',
    '2011_09_26_drive_0064',
    '2011_09_26_drive_0084',
    '2011_09_26_drive_0086',
    '2011_09_26_drive_0093',
    '2011_09_26_drive_0096',
    '2011_09_26_drive_0101',
    '2011_09_26_drive_0106',
    '2011_09_26_drive_0117',
    '2011_09_28_drive_0002',
    '2011_09_29_drive_0071',
    '2011_09_30_drive_0016',
    '2011_09_30_drive_0018',
    '2011_09_30_drive_0027',
    '2011_10_03_drive_0027',
    '2011_10_03_drive_0047',
)
OPTION = '--data.allow_test_drives true'

# Also in the names that converters give their bags: kitti_2011_09_26_drive_0009_synced.bag,
# kitti_data_odometry_color_sequence_04.bag.
_RAW = re.compile(r'\d{4}_\d\d_\d\d_drive_\d{4}(?!\d)')
_ODOMETRY = re.compile(r'kitti\D*odometry\D*?(\d\d)(?!\d)|^odometry_(\d\d)_\d$', re.IGNORECASE)
# All of KITTI raw was recorded from 26 September to 3 October 2011; a day more for time zones.
_KITTI_DAYS_NS = (1_316_908_800 * 10**9, 1_317_772_800 * 10**9)


class OdometryCut(NamedTuple):
    """The frames of KITTI raw that a sequence of KITTI odometry was cut from."""

    drive: str
    first: int  # frame 0 of the sequence, as the synced drive numbers it
    last: int


# KITTI odometry's development kit, readme.txt, "Mapping to Raw Data". Where sequences 11 to 21
# come from was not published.
ODOMETRY_CUTS = (
    OdometryCut('2011_10_03_drive_0027', 0, 4540),  # 00
    OdometryCut('2011_10_03_drive_0042', 0, 1100),
    OdometryCut('2011_10_03_drive_0034', 0, 4660),
    OdometryCut('2011_09_26_drive_0067', 0, 800),
    OdometryCut('2011_09_30_drive_0016', 0, 270),
    OdometryCut('2011_09_30_drive_0018', 0, 2760),
    OdometryCut('2011_09_30_drive_0020', 0, 1100),
    OdometryCut('2011_09_30_drive_0027', 0, 1100),
    OdometryCut('2011_09_30_drive_0028', 1100, 5170),
    OdometryCut('2011_09_30_drive_0033', 0, 1590),
    OdometryCut('2011_09_30_drive_0034', 0, 1200),  # 10
)


class KittiOrigin(NamedTuple):
    """Which drive of KITTI raw something was made from."""

    drive: str
    sequence: str | None  # of KITTI odometry, where it came that way

    @property
    def is_test_drive(self) -> bool:
        """Whether published tables are measured on it."""
        return self.drive in EIGEN_TEST_DRIVES


def odometry_origin(sequence: str) -> KittiOrigin | None:
    """Return the raw drive of a sequence such as ``04``; None for 11 and beyond."""
    number = int(sequence)
    if number >= len(ODOMETRY_CUTS):
        return None
    return KittiOrigin(ODOMETRY_CUTS[number].drive, f'{number:02d}')


def kitti_origin(*names: str) -> KittiOrigin | None:
    """Return the first KITTI drive that one of these names tells of."""
    for name in names:
        if found := _RAW.search(name):
            return KittiOrigin(found.group(), None)
        if found := _ODOMETRY.search(name):
            return odometry_origin(found.group(1) or found.group(2))
    return None


def find_test_drives(drives: Iterable[Drive]) -> tuple[tuple[Drive, KittiOrigin], ...]:
    """
    Return those of the drives that published tables are measured on.

    A drive is known by what it was prepared from, else by its name.
    """
    found = ((drive, kitti_origin(drive.source, drive.name)) for drive in drives)
    return tuple((drive, origin) for drive, origin in found if origin and origin.is_test_drive)


def refuse_test_drives(drives: Iterable[Drive]) -> None:
    """
    Refuse drives that published tables are measured on.

    :raises UserError: naming the drive and the option that allows it.
    """
    tested = find_test_drives(drives)
    if not tested:
        return
    drive, origin = tested[0]
    more = f', and {len(tested) - 1} more' if len(tested) > 1 else ''
    is_what = f'KITTI odometry {origin.sequence}, that is ' if origin.sequence else ''
    raise UserError(
        f'{drive.name}{more}: {is_what}{origin.drive}, a test drive of KITTI (Eigen et al.): a '
        'network trained on it compares with no published table; leave it out ("python -m '
        f'training overlap" counts its frames in any split), or {OPTION}'
    )


def look_like_kitti(drives: Iterable[Drive]) -> tuple[str, ...]:
    """Return the drives stamped on KITTI's days that do not say which of its drives they are."""
    first_ns, last_ns = _KITTI_DAYS_NS
    return tuple(
        drive.name
        for drive in drives
        if drive.frames
        and first_ns <= drive.frames[0].stamp_ns < last_ns
        and kitti_origin(drive.source, drive.name) is None
    )
