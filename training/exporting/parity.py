"""Whether an exported file says what the trained network says, output by output."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.contract import Precision
from sg_depth_ros.engines import Engine
from sg_depth_ros.engines import Prediction


class Parity(NamedTuple):
    """How well a file agrees with the trained network; of each number the worst image's."""

    image_count: int
    share_within_1_percent: float  # of the depth's pixels, 0 to 1
    median_relative_error: float  # of depth
    p999_relative_error: float  # of depth: 99.9 % of pixels are nearer; inf where one is no number
    max_relative_error: float
    scale_ratio: float  # median of depth / trained depth
    label_agreement: float  # share of pixels with the same label
    mean_confidence_difference: float  # in steps of 1/255
    max_confidence_difference: int


class Limits(NamedTuple):
    """How far a file may be from the trained network, on every image."""

    min_share_within_1_percent: float
    max_relative_error: float
    min_label_agreement: float
    max_mean_confidence_difference: float  # in steps of 1/255

    def failures(self, parity: Parity) -> tuple[str, ...]:
        """Return what a file may not be driven with, in words and numbers."""
        depth_limit = f'{100 * self.min_share_within_1_percent:g} %'
        # Each asks for what is right: a comparison with what is no number is never true.
        checks = (
            (
                parity.share_within_1_percent >= self.min_share_within_1_percent,
                f'depth is within 1 % on {100 * parity.share_within_1_percent:.3f} % of pixels, '
                f'not on {depth_limit}',
            ),
            (
                parity.max_relative_error <= self.max_relative_error,
                f'depth is off by up to {parity.max_relative_error:.2g}, '
                f'more than {self.max_relative_error:g}',
            ),
            (
                parity.label_agreement >= self.min_label_agreement,
                f'{100 * parity.label_agreement:.2f} % of labels are equal, '
                f'not {100 * self.min_label_agreement:g} %',
            ),
            (
                parity.mean_confidence_difference <= self.max_mean_confidence_difference,
                f'confidence differs by {parity.mean_confidence_difference:.2g} steps of 255 in '
                f'the mean, more than {self.max_mean_confidence_difference:g}',
            ),
        )
        return tuple(text for passed, text in checks if not passed)


LIMITS: dict[Precision, Limits] = {
    'fp32': Limits(1.0, 1e-3, 0.999, 0.1),
    # Single pixels at edges, where depth jumps, may be anything.
    'fp16': Limits(0.999, float('inf'), 0.995, 1.0),
}


def compare(
    truths: Sequence[Prediction], judged: Engine, images: Sequence[NDArray[np.uint8]]
) -> Parity:
    """
    Compare an engine with what the trained network says.

    :param truths: the trained network's prediction for each image.
    :param judged: is judged.
    :param images: each RGB (H, W, 3).
    """
    found = [_one(truth, judged.infer(image)) for truth, image in zip(truths, images)]
    return Parity(
        image_count=len(found),
        share_within_1_percent=min(p.share_within_1_percent for p in found),
        median_relative_error=max(p.median_relative_error for p in found),
        p999_relative_error=max(p.p999_relative_error for p in found),
        max_relative_error=max(p.max_relative_error for p in found),
        scale_ratio=max((p.scale_ratio for p in found), key=lambda ratio: abs(ratio - 1)),
        label_agreement=min(p.label_agreement for p in found),
        mean_confidence_difference=max(p.mean_confidence_difference for p in found),
        max_confidence_difference=max(p.max_confidence_difference for p in found),
    )


def _one(truth: Prediction, judged: Prediction) -> Parity:
    ratio = judged.depth_m / truth.depth_m.astype(np.float64)
    ratio[~np.isfinite(ratio)] = np.inf
    error = np.abs(ratio - 1)
    confidence = np.abs(judged.confidence.astype(np.int16) - truth.confidence)
    return Parity(
        image_count=1,
        share_within_1_percent=float(np.mean(error <= 0.01)),
        median_relative_error=float(np.median(error)),
        # An error that occurs, not one between two: between a number and inf there is none.
        p999_relative_error=float(np.quantile(error, 0.999, method='higher')),
        max_relative_error=float(error.max()),
        scale_ratio=float(np.median(ratio)),
        label_agreement=float(np.mean(judged.labels == truth.labels)),
        mean_confidence_difference=float(confidence.mean()),
        max_confidence_difference=int(confidence.max()),
    )
