"""Pictures of single frames: what a model saw, and where it is wrong by how much."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import resize_image
from sg_depth_ros.evaluation.findings import FrameFinding
from sg_depth_ros.evaluation.prediction import FramePrediction
from sg_depth_ros.evaluation.published import valid_part
from sg_depth_ros.ground import GroundPlane
from sg_depth_ros.ground import height_above_plane
from sg_depth_ros.metrics import Crop
from sg_depth_ros.metrics import ImageJudgement
from sg_depth_ros.metrics import judged_pixels
from sg_depth_ros.metrics import resize_depth
from sg_depth_ros.report.color_keys import depth_key
from sg_depth_ros.report.color_keys import error_key
from sg_depth_ros.report.color_keys import label_key
from sg_depth_ros.report.panels import Panel
from sg_depth_ros.report.pictures import STREET
from sg_depth_ros.report.pictures import cloud_from_above
from sg_depth_ros.report.pictures import depth_legend
from sg_depth_ros.report.pictures import depth_picture
from sg_depth_ros.report.pictures import enlarged
from sg_depth_ros.report.pictures import error_picture
from sg_depth_ros.report.pictures import label_overlay
from sg_depth_ros.report.pictures import marked_picture
from sg_depth_ros.report.pictures import titled

UNSCALED_DEPTH_M = 15.0  # the median of a street scene, to colour depth of unknown scale
WIDEST_PANEL_PX = 600
MODELS_ABREAST = 3
GAP_PX = 8
SPARSE_SHARE = 0.1  # of the pixels: single ones this far apart are too dark to see
BACKGROUND = (16, 20, 26)
STANDING_COLOR, MISSING_COLOR = (120, 255, 150), (255, 70, 70)
ERROR_WORDS = 'blue too near, white right, red too far, full at 50 %'
OBSTACLE_HEIGHT_M = 0.4  # over the plane; what is lower would cover the road with rings


class FrameView(NamedTuple):
    """A frame as one model sees it."""

    model: str
    metric: bool
    finding: FrameFinding
    prediction: FramePrediction
    holes: NDArray[np.bool_]  # [h, w], infinite depth
    truth_m: NDArray[np.float32] | None  # [H, W], 0 where not judged

    @property
    def scale(self) -> float:
        """What to multiply depth with before it is shown in metres."""
        return display_scale(self.metric, self.finding.judgement, self.prediction.depth_m)


class FramePanels(NamedTuple):
    """The pictures of a frame as one model sees it."""

    image: Panel
    labels: Panel
    depth: Panel
    error: Panel | None  # None without ground truth
    cloud: Panel


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
    finite = depth_m[np.isfinite(depth_m)]
    return UNSCALED_DEPTH_M / float(np.median(finite)) if finite.size else 1.0


def error_map(
    prediction: FramePrediction,
    truth_m: NDArray[np.float32],
    scale: float,
    width: int,
    height: int,
) -> NDArray[np.uint8]:
    """
    Draw the relative error at the measured pixels over the darkened image.

    :param truth_m: (H, W) metres, 0 where nothing is to be drawn; nothing is where depth is NaN.
    :param scale: of the prediction.
    :param width: of the picture; every measured pixel stays one, or a dot where it is large.
    """
    valid = valid_part(prediction.depth_m, truth_m)
    predicted_m = resize_depth(valid.depth_m * scale, truth_m.shape)
    rows, columns = np.nonzero(valid.truth_m)
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


def frame_panels(view: FrameView, width: int = WIDEST_PANEL_PX) -> FramePanels:
    """Draw everything about a frame, each with the key to its colours."""
    image, prediction = view.prediction.image, view.prediction
    height = round(width * image.shape[0] / image.shape[1])
    given = 'given' if prediction.labels_given else 'predicted'
    error = None
    if view.truth_m is not None:
        picture = error_map(prediction, view.truth_m, view.scale, width, height)
        error = Panel(_scaled('error at the measured points', view), picture, error_key())
    labels = enlarged(label_overlay(image, prediction.labels), width, height)
    depth = depth_picture(prediction.depth_m * view.scale)
    return FramePanels(
        _image_panel(view, width, height),
        Panel(f'labels, {given}', labels, swatches=label_key(prediction.labels)),
        Panel(
            _scaled('depth', view),
            resize_image(depth, width, height),
            depth_key(),
            note=_odd_depth_words(prediction.depth_m),
        ),
        error,
        _cloud_panel(view),
    )


def frame_picture(views: Sequence[FrameView]) -> NDArray[np.uint8]:
    """
    Put image, labels, depth and error side by side, one column per model; a single one gets two.

    :param views: of at most ``MODELS_ABREAST`` models.
    """
    if len(views) == 1:
        panels = _titled_panels(views[0], WIDEST_PANEL_PX)
        left, right = np.vstack(panels[0::2]), np.vstack(panels[1::2])
        return _side_by_side([left, right])
    width = WIDEST_PANEL_PX if len(views) == 2 else WIDEST_PANEL_PX * 5 // 6
    return _side_by_side([np.vstack(_titled_panels(view, width)) for view in views])


def _titled_panels(view: FrameView, width: int) -> list[NDArray[np.uint8]]:
    """Return the panels with their titles in the picture, and the bar of metres."""
    drawn = frame_panels(view, width)
    depth = titled(drawn.depth.image, drawn.depth.title)
    pictures = [
        titled(drawn.image.image, f'{view.model}: {frame_title(view.finding)}'),
        titled(drawn.labels.image, drawn.labels.title),
        np.vstack([depth, depth_legend(width)]),
    ]
    if drawn.error is not None:
        pictures.append(titled(drawn.error.image, f'{drawn.error.title}: {ERROR_WORDS}'))
    return pictures


def _scaled(what: str, view: FrameView) -> str:
    return what if view.metric else f'{what}, scaled by the median'


def _odd_depth_words(depth_m: NDArray[np.float32]) -> str:
    """Say what the colours outside the bar mean, where there are any."""
    words = []
    if np.isposinf(depth_m).any():
        words.append('pale blue: infinitely far')
    if (~(depth_m > 0)).any():
        words.append('gray: no valid depth')
    return f'{", ".join(words).capitalize()}.' if words else ''


def _image_panel(view: FrameView, width: int, height: int) -> Panel:
    marked = marked_picture(view.prediction.image, view.holes)
    picture = resize_image(marked, width, height)
    _draw_vehicles(picture, view)
    words = []
    if view.holes.any():
        words.append('Red with a white outline: infinite depth.')
    if view.finding.standing.vehicles:
        words.append(
            'Boxes: depth on a vehicle over that of the road under its wheels; 1 is right, red is '
            'missing.'
        )
    return Panel('image', picture, note=' '.join(words))


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
                0.38,
                ink,
                thickness,
                cv2.LINE_AA,
            )


def _cloud_panel(view: FrameView) -> Panel:
    """Draw the cloud from above, and what was measured of obstacles on it."""
    prediction = view.prediction
    points = (prediction.camera.rays() * prediction.depth_m[..., None]).reshape(-1, 3)
    measured = _measured_obstacles(view)
    picture = cloud_from_above(
        points * view.scale,
        prediction.image.reshape(-1, 3),
        STREET,
        prediction.camera,
        measured,
    )
    note = 'The camera is at the foot, a square of the grid is 10 m.'
    if measured is not None and len(measured):
        note += ' Cyan: measured, what rises above the road; the cloud should lie under it.'
    return Panel(_scaled('cloud from above', view), picture, note=note, tall=True)


def _measured_obstacles(view: FrameView) -> NDArray[np.float64] | None:
    """Return the measured points (N, 3) above the road's plane; None where either is missing."""
    plane = view.finding.score.plane
    if view.truth_m is None or not isinstance(plane, GroundPlane):
        return None
    rows, columns = np.nonzero(view.truth_m)
    camera = view.prediction.camera.resized(view.truth_m.shape[1], view.truth_m.shape[0])
    points = camera.rays()[rows, columns] * view.truth_m[rows, columns][:, None]
    heights = view.scale * height_above_plane(points / view.scale, plane)
    return np.asarray(points[heights > OBSTACLE_HEIGHT_M], np.float64)


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
