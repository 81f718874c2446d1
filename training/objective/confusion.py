"""Counting which class was taken for which, and the intersection over union from it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch import nn

from sg_depth_ros.classes import UNKNOWN_ID


@dataclass(frozen=True)
class SegmentationScore:
    """How well labels fit, counted over all pixels with a known class."""

    class_iou: tuple[float | None, ...]  # None: the class does not occur in the truth
    mean_iou: float  # over the classes that occur; 0 where none does
    pixel_accuracy: float

    @property
    def classes_seen(self) -> int:
        """How many classes occur in the truth."""
        return sum(iou is not None for iou in self.class_iou)


class ConfusionMatrix(nn.Module):
    """
    Counts of (true class, predicted class), exact in 64-bit integers.

    :param class_count: ids are 0 to class_count - 1; 255 in the truth is not counted.
    """

    counts: Tensor  # (C, C) int64

    def __init__(self, class_count: int) -> None:
        super().__init__()
        self.class_count = class_count
        counts = torch.zeros(class_count, class_count, dtype=torch.int64)
        self.register_buffer('counts', counts, persistent=False)

    def update(self, predicted: Tensor, truth: Tensor) -> None:
        """
        Count pixels.

        :param predicted: class ids of any shape, all below class_count.
        :param truth: class ids of that shape, 255 where unknown.
        """
        known = truth != UNKNOWN_ID
        pairs = truth[known].long() * self.class_count + predicted[known].long()
        counts = torch.bincount(pairs, minlength=self.class_count**2)
        self.counts += counts.view(self.class_count, self.class_count)

    def reset(self) -> None:
        """Forget all counts."""
        self.counts.zero_()


def segmentation_score(counts: Tensor) -> SegmentationScore:
    """
    Compute IoU = TP / (TP + FP + FN) per class.

    :param counts: (C, C) int64, rows true, columns predicted.
    """
    hits = counts.diagonal()
    truth = counts.sum(dim=1)
    union = truth + counts.sum(dim=0) - hits
    rows: Sequence[tuple[int, int, int]] = torch.stack((hits, truth, union), dim=1).tolist()
    class_iou = tuple(hit / both if true else None for hit, true, both in rows)
    seen = [iou for iou in class_iou if iou is not None]
    total = int(truth.sum())
    return SegmentationScore(
        class_iou,
        mean_iou=sum(seen) / len(seen) if seen else 0.0,
        pixel_accuracy=int(hits.sum()) / total if total else 0.0,
    )
