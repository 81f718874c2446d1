"""What training computed, as pictures for people; RGB uint8 (H, W, 3)."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import resize_image
from sg_depth_ros.report.pictures import colored
from sg_depth_ros.report.pictures import depth_legend
from sg_depth_ros.report.pictures import depth_picture
from sg_depth_ros.report.pictures import enlarged
from sg_depth_ros.report.pictures import label_overlay
from sg_depth_ros.report.pictures import titled

COLUMNS = 2
TILE_WIDTH_PX = 480  # about
SHOWN_TRIPLETS = 16
LARGEST_ERROR = 0.5  # drawn white; pe of two unlike patches is about that


class GuidanceKernels(NamedTuple):
    """K of one guided level, averaged over a pixel's neighbours."""

    stride: int
    kernels: NDArray[np.float32]  # (H / stride, W / stride), 0 to 1


class TripletMaps(NamedTuple):
    """What the objective makes of one triplet, at full size."""

    image: NDArray[np.uint8]  # (H, W, 3)
    seen: NDArray[np.uint8]  # (H, W, 3): as the depth network sees it, jittered and mirrored
    labels: NDArray[np.uint8] | None  # (H, W) class ids
    depth_m: NDArray[np.float32]  # (H, W)
    warped: NDArray[np.uint8]  # (2, H, W, 3): the image rebuilt from previous and following
    error: NDArray[np.float32]  # (H, W) photometric, of the better one
    counts: NDArray[np.bool_]  # (H, W): left by the auto-mask
    guidance: tuple[GuidanceKernels, ...]


def triplet_panel(maps: TripletMaps, name: str, *, metric: bool) -> NDArray[np.uint8]:
    """
    Put all maps of a triplet into one picture, each below its name.

    :param name: of the sample.
    :param metric: whether depth is in metres.
    """
    height, width = maps.depth_m.shape
    size = _tile_size(width, height)
    unit = 'm' if metric else 'unknown units'
    share = maps.counts.mean()
    tiles = [
        (f'image: {name}', resize_image(maps.image, *size)),
        ('as the network sees it', resize_image(maps.seen, *size)),
    ]
    if maps.labels is not None:
        tiles.append(('labels', enlarged(label_overlay(maps.image, maps.labels), *size)))
    depth = enlarged(depth_picture(maps.depth_m), *size)
    median = float(np.median(maps.depth_m))
    tiles.append((f'depth, median {median:.1f} {unit}', depth))
    for side, picture in zip(('previous', 'following'), maps.warped):
        tiles.append((f'image rebuilt from the {side} one', resize_image(picture, *size)))
    masked = f'auto-mask: {share:.0%} of the pixels count'
    tiles.append((masked, enlarged(_mask_picture(maps.image, maps.counts), *size)))
    error = colored(maps.error / LARGEST_ERROR, cv2.COLORMAP_INFERNO)
    mean = float(maps.error.mean())
    tiles.append(
        (f'loss per pixel, 0 to {LARGEST_ERROR}, mean {mean:.3f}', enlarged(error, *size))
    )
    for stride, kernels in maps.guidance:
        title = f'K at stride {stride}, 0 to 1, mean {kernels.mean():.2f}'
        tiles.append((title, enlarged(colored(kernels, cv2.COLORMAP_BONE), *size)))
    grid = _grid([titled(picture, title) for title, picture in tiles])
    return np.vstack([grid, depth_legend(grid.shape[1])])


def triplets_picture(
    images: NDArray[np.uint8], names: Sequence[str], *, most: int = SHOWN_TRIPLETS
) -> NDArray[np.uint8]:
    """
    Show the images of a batch: previous, target and following in a row.

    :param images: (B, 3, H, W, 3): target, previous, following.
    :param names: of the samples.
    :param most: rows to draw.
    """
    height, width = images.shape[2:4]
    size = _tile_size(width, height)
    rows = []
    for (target, previous, following), name in zip(images[:most], names):
        tiles = [resize_image(one, *size) for one in (previous, target, following)]
        rows.append(titled(np.hstack(tiles), f'{name}: previous, target, following'))
    return np.vstack(rows)


def _tile_size(width: int, height: int) -> tuple[int, int]:
    """Return the size of a tile: whole multiples of small images, large ones shrunk."""
    scale = max(1, round(TILE_WIDTH_PX / width)) if width < 1.5 * TILE_WIDTH_PX else 0.5
    return round(width * scale), round(height * scale)


def _mask_picture(image: NDArray[np.uint8], counts: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Keep the image where it counts; what is left out is dark red."""
    picture: NDArray[np.uint8] = image.copy()
    picture[~counts] = image[~counts] // 4
    picture[~counts, 0] += 90
    return picture


def _grid(tiles: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    blank = np.zeros_like(tiles[0])
    filled = [*tiles, *[blank] * (-len(tiles) % COLUMNS)]
    rows = [np.hstack(filled[i : i + COLUMNS]) for i in range(0, len(filled), COLUMNS)]
    return np.vstack(rows)
