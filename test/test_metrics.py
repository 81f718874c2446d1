"""Metrics against a plain loop over pixels, and what must not count."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sg_depth_ros.classes import CLASS_NAMES
from sg_depth_ros.metrics import Crop
from sg_depth_ros.metrics import DepthMetrics
from sg_depth_ros.metrics import depth_metrics
from sg_depth_ros.metrics import judge_image
from sg_depth_ros.metrics import judged_pixels
from sg_depth_ros.metrics import mean_metrics
from sg_depth_ros.metrics import resize_depth
from sg_depth_ros.metrics import summarize

Image = NDArray[np.floating]

FIELDS = ('abs_rel', 'sq_rel', 'rmse', 'rmse_log', 'silog', 'a1', 'a2', 'a3')


def plain_loop(pairs: list[tuple[float, float]], scale: float, cap_m: float = 80.0):
    """Compute the metrics of (prediction, truth) pairs one by one, as the formulas read."""
    pairs = [(min(max(p * scale, 1e-3), cap_m), t) for p, t in pairs]
    n = len(pairs)
    logs = [math.log(p) - math.log(t) for p, t in pairs]
    mean_log = sum(logs) / n
    worse = [max(p / t, t / p) for p, t in pairs]
    return DepthMetrics(
        abs_rel=sum(abs(p - t) / t for p, t in pairs) / n,
        sq_rel=sum((p - t) ** 2 / t for p, t in pairs) / n,
        rmse=math.sqrt(sum((p - t) ** 2 for p, t in pairs) / n),
        rmse_log=math.sqrt(sum(d * d for d in logs) / n),
        silog=100 * math.sqrt(sum((d - mean_log) ** 2 for d in logs) / n),
        a1=sum(w < 1.25 for w in worse) / n,
        a2=sum(w < 1.25**2 for w in worse) / n,
        a3=sum(w < 1.25**3 for w in worse) / n,
    )


def plain_median(values: list[float]):
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2


def plain_pairs(predicted: Image, truth: Image, crop: str, cap_m: float = 80.0):
    height, width = truth.shape
    rows, columns = range(height), range(width)
    if crop == 'garg':
        rows = range(int(0.40810811 * height), int(0.99189189 * height))
        columns = range(int(0.03594771 * width), int(0.96405229 * width))
    return [
        (float(predicted[y, x]), float(truth[y, x]))
        for y in rows
        for x in columns
        if 1e-3 < truth[y, x] < cap_m
    ]


def sparse_scene(seed: int, height: int = 40, width: int = 60):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(2.0, 100.0, (height, width)).astype(np.float32)
    truth[rng.uniform(size=truth.shape) < 0.7] = 0.0
    predicted = rng.uniform(1.0, 120.0, (height, width)).astype(np.float32)
    return predicted, truth


@pytest.mark.parametrize('crop', ['garg', 'none'])
@pytest.mark.parametrize('median_scaling', [True, False])
@pytest.mark.parametrize('seed', range(3))
def test_metrics_equal_a_plain_loop(seed: int, median_scaling: bool, crop: Crop):
    predicted, truth = sparse_scene(seed)
    result = depth_metrics(predicted, truth, crop=crop, median_scaling=median_scaling)
    pairs = plain_pairs(predicted, truth, crop)
    ratio = plain_median([t for _, t in pairs]) / plain_median([p for p, _ in pairs])
    expected = plain_loop(pairs, ratio if median_scaling else 1.0)
    assert result.pixels == len(pairs)
    assert result.scale_ratio == pytest.approx(ratio)
    for field in FIELDS:
        assert getattr(result.metrics, field) == pytest.approx(getattr(expected, field)), field


def test_perfect_depth_has_no_error():
    _, truth = sparse_scene(0)
    predicted = np.where(truth > 0, truth, 1.0)
    result = depth_metrics(predicted, truth, median_scaling=False)
    assert result.metrics == DepthMetrics(0, 0, 0, 0, 0, 1, 1, 1)


@settings(max_examples=20, deadline=None)
@given(scale=st.floats(0.05, 20.0, allow_subnormal=False), seed=st.integers(0, 1000))
def test_median_scaling_removes_any_scale(scale: float, seed: int):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(2.0, 60.0, (20, 30))
    predicted = truth * rng.uniform(0.9, 1.1, truth.shape)
    one = depth_metrics(predicted, truth, crop='none', median_scaling=True)
    other = depth_metrics(predicted * scale, truth, crop='none', median_scaling=True)
    assert other.scale_ratio * scale == pytest.approx(one.scale_ratio)
    assert other.metrics.abs_rel == pytest.approx(one.metrics.abs_rel)


def test_images_without_truth_count_neither_above_nor_below_the_line():
    # The field's mistake: skip the image, yet divide by the size of the batch.
    predicted, truth = sparse_scene(0)
    nothing = np.zeros_like(truth)
    with_truth = depth_metrics(predicted, truth, median_scaling=False).metrics
    assert depth_metrics(predicted, nothing, median_scaling=False) is None
    assert mean_metrics([with_truth, None, None]) == with_truth
    assert mean_metrics([None]) is None
    judgements = [judge_image(predicted, t) for t in (truth, nothing, nothing)]
    summary = summarize(judgements, CLASS_NAMES)
    assert (summary.images, summary.images_without_truth) == (1, 2)
    assert summary.unscaled.abs_rel == pytest.approx(with_truth.abs_rel)


def test_mean_is_over_images_not_pixels():
    good = DepthMetrics(0.1, 1, 1, 1, 1, 1, 1, 1)
    bad = DepthMetrics(0.3, 1, 1, 1, 1, 0, 1, 1)
    mean = mean_metrics([good, None, bad])
    assert mean.abs_rel == pytest.approx(0.2)
    assert mean.a1 == pytest.approx(0.5)


def test_garg_crop_keeps_the_rows_and_columns_of_the_definition():
    valid = judged_pixels(np.ones((375, 1242)), crop='garg')
    rows, columns = np.flatnonzero(valid.any(1)), np.flatnonzero(valid.any(0))
    assert (rows[0], rows[-1]) == (153, 370)
    assert (columns[0], columns[-1]) == (44, 1196)
    assert valid.sum() == (371 - 153) * (1197 - 44)


def test_truth_beyond_the_cap_or_not_finite_is_not_judged():
    truth = np.array([[79.9, 80.0, 0.0, np.nan, np.inf, -1.0]])
    assert judged_pixels(truth, crop='none').tolist() == [[True] + [False] * 5]


def test_predictions_are_clamped_to_the_cap_after_scaling():
    truth = np.full((4, 4), 40.0)
    result = depth_metrics(np.full((4, 4), np.inf), truth, crop='none', median_scaling=False)
    assert result.metrics.abs_rel == pytest.approx(1.0)


@pytest.mark.parametrize('wrong', [np.nan, 0.0, -3.0])
def test_impossible_depth_is_refused(wrong: float):
    predicted, truth = sparse_scene(0)
    predicted[0, 0] = wrong
    with pytest.raises(ValueError, match='NaN or not positive'):
        depth_metrics(predicted, truth, median_scaling=False)


def test_resizing_keeps_a_plane_a_plane():
    # Inverse depth of a plane is linear in the pixel; depth itself is not.
    y_small = (np.arange(20) + 0.5) * 4 - 0.5
    inverse_small = np.repeat(0.001 + y_small[:, None] * 0.002, 10, axis=1)
    resized = resize_depth(1.0 / inverse_small, (80, 40))
    expected = 1.0 / (0.001 + np.arange(80) * 0.002)
    assert resized[2:-2, 5] == pytest.approx(expected[2:-2])


def test_classes_and_distances_pool_pixels_like_a_plain_loop():
    predicted, truth = sparse_scene(4)
    rng = np.random.default_rng(7)
    labels = rng.choice(np.array([0, 13, 255], np.uint8), truth.shape)
    images = [(predicted, truth, labels), (predicted * 1.5, truth * 0.5, labels[::-1].copy())]
    images[0][2][0, :] = 18  # a few bicycle pixels, too few for the average
    summary = summarize([judge_image(p, t, lb, crop='none') for p, t, lb in images], CLASS_NAMES)
    names = {0: 'road', 13: 'car', 18: 'bicycle'}
    pairs = {'road': [], 'car': [], 'bicycle': [], '20-30 m': []}
    for p, t, lb in images:
        for y, x in zip(*np.nonzero((t > 1e-3) & (t < 80))):
            pair = (float(p[y, x]), float(t[y, x]))
            if lb[y, x] in names:
                pairs[names[lb[y, x]]].append(pair)
            if 20 <= t[y, x] < 30:
                pairs['20-30 m'].append(pair)
    groups = {g.name: g for g in (*summary.per_class, *summary.per_distance)}
    assert [g.name for g in summary.per_class] == ['road', 'car', 'bicycle']
    assert summary.per_distance[0].name == '0-10 m'
    for name, expected_pairs in pairs.items():
        expected = plain_loop(expected_pairs, 1.0)
        assert groups[name].pixels == len(expected_pairs) > 0
        for field in FIELDS:
            measured = getattr(groups[name].unscaled, field)
            assert measured == pytest.approx(getattr(expected, field)), (name, field)
    road, car = (groups[n].unscaled.abs_rel for n in ('road', 'car'))
    assert groups['bicycle'].pixels < 100 < groups['car'].pixels
    assert summary.class_average.unscaled.abs_rel == pytest.approx((road + car) / 2)


def test_summary_is_json_with_and_without_truth():
    predicted, truth = sparse_scene(1)
    labels = np.zeros((20, 30), np.uint8)
    with_truth = summarize([judge_image(predicted, truth, labels), None], CLASS_NAMES).to_json()
    assert with_truth['images'] == 1
    assert with_truth['unscaled']['abs_rel'] > 0
    assert set(with_truth['scale_ratio']) == {'median', 'std', 'relative_std'}
    assert with_truth['per_class'][0]['name'] == 'road'
    json.dumps(with_truth, allow_nan=False)
    without = summarize([None], CLASS_NAMES).to_json()
    assert without['ground_truth'] is None
    assert without['images'] == 0
    assert 'ground truth' in without['why']
    json.dumps(without, allow_nan=False)
