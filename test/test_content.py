import math
from typing import Any

import numpy as np
import pytest

from sg_depth_ros.engines.engine import Prediction
from sg_depth_ros.estimator import Estimate
from sg_depth_ros.node.monitoring.content import measure_content

SHAPE = (32, 64)


def estimate(network: Any, depth: Any, scale: float = 1.0) -> Estimate:
    labels = np.zeros(SHAPE, np.uint8)
    return Estimate(
        image=np.zeros((*SHAPE, 3), np.uint8),
        camera=None,
        prediction=Prediction(network, labels, labels),
        depth_m=depth,
        camera_problem='',
        depth_problem='',
        scale=scale,
        scale_note='',
        preprocess_ms=0.0,
        inference_ms=0.0,
        postprocess_ms=0.0,
    )


def test_depth_is_measured_without_sky_and_what_is_unknown():
    network = np.full(SHAPE, 7.0, np.float32)
    depth_m = 2 * network
    depth_m[:8] = np.inf
    depth_m[8:16] = np.nan
    content = measure_content(estimate(network, depth_m, 2.0))
    assert content == (0.5, 14.0, 2.0, 0.0)


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf, 0.0, -3.0])
def test_one_pixel_of_the_network_that_is_no_depth_is_counted(bad: float):
    network = np.ones(SHAPE, np.float32)
    network[3, 5] = bad
    content = measure_content(estimate(network, None))
    assert content.network_invalid_ratio == pytest.approx(1 / network.size)
    assert math.isnan(content.valid_depth_ratio) and math.isnan(content.median_depth_m)


def test_an_image_without_any_depth_has_no_median():
    network = np.full(SHAPE, np.nan, np.float32)
    content = measure_content(estimate(network, network))
    assert content.valid_depth_ratio == 0 and math.isnan(content.median_depth_m)
    assert content.network_invalid_ratio == 1


def test_of_a_large_image_a_sample_is_measured():
    rows_m = np.repeat(np.linspace(1, 41, 800, dtype=np.float32)[:, None], 900, axis=1)
    rows_m[200:400] = np.inf
    content = measure_content(estimate(rows_m, rows_m))
    assert content.valid_depth_ratio == pytest.approx(0.75, abs=0.01)
    assert content.median_depth_m == pytest.approx(26, abs=0.3)
    assert content.network_invalid_ratio == pytest.approx(0.25)
