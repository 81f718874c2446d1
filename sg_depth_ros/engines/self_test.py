"""
Checks that an engine computes what the trained network computed.

Needed on every machine: libraries have changed a network's depth silently, without an error, and
have let its scale drift from one image to the next (TensorRT 10.3 in half precision).
"""

from typing import Any
from typing import Literal
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.classes import UNKNOWN_ID
from sg_depth_ros.engines.engine import Engine
from sg_depth_ros.engines.engine import Prediction

# tf32: a float32 file whose products an engine was allowed to round to 10 bits of mantissa.
ToleranceName = Literal['fp32', 'tf32', 'fp16']


class Tolerance(NamedTuple):
    """How far an engine's depth may lie from the stored depth."""

    min_share_within_1_percent: float  # of all pixels, 0 to 1
    max_relative_error: float  # of the worst pixel, which lies where the depth jumps
    max_scale_error: float  # |scale_ratio - 1|
    max_repeat_error: float  # of the worst pixel, from one run of the image to another
    max_scale_drift: float  # of the scale, from one run of the image to another
    max_changed_label_share: float  # of pixels, from one run of the image to another


# The stored depth has half precision: 5e-4 of each error is its own.
TOLERANCES: dict[ToleranceName, Tolerance] = {
    'fp32': Tolerance(0.999, 0.05, 2e-3, 1e-3, 1e-4, 1e-3),
    'tf32': Tolerance(0.99, 0.3, 5e-3, 1e-2, 1e-3, 1e-2),
    'fp16': Tolerance(0.99, 0.3, 5e-3, 1e-2, 1e-3, 1e-2),
}


class SelfTestResult(NamedTuple):
    """How far an engine's depth lies from the depth stored in the contract, and from itself."""

    max_relative_error: float  # |d - d_stored| / d_stored, worst pixel; inf if one is not finite
    share_within_1_percent: float  # of all pixels, 0 to 1
    scale_ratio: float  # median of d / d_stored; not finite where the depth is not
    repeatability: float  # |d - d_first| / d_first, worst pixel of all later runs; likewise
    scale_drift: float  # |median of d / d_first - 1|, worst of all later runs; likewise
    invalid_pixel_count: int  # depth that is no positive number, in all runs together
    changed_label_share: float  # of pixels whose label differs from the first run's; worst run
    unknown_label_count: int  # pixels whose label has no name in the contract, in all runs
    tolerance: Tolerance

    @property
    def failures(self) -> tuple[str, ...]:
        """What is out of tolerance, each with what it may be."""
        limit = self.tolerance
        # Each stated as what must hold: nothing holds for NaN.
        checks = (
            (
                self.share_within_1_percent >= limit.min_share_within_1_percent,
                f'at least {100 * limit.min_share_within_1_percent:g} % of pixels must be within '
                '1 %',
            ),
            (
                self.max_relative_error <= limit.max_relative_error,
                f'the worst relative error may be {limit.max_relative_error:g}',
            ),
            (
                abs(self.scale_ratio - 1) <= limit.max_scale_error,
                f'the scale may be off by {100 * limit.max_scale_error:g} %',
            ),
            (
                self.repeatability <= limit.max_repeat_error,
                f'the same image may differ by {limit.max_repeat_error:g} between runs',
            ),
            (
                self.scale_drift <= limit.max_scale_drift,
                f'its scale by {100 * limit.max_scale_drift:g} %',
            ),
            (
                self.changed_label_share <= limit.max_changed_label_share,
                f'its labels on {100 * limit.max_changed_label_share:g} % of pixels',
            ),
            (self.invalid_pixel_count == 0, 'all depth must be positive and finite'),
            (self.unknown_label_count == 0, 'all labels must have a name'),
        )
        return tuple(text for holds, text in checks if not holds)

    @property
    def passed(self) -> bool:
        """Whether the engine may be trusted."""
        return not self.failures

    def summary(self) -> str:
        """Return one line for logs and diagnostics: how far off, and what is too far."""
        text = (
            f'self-test {"passed" if self.passed else "FAILED"}: '
            f'depth within 1 % on {100 * self.share_within_1_percent:.2f} % of pixels, '
            f'worst relative error {self.max_relative_error:.2g}, '
            f'scale {self.scale_ratio:.5f}, repeated within {self.repeatability:.2g} '
            f'(scale {self.scale_drift:.2g})'
        )
        if self.invalid_pixel_count:
            text += f', {self.invalid_pixel_count} pixels without depth'
        if self.changed_label_share:
            text += f', labels changed on {100 * self.changed_label_share:.2g} % of pixels'
        if self.unknown_label_count:
            text += f', {self.unknown_label_count} pixels with labels that have no name'
        return text if self.passed else f'{text}; {", ".join(self.failures)}'


