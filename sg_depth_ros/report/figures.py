"""
Drawings for the report as SVG text that takes its colours from the page, in light and dark.

Everything of one kind is drawn by one function, so that the figures of a page look alike.
"""

import io
import re
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING
from typing import Any
from typing import NamedTuple

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Matplotlib knows no CSS variables: these stand-ins are replaced in the finished SVG.
_INK = '#010203'
SOFT = '#040506'
_LINE = '#070809'
_CSS_COLORS = {_INK: 'currentColor', SOFT: 'var(--soft)', _LINE: 'var(--line)'}

# Okabe and Ito's colours that are legible on white and on near black, colour-blind safe.
SERIES_COLORS = ('#3b8fd4', '#d97706', '#1f9d74', '#c0578f', '#8a8f98')

_STYLE: dict[str, Any] = {
    'axes.axisbelow': True,
    'axes.edgecolor': _LINE,
    'axes.facecolor': 'none',
    'axes.grid': True,
    'axes.labelcolor': SOFT,
    'axes.spines.right': False,
    'axes.spines.top': False,
    'figure.facecolor': 'none',
    'font.family': 'sans-serif',
    'font.size': 10,
    'grid.color': _LINE,
    'grid.linewidth': 0.7,
    'legend.frameon': False,
    'svg.fonttype': 'none',
    'text.color': _INK,
    'xtick.color': SOFT,
    'ytick.color': SOFT,
}


class Series(NamedTuple):
    """One curve: its name in the legend and y at the figure's x; NaN leaves a gap."""

    name: str
    y: Sequence[float]


class Limit(NamedTuple):
    """A horizontal line with its name, such as a limit that was set."""

    name: str
    y: float


def line_figure(
    x: Sequence[float],
    series: Sequence[Series],
    *,
    x_label: str,
    y_label: str,
    limits: Sequence[Limit] = (),
    y_from_zero: bool = True,
) -> str:
    """Draw curves over a common x; return SVG text."""
    with drawing(f'{x_label}|{y_label}') as (axes, svg):
        for number, one in enumerate(series):
            color = SERIES_COLORS[number % len(SERIES_COLORS)]
            axes.plot(x, one.y, color=color, label=one.name, linewidth=1.5, marker='o', ms=3)
        for limit in limits:
            axes.axhline(limit.y, color=SOFT, linewidth=1, linestyle='--', label=limit.name)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        if all(isinstance(value, int) for value in x):
            axes.locator_params(axis='x', integer=True)
        if y_from_zero:
            axes.set_ylim(bottom=0, top=axes.get_ylim()[1])
        if len(series) + len(limits) > 1:
            axes.legend(loc='upper left', bbox_to_anchor=(0, 1.14), ncol=4, borderaxespad=0)
    return svg[0]


def histogram_figure(
    values: Sequence[float], *, x_label: str, y_label: str = 'frames', most_bins: int = 40
) -> str:
    """Draw how often each value occurs; return SVG text."""
    with drawing(f'{x_label}|{y_label}') as (axes, svg):
        bins = min(most_bins, max(8, len(values) // 4))
        axes.hist(values, bins=bins, color=SERIES_COLORS[0], rwidth=0.92)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.locator_params(axis='y', integer=True)
    return svg[0]


def bar_figure(names: Sequence[str], values: Sequence[float], *, y_label: str) -> str:
    """Draw one bar per name with its value above; return SVG text."""
    with drawing(f'{"|".join(names)}|{y_label}') as (axes, svg):
        bars = axes.bar(range(len(names)), values, color=SERIES_COLORS[0], width=0.65)
        axes.bar_label(bars, fmt='%.3g', padding=2)
        axes.set_xticks(range(len(names)), names)
        axes.set_ylabel(y_label)
        axes.grid(False, axis='x')
    return svg[0]


@contextmanager
def drawing(salt: str) -> Iterator[tuple['Axes', list[str]]]:
    """
    Yield axes to draw on, and a list that holds the SVG text afterwards.

    :param salt: tells the figures of a page apart.
    """
    # Imported here: matplotlib costs half a second that commands without figures need not pay.
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    svg: list[str] = []
    # Ids are hashed with the salt: equal figures give equal text, different ones no common ids.
    style: Any = {**_STYLE, 'svg.hashsalt': salt}  # its stubs want every key as a literal
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(9.0, 3.0), layout='constrained')
        FigureCanvasSVG(figure)
        yield figure.add_subplot(), svg
        buffer = io.StringIO()
        figure.savefig(buffer, format='svg', transparent=True, metadata={'Date': None})
    svg.append(_inline(buffer.getvalue()))


def _inline(svg: str) -> str:
    """Strip what a stand-alone SVG needs and a page does not, and hand the colours to the page."""
    svg = svg[svg.index('<svg') :]
    svg = re.sub(r'<metadata>.*?</metadata>', '', svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*">', '<g>', svg)
    svg = re.sub(r"font: ([^;]*?) '[^;\"]*'", r'font: \1 system-ui', svg)
    for stand_in, color in _CSS_COLORS.items():
        svg = svg.replace(stand_in, color)
    return svg
