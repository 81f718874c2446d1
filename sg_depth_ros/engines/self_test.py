"""
Checks that an engine computes what the trained network computed.

Needed on every machine: libraries have changed a network's depth silently, without an error.
"""

from typing import NamedTuple

import numpy as np

from sg_depth_ros.classes import UNKNOWN_ID
from sg_depth_ros.engines.engine import Engine

# The stored depth has half precision (5e-4); FP16 engines stay well within one percent.
MIN_SHARE_WITHIN_1_PERCENT = 0.99
MAX_RELATIVE_ERROR = 0.1


class SelfTestResult(NamedTuple):
    """How far an engine's depth lies from the depth stored in the contract."""

    max_relative_error: float  # |d - d_stored| / d_stored, worst pixel; inf if one is not finite
    share_within_1_percent: float  # of all pixels, 0 to 1
    unknown_label_count: int  # pixels whose label has no name in the contract

    @property
    def passed(self) -> bool:
        """Whether the engine may be trusted."""
        return (
            self.share_within_1_percent >= MIN_SHARE_WITHIN_1_PERCENT
            and self.max_relative_error <= MAX_RELATIVE_ERROR
            and self.unknown_label_count == 0
        )

    def summary(self) -> str:
        """Return one line for logs and diagnostics."""
        text = (
            f'self-test {"passed" if self.passed else "FAILED"}: '
            f'depth within 1 % on {100 * self.share_within_1_percent:.2f} % of pixels, '
            f'worst relative error {self.max_relative_error:.2g}'
        )
        if self.unknown_label_count:
            text += f', {self.unknown_label_count} pixels with labels that have no name'
        return text


def run_self_test(engine: Engine) -> SelfTestResult | None:
    """
    Run the contract's image and compare with the contract's depth.

    :param engine: used in the calling thread, which must own it.
    :return: what differs, or None where the contract carries no self-test.
    """
    test = engine.contract.self_test
    if test is None:
        return None
    prediction = engine.infer(test.image)
    nameless = prediction.labels >= len(engine.contract.class_names)
    # What a model without a semantic network says.
    has_labels = np.any(prediction.labels != UNKNOWN_ID) or np.any(prediction.confidence)
    expected = test.depth_m.astype(np.float64)
    error = np.abs(prediction.depth_m - expected) / expected
    error[~np.isfinite(error)] = np.inf
    return SelfTestResult(
        max_relative_error=float(error.max()),
        share_within_1_percent=float(np.mean(error <= 0.01)),
        unknown_label_count=int(np.count_nonzero(nameless)) if has_labels else 0,
    )
