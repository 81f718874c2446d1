"""
Drawings for the report as SVG text that takes its colours from the page, in light and dark.

Everything of one kind is drawn by one function, so that the figures of a page look alike. Each is
drawn twice, for wide pages and for phones; the page shows the one that fits.
"""

import hashlib
import math
from collections.abc import Callable
from collections.abc import Sequence
from typing import TYPE_CHECKING
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.report.svg import SERIES_COLORS
from sg_depth_ros.report.svg import SOFT
from sg_depth_ros.report.svg import drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Told apart without colours too: printed in gray, and by eyes that see fewer of them.
SERIES_DASHES = ('-', (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)), (0, (9, 2)))
MOST_POINTS = 240  # of a curve; more give means over so many stretches
MOST_MARKED_POINTS = 60
GAP = 3.5  # times the usual step in x: a curve is interrupted
LEGEND_LETTERS, LEGEND_LETTERS_NARROW = 130, 52  # that fit beside one another


class Series(NamedTuple):
    """One curve: its name in the legend and y at the figure's x; NaN leaves a gap."""

    name: str
    y: Sequence[float]


class Limit(NamedTuple):
    """A horizontal line with its name, such as a limit that was set."""

    name: str
    y: float


class _Stretches(NamedTuple):
    """A curve as it is drawn; NaN interrupts it."""

    x: NDArray[np.float64]
    mean: NDArray[np.float64]
    least: NDArray[np.float64]
    largest: NDArray[np.float64]


def line_figure(
    x: Sequence[float],
    series: Sequence[Series],
    *,
    x_label: str,
    y_label: str,
    limits: Sequence[Limit] = (),
    y_from_zero: bool = True,
    least_y: tuple[float, float] | None = None,
) -> str:
    """
    Draw curves over a common x; return SVG text.

    :param least_y: shown in any case, so that noise is not blown up to fill the figure.
    """
    curves = [_stretches(np.asarray(x, np.float64), np.asarray(s.y, np.float64)) for s in series]

    def draw(axes: 'Axes') -> None:
        for number, (one, curve) in enumerate(zip(series, curves)):
            color = SERIES_COLORS[number % len(SERIES_COLORS)]
            if len(x) > MOST_POINTS:
                axes.fill_between(
                    curve.x, curve.least, curve.largest, color=color, alpha=0.18, linewidth=0
                )
            axes.plot(
                curve.x,
                curve.mean,
                color=color,
                label=one.name,
                linewidth=1.6,
                linestyle=SERIES_DASHES[number % len(SERIES_DASHES)],
                marker='o' if len(x) <= MOST_MARKED_POINTS else '',
                markersize=3,
            )
        for limit in limits:
            axes.axhline(limit.y, color=SOFT, linewidth=1, linestyle=':', label=limit.name)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.margins(x=0.01)
        if all(isinstance(value, int) for value in x):
            axes.locator_params(axis='x', integer=True)
        _set_y_range(axes, y_from_zero, least_y)

    salt = _salt(x_label, y_label, x, *(one.y for one in series))
    named = [*(one.name for one in series), *(limit.name for limit in limits)]
    return _both_widths(draw, salt, named)


def thinning_words(points: int) -> str:
    """Say what a point of a curve is; nothing where it is simply a point."""
    if points <= MOST_POINTS:
        return ''
    each = math.ceil(points / MOST_POINTS)
    return f' Lines: means of {each} frames; shaded: from their least to their largest.'


def histogram_figure(
    values: Sequence[float], *, x_label: str, y_label: str = 'frames', most_bins: int = 40
) -> str:
    """Draw how often each value occurs; return SVG text."""

    def draw(axes: 'Axes') -> None:
        bins = min(most_bins, max(8, len(values) // 4))
        axes.hist(values, bins=bins, color=SERIES_COLORS[0], rwidth=0.92)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.locator_params(axis='y', integer=True)

    return _both_widths(draw, _salt(x_label, y_label, values))


def bar_figure(
    names: Sequence[str],
    series: Sequence[Series],
    *,
    y_label: str,
    x_label: str = '',
    decimals: int = 3,
) -> str:
    """Draw a bar per name and series with its value above; return SVG text."""
    width = 0.8 / len(series)

    def draw(axes: 'Axes') -> None:
        for number, one in enumerate(series):
            places = [i + (number - (len(series) - 1) / 2) * width for i in range(len(names))]
            color = SERIES_COLORS[number % len(SERIES_COLORS)]
            bars = axes.bar(places, one.y, color=color, width=0.9 * width, label=one.name)
            labels = ['' if math.isnan(v) else f'{v:.{decimals}f}' for v in one.y]
            axes.bar_label(bars, labels, padding=2, fontsize=8, color=SOFT)
        axes.set_xticks(range(len(names)), names)
        axes.margins(y=0.12)
        if x_label:
            axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.grid(False, axis='x')

    salt = _salt(*names, y_label, *(one.y for one in series))
    return _both_widths(draw, salt, [one.name for one in series])


def _salt(*drawn: str | Sequence[float]) -> str:
    """Return what tells a figure apart from the others of a page."""
    parts = [d if isinstance(d, str) else np.asarray(d, np.float64).tobytes().hex() for d in drawn]
    return hashlib.sha256('|'.join(parts).encode()).hexdigest()


def _both_widths(draw: Callable[['Axes'], None], salt: str, named: Sequence[str] = ()) -> str:
    """Draw for wide pages and for phones; a legend stands above where there are several names."""
    entry = 6 + max(map(len, named), default=0)  # with its line
    both = []
    for narrow, letters in ((False, LEGEND_LETTERS), (True, LEGEND_LETTERS_NARROW)):
        with drawing(salt, narrow=narrow) as (axes, svg):
            draw(axes)
            if len(named) > 1:
                assert axes.figure is not None
                columns = max(1, letters // entry)
                axes.figure.legend(loc='outside upper left', ncols=columns)
        both.append(svg[0])
    return ''.join(both)


def _set_y_range(axes: 'Axes', y_from_zero: bool, least_y: tuple[float, float] | None) -> None:
    bottom, top = axes.get_ylim()
    if least_y is not None:
        bottom, top = min(bottom, least_y[0]), max(top, least_y[1])
    axes.set_ylim(0 if y_from_zero else bottom, top)


def _stretches(x: NDArray[np.float64], y: NDArray[np.float64]) -> _Stretches:
    """Return the curve with as few points as can be seen, interrupted at gaps in x."""
    known = ~np.isnan(y)
    x, y = x[known], y[known]
    each = math.ceil(len(x) / MOST_POINTS) if len(x) > MOST_POINTS else 1
    starts = np.arange(0, len(x), each)
    if len(x) == 0:
        return _Stretches(x, y, y, y)
    counts = np.diff([*starts, len(x)])
    middle = np.add.reduceat(x, starts) / counts
    mean = np.add.reduceat(y, starts) / counts
    least, largest = np.minimum.reduceat(y, starts), np.maximum.reduceat(y, starts)
    steps = np.diff(middle)
    usual = float(np.median(steps)) if len(steps) else 0.0
    gaps = np.flatnonzero(steps > GAP * usual) + 1
    return _Stretches(*(np.insert(v, gaps, np.nan) for v in (middle, mean, least, largest)))
