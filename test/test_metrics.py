"""Metrics against a plain loop over pixels, and what must not count."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sg_depth_ros.classes import CLASS_NAMES
from sg_depth_ros.metrics import Crop
from sg_depth_ros.metrics import DepthMetrics
from sg_depth_ros.metrics import judge_image
from sg_depth_ros.metrics import judged_pixels
from sg_depth_ros.metrics import resize_depth
from sg_depth_ros.metrics_summary import GroupMetrics
from sg_depth_ros.metrics_summary import mean_metrics
from sg_depth_ros.metrics_summary import summarize

Image = NDArray[np.floating]

FIELDS = ('abs_rel', 'sq_rel', 'rmse', 'rmse_log', 'silog', 'a1', 'a2', 'a3')


def plain_loop(triples: list[tuple[float, float, int | None]], cap_m: float):
    """Compute the metrics of (prediction, truth, class) one by one, as the formulas read."""
    pairs = [(min(max(p, 1e-3), cap_m), t) for p, t, _ in triples]
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


def plain_resized(small: Image, y: int, x: int, shape: tuple[int, int]):
    """Return depth at a pixel of an image of ``shape``, bilinear in inverse depth."""

    def neighbours(place: int, here: int, there: int):
        center = min(max((place + 0.5) * here / there - 0.5, 0.0), here - 1.0)
        lower = math.floor(center)
        return lower, min(lower + 1, here - 1), center - lower

    top, bottom, down = neighbours(y, small.shape[0], shape[0])
    left, right, along = neighbours(x, small.shape[1], shape[1])
    weights = ((top, 1 - down), (bottom, down)), ((left, 1 - along), (right, along))
    return 1 / sum(wy * wx / float(small[v, u]) for v, wy in weights[0] for u, wx in weights[1])


def plain_pairs(predicted: Image, truth: Image, crop: str, cap_m: float = 80.0, labels=None):
    """Return (prediction, truth, class) of each judged pixel."""
    height, width = truth.shape
    rows, columns = range(height), range(width)
    if crop == 'garg':
        rows = range(int(0.40810811 * height), int(0.99189189 * height))
        columns = range(int(0.03594771 * width), int(0.96405229 * width))
    pairs = []
    for y in rows:
        for x in columns:
            if 1e-3 < truth[y, x] < cap_m:
                label = None
                if labels is not None:
                    v = math.floor((y + 0.5) * labels.shape[0] / height)
                    u = math.floor((x + 0.5) * labels.shape[1] / width)
                    label = int(labels[v, u])
                p = plain_resized(predicted, y, x, truth.shape)
                pairs.append((p, float(truth[y, x]), label))
    return pairs


def sparse_scene(seed: int, height: int = 40, width: int = 60, small: tuple[int, int] = (17, 23)):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(2.0, 100.0, (height, width)).astype(np.float32)
    truth[rng.uniform(size=truth.shape) < 0.7] = 0.0
    predicted = rng.uniform(1.0, 120.0, small).astype(np.float32)
    return predicted, truth


def plain_ratio(pairs):
    return plain_median([t for _, t, _ in pairs]) / plain_median([p for p, _, _ in pairs])


def plain_mean(metrics: list[DepthMetrics]):
    return DepthMetrics(*(sum(getattr(m, f) for m in metrics) / len(metrics) for f in FIELDS))


def assert_equal(measured: DepthMetrics, expected: DepthMetrics):
    for field in FIELDS:
        assert getattr(measured, field) == pytest.approx(getattr(expected, field)), field


@pytest.mark.parametrize('cap_m', [80.0, 50.0])
@pytest.mark.parametrize('crop', ['garg', 'none'])
@pytest.mark.parametrize('small', [(17, 23), (40, 60), (90, 70)])
def test_an_image_equals_a_plain_loop(small: tuple[int, int], crop: Crop, cap_m: float):
    predicted, truth = sparse_scene(small[0], small=small)
    judged = judge_image(predicted, truth, crop=crop, cap_m=cap_m)
    pairs = plain_pairs(predicted, truth, crop, cap_m)
    ratio = plain_ratio(pairs)
    assert judged.pixels == len(pairs)
    assert judged.scale_ratio == pytest.approx(ratio)
    assert_equal(judged.unscaled, plain_loop(pairs, cap_m))
    scaled = [(p * ratio, t, label) for p, t, label in pairs]
    assert_equal(judged.median_scaled, plain_loop(scaled, cap_m))


DISTANCES = ((0, 10), (10, 20), (20, 30), (30, 50), (50, 80), (80, math.inf))


def plain_summary(images, crop: str, cap_m: float):
    """Return per scaling: mean over images, (pixels, metrics) per class and per distance."""
    kept = [pairs for i in images if (pairs := plain_pairs(i[0], i[1], crop, cap_m, i[2]))]
    tables = []
    for scaling in (False, True):
        means: list[DepthMetrics] = []
        classes: dict[int, list[Any]] = {}
        distances: dict[int, list[Any]] = {}
        for pairs in kept:
            ratio = plain_ratio(pairs) if scaling else 1.0
            scaled = [(p * ratio, t, label) for p, t, label in pairs]
            means.append(plain_loop(scaled, cap_m))
            for pair in scaled:
                classes.setdefault(pair[2], []).append(pair)
                where = next(i for i, (a, b) in enumerate(DISTANCES) if a <= pair[1] < b)
                distances.setdefault(where, []).append(pair)
        groups = [
            {k: (len(v), plain_loop(v, cap_m)) for k, v in pairs.items()}
            for pairs in (classes, distances)
        ]
        tables.append((plain_mean(means), *groups))
    return tables, [plain_ratio(pairs) for pairs in kept]


def assert_groups_equal(groups: tuple[GroupMetrics, ...], names, plain, scaled):
    assert [g.name for g in groups] == [names(k) for k in sorted(plain) if names(k)]
    by_name = {names(k): k for k in plain}
    for group in groups:
        key = by_name[group.name]
        assert group.pixels == plain[key][0] > 0
        assert_equal(group.unscaled, plain[key][1])
        assert_equal(group.median_scaled, scaled[key][1])


@pytest.mark.parametrize(('crop', 'cap_m'), [('garg', 80.0), ('none', 120.0)])
def test_a_summary_equals_plain_loops_over_images_classes_and_distances(crop: Crop, cap_m: float):
    rng = np.random.default_rng(7)
    images = []
    for seed in range(3):
        predicted, truth = sparse_scene(seed, height=60, width=90)
        labels = rng.choice(np.array([0, 13, 255], np.uint8), (19, 31))
        images.append((predicted, truth * (1 - 0.3 * seed), labels))
    images[0][2][10, 3] = 18  # a few bicycle pixels, too few for the average
    # Two without ground truth: one of cars only, one measured only outside the crop.
    images.insert(1, (predicted, np.zeros_like(truth), np.full((19, 31), 13, np.uint8)))
    images.append((predicted * 9, np.where(np.indices(truth.shape)[0] < 3, 200.0, 0.0), labels))
    judgements = [judge_image(p, t, lb, crop=crop, cap_m=cap_m) for p, t, lb in images]
    summary = summarize(judgements, CLASS_NAMES, crop=crop, cap_m=cap_m)
    ((plain, classes, distances), (scaled, s_classes, s_distances)), ratios = plain_summary(
        images, crop, cap_m
    )
    assert (summary.images, summary.images_without_truth) == (3, 2)
    assert_equal(summary.unscaled, plain)
    assert_equal(summary.median_scaled, scaled)
    median = plain_median(ratios)
    relative = [r / median for r in ratios]
    mean = sum(relative) / len(relative)
    spread = math.sqrt(sum((r - mean) ** 2 for r in relative) / len(relative))
    assert summary.scale_ratio_median == pytest.approx(median)
    assert summary.scale_ratio_spread == pytest.approx(spread)
    assert summary.scale_ratio_std == pytest.approx(spread * median)
    names = {0: 'road', 13: 'car', 18: 'bicycle'}
    assert_groups_equal(summary.per_class, names.get, classes, s_classes)
    assert_groups_equal(
        summary.per_distance, lambda i: '{:g}-{:g} m'.format(*DISTANCES[i]), distances, s_distances
    )
    assert classes[18][0] < 100 < classes[13][0]
    average = summary.class_average
    assert average.pixels == classes[0][0] + classes[13][0]
    assert_equal(average.unscaled, plain_mean([classes[0][1], classes[13][1]]))
    assert_equal(average.median_scaled, plain_mean([s_classes[0][1], s_classes[13][1]]))


def test_perfect_depth_has_no_error():
    _, truth = sparse_scene(0)
    predicted = np.where(truth > 0, truth, 1.0)
    assert judge_image(predicted, truth).unscaled == DepthMetrics(0, 0, 0, 0, 0, 1, 1, 1)


@settings(max_examples=20, deadline=None)
@given(scale=st.floats(0.05, 20.0, allow_subnormal=False), seed=st.integers(0, 1000))
def test_median_scaling_removes_any_scale(scale: float, seed: int):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(2.0, 60.0, (20, 30))
    predicted = truth * rng.uniform(0.9, 1.1, truth.shape)
    one = judge_image(predicted, truth, crop='none')
    other = judge_image(predicted * scale, truth, crop='none')
    assert other.scale_ratio * scale == pytest.approx(one.scale_ratio)
    assert other.median_scaled.abs_rel == pytest.approx(one.median_scaled.abs_rel)


def test_images_without_truth_count_neither_above_nor_below_the_line():
    # The field's mistake: skip the image, yet divide by the size of the batch.
    predicted, truth = sparse_scene(0)
    nothing = np.zeros_like(truth)
    with_truth = judge_image(predicted, truth).unscaled
    assert judge_image(predicted, nothing) is None
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
    far = judge_image(np.full((4, 4), np.inf), truth, crop='none')
    assert far.unscaled.abs_rel == pytest.approx(1.0)
    truth[0, 0], predicted = 79.0, np.full((4, 4), 70.0)
    predicted[0, 0] = 40.0 * 70.0
    # The medians see the 2,800 m; the metrics see 80 m, not 40 m.
    clamped = judge_image(predicted, truth, crop='none')
    assert clamped.median_scaled.abs_rel == pytest.approx((80 - 79) / 79 / 16)


@pytest.mark.parametrize('wrong', [np.nan, 0.0, -3.0])
def test_impossible_depth_is_refused(wrong: float):
    predicted, truth = sparse_scene(0)
    predicted[0, 0] = wrong
    with pytest.raises(ValueError, match='NaN or not positive'):
        judge_image(predicted, truth)


def test_resizing_keeps_a_plane_a_plane():
    # Inverse depth of a plane is linear in the pixel; depth itself is not.
    y_small = (np.arange(20) + 0.5) * 4 - 0.5
    inverse_small = np.repeat(0.001 + y_small[:, None] * 0.002, 10, axis=1)
    resized = resize_depth(1.0 / inverse_small, (80, 40))
    expected = 1.0 / (0.001 + np.arange(80) * 0.002)
    assert resized[2:-2, 5] == pytest.approx(expected[2:-2])


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
