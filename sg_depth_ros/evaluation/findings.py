"""What an evaluation found of one model: errors against ground truth, and what needs none."""

from dataclasses import dataclass
from dataclasses import replace
from typing import Any
from typing import Literal
from typing import NamedTuple

from sg_depth_ros.contract import ModelContract
from sg_depth_ros.drive_metrics import DepthChange
from sg_depth_ros.drive_metrics import FrameValue
from sg_depth_ros.drive_metrics import HoleCount
from sg_depth_ros.drive_metrics import InfiniteDepthSummary
from sg_depth_ros.drive_metrics import TemporalScale
from sg_depth_ros.drive_metrics import depth_change
from sg_depth_ros.drive_metrics import summarize_infinite_depth
from sg_depth_ros.drive_metrics import temporal_scale
from sg_depth_ros.evaluation.frame_key import FrameKey
from sg_depth_ros.evaluation.holes import FrameScore
from sg_depth_ros.evaluation.without_truth import Flicker
from sg_depth_ros.evaluation.without_truth import FrameCells
from sg_depth_ros.evaluation.without_truth import FrameGround
from sg_depth_ros.evaluation.without_truth import GroundFit
from sg_depth_ros.evaluation.without_truth import GroundSummary
from sg_depth_ros.evaluation.without_truth import frame_flicker
from sg_depth_ros.evaluation.without_truth import summarize_flicker
from sg_depth_ros.evaluation.without_truth import summarize_ground
from sg_depth_ros.infinite_depth import DEFAULT_CRITERION
from sg_depth_ros.metrics import DepthMetrics
from sg_depth_ros.metrics import ImageJudgement
from sg_depth_ros.metrics_summary import EvaluationSummary
from sg_depth_ros.metrics_summary import GroupMetrics
from sg_depth_ros.metrics_summary import summarize
from sg_depth_ros.standing import StandingFrame
from sg_depth_ros.standing import StandingSummary
from sg_depth_ros.standing import summarize_standing

Scaling = Literal['unscaled', 'median-scaled']


class FrameFinding(NamedTuple):
    """What was found in one frame."""

    score: FrameScore
    judgement: ImageJudgement | None  # None without ground truth
    standing: StandingFrame  # vehicles against the ground where they stand
    median_depth: float | None  # metres, or up to scale; None where no pixel is valid
    labels_given: bool
    invalid_pixels: int = 0  # measured, but without valid depth
    time_s: float | None = None  # since the beginning of the drive
    ground: GroundFit | None = None  # how flat the road is; None without enough of it
    cell_depths: tuple[float, ...] = ()  # median depth in each part of the image, 0 where none

    @property
    def entry(self) -> FrameKey:
        """Which frame it is."""
        return self.score.entry

    @property
    def hole_pixels(self) -> int:
        """How many pixels have infinite depth."""
        return self.score.hole_pixels

    def metrics(self, scaling: Scaling) -> DepthMetrics:
        """Return the errors of a frame with ground truth."""
        assert self.judgement is not None
        unscaled, scaled = self.judgement.unscaled, self.judgement.median_scaled
        return unscaled if scaling == 'unscaled' else scaled


