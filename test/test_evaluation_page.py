"""The page of an evaluation: drives, models, and depth as it is published, with +Inf and NaN."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from html_page import Page
from rich.console import Console
from tiny_dataset import road_depth_m
from tiny_model import tiny_contract

from sg_depth_ros.classes import CAR_ID
from sg_depth_ros.classes import ROAD_ID
from sg_depth_ros.evaluation.drive_note import DriveNote
from sg_depth_ros.evaluation.findings import Findings
from sg_depth_ros.evaluation.frame_key import FrameKey
from sg_depth_ros.evaluation.frame_pictures import FrameView
from sg_depth_ros.evaluation.frame_pictures import frame_panels
from sg_depth_ros.evaluation.gallery import choose_frames
from sg_depth_ros.evaluation.judging import JudgingOptions
from sg_depth_ros.evaluation.judging import assemble_findings
from sg_depth_ros.evaluation.judging import judge_frame
from sg_depth_ros.evaluation.judging import view_frame
from sg_depth_ros.evaluation.models import NamedModel
from sg_depth_ros.evaluation.page import evaluation_page
from sg_depth_ros.evaluation.prediction import FramePrediction
from sg_depth_ros.evaluation.printing import terminal_table
from sg_depth_ros.evaluation.result_blocks import verdict
from sg_depth_ros.evaluation.tables import drive_table
from sg_depth_ros.evaluation.tables import metric_tables
from sg_depth_ros.metrics import resize_depth
from sg_depth_ros.report.color_keys import label_key
from sg_depth_ros.report.page import Table
from sg_depth_ros.report.page import report_html
from sg_depth_ros.report.pictures import depth_picture

FRAMES = 8
OPTIONS = JudgingOptions(crop='none')
DEPTH_M = road_depth_m(tiny_contract().intrinsics)
TRUTH_M = resize_depth(DEPTH_M, (64, 128)).astype(np.float32)
Judged = tuple[Findings, dict[FrameKey, FrameView]]


def predicted(entry: FrameKey, depth_m=DEPTH_M) -> FramePrediction:
    image = np.full((*depth_m.shape, 3), 90, np.uint8)
    labels = np.full(depth_m.shape, ROAD_ID, np.uint8)
    return FramePrediction(entry, image, depth_m, labels, True, tiny_contract().intrinsics)


def judged(
    name: str,
    factor: float = 1.0,
    *,
    metric: bool = True,
    measured: tuple[str, ...] = ('a', 'all'),
    drives: tuple[str, ...] = ('a', 'b'),
) -> Judged:
    """Return what is found of a model that sees the road too far, on two drives."""
    contract = tiny_contract(metric=metric)
    found, views = [], {}
    for drive in drives:
        for number in range(FRAMES):
            depth_m = (factor * (1 + 0.01 * (number % 2)) * DEPTH_M).astype(np.float32)
            prediction = predicted(FrameKey(drive, number), depth_m)
            truth_m = TRUTH_M if drive in measured else None
            finding = judge_frame(prediction, truth_m, contract, OPTIONS, number * 0.5)
            found.append(finding)
            views[finding.entry] = view_frame(
                name, finding, prediction, truth_m, contract, OPTIONS
            )
    model = NamedModel(name, Path('model.onnx'))
    return assemble_findings(model, contract, '2 bags', OPTIONS, found), views


def page_of(*models: Judged, drives: tuple[DriveNote, ...] = ()) -> str:
    findings, views = zip(*models)
    shelves = choose_frames(findings, 1)
    return report_html(evaluation_page(findings, shelves, views, 'the command', drives=drives))


def test_several_models_on_several_drives_make_one_sound_page():
    notes = (
        DriveNote('a', '/bags/a', (('image topic', '/camera/image'),), 'its end is cut off'),
        DriveNote('c', '/bags/c', (), 'it has no camera'),
    )
    html = page_of(judged('right'), judged('far', 1.3), drives=notes)
    page = Page(html)
    assert page.open == []
    assert len(set(page.ids)) == len(page.ids)
    for title in ('Result', 'Per drive', 'By distance', 'Over time', 'Worst frames'):
        assert title in page.texts
    for told in ('a: its end is cut off', 'c: it has no camera', '/camera/image', 'the command'):
        assert told in page.texts
    assert 'Lowest error (AbsRel, unscaled): right (' in html
    assert 'right: cloud from above' in page.texts
    assert 'far: cloud from above' in page.texts


def test_every_drive_has_its_own_numbers():
    right, far = judged('right')[0], judged('far', 1.3)[0]
    table = drive_table((right, far))
    assert [row[:2] for row in table.rows] == [
        (drive, model)
        for name in ('a', 'b', 'all drives')
        for drive, model in ((name, 'right'), ('', 'far'))
    ]
    rows = [dict(zip(table.columns, row)) for row in table.rows]
    assert [row['frames'] for row in rows] == [8, 8, 8, 8, 16, 16]
    assert [row['with truth'] for row in rows] == [8, 8, 0, 0, 8, 8]
    assert rows[1]['AbsRel'] == rows[5]['AbsRel'] == pytest.approx(0.3, abs=0.02)
    assert rows[2]['AbsRel'] is None
    assert right.of_drive('a').summary.unscaled == right.summary.unscaled
    assert drive_table((right.of_drive('a'),)) is None


def test_a_drive_may_be_called_all():
    named_all = judged('right', drives=('all', 'b'))[0]
    assert [row[:2] for row in drive_table((named_all,)).rows] == [
        ('all', 8),
        ('b', 8),
        ('all drives', 16),
    ]


def test_a_model_without_valid_depth_does_not_hide_the_others():
    nothing, right = judged('nothing', np.nan), judged('right')
    for models in ((nothing, right), (right, nothing)):
        page = Page(page_of(*models))
        assert page.open == []
        assert 'Over time' in page.texts
        findings = tuple(found for found, _ in models)
        for table in metric_tables(findings):
            errors = {row[0]: row[1] for row in table.rows}
            assert errors['nothing'] is None
            assert errors['right'] == pytest.approx(0.0, abs=0.02)
    assert metric_tables((nothing[0],)) == ()


def test_without_truth_the_page_shows_how_steady_depth_is_instead():
    html = page_of(judged('m', measured=()))
    for title in ('By distance', 'Worst frames', 'error at the measured points'):
        assert title not in html
    for title in ('Along the way', 'camera height (m)', 'road residual (share)', 'flicker'):
        assert title in html
    assert 'No frame of 2 bags has measured depth' in html


def test_a_single_frame_is_one_frame():
    findings, views = judged('m', drives=('a',))
    first = findings.frames[0]
    alone = assemble_findings(
        NamedModel('m', Path('model.onnx')), findings.contract, 'a', OPTIONS, [first]
    )
    html = page_of((alone, {first.entry: views[first.entry]}))
    assert 'm: 1 frame, 1 with ground truth' in html
    assert 'Mean over 1 image, ' in html
    for wrong in (' 1 frames', '>1 frames', ' 1 images'):
        assert wrong not in html


def test_a_sentence_says_how_good_depth_is():
    assert 'its metres are right within 1 %' in verdict((judged('m')[0],))
    assert 'too long in the median' in verdict((judged('m', 1.3)[0],))
    assert 'too short in the median' in verdict((judged('m', 0.7)[0],))
    scaleless = verdict((judged('m', 3.0, metric=False)[0],))
    assert scaleless.startswith('After scaling each image by its median, depth is wrong by 0')
    assert 'metres' not in scaleless
    order = verdict((judged('far', 1.3)[0], judged('right')[0]))
    assert order.index('right') < order.index('far')
    assert verdict((judged('m', measured=())[0],)) == ''


def test_pictures_cope_with_depth_that_is_infinite_or_invalid():
    depth_m = DEPTH_M.copy()
    depth_m[:10], depth_m[24:, 40:] = np.inf, np.nan
    contract, prediction = tiny_contract(), predicted(FrameKey('a', 0), depth_m)
    finding = judge_frame(prediction, TRUTH_M, contract, OPTIONS)
    view = view_frame('m', finding, prediction, TRUTH_M, contract, OPTIONS)
    panels = frame_panels(view, 128)
    assert panels.depth.note == 'Pale blue: infinitely far, gray: no valid depth.'
    for odd, place in ((np.inf, (5, 50)), (np.nan, (60, 120))):
        assert (panels.depth.image[place] == depth_picture(np.array([[odd]]))[0, 0]).all()
    assert panels.error is not None
    assert panels.error.image[60, 20].min() > 200  # right
    assert panels.error.image[60, 120].max() < 60  # nothing to judge: the darkened image
    scaleless = replace(contract, metric=False)
    unmeasured = judge_frame(prediction, None, scaleless, OPTIONS)
    view = view_frame('m', unmeasured, prediction, None, scaleless, OPTIONS)
    assert np.isfinite(view.scale)
    assert frame_panels(view, 128).error is None


def test_a_frame_without_any_valid_depth_is_shown_too():
    nothing = np.full_like(DEPTH_M, np.nan)
    contract, prediction = tiny_contract(metric=False), predicted(FrameKey('a', 0), nothing)
    finding = judge_frame(prediction, TRUTH_M, contract, OPTIONS)
    view = view_frame('m', finding, prediction, TRUTH_M, contract, OPTIONS)
    assert frame_panels(view, 128).depth.note == 'Gray: no valid depth.'


def test_measured_obstacles_lie_on_the_cloud_and_road_does_not():
    truth_m = TRUTH_M.copy()
    truth_m[20:44, 60:68] = 12.0  # rises from the road at 12 m
    contract, prediction = tiny_contract(), predicted(FrameKey('a', 0))
    finding = judge_frame(prediction, truth_m, contract, OPTIONS)
    view = view_frame('m', finding, prediction, truth_m, contract, OPTIONS)
    cloud = frame_panels(view, 128).cloud
    cyan = (cloud.image == (0, 225, 255)).all(axis=2)
    rows, columns = np.nonzero(cyan)
    ahead_m = 50 - (rows.mean() - 0.5) / 10
    assert ahead_m == pytest.approx(12.0, abs=0.3)
    assert abs(columns.mean() - 200) < 10
    assert 'Cyan: measured' in cloud.note


def test_classes_are_named_the_most_frequent_first():
    labels = np.full((20, 40), ROAD_ID, np.uint8)
    labels[:4], labels[4, 0] = CAR_ID, 13  # one stray pixel
    labels[5:7] = 255
    assert [name for name, _ in label_key(labels).named] == ['road', 'car']


def test_brackets_in_names_are_shown_on_the_terminal():
    console = Console(width=80, file=io.StringIO())
    console.print(terminal_table(Table(('[b]', 'n'), (('drive [red] [/x]', 1),))))
    assert '[b]' in console.file.getvalue()
    assert 'drive [red] [/x]' in console.file.getvalue()
