"""
One self-contained HTML page out of typed blocks: no network, no script, light and dark.

    metrics = Section('Metrics', (Text('...'), Table(...)))
    write_report(Report('A drive', 'its model', (metrics,)), path)
"""

import re
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Literal
from typing import NamedTuple
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.output import write_text_atomically
from sg_depth_ros.report.panels import Panels
from sg_depth_ros.report.panels import panels_html
from sg_depth_ros.report.panels import picture_tag
from sg_depth_ros.report.style import STYLE

Cell: TypeAlias = str | int | float | None


@dataclass(frozen=True)
class Text:
    """One paragraph."""

    text: str


@dataclass(frozen=True)
class Heading:
    """The name of what follows, within a section."""

    text: str


@dataclass(frozen=True)
class Caution:
    """A sentence that the reader must not miss: what could not be judged, or what failed."""

    text: str


@dataclass(frozen=True)
class Command:
    """A command line to repeat what the page shows."""

    command: str


class Tile(NamedTuple):
    """One key number: what it is, its value with unit, a few words below, and its verdict."""

    label: str
    value: str
    note: str = ''
    verdict: Literal['plain', 'good', 'bad'] = 'plain'


@dataclass(frozen=True)
class Tiles:
    """Key numbers side by side."""

    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class Table:
    """A table; numbers are set right, floats with ``decimals``, None as a dash."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ''
    decimals: int = 3
    low_is_best: tuple[str, ...] = ()  # columns whose best number the page sets in bold
    high_is_best: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse rows that do not fit the columns."""
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f'a row of {len(row)} cells in {len(self.columns)} columns')


@dataclass(frozen=True)
class Figure:
    """A drawing as SVG text, from ``figures``; it is trusted, so never build it from user text."""

    svg: str
    caption: str = ''


@dataclass(frozen=True, eq=False)
class Picture:
    """An image, RGB uint8 (H, W, 3); ``lossless`` keeps exact colours (PNG instead of JPEG)."""

    image: NDArray[np.uint8]
    caption: str = ''
    lossless: bool = False


@dataclass(frozen=True, eq=False)
class Details:
    """Blocks that a click on the summary shows or hides."""

    summary: str
    blocks: tuple['Block', ...]
    is_open: bool = False


Block: TypeAlias = (
    Text | Heading | Caution | Command | Tiles | Table | Figure | Picture | Panels | Details
)


@dataclass(frozen=True, eq=False)
class Section:
    """A heading and what stands below it."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, eq=False)
class Report:
    """A page."""

    title: str
    subtitle: str
    sections: tuple[Section, ...]


def write_report(report: Report, path: Path) -> None:
    """
    Write the page in one step: a reader finds the old page or the whole new one.

    :raises UserError: where the folder does not exist or cannot be written.
    """
    write_text_atomically(report_html(report), path)


def report_html(report: Report) -> str:
    """Return the page as HTML; equal reports give equal text."""
    anchors = [f's{number}-{_slug(s.title)}' for number, s in enumerate(report.sections, 1)]
    links = ''.join(
        f'<a href="#{anchor}">{escape(section.title)}</a>'
        for anchor, section in zip(anchors, report.sections)
    )
    sections = '\n'.join(
        _section(section, anchor) for section, anchor in zip(report.sections, anchors)
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f'<title>{escape(report.title)}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n'
        f'<header><h1>{escape(report.title)}</h1>\n<p>{escape(report.subtitle)}</p>\n'
        f'<nav>{links}</nav></header>\n<main>\n{sections}\n</main>\n</body>\n</html>\n'
    )


def _slug(title: str) -> str:
    return re.sub(r'[^a-z0-9]+', '-', title.lower()).strip('-')


def _section(section: Section, anchor: str) -> str:
    blocks = '\n'.join(_block(block) for block in section.blocks)
    return f'<section id="{anchor}">\n<h2>{escape(section.title)}</h2>\n{blocks}\n</section>'


def _block(block: Block) -> str:
    if isinstance(block, Text):
        return f'<p>{escape(block.text)}</p>'
    if isinstance(block, Heading):
        return f'<h3>{escape(block.text)}</h3>'
    if isinstance(block, Caution):
        return f'<p class="caution" role="note">{escape(block.text)}</p>'
    if isinstance(block, Command):
        return f'<pre><code>{escape(block.command)}</code></pre>'
    if isinstance(block, Tiles):
        return '<div class="tiles">' + ''.join(_tile(tile) for tile in block.tiles) + '</div>'
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Figure):
        return f'<figure class="drawing">{block.svg}{_caption(block.caption)}</figure>'
    if isinstance(block, Panels):
        return panels_html(block)
    if isinstance(block, Details):
        return _details(block)
    return _picture(block)


def _details(details: Details) -> str:
    blocks = '\n'.join(_block(block) for block in details.blocks)
    state = ' open' if details.is_open else ''
    return f'<details{state}><summary>{escape(details.summary)}</summary>\n{blocks}\n</details>'


def _tile(tile: Tile) -> str:
    note = f'<small>{escape(tile.note)}</small>' if tile.note else ''
    return (
        f'<div class="tile {tile.verdict}"><span>{escape(tile.label)}</span>'
        f'<strong>{escape(tile.value)}</strong>{note}</div>'
    )


def _table(table: Table) -> str:
    numeric = [
        bool(table.rows) and all(not isinstance(row[i], str) for row in table.rows)
        for i in range(len(table.columns))
    ]
    best = [_best(table, i) for i in range(len(table.columns))]
    head = ''.join(
        f'<th scope="col"{_number_class(n)}>{escape(name)}</th>'
        for name, n in zip(table.columns, numeric)
    )
    rows = [
        ''.join(_cell(v, table.decimals, n, b) for v, n, b in zip(row, numeric, best))
        for row in table.rows
    ]
    body = ''.join(f'<tr>{row}</tr>\n' for row in rows)
    return (
        f'<figure><div class="scroll"><table><thead><tr>{head}</tr></thead>\n'
        f'<tbody>\n{body}</tbody></table></div>{_caption(table.caption)}</figure>'
    )


def _best(table: Table, column: int) -> str:
    """Return the text of a column's best number, as it is shown; empty where none is marked."""
    name = table.columns[column]
    cells = [row[column] for row in table.rows]
    numbers = [cell for cell in cells if isinstance(cell, (int, float))]
    if len(numbers) < 2 or name not in (*table.low_is_best, *table.high_is_best):
        return ''
    best = min(numbers) if name in table.low_is_best else max(numbers)
    return cell_text(best, table.decimals)


def _number_class(numeric: bool) -> str:
    return ' class="number"' if numeric else ''


def cell_text(value: Cell, decimals: int) -> str:
    """Return how a table shows a value, on the page and on the terminal."""
    if value is None:
        return '–'
    return f'{value:.{decimals}f}' if isinstance(value, float) else str(value)


def number_of(things: str, count: int) -> str:
    """Return a count and what is counted: 1 frame, 2 frames."""
    return f'{count} {things.removesuffix("s") if count == 1 else things}'


def _cell(value: Cell, decimals: int, numeric: bool, best: str) -> str:
    text = escape(cell_text(value, decimals))
    if best and text == best:
        text = f'<b>{text}</b>'
    return f'<td{_number_class(numeric or not isinstance(value, str))}>{text}</td>'


def _picture(picture: Picture) -> str:
    tag = picture_tag(picture.image, picture.caption, picture.lossless)
    return f'<figure>{tag}{_caption(picture.caption)}</figure>'


def _caption(caption: str) -> str:
    return f'<figcaption>{escape(caption)}</figcaption>' if caption else ''
