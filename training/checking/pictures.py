"""Pictures of a drive: frames along the way, and matches with their epipolar lines."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.camera import resize_image
from training.checking.motion import MOVING_FLOW_PX
from training.checking.motion import PairMotions
from training.checking.sampling import Sample
from training.checking.two_view import Array
from training.checking.two_view import Camera
from training.checking.two_view import cross_matrix
from training.data.drive import Drive
from training.data.drive import frame_path
from training.data.drive import read_image

Picture = NDArray[np.uint8]

SHOWN_FRAMES = 6
SHOWN_LINES = 14
WIDTH_PX = 960
_GAP_PX = 6
_LINE_COLORS = ((0, 158, 230), (240, 160, 0), (0, 190, 130), (220, 110, 170), (235, 225, 70))
_TEXT_COLOR, _LABEL_COLOR = (255, 255, 255), (24, 28, 34)


def frames_picture(folder: Path, drive: Drive, sample: Sample) -> Picture | None:
    """Put frames along the way side by side, each with its number and what prepare said of it."""
    frames = [index for run in sample.runs for index in run.frames]
    if not frames:
        return None
    chosen = np.unique(np.linspace(0, len(frames) - 1, SHOWN_FRAMES).astype(int))
    columns = 2
    width = (WIDTH_PX - _GAP_PX) // columns
    height = round(width * drive.intrinsics.height / drive.intrinsics.width)
    cells = []
    for index in (frames[i] for i in chosen):
        cell = resize_image(read_image(frame_path(folder, index)), width, height).copy()
        dropped = ' dropped' if drive.frames[index].dropped is not None else ''
        _label(cell, f'{index:06d}{dropped}')
        cells.append(cell)
    return _grid(cells, columns)


def epipolar_picture(
    sample: Sample, intrinsics: Intrinsics, motions: PairMotions
) -> Picture | None:
    """
    Draw matches into the second image of the pair that moves most among the usual ones.

    A dot is where the point is, a thin tail where it was, a line where the motion and the camera
    of the dataset allow it to be.
    """
    usable = np.flatnonzero(motions.moving & np.isfinite(motions.way[:, 0]))
    if not len(usable):
        return None
    # The 80th percentile of flow: turns and speed, but no outlier.
    order = usable[np.argsort(motions.flow_px[usable], kind='stable')]
    number = int(order[int(0.8 * (len(order) - 1))])
    matches, gray = motions.matches[number], _gray(sample, int(motions.frames[number]) + 1)
    scale = WIDTH_PX / intrinsics.width
    height = round(intrinsics.height * scale)
    enlarged = cv2.resize(gray, (WIDTH_PX, height), interpolation=cv2.INTER_LINEAR)
    picture = np.asarray(cv2.cvtColor(enlarged, cv2.COLOR_GRAY2RGB) * 0.75, np.uint8)
    lines = _epipolar_lines(intrinsics, motions, number)
    for first, second in zip(matches.first, matches.second):
        cv2.line(picture, _at(first, scale), _at(second, scale), (120, 120, 120), 1, cv2.LINE_AA)
    moved = np.linalg.norm(matches.second - matches.first, axis=1)
    far = np.flatnonzero(moved * scale > MOVING_FLOW_PX)
    for shown, index in enumerate(far[:: max(1, len(far) // SHOWN_LINES)][:SHOWN_LINES]):
        color = _LINE_COLORS[shown % len(_LINE_COLORS)]
        a, b, c = lines[index]
        ends = _line_ends(float(a), float(b), float(c), intrinsics.width, intrinsics.height)
        if ends is not None:
            cv2.line(picture, _at(ends[0], scale), _at(ends[1], scale), color, 1, cv2.LINE_AA)
        cv2.line(
            picture,
            _at(matches.first[index], scale),
            _at(matches.second[index], scale),
            color,
            2,
            cv2.LINE_AA,
        )
        cv2.circle(picture, _at(matches.second[index], scale), 4, color, -1, cv2.LINE_AA)
    _label(picture, f'{motions.frames[number]:06d} to {motions.frames[number] + 1:06d}')
    return picture


def named_grid(pictures: list[tuple[str, Picture]], columns: int) -> Picture:
    """Put pictures of one size beside and below each other, each with its name."""
    cells = []
    for name, picture in pictures:
        cell = picture.copy()
        _label(cell, name)
        cells.append(cell)
    return _grid(cells, columns)


def _epipolar_lines(intrinsics: Intrinsics, motions: PairMotions, number: int) -> Array:
    """Return lines (N, 3) in pixels of the second image: a u + b v + c = 0."""
    camera = Camera.of(intrinsics)
    rotation = motions.rotation[number]
    direction = -rotation @ motions.way[number]
    essential = cross_matrix(direction) @ rotation
    rays = camera.rays(motions.matches[number].first)
    inverse = np.linalg.inv(intrinsics.matrix())
    return np.asarray(rays @ essential.T @ inverse, np.float64)


def _line_ends(
    a: float, b: float, c: float, width: int, height: int
) -> tuple[Array, Array] | None:
    if abs(b) > abs(a):
        left, right = (-c / b), -(a * (width - 1) + c) / b
        return np.array([0.0, left]), np.array([width - 1.0, right])
    if a == 0:
        return None
    return np.array([-c / a, 0.0]), np.array([-(b * (height - 1) + c) / a, height - 1.0])


def _at(point: Array, scale: float) -> tuple[int, int]:
    # Far outside, OpenCV's integers would overflow.
    x, y = np.clip((point + 0.5) * scale, -1e4, 1e4)
    return round(float(x)), round(float(y))


def _gray(sample: Sample, index: int) -> NDArray[np.uint8]:
    for run in sample.runs:
        if index in run.frames:
            return run.grays[index - run.first]
    raise AssertionError(f'frame {index} was not read')


def _grid(cells: list[Picture], columns: int) -> Picture:
    height, width = cells[0].shape[:2]
    rows = -(-len(cells) // columns)
    shape = (rows * (height + _GAP_PX) - _GAP_PX, columns * (width + _GAP_PX) - _GAP_PX, 3)
    grid = np.full(shape, 128, np.uint8)
    for number, cell in enumerate(cells):
        top = number // columns * (height + _GAP_PX)
        left = number % columns * (width + _GAP_PX)
        grid[top : top + height, left : left + width] = cell
    return grid


def _label(picture: Picture, text: str) -> None:
    (width, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.48, 1)
    cv2.rectangle(picture, (0, 0), (width + 12, height + below + 8), _LABEL_COLOR, -1)
    place = (6, height + 5)
    cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.48, _TEXT_COLOR, 1, cv2.LINE_AA)
