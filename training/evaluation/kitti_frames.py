"""
Frames of KITTI raw as it is published, to judge a model on.

    ROOT/2011_09_26/calib_{cam_to_cam,velo_to_cam}.txt
    ROOT/2011_09_26/2011_09_26_drive_0009_sync/image_02/data/0000000016.png
    ROOT/2011_09_26/2011_09_26_drive_0009_sync/velodyne_points/data/0000000016.bin
    ROOT/2011_09_26/2011_09_26_drive_0009_sync/semantic_02/data/0000000016.png   (ours, optional)

    IMPROVED/{train,val}/2011_09_26_drive_0009_sync/proj_depth/groundtruth/image_02/0000000016.png

Three kinds of measured depth:

* ``velodyne``: the scan where it belongs, as depth along the camera's z axis, nearest per pixel.
* ``published``: the same scan as the code behind the published tables projects it. See
  ``published_depth``.
* ``improved``: KITTI's annotated depth maps (Uhrig et al., Sparsity Invariant CNNs, 3DV 2017):
  eleven scans accumulated, moving things and what stereo contradicts removed. 652 of the 697
  frames of Eigen's test list have one.
"""

import re
from collections import Counter
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.camera import sparse_depth_image
from sg_depth_ros.errors import UserError
from sg_depth_ros.evaluation.drive_note import DriveNote
from sg_depth_ros.evaluation.frame_key import FrameKey
from training.data.drive import read_labels
from training.data.drive import read_lidar
from training.data.overlap import kitti_shot
from training.data.sources.kitti import fit_intrinsics
from training.data.sources.kitti import numbered_files
from training.data.sources.kitti import read_rgb
from training.data.sources.kitti import read_scan
from training.data.sources.kitti import velodyne_depth
from training.data.sources.kitti_raw import RawCamera
from training.data.sources.kitti_raw import read_raw_camera
from training.data.splits import SplitLine

Truth = Literal['velodyne', 'published', 'improved']
IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg')
# A drive as users may write it: with its day, _sync, or the camera behind it.
_DRIVE = re.compile(r'(?:.*/)?(\d{4}_\d\d_\d\d_drive_\d{4})(?:_sync)?(?:_0(\d))?/?')


class _Recording(NamedTuple):
    """A camera of a drive, and its files by frame number."""

    folder: Path
    camera: str  # such as 02
    images: dict[int, Path]
    labels: dict[int, Path]
    truths: dict[int, Path]


