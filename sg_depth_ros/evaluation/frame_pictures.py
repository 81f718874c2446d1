"""Pictures of single frames: what a model saw, and where it is wrong by how much."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import resize_image
from sg_depth_ros.evaluation.findings import FrameFinding
from sg_depth_ros.evaluation.hole_pictures import marked_picture
from sg_depth_ros.evaluation.prediction import FramePrediction
from sg_depth_ros.metrics import Crop
from sg_depth_ros.metrics import ImageJudgement
from sg_depth_ros.metrics import judged_pixels
from sg_depth_ros.metrics import resize_depth
from sg_depth_ros.report.pictures import depth_legend
from sg_depth_ros.report.pictures import depth_picture
from sg_depth_ros.report.pictures import enlarged
from sg_depth_ros.report.pictures import error_picture
from sg_depth_ros.report.pictures import label_overlay
from sg_depth_ros.report.pictures import titled

UNSCALED_DEPTH_M = 15.0  # the median of a street scene, to colour depth of unknown scale
WIDEST_PANEL_PX = 560
MODELS_ABREAST = 3
GAP_PX = 8
SPARSE_SHARE = 0.1  # of the pixels: single ones this far apart are too dark to see
BACKGROUND = (16, 20, 26)
STANDING_COLOR, MISSING_COLOR = (120, 255, 150), (255, 70, 70)
ERROR_WORDS = 'blue too near, white right, red too far, full at 50 %'


class FrameView(NamedTuple):
    """A frame as one model sees it."""

    model: str
    metric: bool
    finding: FrameFinding
    prediction: FramePrediction
    holes: NDArray[np.bool_]  # [h, w], infinite depth
    truth_m: NDArray[np.float32] | None  # [H, W], 0 where not judged


def judged_truth(truth_m: NDArray[np.float32], cap_m: float, crop: Crop) -> NDArray[np.float32]:
    """Return measured depth where it is judged, 0 elsewhere."""
    return np.where(judged_pixels(truth_m, cap_m, crop), truth_m, np.float32(0))


def display_scale(
    metric: bool, judgement: ImageJudgement | None, depth_m: NDArray[np.float32]
) -> float:
    """Return what to multiply depth with before it is coloured by metres."""
    if metric:
        return 1.0
    if judgement is not None:
        return judgement.scale_ratio
    return UNSCALED_DEPTH_M / float(np.median(depth_m))


def error_map(
    prediction: FramePrediction,
    truth_m: NDArray[np.float32],
    scale: float,
    width: int,
    height: int,
) -> NDArray[np.uint8]:
    """
    Draw the relative error at the measured pixels over the darkened image.

    :param truth_m: (H, W) metres, 0 where nothing is to be drawn.
    :param scale: of the prediction.
    :param width: of the picture; every measured pixel stays one, or a dot where it is large.
    """
    predicted_m = resize_depth(prediction.depth_m * scale, truth_m.shape)
    rows, columns = np.nonzero(truth_m)
    # Scattered rather than resized: an average of measured and not measured is neither.
    truth = np.zeros((height, width), np.float32)
    drawn = np.ones((height, width), np.float64)
    # error_picture() makes dots of its own where a picture is large.
    is_sparse = len(rows) < SPARSE_SHARE * width * height and width < 2 * WIDEST_PANEL_PX
    for down, right in ((1, 1), (1, 0), (0, 1), (0, 0)) if is_sparse else ((0, 0),):
        y = np.minimum(rows * height // truth_m.shape[0] + down, height - 1)
        x = np.minimum(columns * width // truth_m.shape[1] + right, width - 1)
        truth[y, x], drawn[y, x] = truth_m[rows, columns], predicted_m[rows, columns]
    return error_picture(drawn, truth, resize_image(prediction.image, width, height))


def frame_title(finding: FrameFinding) -> str:
    """Return what the numbers of a frame are."""
    parts = []
    if finding.judgement is not None:
        unscaled, scaled = finding.judgement.unscaled, finding.judgement.median_scaled
        parts.append(f'AbsRel {unscaled.abs_rel:.3f}, median-scaled {scaled.abs_rel:.3f}')
    if finding.hole_pixels:
        parts.append(f'{finding.hole_pixels} px infinite')
    return ', '.join(parts) or 'no infinite depth'


def frame_picture(views: Sequence[FrameView]) -> NDArray[np.uint8]:
    """
    Put everything about one frame side by side, one column per model; a single model gets two.

    :param views: of at most ``MODELS_ABREAST`` models.
    """
    if len(views) == 1:
        panels = _panels(views[0], WIDEST_PANEL_PX)
        left, right = np.vstack(panels[0::2]), np.vstack(panels[1::2])
        return _side_by_side([left, right])
    width = WIDEST_PANEL_PX if len(views) == 2 else WIDEST_PANEL_PX * 5 // 6
    return _side_by_side([np.vstack(_panels(view, width)) for view in views])


def _panels(view: FrameView, width: int) -> list[NDArray[np.uint8]]:
    """Return image, labels, depth with its legend, and error where there is ground truth."""
    image, depth_m = view.prediction.image, view.prediction.depth_m
    height = round(width * image.shape[0] / image.shape[1])
    scale = display_scale(view.metric, view.finding.judgement, depth_m)
    marked = resize_image(marked_picture(image, view.holes), width, height)
    _draw_vehicles(marked, view)
    labels = label_overlay(image, view.prediction.labels)
    given = 'given' if view.prediction.labels_given else 'predicted'
    depth = depth_picture(depth_m * scale)
    panels = [
        titled(marked, f'{view.model}: {frame_title(view.finding)}'),
        titled(enlarged(labels, width, height), f'labels, {given}'),
        np.vstack(
            [
                titled(resize_image(depth, width, height), _scaled('depth', view.metric)),
                depth_legend(width),
            ]
        ),
    ]
    if view.truth_m is not None:
        error = error_map(view.prediction, view.truth_m, scale, width, height)
        title = f'{_scaled("error", view.metric)}: {ERROR_WORDS}'
        panels.append(titled(error, title))
    return panels


def _scaled(what: str, metric: bool) -> str:
    return what if metric else f'{what}, scaled by the median'


def _draw_vehicles(picture: NDArray[np.uint8], view: FrameView) -> None:
    """Draw boxes around the vehicles that were judged, with their ratios."""
    scale = picture.shape[1] / view.holes.shape[1]
    for vehicle in view.finding.standing.vehicles:
        left, top, right, bottom = (round(scale * (v + 0.5) - 0.5) for v in vehicle.box)
        color = MISSING_COLOR if vehicle.is_missing else STANDING_COLOR
        cv2.rectangle(picture, (left, top), (right, bottom), color, 1)
        place = (left + 2, bottom - 3)
        for ink, thickness in ((BACKGROUND, 3), (color, 1)):
            cv2.putText(
                picture,
                f'{vehicle.ratio:.2f}',
                place,
                cv2.FONT_HERSHEY_SIMPLEX,
                0.36,
                ink,
                thickness,
                cv2.LINE_AA,
            )


def _side_by_side(columns: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    height = max(c.shape[0] for c in columns)
    parts = []
    for column in columns:
        missing = height - column.shape[0]
        parts.append(
            cv2.copyMakeBorder(
                column, 0, missing, 0, GAP_PX, cv2.BORDER_CONSTANT, value=BACKGROUND
            )
        )
    return np.asarray(np.hstack(parts)[:, :-GAP_PX], np.uint8)
