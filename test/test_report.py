import re
from html.parser import HTMLParser

import numpy as np
import pytest

from sg_depth_ros.errors import UserError
from sg_depth_ros.report.figures import Limit
from sg_depth_ros.report.figures import Series
from sg_depth_ros.report.figures import bar_figure
from sg_depth_ros.report.figures import histogram_figure
from sg_depth_ros.report.figures import line_figure
from sg_depth_ros.report.page import Caution
from sg_depth_ros.report.page import Command
from sg_depth_ros.report.page import Figure
from sg_depth_ros.report.page import Picture
from sg_depth_ros.report.page import Report
from sg_depth_ros.report.page import Section
from sg_depth_ros.report.page import Table
from sg_depth_ros.report.page import Text
from sg_depth_ros.report.page import Tile
from sg_depth_ros.report.page import Tiles
from sg_depth_ros.report.page import report_html
from sg_depth_ros.report.page import write_report

HOSTILE = '<script>alert("x")</script> & \'"'
VOID = {'meta', 'img', 'br'}


class Page(HTMLParser):
    """Collects tags, links and text, and whether tags are balanced."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name in ('src', 'href', 'xlink:href'):
                self.links.append(value)
            if name == 'id':
                self.ids.append(value)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def every_block(text: str) -> Report:
    image = np.random.default_rng(0).integers(0, 255, (20, 30, 3)).astype(np.uint8)
    curve = line_figure(range(5), [Series('one', [1, 2, 3, 2, 1])], x_label='x', y_label='y')
    limited = line_figure(
        [0.5, 1.5],
        [Series('one', [1, 2])],
        x_label='t',
        y_label='y',
        limits=[Limit('limit', 3)],
    )
    blocks = (
        Text(text),
        Caution(text),
        Command(text),
        Tiles((Tile(text, text, text, 'bad'),)),
        Table((text, 'b'), ((text, 1.0), (text, None)), text),
        Figure(curve, text),
        Figure(limited),
        Figure(histogram_figure([1.0, 2.0, 2.0], x_label='x')),
        Figure(bar_figure(['a', 'b'], [Series('s', [1.0, 2.0])], y_label='y')),
        Picture(image, text),
        Picture(image, text, lossless=True),
    )
    return Report(text, text, (Section(text, blocks), Section('Other', (Text('x'),))))


def test_all_text_is_escaped():
    page = Page(report_html(every_block(HOSTILE)))
    assert 'script' not in page.tags
    assert 'b' not in page.tags
    assert page.texts.count(HOSTILE) == 18
    assert page.open == []


def test_page_needs_nothing_from_outside():
    html = report_html(every_block('plain'))
    page = Page(html)
    for link in page.links:
        assert link.startswith(('#', 'data:image/png;base64,', 'data:image/jpeg;base64,')), link
    without_names = re.sub(r'xmlns(:\w+)?="[^"]*"', '', html)
    assert 'http' not in without_names
    assert '@import' not in html
    styled = re.findall(r'url\(([^)]*)\)', html)
    assert all(target.startswith('#') for target in styled)


def test_links_within_the_page_lead_somewhere_and_ids_are_unique():
    page = Page(report_html(every_block('plain')))
    assert {link[1:] for link in page.links if link.startswith('#')} <= set(page.ids)
    assert len(set(page.ids)) == len(page.ids)


def test_page_and_figures_follow_light_and_dark():
    html = report_html(every_block('plain'))
    assert 'prefers-color-scheme: dark' in html
    svg = line_figure([0, 1], [Series('s', [0, 1])], x_label='x', y_label='y')
    assert 'var(--soft)' in svg
    assert 'var(--line)' in svg
    assert '#000000' not in svg
    for stand_in in ('#010203', '#040506', '#070809'):
        assert stand_in not in svg


def test_equal_reports_give_equal_pages():
    assert report_html(every_block('plain')) == report_html(every_block('plain'))


def test_numbers_stand_right_and_missing_ones_are_dashes():
    table = Table(('name', 'value'), (('a', 1.23456), ('b', None)), decimals=2)
    html = report_html(Report('t', 's', (Section('x', (table,)),)))
    assert '<td class="number">1.23</td>' in html
    assert '<td class="number">–</td>' in html
    assert '<td>a</td>' in html


def test_a_row_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match='3 cells in 2 columns'):
        Table(('a', 'b'), ((1, 2, 3),))


def test_writing_replaces_the_page_and_leaves_no_other_file(tmp_path):
    path = tmp_path / 'report.html'
    path.write_text('old')
    write_report(every_block('new'), path)
    assert 'new' in path.read_text()
    assert [p.name for p in tmp_path.iterdir()] == ['report.html']


def test_failed_writing_leaves_the_old_page(tmp_path):
    path = tmp_path / 'report.html'
    path.write_text('old')
    broken = Report('t', 's', (Section('x', (Picture(np.zeros((2, 2), np.uint8)),)),))
    with pytest.raises(ValueError, match='RGB uint8'):
        write_report(broken, path)
    assert path.read_text() == 'old'
    assert [p.name for p in tmp_path.iterdir()] == ['report.html']


def test_missing_folder_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match='cannot write there'):
        write_report(every_block('x'), tmp_path / 'none' / 'report.html')
