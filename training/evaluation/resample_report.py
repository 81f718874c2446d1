"""The picture of a resampling: scores, planes over time, and the worst frames."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.ground import CAMERA_UP
from sg_depth_ros.ground import GroundPlane
from sg_depth_ros.replay.pictures import depth_picture
from training.evaluation.figures import new_figure
from training.evaluation.figures import save_figure
from training.evaluation.holes import Decision

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = 3
MARK_COLOR = (255, 0, 60)
BLUE, ORANGE = '#3b8fd4', '#d97706'


class MarkedFrame(NamedTuple):
    """A frame of the contact sheet."""

    decision: Decision
    image: NDArray[np.uint8]  # [H, W, 3], RGB
    depth_m: NDArray[np.float32]  # [H, W]
    below: NDArray[np.bool_]  # [H, W]


def write_resample_report(
    decisions: Sequence[Decision],
    threshold_px: float,
    metric: bool,
    frames: Sequence[MarkedFrame],
    path: Path,
) -> None:
    """
    Draw the histogram of scores, the planes frame by frame, and the contact sheet.

    :param threshold_px: at the network's size.
    :param metric: whether heights are in metres.
    :param path: PNG to write; the same input gives the same bytes.
    """
    sheet_rows = -(-len(frames) // COLUMNS)
    height, width = frames[0].image.shape[:2]
    cell_in = 14.0 / COLUMNS * (2 * height / width) + 0.35
    figure = new_figure(14.0, 3.6 + cell_in * sheet_rows)
    grid = figure.add_gridspec(1 + sheet_rows, 6, height_ratios=[3.0, *[cell_in] * sheet_rows])
    _draw_scores(figure.add_subplot(grid[0, :2]), decisions, threshold_px)
    _draw_planes(figure.add_subplot(grid[0, 2:]), decisions, metric)
    for number, frame in enumerate(frames):
        row, column = divmod(number, COLUMNS)
        _draw_frame(figure.add_subplot(grid[1 + row, 2 * column : 2 * column + 2]), frame)
    save_figure(figure, path)


def marked_picture(image: NDArray[np.uint8], below: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Paint pixels below ground red, with an outline that shows even a single one."""
    picture = image.copy()
    ring = cv2.dilate(below.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    picture[ring & ~below] = 255
    picture[below] = MARK_COLOR
    return picture


def _draw_scores(axes: 'Axes', decisions: Sequence[Decision], threshold_px: float) -> None:
    scores = np.array([d.score.pixels_below for d in decisions])
    # Half a pixel stands for none on the logarithmic axis.
    highest = max(float(scores.max()), threshold_px, 1.0) * 1.3
    edges = np.geomspace(0.4, highest, 30)
    dropped = np.array([d.dropped for d in decisions])
    values = np.maximum(scores, 0.5)
    colors = [BLUE, ORANGE]
    axes.hist([values[~dropped], values[dropped]], list(edges), stacked=True, color=colors)
    axes.axvline(threshold_px, color='black', linestyle='--', linewidth=1)
    axes.set_xscale('log')
    axes.set_yscale('symlog', linthresh=1)
    axes.set_xlabel('pixels clearly below ground (0.5: none)')
    axes.set_ylabel('frames')
    axes.set_title(
        f'{dropped.sum()} of {len(scores)} frames dropped, threshold {threshold_px:g} px'
    )


def _draw_planes(axes: 'Axes', decisions: Sequence[Decision], metric: bool) -> None:
    """Draw what shows where one plane fails: jumps of height and tilt, frames without a plane."""
    planes = [d.score.plane for d in decisions]
    fitted = [(i, p) for i, p in enumerate(planes) if isinstance(p, GroundPlane)]
    numbers = [i for i, _ in fitted]
    refused = [i for i, p in enumerate(planes) if not isinstance(p, GroundPlane)]
    heights = [p.offset_m for _, p in fitted]
    tilts = [math.degrees(math.acos(min(1.0, float(p.normal @ CAMERA_UP)))) for _, p in fitted]
    axes.plot(numbers, heights, '.', markersize=3, color=BLUE)
    axes.set_ylabel(f'camera height ({"m" if metric else "unknown scale"})', color=BLUE)
    axes.set_ylim(bottom=0)
    axes.set_xlabel('target frame, in the order of the dataset')
    right = axes.twinx()
    right.plot(numbers, tilts, '.', markersize=3, color=ORANGE)
    right.set_ylabel('tilt of the plane (degrees)', color=ORANGE)
    right.set_ylim(0, 15)
    for number in refused:
        axes.axvline(number, color='red', alpha=0.25, linewidth=1)
    axes.set_title(f'ground planes; {len(refused)} frames have none (red) and are kept')


def _draw_frame(axes: 'Axes', frame: MarkedFrame) -> None:
    entry = frame.decision.score.entry
    pictures = (marked_picture(frame.image, frame.below), depth_picture(frame.depth_m))
    axes.imshow(np.concatenate(pictures), interpolation='nearest')
    verdict = 'dropped' if frame.decision.dropped else 'kept'
    pixels = frame.decision.score.pixels_below
    axes.set_title(f'{entry.drive} {entry.frame:06d}: {pixels} px, {verdict}', fontsize=8)
    axes.set_axis_off()
