"""The judged images of an evaluation put together: means over images, classes, distances."""

from collections.abc import Iterable
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.metrics import CAP_M
from sg_depth_ros.metrics import DISTANCE_EDGES_M
from sg_depth_ros.metrics import Crop
from sg_depth_ros.metrics import DepthMetrics
from sg_depth_ros.metrics import ImageJudgement
from sg_depth_ros.metrics import metrics_of_sums

CLASS_AVERAGE_PIXELS = 100  # a class with fewer is stray labels and left out of the average


class GroupMetrics(NamedTuple):
    """The pooled pixels of one class or one range of distances, over all images."""

    name: str
    pixels: int
    unscaled: DepthMetrics
    median_scaled: DepthMetrics


@dataclass(frozen=True)
class EvaluationSummary:
    """What was measured over a set of images; ``unscaled`` is None where no image had truth."""

    images: int  # with ground truth
    images_without_truth: int
    unscaled: DepthMetrics | None
    median_scaled: DepthMetrics | None
    scale_ratio_median: float | None
    scale_ratio_std: float | None
    scale_ratio_spread: float | None  # std(ratios / median(ratios)), as monodepth2 reports it
    per_class: tuple[GroupMetrics, ...]
    class_average: GroupMetrics | None
    per_distance: tuple[GroupMetrics, ...]
    cap_m: float
    crop: Crop

    def to_json(self) -> dict[str, Any]:
        """Return the document that ``metrics.json`` holds."""
        document: dict[str, Any] = {
            'images': self.images,
            'images_without_ground_truth': self.images_without_truth,
        }
        if self.unscaled is None or self.median_scaled is None:
            why = 'no image has ground truth, so the error of its depth is unknown'
            return {**document, 'ground_truth': None, 'why': why}
        document['ground_truth'] = {
            'cap_m': self.cap_m,
            'crop': self.crop,
            'resize': 'bilinear in inverse depth, to the size of the ground truth',
        }
        document['unscaled'] = self.unscaled.to_json()
        document['median_scaled'] = self.median_scaled.to_json()
        document['scale_ratio'] = {
            'median': self.scale_ratio_median,
            'std': self.scale_ratio_std,
            'relative_std': self.scale_ratio_spread,
        }
        if self.class_average is not None:
            document['per_class'] = [_group_to_json(g) for g in self.per_class]
            document['class_average'] = _group_to_json(self.class_average)
        document['per_distance'] = [_group_to_json(g) for g in self.per_distance]
        return document


def summarize(
    judgements: Sequence[ImageJudgement | None],
    class_names: Sequence[str],
    *,
    cap_m: float = CAP_M,
    crop: Crop = 'garg',
) -> EvaluationSummary:
    """
    Put the images together: means over images with truth; classes and distances pool pixels.

    :param judgements: of ``judge_image``, one per image, None where it had no ground truth.
    :param class_names: names of ids 0, 1, ...; other ids are left out.
    """
    judged = [j for j in judgements if j is not None]
    ratios = [j.scale_ratio for j in judged]
    class_sums = _summed_by_class(judged)
    per_class = () if class_sums is None else _groups(class_sums, class_names)
    ends = (*DISTANCE_EDGES_M[1:], float('inf'))
    distances = [f'{start:g}-{end:g} m' for start, end in zip(DISTANCE_EDGES_M, ends)]
    bin_sums = [j.bin_sums for j in judged]
    return EvaluationSummary(
        images=len(judged),
        images_without_truth=len(judgements) - len(judged),
        unscaled=mean_metrics(j.unscaled for j in judged),
        median_scaled=mean_metrics(j.median_scaled for j in judged),
        scale_ratio_median=float(np.median(ratios)) if judged else None,
        scale_ratio_std=float(np.std(ratios)) if judged else None,
        scale_ratio_spread=float(np.std(ratios) / np.median(ratios)) if judged else None,
        per_class=per_class,
        class_average=_class_average(per_class),
        per_distance=_groups(np.sum(bin_sums, axis=0), distances) if bin_sums else (),
        cap_m=cap_m,
        crop=crop,
    )


def mean_metrics(results: Iterable[DepthMetrics | None]) -> DepthMetrics | None:
    """Average over the images that have ground truth; None entries count nowhere."""
    judged = [list(vars(m).values()) for m in results if m is not None]
    if not judged:
        return None
    return DepthMetrics(*(float(v) for v in np.mean(np.array(judged, np.float64), axis=0)))


def _summed_by_class(judged: Iterable[ImageJudgement]) -> NDArray[np.float64] | None:
    """Sum the terms of each class over the images, (2, 256, 9); None without labels."""
    total: NDArray[np.float64] | None = None
    for one in judged:
        if one.class_ids is not None and one.class_sums is not None:
            if total is None:
                total = np.zeros((2, 256, one.class_sums.shape[-1]))
            total[:, one.class_ids] += one.class_sums
    return total


def _groups(sums: NDArray[np.float64], names: Sequence[str]) -> tuple[GroupMetrics, ...]:
    """Name the groups of sums (2, G, 9) that hold any pixel."""
    return tuple(
        GroupMetrics(name, int(plain[0]), metrics_of_sums(plain), metrics_of_sums(scaled))
        for name, plain, scaled in zip(names, sums[0], sums[1])
        if plain[0] > 0
    )


def _class_average(classes: Sequence[GroupMetrics]) -> GroupMetrics | None:
    """Average over classes that are seen at all, so that a car counts as much as a road."""
    groups = [g for g in classes if g.pixels >= CLASS_AVERAGE_PIXELS]
    unscaled = mean_metrics(g.unscaled for g in groups)
    median_scaled = mean_metrics(g.median_scaled for g in groups)
    if unscaled is None or median_scaled is None:
        return None
    return GroupMetrics('class average', sum(g.pixels for g in groups), unscaled, median_scaled)


def _group_to_json(group: GroupMetrics) -> dict[str, Any]:
    return {
        'name': group.name,
        'pixels': group.pixels,
        'unscaled': group.unscaled.to_json(),
        'median_scaled': group.median_scaled.to_json(),
    }
