"""The self-test finds engines whose depth is wrong, and says how far off they are."""

from dataclasses import replace

import numpy as np
import pytest
from tiny_model import RED_STEP_M
from tiny_model import tiny_contract
from tiny_model import tiny_labels
from tiny_model import tiny_ramp_m

from sg_depth_ros.classes import UNKNOWN_ID
from sg_depth_ros.contract import SelfTest
from sg_depth_ros.contract import contract_from_json
from sg_depth_ros.contract import contract_to_json
from sg_depth_ros.engines.engine import Prediction
from sg_depth_ros.engines.self_test import TOLERANCES
from sg_depth_ros.engines.self_test import SelfTestResult
from sg_depth_ros.engines.self_test import run_self_test

NOTHING = replace(tiny_contract(), self_test=None)


def contract_under_trial(precision='fp32'):
    """Return a contract as it comes out of a file: the depth rounded to half precision."""
    contract = tiny_contract()
    shape = (contract.height, contract.width, 3)
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    test = SelfTest(image, depth_of(contract, image))
    text = contract_to_json(replace(contract, precision=precision, self_test=test))
    return contract_from_json(text)


def depth_of(contract, image):
    return tiny_ramp_m(contract) + np.float32(RED_STEP_M) * image[..., 0]


class Engine:
    """Computes the tiny model, then lets a test spoil what each run gives."""

    description = 'numpy'

    def __init__(self, contract, spoil=lambda run, prediction: prediction):
        self.contract, self.images = contract, []
        self._spoil = spoil

    def infer(self, image):
        self.images.append(image.copy())
        depth_m, labels = depth_of(self.contract, image), tiny_labels(self.contract)
        prediction = Prediction(depth_m, labels, image[..., 1].copy())
        return self._spoil(len(self.images) - 1, prediction)


def outcome(spoil, precision='fp32', tolerance=None):
    result = run_self_test(Engine(contract_under_trial(precision), spoil), tolerance)
    assert result is not None
    return result


def scaled(factor):
    return lambda run, prediction: prediction._replace(depth_m=factor * prediction.depth_m)


def test_a_right_engine_passes():
    result = outcome(lambda run, prediction: prediction)
    assert result.passed
    assert 0 < result.max_relative_error < 5e-4  # what half precision takes
    assert result.share_within_1_percent == 1.0
    assert result.scale_ratio == pytest.approx(1, abs=1e-4)
    assert result.repeatability == result.scale_drift == 0
    assert result.invalid_pixel_count == result.unknown_label_count == 0
    assert result.tolerance == TOLERANCES['fp32']
    summary = result.summary()
    assert summary.startswith('self-test passed')
    assert '100.00 %' in summary
    assert '\n' not in summary


def test_other_images_come_between_the_stored_one():
    contract = contract_under_trial()
    engine = Engine(contract)
    run_self_test(engine)
    is_stored = [np.array_equal(image, contract.self_test.image) for image in engine.images]
    assert is_stored == [True, False, True, False, True]
    np.testing.assert_array_equal(engine.images[1], contract.self_test.image[:, ::-1])
    assert not engine.images[3].any()


def test_a_contract_without_self_test_gives_no_result():
    engine = Engine(NOTHING)
    assert run_self_test(engine) is None
    assert not engine.images


def test_a_wrong_scale_fails_and_is_told():
    result = outcome(scaled(np.float32(1.02)))
    assert not result.passed
    assert result.scale_ratio == pytest.approx(1.02, abs=1e-4)
    assert result.max_relative_error == pytest.approx(0.02, rel=0.1)
    assert result.share_within_1_percent == 0.0
    summary = result.summary()
    assert summary.startswith('self-test FAILED')
    assert 'scale 1.02' in summary
    assert 'the scale may be off by 0.2 %' in summary


def test_a_scale_that_every_pixel_would_pass_still_fails():
    result = outcome(scaled(np.float32(1.003)))
    assert result.share_within_1_percent == 1.0
    assert not result.passed
    (failure,) = result.failures
    assert 'scale' in failure


@pytest.mark.parametrize(
    ('precision', 'tolerance', 'passed'),
    [('fp32', None, False), ('fp16', None, True), ('fp32', TOLERANCES['tf32'], True)],
)
def test_half_precision_may_lie_further_off(precision, tolerance, passed):
    assert outcome(scaled(np.float32(1.003)), precision, tolerance).passed == passed


def test_tolerances_grow_as_precision_falls():
    exact, half = TOLERANCES['fp32'], TOLERANCES['fp16']
    assert exact.min_share_within_1_percent > half.min_share_within_1_percent
    assert all(one < other for one, other in zip(exact[1:], half[1:]))


