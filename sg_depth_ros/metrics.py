"""
Depth metrics of one image against measured depth.

Protocol: Eigen et al., NeurIPS 2014, with the crop of Garg et al., ECCV 2016, and depth up to
80 m, at the ground truth's full resolution. As in published tables, the medians are those of the
judged pixels of an image, and predictions are clamped to the cap after scaling. Predictions are
resized bilinearly *in inverse depth*, which is linear over the image of a plane: a road stays a
road. ``metrics_summary.py`` puts images together; what is measured from frame to frame is in
``drive_metrics.py``.
"""

from dataclasses import asdict
from dataclasses import dataclass
from typing import Literal
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.sampling import Pixels
from sg_depth_ros.sampling import sample_bilinear
from sg_depth_ros.sampling import sample_nearest
from sg_depth_ros.sampling import true_pixels

Crop = Literal['garg', 'none']

CAP_M = 80.0
FARTHEST_M = 1e9  # stands for infinite predictions, so that a ratio stays finite
NEAREST_M = 1e-3  # ground truth nearer than this is no measurement; predictions stop there
DISTANCE_EDGES_M = (0.0, 10.0, 20.0, 30.0, 50.0, 80.0)
GARG_ROWS = (0.40810811, 0.99189189)  # of the height
GARG_COLUMNS = (0.03594771, 0.96405229)  # of the width


@dataclass(frozen=True)
class DepthMetrics:
    """The eight usual numbers; the three accuracies are better high, the rest low."""

    abs_rel: float  # mean |p - t| / t
    sq_rel: float  # mean (p - t)^2 / t, m
    rmse: float  # m
    rmse_log: float  # of natural logarithms
    silog: float  # 100 x standard deviation of log p - log t, as on KITTI's leaderboard
    a1: float  # share of pixels with max(p / t, t / p) < 1.25
    a2: float  # < 1.25^2
    a3: float  # < 1.25^3

    def to_json(self) -> dict[str, float]:
        """Return the numbers by name."""
        return asdict(self)


class ImageJudgement(NamedTuple):
    """One image judged in every way that a summary needs."""

    unscaled: DepthMetrics
    median_scaled: DepthMetrics
    scale_ratio: float  # median truth / median prediction, over the judged pixels
    pixels: int  # that were judged
    class_ids: NDArray[np.intp] | None  # [K], those that were judged; None without labels
    class_sums: NDArray[np.float64] | None  # [2 scalings, K, terms]
    bin_sums: NDArray[np.float64]  # [2 scalings, bins, terms]


def judge_image(
    predicted_m: NDArray[np.floating],
    truth_m: NDArray[np.floating],
    labels: NDArray[np.uint8] | None = None,
    *,
    cap_m: float = CAP_M,
    crop: Crop = 'garg',
) -> ImageJudgement | None:
    """
    Judge one image with and without median scaling, by class and by distance.

    :param predicted_m: (h, w), positive, of any size; read bilinearly in inverse depth where the
        truth has pixels.
    :param truth_m: (H, W), 0 or not finite where nothing was measured.
    :param labels: (h, w) class ids of any size; 255 is no class.
    :param cap_m: truth at or beyond is not judged, predictions are clamped to it after scaling.
    :param crop: ``garg`` judges only the part of KITTI's images that its LiDAR covers.
    :return: None where no pixel has ground truth.
    :raises ValueError: where a prediction is NaN or not positive.
    """
    pixels = true_pixels(judged_pixels(truth_m, cap_m, crop))
    if len(pixels.rows) == 0:
        return None
    predicted = _depth_at(predicted_m, pixels)
    truth = np.asarray(truth_m[pixels.rows, pixels.columns], np.float64)
    ratio = float(np.median(truth) / np.median(predicted))
    terms = [_error_terms(predicted * scale, truth, cap_m) for scale in (1.0, ratio)]
    # Class and distance as one number: one pass over the pixels serves both tables and the image.
    groups = np.digitize(truth, DISTANCE_EDGES_M[1:])
    if labels is not None:
        groups += len(DISTANCE_EDGES_M) * sample_nearest(labels, pixels).astype(np.intp)
    sums = np.stack([_grouped(t, groups) for t in terms])  # [2, 256 ids, bins, terms]
    image_sums = sums.sum(axis=(1, 2))
    # An hour of frames is kept: the classes that an image shows, not all that there could be.
    seen = np.flatnonzero(sums[0, :, :, 0].any(axis=1))
    return ImageJudgement(
        unscaled=metrics_of_sums(image_sums[0]),
        median_scaled=metrics_of_sums(image_sums[1]),
        scale_ratio=ratio,
        pixels=truth.size,
        class_ids=None if labels is None else seen,
        class_sums=None if labels is None else sums[:, seen].sum(axis=2),
        bin_sums=sums.sum(axis=1),
    )


