"""The keys to the colours of pictures, for the panels of a page."""

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.classes import CLASS_NAMES
from sg_depth_ros.classes import palette
from sg_depth_ros.report.panels import Color
from sg_depth_ros.report.panels import ColorBar
from sg_depth_ros.report.panels import Swatches
from sg_depth_ros.report.panels import Tick
from sg_depth_ros.report.pictures import FAR_M
from sg_depth_ros.report.pictures import NEAR_M
from sg_depth_ros.report.pictures import WORST_RELATIVE_ERROR
from sg_depth_ros.report.pictures import depth_picture
from sg_depth_ros.report.pictures import error_picture

STOPS = 24
LEAST_SHARE = 0.002  # of the pixels: a class with fewer is not named


def depth_key(max_m: float = FAR_M) -> ColorBar:
    """Return the key to ``depth_picture``."""
    bar_m = NEAR_M * (max_m / NEAR_M) ** np.linspace(0, 1, STOPS)
    ticks = [t for t in (2, 5, 10, 20, 40, 80) if NEAR_M <= t <= max_m]
    return ColorBar(
        _colors(depth_picture(bar_m[None], max_m)[0]),
        tuple(Tick(float(np.log(t / NEAR_M) / np.log(max_m / NEAR_M)), f'{t} m') for t in ticks),
    )


def error_key() -> ColorBar:
    """Return the key to ``error_picture``."""
    worst = WORST_RELATIVE_ERROR
    truth = np.ones((1, STOPS + 1))
    colors = error_picture(1 + np.linspace(-worst, worst, STOPS + 1)[None], truth)[0]
    percent = f'{100 * worst:.0f} %'
    shares = ((0, f'{percent} too near'), (0.5, 'right'), (1, f'{percent} too far'))
    return ColorBar(_colors(colors), tuple(Tick(share, text) for share, text in shares))


def label_key(labels: NDArray[np.uint8]) -> Swatches:
    """Return the key to the classes of an image, the most frequent first."""
    counts = np.bincount(labels.ravel(), minlength=256)[: len(CLASS_NAMES)]
    seen = [int(i) for i in np.argsort(-counts, kind='stable') if counts[i] > 0]
    named = [i for i in seen if counts[i] >= LEAST_SHARE * labels.size]
    colors = _colors(palette())
    return Swatches(tuple((CLASS_NAMES[i], colors[i]) for i in named))


def _colors(rgb: NDArray[np.uint8]) -> tuple[Color, ...]:
    return tuple((int(r), int(g), int(b)) for r, g, b in rgb)