def test_a_scale_that_drifts_from_frame_to_frame_fails():
    """What TensorRT 10.3 did to a depth network in FP16: right at first, then no longer."""
    result = outcome(
        lambda run, prediction: scaled(np.float32(1 + 0.003 * run))(run, prediction), 'fp16'
    )
    assert not result.passed
    assert result.scale_ratio == pytest.approx(1, abs=1e-4)
    assert result.scale_drift == pytest.approx(0.012, rel=0.01)
    assert result.repeatability == pytest.approx(0.012, rel=0.01)
    assert 'between runs' in result.summary()


def test_a_pixel_that_changes_between_runs_fails():
    def spoil(run, prediction):
        if run == 2:
            prediction.depth_m[3, 4] *= 1.5
        return prediction

    result = outcome(spoil)
    assert result.repeatability == pytest.approx(0.5)
    assert result.scale_drift == 0
    assert not result.passed


@pytest.mark.parametrize('run', [0, 1, 2, 3, 4])
@pytest.mark.parametrize('value', [np.nan, np.inf, 0.0, -1.0])
def test_one_pixel_that_is_no_depth_fails_in_whichever_run(run, value):
    def spoil(this_run, prediction):
        if this_run == run:
            prediction.depth_m[3, 4] = value
        return prediction

    result = outcome(spoil, 'fp16')
    assert result.invalid_pixel_count == 1
    assert not result.passed
    assert '1 pixels without depth' in result.summary()


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf, 0.0])
def test_depth_that_is_none_at_all_fails(value):
    def spoil(run, prediction):
        return prediction._replace(depth_m=np.full_like(prediction.depth_m, value))

    result = outcome(spoil)
    assert not result.passed
    assert result.share_within_1_percent == 0
    assert result.max_relative_error >= 1
    assert result.repeatability == float('inf')
    result.summary()


def test_a_result_of_nothing_but_nan_does_not_pass():
    nan = float('nan')
    result = SelfTestResult(nan, nan, nan, nan, nan, 0, nan, 0, TOLERANCES['fp16'])
    assert not result.passed
    assert result.failures == (
        'at least 99 % of pixels must be within 1 %',
        'the worst relative error may be 0.3',
        'the scale may be off by 0.5 %',
        'the same image may differ by 0.01 between runs',
        'its scale by 0.1 %',
        'its labels on 1 % of pixels',
    )


@pytest.mark.parametrize('name', TOLERANCES)
def test_what_lies_just_within_the_tolerance_passes_and_beyond_it_fails(name):
    limit = TOLERANCES[name]
    within = SelfTestResult(
        max_relative_error=limit.max_relative_error,
        share_within_1_percent=limit.min_share_within_1_percent,
        scale_ratio=1 - 0.999 * limit.max_scale_error,
        repeatability=limit.max_repeat_error,
        scale_drift=limit.max_scale_drift,
        invalid_pixel_count=0,
        changed_label_share=limit.max_changed_label_share,
        unknown_label_count=0,
        tolerance=limit,
    )
    assert within.passed
    for field, value in within._asdict().items():
        lower_is_worse = field in ('share_within_1_percent', 'scale_ratio')
        if field != 'tolerance':
            worse = 0.99 * value if lower_is_worse else 1.01 * value or 1
            assert len(within._replace(**{field: worse}).failures) == 1, field


@pytest.mark.parametrize('run', [0, 3])
def test_a_label_without_a_name_fails_in_whichever_run(run):
    def spoil(this_run, prediction):
        if this_run == run:
            prediction.labels[3, 4:6] = 19
        return prediction

    result = outcome(spoil)
    assert not result.passed
    assert result.unknown_label_count == 2
    assert 'no name' in result.summary()


def test_labels_that_change_from_run_to_run_fail():
    def spoil(run, prediction):
        if run == 4:
            prediction.labels[0] = 0
        return prediction

    result = outcome(spoil)
    assert not result.passed
    assert result.changed_label_share == pytest.approx(1 / 32)
    assert 'labels changed on 3.1 %' in result.summary()


@pytest.mark.parametrize(
    ('name', 'change'),
    [
        ('labels', lambda array: array[:1, :1]),
        ('depth_m', lambda array: array[None]),
        ('depth_m', lambda array: array.astype(np.float64)),
        ('confidence', lambda array: array.astype(np.int32)),
    ],
)
def test_arrays_of_another_shape_or_type_are_refused(name, change):
    def spoil(run, prediction):
        return prediction._replace(**{name: change(getattr(prediction, name))})

    with pytest.raises(ValueError, match=f'gives {name} as'):
        outcome(spoil)


@pytest.mark.parametrize(('confidence', 'passed'), [(0, True), (9, False)])
def test_a_model_that_knows_no_classes_passes(confidence, passed):
    def forget(run, prediction):
        prediction.labels[:] = UNKNOWN_ID
        prediction.confidence[:] = confidence
        return prediction

    assert outcome(forget).passed == passed
