"""Matplotlib without a display, without global state, and the same bytes every time."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(width_in: float, height_in: float) -> 'Figure':
    """Return an empty figure that no window manager knows of."""
    # Imported late: it takes longer than all the rest of a verb's --help.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), dpi=110, layout='constrained')
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: 'Figure', path: Path) -> None:
    """Write a PNG at once or not at all, without date or version in it."""
    temporary = path.with_name(path.name + '.tmp')
    figure.savefig(temporary, format='png', metadata={'Software': None})
    temporary.replace(path)
