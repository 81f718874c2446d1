"""What KITTI's raw recordings and its odometry benchmark share: file formats and calibration."""

from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.camera import sparse_depth_image
from sg_depth_ros.errors import UserError
from sg_depth_ros.image_encoding import ImageEncodingError
from sg_depth_ros.image_encoding import decode_image_file
from training.data.drive import read_labels
from training.data.sources.source import SourceContent
from training.data.sources.source import SourceFrame

LICENCE = 'CC BY-NC-SA 3.0 (KITTI, Geiger et al., cvlibs.net/datasets/kitti)'
_IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png')
_SCALE_TOLERANCE = 0.01  # how far width and height of resized images may disagree


@dataclass(frozen=True, eq=False)
class KittiDrive:
    """One camera of one raw drive or odometry sequence."""

    name: str
    description: str
    intrinsics: Intrinsics
    frames: tuple[SourceFrame, ...]
    notes: tuple[str, ...]
    images: Mapping[int, Path]  # by frame number
    labels: Mapping[int, Path]
    scans: Mapping[int, Path]
    T_camera_velodyne: NDArray[np.float64] | None  # [4, 4]
    licence: str = LICENCE

    def read(self, first: int = 0) -> Iterator[SourceContent]:
        """Return image, labels and projected scan of each frame."""
        for number, path in islice(self.images.items(), first, None):
            labels, scan = self.labels.get(number), self.scans.get(number)
            lidar_m = None
            if scan is not None and self.T_camera_velodyne is not None:
                lidar_m = velodyne_depth(scan, self.T_camera_velodyne, self.intrinsics)
            yield SourceContent(
                read_rgb(path),
                None if labels is None else read_labels_of(labels, self.intrinsics),
                lidar_m,
            )


def numbered_images(folder: Path) -> dict[int, Path]:
    """
    Return the images of a folder by the number that is their name, ascending.

    :raises UserError: where there are none.
    """
    found = numbered_files(folder, _IMAGE_SUFFIXES)
    if not found:
        raise UserError(
            f'{folder}: no images (files such as 0000000000.png, {" or ".join(_IMAGE_SUFFIXES)})'
        )
    return found


def numbered_files(folder: Path, suffixes: tuple[str, ...]) -> dict[int, Path]:
    """Return the files named by a number, ascending; none where the folder is missing."""
    if not folder.is_dir():
        return {}
    paths = [p for p in folder.iterdir() if p.suffix in suffixes and p.stem.isdecimal()]
    return {int(p.stem): p for p in sorted(paths, key=lambda p: int(p.stem))}


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """
    Read an image file, gray or colour, as RGB (H, W, 3).

    :raises UserError: where it is missing, damaged or truncated, naming the file.
    """
    try:
        return decode_image_file(path.read_bytes())
    except OSError as error:
        raise UserError(f'{path}: cannot be read ({error.strerror})') from error
    except ImageEncodingError as error:
        raise UserError(f'{path}: {error}; remove it or copy the drive again') from error


def read_labels_of(path: Path, camera: Intrinsics) -> NDArray[np.uint8]:
    """
    Read class ids (H, W) that must have the camera's size.

    :raises UserError: where they do not, or the file is no label image.
    """
    labels = read_labels(path)
    height, width = labels.shape
    if (width, height) != (camera.width, camera.height):
        raise UserError(
            f'{path}: labels of {width}x{height} for images of {camera.width}x{camera.height}'
        )
    return labels


def read_calibration(path: Path) -> dict[str, NDArray[np.float64]]:
    """
    Read a file of ``NAME: number number ...`` lines; lines that hold no numbers are left out.

    :raises UserError: where it cannot be read.
    """
    entries: dict[str, NDArray[np.float64]] = {}
    for line in read_text(path).splitlines():
        name, colon, numbers = line.partition(':')
        try:
            values = np.array(numbers.split(), np.float64)
        except ValueError:
            continue  # such as calib_time
        if colon and values.size:
            entries[name.strip()] = values
    return entries


def calibration_entry(
    entries: Mapping[str, NDArray[np.float64]], name: str, shape: tuple[int, ...], path: Path
) -> NDArray[np.float64]:
    """
    Return an entry in its shape.

    :raises UserError: where it is missing or of another size.
    """
    values = entries.get(name)
    if values is None:
        raise UserError(f'{path}: no entry "{name}"; it holds {", ".join(entries) or "nothing"}')
    if values.size != int(np.prod(shape)) or not np.isfinite(values).all():
        raise UserError(f'{path}: entry "{name}" is not {"x".join(map(str, shape))} numbers')
    return values.reshape(shape)


def read_mounting(path: Path) -> NDArray[np.float64]:
    """
    Read the transform (4, 4) from one sensor to another: R and T of calib_..._to_....txt.

    :raises UserError: where the file, R or T is missing or damaged.
    """
    entries = read_calibration(path)
    transform = np.eye(4)
    transform[:3, :3] = calibration_entry(entries, 'R', (3, 3), path)
    transform[:3, 3] = calibration_entry(entries, 'T', (3,), path)
    return transform


def fit_intrinsics(
    camera: Intrinsics, image: NDArray[np.uint8], calibration: Path, image_path: Path
) -> Intrinsics:
    """
    Return the camera of images that may have been resized since their calibration.

    :raises UserError: where the images are no pure scale of the calibrated size.
    """
    height, width = image.shape[:2]
    if (width, height) == (camera.width, camera.height):
        return camera
    if abs((width * camera.height) / (height * camera.width) - 1) > _SCALE_TOLERANCE:
        raise UserError(
            f'{image_path}: {width}x{height}, but {calibration} is of images of '
            f'{camera.width}x{camera.height}: no pure scale'
        )
    return camera.resized(width, height)


def offset_from_camera_0(projection: NDArray[np.float64]) -> NDArray[np.float64]:
    """
    Return t in X_camera = X_camera_0 + t, in metres, from a rectified P = K [I | t].

    :param projection: P (3, 4).
    """
    return np.asarray(np.linalg.solve(projection[:, :3], projection[:, 3]), np.float64)


def velodyne_depth(
    path: Path, T_camera_velodyne: NDArray[np.float64], camera: Intrinsics
) -> NDArray[np.float32]:
    """
    Project a Velodyne scan into the camera.

    :param T_camera_velodyne: (4, 4).
    :return: depth_m (H, W), 0 where no point falls.
    :raises UserError: where the file is truncated.
    """
    return sparse_depth_image(read_scan(path)[:, :3], camera, T_camera_velodyne)


def read_scan(path: Path) -> NDArray[np.float32]:
    """
    Read a Velodyne scan: x, y, z in metres and reflectance, (N, 4).

    :raises UserError: where the file is truncated.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f'{path}: cannot be read ({error.strerror})') from error
    if not data or len(data) % 16:
        raise UserError(f'{path}: truncated scan ({len(data)} bytes are no points of 16)')
    return np.frombuffer(data, '<f4').reshape(-1, 4)


def read_text(path: Path) -> str:
    """
    Read a text file.

    :raises UserError: where it cannot be read, naming the file.
    """
    try:
        return path.read_text()
    except OSError as error:
        raise UserError(f'{path}: cannot be read ({error.strerror})') from error
    except UnicodeDecodeError as error:
        raise UserError(f'{path}: is no text file') from error