class KittiFrames:
    """
    The frames of a list, or of drives, in a folder of KITTI raw; entries count as KITTI does.

    :param root: the folder of the days.
    :param lines: the list; None: every frame of the drives.
    :param drives: only these; none: all that the folder holds.
    :param camera: of the drives, where there is no list.
    :param truth: which measured depth to judge against.
    :param improved: the folder of the improved depth maps; None: they lie in ``root``.
    :param list_name: what messages call the list.
    :param strict: refuse a list of which frames are missing.
    :raises UserError: where nothing is left to judge; where the improved maps are not there.
    """

    def __init__(
        self,
        root: Path,
        lines: Sequence[SplitLine] | None = None,
        *,
        drives: Iterable[str] = (),
        camera: str = '02',
        truth: Truth = 'velodyne',
        improved: Path | None = None,
        list_name: str = 'the list',
        strict: bool = False,
    ) -> None:
        if not root.is_dir():
            raise UserError(f'{root}: no such folder; --kitti takes the folder of the days')
        self._truth = truth
        self._improved = root if improved is None else improved
        chosen = frozenset(map(_drive_name, drives))
        if lines is None:
            wanted = _frames_of_drives(root, camera, chosen)
        else:
            wanted = _frames_of_list(lines, chosen)
        self._recordings = {
            name: recording
            for name in wanted
            if (recording := _open(root, name, truth, self._improved)) is not None
        }
        self.entries = tuple(
            FrameKey(name, number)
            for name, recording in sorted(self._recordings.items())
            for number in sorted(wanted[name] & recording.images.keys())
        )
        listed, total = 'KITTI raw' if lines is None else list_name, sum(map(len, wanted.values()))
        # A part of a list must not go by the list's name.
        part = f', {len(self.entries)} of {total} frames' if len(self.entries) < total else ''
        self.name = f'{listed}{part} ({truth})'
        missing = tuple(_missing(wanted, self._recordings, root, list_name))
        if missing and (strict or not self.entries):
            raise UserError(missing[0])
        if not self.entries:
            named = f' of {", ".join(sorted(chosen))}' if chosen else ''
            raise UserError(f'{root}: no frame{named} to judge (DAY/DRIVE_sync/image_{camera})')
        without = sum(not self.has_truth(entry) for entry in self.entries)
        if truth == 'improved' and without == len(self.entries):
            raise UserError(
                f'{self._improved}: none of the {without} frames has an improved depth map there '
                '({train,val}/DRIVE_sync/proj_depth/groundtruth/image_02/NNNNNNNNNN.png)'
            )
        self.cautions = missing
        if without:
            self.cautions += (
                f'{without} of {len(self.entries)} frames have no {truth} depth: they are not '
                'judged against any',
            )
        self._calibrated: dict[str, RawCamera] = {}
        self._cameras: dict[str, Intrinsics] = {}

    def path(self, entry: FrameKey) -> Path:
        """Return the file of the image."""
        return self._recordings[entry.drive].images[entry.frame]

    def image(self, entry: FrameKey) -> NDArray[np.uint8]:
        """
        Return the image.

        :raises UserError: where it is damaged.
        """
        return read_rgb(self.path(entry))

    def camera(self, entry: FrameKey) -> Intrinsics:
        """Return the calibrated camera, at the size that the drive's images have."""
        if entry.drive not in self._cameras:
            raw = self._calibration(entry.drive)
            self._cameras[entry.drive] = fit_intrinsics(
                raw.intrinsics, self.image(entry), raw.calibration, self.path(entry)
            )
        return self._cameras[entry.drive]

    def labels(self, entry: FrameKey) -> NDArray[np.uint8] | None:
        """Return the labels beside the images, which KITTI does not come with."""
        path = self._recordings[entry.drive].labels.get(entry.frame)
        return None if path is None else read_labels(path)

    def has_truth(self, entry: FrameKey) -> bool:
        """Tell whether the frame has a scan, or an improved depth map."""
        return entry.frame in self._recordings[entry.drive].truths

    def time_s(self, entry: FrameKey) -> float | None:
        """Return nothing: no stamps are read."""
        return None

    def notes(self) -> tuple[DriveNote, ...]:
        """Return nothing: the name says it all."""
        return ()

    def truth_m(self, entry: FrameKey) -> NDArray[np.float32] | None:
        """
        Return measured depth at the size of the calibration, KITTI's full resolution.

        :raises UserError: where the file is damaged, or nothing tells where the scanner stood.
        """
        path = self._recordings[entry.drive].truths.get(entry.frame)
        if path is None:
            return None
        if self._truth == 'improved':
            return read_lidar(path)
        raw = self._calibration(entry.drive)
        if raw.T_camera_velodyne is None:
            raise UserError(
                f'{path}: no calib_velo_to_cam.txt beside {raw.calibration}; unpack the '
                'calibration of the day'
            )
        if self._truth == 'published':
            return published_depth(read_scan(path), raw.T_camera_velodyne, raw.intrinsics)
        return velodyne_depth(path, raw.T_camera_velodyne, raw.intrinsics)

    def _calibration(self, drive: str) -> RawCamera:
        if drive not in self._calibrated:
            recording = self._recordings[drive]
            self._calibrated[drive] = read_raw_camera(recording.folder, recording.camera)
        return self._calibrated[drive]


def published_depth(
    scan: NDArray[np.float32], T_camera_velodyne: NDArray[np.float64], camera: Intrinsics
) -> NDArray[np.float32]:
    """
    Project a scan as the ground truth of published tables is made.

    What Eigen's list is commonly judged with (SfMLearner, monodepth2 and what builds on them)
    differs from geometry in two ways: each point is put a pixel to the left and a pixel up (as if
    pixels counted from 1, as in MATLAB), and its depth is its x coordinate in the scanner's frame,
    which stands 0.27 m behind the camera.

    :param scan: (N, 4), x forward in metres.
    :param T_camera_velodyne: (4, 4).
    :return: depth_m (H, W), 0 where no point falls; the nearest point of a pixel counts.
    """
    points = scan[:, :3] @ T_camera_velodyne[:3, :3].T + T_camera_velodyne[:3, 3]
    ahead = points[:, 2] > 0
    # Along its ray, so that it falls on the same pixel with the other depth.
    points = points[ahead] * (scan[ahead, 0] / points[ahead, 2])[:, None]
    return sparse_depth_image(points, replace(camera, cx=camera.cx - 1, cy=camera.cy - 1))


