import tracemalloc
from types import SimpleNamespace
from typing import Any

import camera_infos
import numpy as np
import pytest
from numpy.typing import NDArray
from tiny_model import tiny_contract
from tiny_model import tiny_labels

from sg_depth_ros.camera import Intrinsics
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
        return Prediction(self.depth_m.copy(), labels, np.full_like(labels, 200))

    def close(self) -> None:
        pass


def info_of(width: int, height: int, focal_px: float, **fields: Any) -> Any:
    center = (width - 1) / 2, (height - 1) / 2
    return camera_infos.info_of(Intrinsics(focal_px, focal_px, *center, width, height), **fields)


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


def test_images_of_another_size_are_noticed_under_the_same_info():
    changes: list[str] = []
    estimator = DepthEstimator(FixedEngine(), EstimatorSettings(), on_change=changes.append)
    info = info_of(64, 32, 32)
    for width in (64, 128, 128, 96, 64):
        estimate = estimator.estimate(image_of(width, width // 2), info)
        assert estimate.camera is not None and estimate.image.shape == (32, 64, 3)
    assert [line.split(',')[0][10:] for line in changes] == ['64x32', '128x64', '96x48', '64x32']


def test_a_camera_that_cannot_be_met_leaves_nothing_of_the_last_one(
    monkeypatch: pytest.MonkeyPatch,
):
    estimator = DepthEstimator(FixedEngine(), EstimatorSettings())
    estimator.estimate(image_of(64, 32), info_of(64, 32, 32))

    def fail(*arguments: Any) -> None:
        raise MemoryError

    info = info_of(64, 32, 48)
    with monkeypatch.context() as patch:
        patch.setattr('sg_depth_ros.estimator.Preprocessor', fail)
        for _ in range(2):
            with pytest.raises(MemoryError):
                estimator.estimate(image_of(64, 32), info)
    depth_m = estimator.estimate(image_of(64, 32), info).depth_m
    np.testing.assert_allclose(depth_m, 15.0, rtol=1e-6)


def test_an_image_stretched_for_the_network_is_warned_of():
    warnings: list[str] = []
    settings = EstimatorSettings(fit='stretch')
    estimator = DepthEstimator(FixedEngine(), settings, on_warning=warnings.append)
    estimator.estimate(image_of(128, 32), info_of(128, 32, 32))
    assert len(warnings) == 1 and 'stretched' in warnings[0]


def test_distorted_images_reach_the_network_straight_and_blind_pixels_show_nothing():
    engine = FixedEngine()
    estimator = DepthEstimator(engine, EstimatorSettings())
    info = info_of(64, 32, 32, d=[0.4, 0, 0, 0, 0], distortion_model='plumb_bob')
    estimate = estimator.estimate(np.full((32, 64, 3), 255, np.uint8), info)
    assert estimate.depth_m is not None
    assert np.isnan(estimate.depth_m[0, 0]) and estimate.depth_m[16, 32] == 10
    assert engine.images[0][0, 0, 0] < 255 and engine.images[0][16, 32, 0] == 255
    labels, confidence = estimate.prediction.labels, estimate.prediction.confidence
    assert (labels[0, 0], confidence[0, 0]) == (255, 0)
    assert (labels[16, 32], confidence[16, 32]) == (0, 200)


def test_what_is_cropped_and_doubtful_is_told():
    changes: list[str] = []
    warnings: list[str] = []
    estimator = DepthEstimator(
        FixedEngine(), EstimatorSettings(), on_change=changes.append, on_warning=warnings.append
    )
    estimator.estimate(image_of(64, 32), info_of(64, 32, 32))
    estimator.estimate(image_of(64, 64), info_of(64, 64, 32, distortion_model='equidistant'))
    assert 'cropped' not in changes[0]
    assert 'cropped to 64x32 at (0, 16)' in changes[1]
    (doubt,) = warnings
    assert 'fisheye' in doubt


def test_each_part_of_the_work_is_timed(monkeypatch: pytest.MonkeyPatch):
    moments_s = iter([5.0, 5.002, 5.032, 5.033])
    clock = SimpleNamespace(perf_counter=lambda: next(moments_s))
    monkeypatch.setattr('sg_depth_ros.estimator.time', clock)
    estimator = DepthEstimator(FixedEngine(), EstimatorSettings())
    estimate = estimator.estimate(image_of(64, 32), info_of(64, 32, 32))
    times_ms = (estimate.preprocess_ms, estimate.inference_ms, estimate.postprocess_ms)
    assert times_ms == pytest.approx((2, 30, 1))


def test_depth_that_nobody_wants_is_not_computed():
    estimator = DepthEstimator(FixedEngine(), EstimatorSettings())
    estimate = estimator.estimate(image_of(64, 32), info_of(64, 32, 32), want_depth=False)
    assert estimate.depth_m is None and not estimate.depth_problem


def test_the_scale_is_told_and_a_metric_model_ignores_the_height():
    warnings: list[str] = []
    settings = EstimatorSettings(camera_height_m=1.5)
    estimator = DepthEstimator(FixedEngine(), settings, on_warning=warnings.append)
    estimate = estimator.estimate(image_of(64, 32), info_of(64, 32, 48))
    assert estimate.scale == pytest.approx(1.5)
    assert len(warnings) == 1 and 'camera_height is not used' in warnings[0]
    unwanted = estimator.estimate(image_of(64, 32), info_of(64, 32, 48), want_depth=False)
    assert np.isnan(unwanted.scale)


def street_engine(height: float = 0.5) -> FixedEngine:
    """Return an engine without scale that sees a road ``height`` units below the camera."""
    engine = FixedEngine(contract=tiny_contract(metric=False))
    down = np.maximum(engine.contract.intrinsics.rays()[..., 1], 1e-3)
    engine.depth_m = (height / down).astype(np.float32)
    return engine


def test_a_camera_height_makes_depth_metric():
    estimator = DepthEstimator(street_engine(), EstimatorSettings(camera_height_m=1.5))
    info = info_of(64, 32, 32)
    early = estimator.estimate(image_of(64, 32), info, stamp_s=0.0)
    assert early.depth_m is None and 'no scale from camera_height yet' in early.depth_problem
    for number in range(1, 4):
        estimate = estimator.estimate(image_of(64, 32), info, stamp_s=0.1 * number)
    assert estimate.depth_m is not None and estimate.scale == pytest.approx(3.0, rel=1e-3)
    assert estimate.depth_m[-1, 0] == pytest.approx(1.5 / (15.5 / 32), rel=1e-3)
    estimator.change_settings(EstimatorSettings(camera_height_m=1.5, max_depth_m=10.0))
    assert estimator.estimate(image_of(64, 32), info, stamp_s=0.5).depth_m is not None
    estimator.change_settings(EstimatorSettings(camera_height_m=3.0))
    assert estimator.estimate(image_of(64, 32), info, stamp_s=0.6).depth_m is None
    without = estimator.estimate(image_of(64, 32), None, stamp_s=0.7)
    assert 'without a camera' in without.depth_problem


def test_after_a_jump_of_the_stamps_the_scale_is_found_anew():
    estimator = DepthEstimator(street_engine(), EstimatorSettings(camera_height_m=1.5))
    for number in range(3):
        estimate = estimator.estimate(image_of(64, 32), info_of(64, 32, 32), stamp_s=0.1 * number)
    assert estimate.depth_m is not None
    estimator.reset()
    assert estimator.estimate(image_of(64, 32), info_of(64, 32, 32), stamp_s=0.0).depth_m is None


def test_changed_settings_hold_from_the_next_image_on():
    engine = FixedEngine()
    estimator = DepthEstimator(engine, EstimatorSettings(fit='stretch'))
    high = np.zeros((64, 64, 3), np.uint8)
    high[:16] = high[48:] = 255
    info = info_of(64, 64, 32)
    estimator.estimate(high, info)
    stretched = engine.images[-1].copy()
    estimator.change_settings(EstimatorSettings(fit='crop', max_depth_m=5.0))
    estimate = estimator.estimate(high, info)
    assert stretched.max() == 255 and engine.images[-1].max() == 0
    assert estimate.depth_m is not None and np.isposinf(estimate.depth_m).all()
    assert estimate.camera is not None and estimate.camera.fy == pytest.approx(32)
    estimator.change_settings(EstimatorSettings(is_rectified=True, fit='crop'))
    distorted = info_of(64, 64, 32, d=[1.0] * 3, distortion_model='plumb_bob')
    assert estimator.estimate(high, distorted).camera is not None
    estimator.change_settings(EstimatorSettings(fit='crop'))
    assert '4 or 5' in estimator.estimate(high, distorted).camera_problem


@pytest.mark.parametrize('size', [(128, 64), (117, 61), (64, 64), (200, 100)])
@pytest.mark.parametrize('distorted', [False, True])
def test_once_warm_no_large_array_is_made(
    size: tuple[int, int], distorted: bool, pytestconfig: pytest.Config
):
    if pytestconfig.pluginmanager.hasplugin('_cov'):
        pytest.skip('measuring coverage takes memory of its own')
    width, height = size
    lens = {'d': [-0.1, 0, 0, 0, 0], 'distortion_model': 'plumb_bob'} if distorted else {}
    info, image = info_of(width, height, width / 2, **lens), image_of(width, height)
    engine = FixedEngine(contract=tiny_contract())
    prediction = engine.infer(image)
    engine.infer = lambda image: prediction  # type: ignore[method-assign]
    estimator = DepthEstimator(engine, EstimatorSettings())
    first = estimator.estimate(image, info)
    tracemalloc.start()
    try:
        estimate = estimator.estimate(image, info)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # A mask of the network's size takes 2 KB.
    assert peak_bytes < 2000
    assert estimate.depth_m is first.depth_m