def run_self_test(engine: Engine, tolerance: Tolerance | None = None) -> SelfTestResult | None:
    """
    Run the contract's image, others in between, and compare with the contract's depth.

    :param engine: used in the calling thread, which must own it.
    :param tolerance: None: that of the contract's precision.
    :return: what differs, or None where the contract carries no self-test.
    :raises ValueError: where the engine gives arrays of another shape or type than it must.
    """
    contract = engine.contract
    test = contract.self_test
    if test is None:
        return None
    first = engine.infer(test.image)
    # What an engine carries over from image to image shows best after one that is very different.
    others = (np.ascontiguousarray(test.image[:, ::-1]), np.zeros_like(test.image))
    repeats, between = [], []
    for other in others:
        between.append(engine.infer(other))
        repeats.append(engine.infer(test.image))
    runs = (first, *repeats, *between)
    for run in runs:
        _check_arrays(run, (contract.height, contract.width))
    ratio = _ratio(first.depth_m, test.depth_m)
    repeated = [_ratio(repeat.depth_m, first.depth_m) for repeat in repeats]
    return SelfTestResult(
        max_relative_error=_worst(ratio),
        share_within_1_percent=float(np.mean(np.abs(ratio - 1) <= 0.01)),
        scale_ratio=float(np.median(ratio)),
        repeatability=max(_worst(one) for one in repeated),
        scale_drift=max(_finite(abs(float(np.median(one)) - 1)) for one in repeated),
        invalid_pixel_count=sum(_invalid_pixels(run) for run in runs),
        changed_label_share=max(float(np.mean(r.labels != first.labels)) for r in repeats),
        unknown_label_count=sum(_nameless_pixels(run, len(contract.class_names)) for run in runs),
        tolerance=tolerance or TOLERANCES[contract.precision],
    )


def _check_arrays(prediction: Prediction, shape: tuple[int, int]) -> None:
    for name, dtype in (('depth_m', np.float32), ('labels', np.uint8), ('confidence', np.uint8)):
        array: NDArray[Any] = getattr(prediction, name)
        if array.shape != shape or array.dtype != dtype:
            raise ValueError(
                f'the engine gives {name} as {array.dtype} {array.shape}, '
                f'not {np.dtype(dtype)} {shape}'
            )


def _ratio(depth_m: NDArray[np.float32], expected_m: NDArray[np.float32]) -> NDArray[np.float64]:
    """Divide pixel by pixel; not finite where either depth is none."""
    with np.errstate(divide='ignore', invalid='ignore'):
        return np.asarray(depth_m.astype(np.float64) / expected_m, np.float64)


def _worst(ratio: NDArray[np.float64]) -> float:
    return _finite(float(np.max(np.abs(ratio - 1))))


def _finite(error: float) -> float:
    """Return an error as it is, or infinity for one that is no number."""
    return error if np.isfinite(error) else float('inf')


def _invalid_pixels(prediction: Prediction) -> int:
    depth_m = prediction.depth_m
    return int(np.count_nonzero(~(np.isfinite(depth_m) & (depth_m > 0))))


def _nameless_pixels(prediction: Prediction, class_count: int) -> int:
    # A model without a semantic network says everywhere, and with no confidence, that it does not
    # know.
    if np.all(prediction.labels == UNKNOWN_ID) and not np.any(prediction.confidence):
        return 0
    return int(np.count_nonzero(prediction.labels >= class_count))
