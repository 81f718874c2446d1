"""IoU from the confusion matrix."""

import numpy as np
import pytest
import torch

from training.objective.confusion import ConfusionMatrix
from training.objective.confusion import segmentation_score


def iou_by_plain_loop(predicted, truth, class_count):
    """Count pixel by pixel, as the definition says."""
    ious = []
    for class_id in range(class_count):
        both = either = true = 0
        for guess, answer in zip(predicted.flat, truth.flat):
            if answer == 255:
                continue
            true += answer == class_id
            both += answer == class_id and guess == class_id
            either += answer == class_id or guess == class_id
        ious.append(both / either if true else None)
    return ious


def test_iou_equals_a_plain_count():
    rng = np.random.default_rng(0)
    # Class 4 occurs in the prediction only, class 5 nowhere.
    predicted = rng.integers(0, 5, (3, 20, 20))
    truth = np.where(rng.random((3, 20, 20)) < 0.6, predicted % 4, rng.integers(0, 4, (3, 20, 20)))
    truth[rng.random(truth.shape) < 0.1] = 255
    confusion = ConfusionMatrix(6)
    for guess, answer in zip(predicted, truth):
        confusion.update(torch.from_numpy(guess), torch.from_numpy(answer.astype(np.uint8)))
    score = segmentation_score(confusion.counts)
    expected = iou_by_plain_loop(predicted, truth, 6)
    assert list(score.class_iou) == expected
    seen = [iou for iou in expected if iou is not None]
    assert score.mean_iou == pytest.approx(sum(seen) / len(seen))
    assert score.classes_seen == 4
    known = truth != 255
    assert score.pixel_accuracy == pytest.approx((predicted == truth)[known].mean())


def test_counts_stay_exact_beyond_what_float32_holds():
    confusion = ConfusionMatrix(2)
    confusion.counts[0, 0] = 2**24
    confusion.update(torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.uint8))
    assert confusion.counts[0, 0] == 2**24 + 1


def test_no_known_pixel_scores_zero():
    confusion = ConfusionMatrix(3)
    confusion.update(torch.zeros(4, dtype=torch.int64), torch.full((4,), 255, dtype=torch.uint8))
    score = segmentation_score(confusion.counts)
    assert score.mean_iou == score.pixel_accuracy == score.classes_seen == 0


def test_reset_forgets():
    confusion = ConfusionMatrix(2)
    confusion.update(torch.zeros(4, dtype=torch.int64), torch.zeros(4, dtype=torch.uint8))
    confusion.reset()
    assert confusion.counts.sum() == 0