@dataclass(frozen=True, eq=False)
class Findings:
    """Everything that an evaluation found of a model."""

    name: str  # in tables
    file: str
    dataset: str
    contract: ModelContract
    summary: EvaluationSummary
    frames: tuple[FrameFinding, ...]
    flip: bool

    @property
    def drives(self) -> tuple[str, ...]:
        """The names of the drives, in the order of their frames."""
        return tuple(dict.fromkeys(f.entry.drive for f in self.frames))

    def of_drive(self, drive: str) -> 'Findings':
        """Return what was found on one drive."""
        frames = tuple(f for f in self.frames if f.entry.drive == drive)
        summary = summarize(
            [f.judgement for f in frames],
            self.contract.class_names,
            cap_m=self.summary.cap_m,
            crop=self.summary.crop,
        )
        return replace(self, frames=frames, summary=summary)

    @property
    def scaling(self) -> Scaling:
        """By which numbers a model of this kind is ranked."""
        return 'unscaled' if self.contract.metric else 'median-scaled'

    def errors(self, scaling: Scaling) -> DepthMetrics | None:
        """Return the mean errors; None without ground truth."""
        return self.summary.unscaled if scaling == 'unscaled' else self.summary.median_scaled

    def infinite_depth(self) -> InfiniteDepthSummary:
        """Count the frames and pixels of infinite depth."""
        counts = [HoleCount(f.hole_pixels, f.score.plane) for f in self.frames]
        threshold_px = DEFAULT_CRITERION.threshold_at(self.contract.width, self.contract.height)
        return summarize_infinite_depth(counts, threshold_px, DEFAULT_CRITERION.limits)

    def counted(self) -> str:
        """Say of which classes pixels of infinite depth were counted."""
        counted = {f.score.counted for f in self.frames}
        return counted.pop() if len(counted) == 1 else 'movable, all where no labels are'

    def standing(self) -> StandingSummary:
        """Put the vehicles of all frames together."""
        return summarize_standing(f.standing for f in self.frames)

    def stability(self) -> DepthChange | None:
        """Measure consecutive frames; None where there are none."""
        return depth_change(
            FrameValue(*f.entry, f.median_depth) for f in self.frames if f.median_depth is not None
        )

    def flicker(self) -> Flicker | None:
        """Measure how depth trembles; None where no three frames are consecutive."""
        return summarize_flicker([FrameCells(f.entry, f.cell_depths) for f in self.frames])

    def frame_flicker(self) -> dict[FrameKey, float]:
        """Return how depth trembles in each frame that has one before and one after."""
        return frame_flicker([FrameCells(f.entry, f.cell_depths) for f in self.frames])

    def ground(self) -> GroundSummary | None:
        """Measure the camera's height and the road; None where no frame has a ground plane."""
        return summarize_ground(FrameGround(f.entry, f.score.plane, f.ground) for f in self.frames)

    def temporal_scale(self) -> TemporalScale | None:
        """Measure how steady the scale is within drives; None where too few frames have truth."""
        return temporal_scale(
            FrameValue(*f.entry, f.judgement.scale_ratio)
            for f in self.frames
            if f.judgement is not None
        )

    def missing_vehicles(self) -> int:
        """Count the vehicles that depth does not show where they stand."""
        return sum(v.is_missing for f in self.frames for v in f.standing.vehicles)

    def labels_source(self) -> str:
        """Say whose classes the metrics per class are of."""
        given = {f.labels_given for f in self.frames if f.judgement is not None}
        return (
            'given and predicted' if len(given) > 1 else 'given' if True in given else 'predicted'
        )

    def to_json(self) -> dict[str, Any]:
        """Return the document that ``metrics.json`` holds of one model."""
        contract = self.contract
        stability, steadiness = self.stability(), self.temporal_scale()
        flicker, ground = self.flicker(), self.ground()
        document = self.summary.to_json()
        document['model'] = {
            'name': self.name,
            'file': self.file,
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
        document['temporal_scale'] = None if steadiness is None else steadiness.to_json()
        document['infinite_depth'] = {
            **self.infinite_depth().to_json(),
            'classes_counted': self.counted(),
        }
        document['standing_vehicles'] = self.standing().to_json()
        document['median_depth_change'] = None if stability is None else stability.to_json()
        document['flicker'] = None if flicker is None else flicker.to_json()
        document['ground'] = None if ground is None else ground.to_json()
        return document


def group_errors(group: GroupMetrics, scaling: Scaling) -> DepthMetrics:
    """Return the errors of a class or of a range of distances."""
    return group.unscaled if scaling == 'unscaled' else group.median_scaled