def judged_pixels(
    truth_m: NDArray[np.floating], cap_m: float = CAP_M, crop: Crop = 'garg'
) -> NDArray[np.bool_]:
    """Return where ground truth (H, W) counts: measured, below the cap, inside the crop."""
    if crop not in ('garg', 'none'):
        raise ValueError(f"crop is 'garg' or 'none', not {crop!r}")
    with np.errstate(invalid='ignore'):
        valid = (truth_m > NEAREST_M) & (truth_m < cap_m)
    if crop == 'garg':
        height, width = truth_m.shape
        inside = np.zeros_like(valid)
        top, bottom = (int(share * height) for share in GARG_ROWS)
        left, right = (int(share * width) for share in GARG_COLUMNS)
        inside[top:bottom, left:right] = True
        valid &= inside
    return np.asarray(valid, np.bool_)


def resize_depth(depth_m: NDArray[np.floating], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """
    Resize depth (h, w) to ``shape`` (H, W), bilinearly in inverse depth.

    :raises ValueError: where a depth is NaN or not positive.
    """
    finite_m = _finite_depth(depth_m)
    if depth_m.shape == tuple(shape):
        return finite_m
    inverse = cv2.resize(1.0 / finite_m, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(1.0 / inverse, np.float64)


def _depth_at(depth_m: NDArray[np.floating], pixels: Pixels) -> NDArray[np.float64]:
    """Return what ``resize_depth`` to the pixels' shape holds there, (N,)."""
    finite_m = _finite_depth(depth_m)
    if depth_m.shape == pixels.shape:
        return finite_m[pixels.rows, pixels.columns]
    return 1.0 / sample_bilinear(1.0 / finite_m, pixels)


def _finite_depth(depth_m: NDArray[np.floating]) -> NDArray[np.float64]:
    if not np.all(depth_m > 0):
        raise ValueError('a predicted depth is NaN or not positive')
    return np.minimum(np.asarray(depth_m, np.float64), FARTHEST_M)


def _error_terms(
    predicted: NDArray[np.float64], truth: NDArray[np.float64], cap_m: float
) -> NDArray[np.float64]:
    """Return per pixel what the metrics sum, shape (9, N); the first row counts."""
    p = np.clip(predicted, NEAREST_M, cap_m)
    error = p - truth
    log_error = np.log(p) - np.log(truth)
    worse = np.maximum(p / truth, truth / p)
    one = np.ones_like(p)
    squares = (error**2 / truth, error**2, log_error**2, log_error)
    accurate = (worse < 1.25, worse < 1.25**2, worse < 1.25**3)
    return np.stack([one, np.abs(error) / truth, *squares, *accurate])


def metrics_of_sums(sums: NDArray[np.float64]) -> DepthMetrics:
    """Turn sums over pixels of ``_error_terms``, (9,), into metrics."""
    abs_rel, sq_rel, square, log_square, log, a1, a2, a3 = (float(s) for s in sums[1:] / sums[0])
    silog = 100.0 * max(log_square - log * log, 0.0) ** 0.5
    return DepthMetrics(abs_rel, sq_rel, square**0.5, log_square**0.5, silog, a1, a2, a3)


def _grouped(terms: NDArray[np.float64], groups: NDArray[np.intp]) -> NDArray[np.float64]:
    """Sum the terms (9, N) of each class's pixels in each bin, shape (256, bins, 9)."""
    bins = len(DISTANCE_EDGES_M)
    sums = [np.bincount(groups, row, minlength=256 * bins) for row in terms]
    return np.asarray(np.stack(sums, axis=1).reshape(256, bins, len(sums)), np.float64)
