"""Axes to draw on, and the drawing as SVG text for a page; colours are the page's."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from typing import Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Matplotlib knows no CSS variables: these stand-ins are replaced in the finished SVG.
_INK = '#010203'
SOFT = '#040506'
_LINE = '#070809'
_CSS_COLORS = {_INK: 'currentColor', SOFT: 'var(--soft)', _LINE: 'var(--line)'}

# Okabe and Ito's colours that are legible on white and on near black, colour-blind safe.
SERIES_COLORS = ('#3b8fd4', '#d97706', '#1f9d74', '#c0578f', '#8a8f98')

# On a page of 72 rem a unit of the first is 1.3 px, on a phone one of the second is 1 px.
_WIDE_IN, _NARROW_IN = (11.6, 3.1), (4.8, 3.1)
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
    'legend.borderaxespad': 0.2,
    'legend.borderpad': 0.1,
    'legend.frameon': False,
    'svg.fonttype': 'none',
    'text.color': _INK,
    'xtick.color': SOFT,
    'ytick.color': SOFT,
}


@contextmanager
def drawing(salt: str, *, narrow: bool | None = None) -> Iterator[tuple['Axes', list[str]]]:
    """
    Yield axes to draw on, and a list that holds the SVG text afterwards.

    :param salt: tells the figures of a page apart.
    :param narrow: for phones only, or for wide pages only; None: for both, where a phone scrolls.
    """
    # Imported here: matplotlib costs half a second that commands without figures need not pay.
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    svg: list[str] = []
    # Ids are hashed with the salt: equal figures give equal text, different ones no common ids.
    style: Any = {**_STYLE, 'svg.hashsalt': f'{salt}|{narrow}'}  # its stubs want literal keys
    with matplotlib.rc_context(style):
        figure = Figure(figsize=_NARROW_IN if narrow else _WIDE_IN, layout='constrained')
        FigureCanvasSVG(figure)
        yield figure.add_subplot(), svg
        buffer = io.StringIO()
        figure.savefig(buffer, format='svg', transparent=True, metadata={'Date': None})
    kind = 'any' if narrow is None else 'narrow' if narrow else 'wide'
    svg.append(_inline(buffer.getvalue(), kind))


def _inline(svg: str, kind: str) -> str:
    """Strip what a stand-alone SVG needs and a page does not, and hand the colours to the page."""
    svg = svg[svg.index('<svg') :].replace('<svg', f'<svg class="{kind}" role="img"', 1)
    svg = re.sub(r'<metadata>.*?</metadata>', '', svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*">', '<g>', svg)
    svg = re.sub(r"font: ([^;]*?) '[^;\"]*'", r'font: \1 system-ui', svg)
    # A tenth of a unit is a fifth of a pixel.
    svg = re.sub(r' d="[^"]*"', lambda path: re.sub(r'(\.\d)\d+', r'\1', path[0]), svg)
    for stand_in, color in _CSS_COLORS.items():
        svg = svg.replace(stand_in, color)
    return svg
