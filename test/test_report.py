import re

import numpy as np
import pytest
from html_page import Page

from sg_depth_ros.errors import UserError
from sg_depth_ros.report.figures import MOST_POINTS
from sg_depth_ros.report.figures import Limit
from sg_depth_ros.report.figures import Series
from sg_depth_ros.report.figures import bar_figure
from sg_depth_ros.report.figures import histogram_figure
from sg_depth_ros.report.figures import line_figure
from sg_depth_ros.report.figures import thinning_words
from sg_depth_ros.report.page import Caution
from sg_depth_ros.report.page import Command
from sg_depth_ros.report.page import Details
from sg_depth_ros.report.page import Figure
from sg_depth_ros.report.page import Heading
from sg_depth_ros.report.page import Picture
from sg_depth_ros.report.page import Report
from sg_depth_ros.report.page import Section
from sg_depth_ros.report.page import Table
from sg_depth_ros.report.page import Text
from sg_depth_ros.report.page import Tile
from sg_depth_ros.report.page import Tiles
from sg_depth_ros.report.page import report_html
from sg_depth_ros.report.page import write_report
from sg_depth_ros.report.panels import ColorBar
from sg_depth_ros.report.panels import Panel
from sg_depth_ros.report.panels import Panels
from sg_depth_ros.report.panels import Swatches
from sg_depth_ros.report.panels import Tick

HOSTILE = '<script>alert("x")</script> & \'"'


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
        Heading(text),
        Details(text, (Text(text),)),
        Panels(text, text, (Panel(text, image, ColorBar(((1, 2, 3),), (Tick(0.5, text),))),), 1),
        Panels(text, text, (Panel(text, image, swatches=Swatches(((text, (1, 2, 3)),))),), 1),
    )
    return Report(text, text, (Section(text, blocks), Section('Other', (Text('x'),))))


def test_all_text_is_escaped():
    page = Page(report_html(every_block(HOSTILE)))
    assert 'script' not in page.tags
    assert 'b' not in page.tags
    assert page.texts.count(HOSTILE) == 29
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


def test_every_figure_is_drawn_for_wide_pages_and_for_phones():
    html = report_html(every_block('plain'))
    assert html.count('<svg class="wide"') == html.count('<svg class="narrow"') == 4
    assert 'svg.narrow { display: none; }' in html


def test_a_curve_of_many_points_is_as_small_as_one_of_few():
    few, many = (
        line_figure(range(n), [Series('s', [i % 7 for i in range(n)])], x_label='x', y_label='y')
        for n in (MOST_POINTS, 20 * MOST_POINTS)
    )
    assert len(many) < 2 * len(few)
    assert thinning_words(MOST_POINTS) == ''
    assert 'means of 20 frames' in thinning_words(20 * MOST_POINTS)


def test_a_curve_is_interrupted_where_nothing_was_measured_for_long():
    x = [*range(10), *range(50, 60)]
    whole, gap = (
        line_figure(values, [Series('s', [1] * 20)], x_label='x', y_label='y')
        for values in (range(20), x)
    )
    starts = [
        re.findall(r'd="(M[^"]*L[^"]*)" clip-path', svg)[-1].count('M') for svg in (whole, gap)
    ]
    assert starts == [1, 2]


def test_the_best_of_a_column_is_bold():
    rows = (('a', 0.1234, 0.9), ('b', 0.1231, 0.8), ('c', 0.3, None))
    table = Table(('m', 'low', 'high'), rows, low_is_best=('low',), high_is_best=('high',))
    html = report_html(Report('t', 's', (Section('x', (table,)),)))
    assert re.findall('<b>(.*?)</b>', html) == ['0.123', '0.900', '0.123']


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
