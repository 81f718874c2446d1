"""What an evaluation found: errors where there is ground truth, and what needs none."""

import math
from dataclasses import dataclass
from typing import Any
from typing import NamedTuple

import numpy as np

from sg_depth_ros.contract import ModelContract
from sg_depth_ros.ground import GroundPlaneRefusal
from sg_depth_ros.metrics import EvaluationSummary
from sg_depth_ros.metrics import ImageJudgement
from training.data.drive import SplitEntry
from training.evaluation.holes import DEFAULT_CRITERION
from training.evaluation.holes import FrameScore


class FrameFinding(NamedTuple):
    """What was found in one frame."""

    score: FrameScore
    judgement: ImageJudgement | None  # None without ground truth
    median_depth: float  # metres, or up to scale
    labels_given: bool

    @property
    def entry(self) -> SplitEntry:
        """Which frame it is."""
        return self.score.entry

    @property
    def pixels_below(self) -> int:
        """How many pixels have infinite depth."""
        return self.score.pixels_below

    def abs_rel(self, metric: bool) -> float:
        """Return the error that a model of this kind is ranked by: unscaled if it is metric."""
        assert self.judgement is not None
        judged = self.judgement.unscaled if metric else self.judgement.median_scaled
        return judged.abs_rel


class InfiniteDepthSummary(NamedTuple):
    """How much infinite depth there is, over all frames, with or without ground truth."""

    frames: int  # above the threshold
    pixels: int  # in all frames
    frames_without_plane: int  # which could not be judged
    threshold_px: float  # at the network's size


class StabilitySummary(NamedTuple):
    """How much the median depth changes from a frame to the next, as |ln ratio|."""

    pairs: int
    mean: float
    p95: float


@dataclass(frozen=True, eq=False)
class Findings:
    """Everything that an evaluation found."""

    model: str
    dataset: str
    contract: ModelContract
    summary: EvaluationSummary
    frames: tuple[FrameFinding, ...]
    flip: bool

    def infinite_depth(self) -> InfiniteDepthSummary:
        """Count the frames and pixels of infinite depth."""
        threshold_px = DEFAULT_CRITERION.threshold_at(self.contract.width, self.contract.height)
        return InfiniteDepthSummary(
            frames=sum(f.pixels_below > threshold_px for f in self.frames),
            pixels=sum(f.pixels_below for f in self.frames),
            frames_without_plane=sum(
                isinstance(f.score.plane, GroundPlaneRefusal) for f in self.frames
            ),
            threshold_px=threshold_px,
        )

    def stability(self) -> StabilitySummary | None:
        """Measure consecutive frames; None where there are none."""
        changes = [
            abs(math.log(after.median_depth / before.median_depth))
            for before, after in zip(self.frames, self.frames[1:])
            if after.entry == (before.entry.drive, before.entry.frame + 1)
        ]
        if not changes:
            return None
        p95 = float(np.percentile(changes, 95))
        return StabilitySummary(len(changes), float(np.mean(changes)), p95)

    def labels_source(self) -> str:
        """Say whose classes the metrics per class are of."""
        given = {f.labels_given for f in self.frames if f.judgement is not None}
        return (
            'given and predicted' if len(given) > 1 else 'given' if True in given else 'predicted'
        )

    def to_json(self) -> dict[str, Any]:
        """Return the document that ``metrics.json`` holds."""
        contract, infinite, stability = self.contract, self.infinite_depth(), self.stability()
        limits = DEFAULT_CRITERION.limits
        document = self.summary.to_json()
        document['model'] = {
            'file': self.model,
            'network': contract.network,
            'guidance': contract.guidance,
            'network_size': [contract.width, contract.height],
            'metric': contract.metric,
            'scale_source': contract.scale_source,
            'training_stage': contract.training_stage,
        }
        document['dataset'] = self.dataset
        document['drives'] = sorted({f.entry.drive for f in self.frames})
        document['frames'] = len(self.frames)
        document['flip'] = self.flip
        if self.summary.per_class:
            document['class_labels'] = self.labels_source()
        document['infinite_depth'] = {
            'frames': infinite.frames,
            'pixels': infinite.pixels,
            'frames_without_ground_plane': infinite.frames_without_plane,
            'threshold_px': round(infinite.threshold_px, 3),
            'margin_camera_heights': limits.margin,
            'angle_deg': limits.angle_deg,
        }
        document['median_depth_change'] = None if stability is None else stability._asdict()
        return document