def _drive_name(text: str) -> str:
    found = _DRIVE.fullmatch(text)
    if found is None:
        raise UserError(f'{text!r} names no drive of KITTI raw, such as 2011_09_26_drive_0009')
    return found.group(1)


def _frames_of_list(lines: Sequence[SplitLine], drives: frozenset[str]) -> dict[str, set[int]]:
    """Return the numbers to judge by ``DRIVE_CAMERA``; what is not KITTI's goes by its name."""
    wanted: dict[str, set[int]] = {}
    for line in lines:
        shot, name = kitti_shot(line), str(line.camera)
        number = line.frame
        if shot is not None and shot.frame is not None:
            name, number = f'{shot.recording}_0{shot.camera}', shot.frame
        if not drives or (shot is not None and shot.recording in drives):
            wanted.setdefault(name, set()).add(number)
    return wanted


def _frames_of_drives(root: Path, camera: str, drives: frozenset[str]) -> dict[str, set[int]]:
    """Return all frames of the drives by ``DRIVE_CAMERA``."""
    held = {p.name.removesuffix('_sync') for p in root.glob('*/*_sync') if _DRIVE.match(p.name)}
    for name in sorted(drives - held):
        raise UserError(f'{root}: no drive {name}; there are: {", ".join(sorted(held)) or "none"}')
    found = {}
    for name in drives or held:
        folder = root / name[:10] / f'{name}_sync' / f'image_{camera}' / 'data'
        if numbers := numbered_files(folder, IMAGE_SUFFIXES):
            found[f'{name}_{camera}'] = set(numbers)
    return found


def _open(root: Path, name: str, truth: Truth, improved: Path) -> _Recording | None:
    """List the files of ``DRIVE_CAMERA``; None where the folder does not hold it."""
    found = _DRIVE.fullmatch(name)
    if found is None or found.group(2) is None:
        return None
    drive, camera = f'{found.group(1)}_sync', f'0{found.group(2)}'
    folder = root / drive[:10] / drive
    images = numbered_files(folder / f'image_{camera}' / 'data', IMAGE_SUFFIXES)
    if not images:
        return None
    truths = numbered_files(folder / 'velodyne_points' / 'data', ('.bin',))
    if truth == 'improved':
        truths = _improved_maps(improved, drive, camera)
    labels = numbered_files(folder / f'semantic_{camera}' / 'data', ('.png',))
    return _Recording(folder, camera, images, labels, truths)


def _improved_maps(improved: Path, drive: str, camera: str) -> dict[int, Path]:
    """Return the maps by frame number, from the published folders or copied into the drives."""
    maps: dict[int, Path] = {}
    for folder in ('train', 'val', '.', drive[:10]):
        path = improved / folder / drive / 'proj_depth' / 'groundtruth' / f'image_{camera}'
        maps = maps or numbered_files(path, ('.png',))
    return maps


def _missing(
    wanted: dict[str, set[int]], recordings: dict[str, _Recording], root: Path, list_name: str
) -> Iterator[str]:
    """Say what of the list is not there, in sentences."""
    total = sum(map(len, wanted.values()))
    absent = Counter({name: len(n) for name, n in wanted.items() if name not in recordings})
    if absent:
        yield (
            f'{list_name}: {absent.total()} of {total} frames are of {len(absent)} drives or '
            f'cameras that {root} does not hold, such as {min(absent)}'
        )
    gaps = {name: wanted[name] - r.images.keys() for name, r in recordings.items()}
    if count := sum(map(len, gaps.values())):
        name = min(name for name, numbers in gaps.items() if numbers)
        yield (
            f'{list_name}: {count} of {total} frames are missing from drives that {root} holds, '
            f'such as {name} {min(gaps[name])}'
        )
