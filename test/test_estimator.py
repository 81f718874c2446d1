from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tiny_model import tiny_contract
from tiny_model import tiny_labels

from sg_depth_ros.contract import ModelContract
from sg_depth_ros.engines.engine import Prediction
from sg_depth_ros.estimator import DepthEstimator
from sg_depth_ros.estimator import EstimatorSettings

CONTRACT = tiny_contract()


class FixedEngine:
    """An engine that gives the same depth for every image and keeps what it was given."""

    description = 'fixed'

    def __init__(self, depth_m: float = 10.0, contract: ModelContract = CONTRACT) -> None:
        self.contract = contract
        self.depth_m = np.full((contract.height, contract.width), depth_m, np.float32)
        self.images: list[NDArray[np.uint8]] = []

    def infer(self, image: NDArray[np.uint8]) -> Prediction:
        self.images.append(image)
        labels = np.zeros_like(tiny_labels(CONTRACT))
        return Prediction(self.depth_m.copy(), labels, labels)

    def close(self) -> None:
        pass


def info_of(width: int, height: int, focal_px: float, **fields: Any) -> Any:
    k = [focal_px, 0, (width - 1) / 2, 0, focal_px, (height - 1) / 2, 0, 0, 1]
    contents = {
        'width': width, 'height': height, 'k': k, 'd': [], 'r': np.eye(3).ravel(),
        'p': np.zeros(12), 'distortion_model': '', 'binning_x': 0, 'binning_y': 0,
        'roi': SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0),
    }  # fmt: skip
    return SimpleNamespace(**{**contents, **fields})


def image_of(width: int, height: int) -> NDArray[np.uint8]:
    return np.zeros((height, width, 3), np.uint8)


@pytest.mark.parametrize('scale', [1, 2, 5])
def test_the_same_scene_at_another_resolution_has_the_same_depth(scale: int):
    estimator = DepthEstimator(FixedEngine(), EstimatorSettings())
    estimate = estimator.estimate(
        image_of(64 * scale, 32 * scale), info_of(64 * scale, 32 * scale, 32 * scale)
    )
    np.testing.assert_allclose(estimate.depth_m, 10.0, rtol=1e-6)
    assert estimate.camera is not None and estimate.camera.fx == pytest.approx(32)


def test_another_lens_corrects_metric_depth_only_if_wanted():
    info = info_of(64, 32, 48)
    corrected = DepthEstimator(FixedEngine(), EstimatorSettings()).estimate(image_of(64, 32), info)
    np.testing.assert_allclose(corrected.depth_m, 15.0, rtol=1e-6)
    plain = DepthEstimator(FixedEngine(), EstimatorSettings(focal_correction=False))
    np.testing.assert_allclose(plain.estimate(image_of(64, 32), info).depth_m, 10.0)


def test_metric_depth_waits_for_a_camera_but_unscaled_depth_does_not():
    without = DepthEstimator(FixedEngine(), EstimatorSettings()).estimate(image_of(64, 32), None)
    assert without.depth_m is None and 'no camera_info' in without.depth_problem
    assert without.prediction.labels.shape == (32, 64)
    free = DepthEstimator(FixedEngine(), EstimatorSettings(focal_correction=False))
    assert free.estimate(image_of(64, 32), None).depth_m is not None


def test_unscaled_depth_must_be_allowed():
    engine = FixedEngine(contract=tiny_contract(metric=False))
    refused = DepthEstimator(engine, EstimatorSettings()).estimate(image_of(64, 32), None)
    assert refused.depth_m is None and 'allow_unscaled_depth' in refused.depth_problem
    allowed = DepthEstimator(engine, EstimatorSettings(allow_unscaled_depth=True))
    assert allowed.estimate(image_of(64, 32), None).depth_m is not None


@pytest.mark.parametrize('value', [np.nan, 0.0, -1.0, np.inf])
def test_a_prediction_without_any_valid_depth_is_a_problem(value: float):
    estimator = DepthEstimator(FixedEngine(value), EstimatorSettings())
    estimate = estimator.estimate(image_of(64, 32), info_of(64, 32, 32))
    assert estimate.depth_m is not None and np.isnan(estimate.depth_m).all()
    assert 'no valid depth' in estimate.depth_problem


def test_a_new_size_or_camera_is_told_once_and_recovers_from_a_bad_one():
    changes: list[str] = []
    estimator = DepthEstimator(FixedEngine(), EstimatorSettings(), on_change=changes.append)
    for _ in range(3):
        estimator.estimate(image_of(64, 32), info_of(64, 32, 32))
    assert len(changes) == 1 and '64x32' in changes[0]
    bad = estimator.estimate(image_of(128, 64), info_of(64, 64, 32))
    assert bad.camera is None and '64x64' in bad.camera_problem and bad.depth_m is None
    good = estimator.estimate(image_of(128, 64), info_of(128, 64, 64))
    assert good.camera is not None and not good.camera_problem
    assert len(changes) == 2 and '128x64' in changes[1]


def test_an_image_stretched_for_the_network_is_warned_of():
    warnings: list[str] = []
    settings = EstimatorSettings(fit='stretch')
    estimator = DepthEstimator(FixedEngine(), settings, on_warning=warnings.append)
    estimator.estimate(image_of(128, 32), info_of(128, 32, 32))
    assert len(warnings) == 1 and 'stretched' in warnings[0]


def test_distorted_images_reach_the_network_straight_and_blind_pixels_have_no_depth():
    engine = FixedEngine()
    estimator = DepthEstimator(engine, EstimatorSettings())
    info = info_of(64, 32, 32, d=[0.4, 0, 0, 0, 0], distortion_model='plumb_bob')
    estimate = estimator.estimate(np.full((32, 64, 3), 255, np.uint8), info)
    assert estimate.depth_m is not None
    assert np.isnan(estimate.depth_m[0, 0]) and estimate.depth_m[16, 32] == 10
    assert engine.images[0][0, 0, 0] < 255 and engine.images[0][16, 32, 0] == 255


def test_depth_that_nobody_wants_is_not_computed():
    estimator = DepthEstimator(FixedEngine(), EstimatorSettings())
    estimate = estimator.estimate(image_of(64, 32), info_of(64, 32, 32), want_depth=False)
    assert estimate.depth_m is None and not estimate.depth_problem
