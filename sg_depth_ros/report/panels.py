"""Pictures that belong together, each with its name and the key to its colours."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import NamedTuple
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

Color: TypeAlias = tuple[int, int, int]
JPEG_QUALITY = 80


class Tick(NamedTuple):
    """A number on a colour bar."""

    share: float  # 0..1 of the bar's length
    text: str


@dataclass(frozen=True)
class ColorBar:
    """What the colours of a picture mean, as a bar with numbers."""

    colors: tuple[Color, ...]  # evenly spaced, from left to right
    ticks: tuple[Tick, ...]


@dataclass(frozen=True)
class Swatches:
    """What the colours of a picture mean, one by one."""

    named: tuple[tuple[str, Color], ...]


@dataclass(frozen=True, eq=False)
class Panel:
    """A picture RGB uint8 (H, W, 3), its name above, and below what its colours mean."""

    title: str
    image: NDArray[np.uint8]
    bar: ColorBar | None = None
    swatches: Swatches | None = None
    note: str = ''
    tall: bool = False  # stands in a column of its own, beside all the others


@dataclass(frozen=True, eq=False)
class Panels:
    """Pictures of one thing in a grid, one below the other on a phone."""

    title: str
    note: str
    panels: tuple[Panel, ...]
    columns: int


def picture_tag(image: NDArray[np.uint8], alt: str, lossless: bool = False) -> str:
    """
    Return an ``img`` with the picture in it.

    :raises ValueError: where it is not RGB uint8 (H, W, 3).
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f'a picture is RGB uint8 (H, W, 3), not {image.dtype} {image.shape}')
    kind = 'png' if lossless else 'jpeg'
    options = [] if lossless else [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    ok, data = cv2.imencode(f'.{kind}', cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    assert ok, f'OpenCV could not encode a {kind}'
    encoded = base64.b64encode(data.tobytes()).decode()
    height, width = image.shape[:2]
    return (
        f'<img src="data:image/{kind};base64,{encoded}" width="{width}" height="{height}" '
        f'alt="{escape(alt or "picture")}">'
    )


def panels_html(panels: Panels) -> str:
    """Return the pictures as HTML."""
    beside = max(1, sum(not panel.tall for panel in panels.panels))
    note = f'<p>{escape(panels.note)}</p>' if panels.note else ''
    return (
        f'<article class="panels"><h3>{escape(panels.title)}</h3>{note}'
        f'<div class="grid" style="--columns:{panels.columns}">'
        f'{"".join(_panel(panel, beside) for panel in panels.panels)}</div></article>'
    )


def _panel(panel: Panel, beside: int) -> str:
    tall = f' class="tall" style="--rows:{beside}"' if panel.tall else ''
    key = '' if panel.bar is None else _bar(panel.bar)
    key += '' if panel.swatches is None else _swatches(panel.swatches)
    note = f'<figcaption>{escape(panel.note)}</figcaption>' if panel.note else ''
    return (
        f'<figure{tall}><h4>{escape(panel.title)}</h4>{picture_tag(panel.image, panel.title)}'
        f'{key}{note}</figure>'
    )


def _bar(bar: ColorBar) -> str:
    ticks = ''.join(
        # Moved left by its share, so that the first and the last end with the bar.
        f'<span style="left:{100 * t.share:.1f}%;transform:translateX(-{100 * t.share:.0f}%)">'
        f'{escape(t.text)}</span>'
        for t in bar.ticks
    )
    stops = ','.join(_css(color) for color in bar.colors)
    return (
        f'<div class="bar"><div style="background:linear-gradient(90deg,{stops})"></div>'
        f'{ticks}</div>'
    )


def _swatches(swatches: Swatches) -> str:
    named = ''.join(
        f'<span><i style="background:{_css(color)}"></i>{escape(name)}</span>'
        for name, color in swatches.named
    )
    return f'<div class="swatches">{named}</div>'


def _css(color: Sequence[int]) -> str:
    return '#' + ''.join(f'{int(c):02x}' for c in color)
