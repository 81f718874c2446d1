"""Sheets of frames and their pixels below ground."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import resize_image
from sg_depth_ros.report.pictures import depth_picture
from sg_depth_ros.report.pictures import enlarged
from sg_depth_ros.report.pictures import marked_picture
from sg_depth_ros.report.pictures import titled
from training.resampling.decisions import Decision

COLUMNS = 3
TILE_WIDTH = 464
GAP = 6
_GAP_COLOR = (16, 20, 26)


class MarkedFrame(NamedTuple):
    """A frame to show."""

    decision: Decision
    image: NDArray[np.uint8]  # [H, W, 3], RGB
    depth_m: NDArray[np.float32]  # [H, W]
    holes: NDArray[np.bool_]  # [H, W]


def sheet(frames: Sequence[MarkedFrame]) -> NDArray[np.uint8]:
    """
    Put frames side by side, row after row: the image with its marks, its depth below.

    :param frames: at least one, all of one size.
    """
    tiles = [_tile(frame) for frame in frames]
    empty = np.full_like(tiles[0], _GAP_COLOR)
    columns = min(COLUMNS, len(tiles))
    tiles += [empty] * (-len(tiles) % columns)
    height = tiles[0].shape[0]
    beside = np.full((height, GAP, 3), _GAP_COLOR, np.uint8)
    rows: list[NDArray[np.uint8]] = []
    for first in range(0, len(tiles), columns):
        row = [tiles[first]]
        for tile in tiles[first + 1 : first + columns]:
            row += [beside, tile]
        rows.append(np.hstack(row))
    below = np.full((GAP, rows[0].shape[1], 3), _GAP_COLOR, np.uint8)
    spaced = [rows[0]]
    for joined in rows[1:]:
        spaced += [below, joined]
    return np.vstack(spaced)


def _tile(frame: MarkedFrame) -> NDArray[np.uint8]:
    score = frame.decision.score
    width, height = TILE_WIDTH, round(TILE_WIDTH * frame.image.shape[0] / frame.image.shape[1])
    picture = marked_picture(frame.image, frame.holes)
    grows = width > picture.shape[1]
    resize = enlarged if grows else resize_image
    parts = (resize(picture, width, height), resize(depth_picture(frame.depth_m), width, height))
    verdict = 'dropped' if frame.decision.dropped else 'kept'
    title = f'{score.entry.drive} {score.entry.frame:06d}: {score.hole_pixels} px, {verdict}'
    return titled(np.vstack(parts), title)
