"""The frames of the gallery, as sections of a page."""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

from sg_depth_ros.evaluation.findings import FrameFinding
from sg_depth_ros.evaluation.frame_key import FrameKey
from sg_depth_ros.evaluation.frame_pictures import MODELS_ABREAST
from sg_depth_ros.evaluation.frame_pictures import FrameView
from sg_depth_ros.evaluation.frame_pictures import frame_panels
from sg_depth_ros.evaluation.frame_pictures import frame_title
from sg_depth_ros.evaluation.gallery import Shelf
from sg_depth_ros.report.page import Block
from sg_depth_ros.report.page import Section
from sg_depth_ros.report.page import Text
from sg_depth_ros.report.panels import Panel
from sg_depth_ros.report.panels import Panels

Views: TypeAlias = Sequence[Mapping[FrameKey, FrameView]]  # one mapping per model
WIDE_IMAGE = 2.2  # width over height: a column of such pictures is as high as the cloud beside it


def shelf_section(shelf: Shelf, views: Views) -> Section:
    """Return a shelf of the gallery, its frames one after the other."""
    blocks: list[Block] = [Text(shelf.note)] if shelf.note else []
    blocks += (
        _frame_block([view[entry] for view in views[start : start + MODELS_ABREAST]])
        for entry in shelf.entries
        for start in range(0, len(views), MODELS_ABREAST)
    )
    return Section(shelf.title, tuple(blocks))


def _frame_block(views: Sequence[FrameView]) -> Panels:
    """Return one frame with all its pictures, of at most ``MODELS_ABREAST`` models."""
    name = _frame_name(views[0].finding)
    if len(views) > 1:
        return Panels(name, '', _side_by_side(views), len(views))
    panels = tuple(panel for panel in frame_panels(views[0]) if panel is not None)
    height, width = views[0].prediction.image.shape[:2]
    if width < WIDE_IMAGE * height:
        panels = tuple(replace(panel, tall=False) for panel in panels)
    return Panels(name, frame_title(views[0].finding), panels, 2)


def _side_by_side(views: Sequence[FrameView]) -> tuple[Panel, ...]:
    """Return pictures of a kind beside one another, a column per model."""
    drawn = [frame_panels(view) for view in views]
    images = [
        _named(view, panels.image, frame_title(view.finding)) for view, panels in zip(views, drawn)
    ]
    kinds: list[list[Panel | None]] = [
        [panels.depth for panels in drawn],
        [panels.error for panels in drawn],
        [panels.cloud for panels in drawn],
        [panels.labels for panels in drawn],
    ]
    named = [
        _named(view, panel, panel.title)
        for kind in kinds
        for view, panel in zip(views, kind)
        if panel is not None
    ]
    if all(view.prediction.labels_given for view in views):  # the same of all
        named = [*named[: -len(views)], drawn[0].labels]
    return (*images, *named)


def _named(view: FrameView, panel: Panel, title: str) -> Panel:
    return replace(panel, title=f'{view.model}: {title}', tall=False)


def _frame_name(finding: FrameFinding) -> str:
    at = '' if finding.time_s is None else f', {finding.time_s:.1f} s'
    return f'{finding.entry.drive}, frame {finding.entry.frame}{at}'
