"""The outcome of a resampling: every frame's decision, per drive, and as ``resample.json``."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any
from typing import NamedTuple

from sg_depth_ros.contract import ModelContract
from sg_depth_ros.evaluation.frame_key import FrameKey
from sg_depth_ros.ground import CAMERA_UP
from sg_depth_ros.ground import GroundPlane
from sg_depth_ros.ground import GroundPlaneRefusal
from sg_depth_ros.infinite_depth import HoleCriterion
from training.resampling.decisions import Decision


class DriveSummary(NamedTuple):
    """What became of one drive; medians are of its accepted planes, None where it has none."""

    drive: str
    targets: int
    above: int
    dropped: int
    without_plane: int
    camera_height: float | None
    tilt_deg: float | None

    @property
    def dropped_share(self) -> float:
        """The share of its frames that are dropped."""
        return self.dropped / self.targets


class Resampling(NamedTuple):
    """One decision per target frame, and what they were made with."""

    decisions: tuple[Decision, ...]
    threshold_px: float  # at the network's size
    criterion: HoleCriterion
    cap: float
    metric: bool  # whether heights are metres
    split: Path

    @property
    def kept(self) -> tuple[FrameKey, ...]:
        """The frames of the second stage."""
        return tuple(d.score.entry for d in self.decisions if not d.dropped)

    @property
    def dropped(self) -> tuple[FrameKey, ...]:
        """The frames that would teach infinite depth."""
        return tuple(d.score.entry for d in self.decisions if d.dropped)

    @property
    def above(self) -> int:
        """Count the frames above the threshold, which the cap may keep."""
        return sum(self.is_above(d) for d in self.decisions)

    @property
    def refused(self) -> int:
        """Count the frames without a ground plane, which are kept."""
        return sum(isinstance(d.score.plane, GroundPlaneRefusal) for d in self.decisions)

    @property
    def unlabelled(self) -> int:
        """Count the frames whose labels said nothing about plane or pixels, though asked."""
        asked_plane = self.criterion.plane_from == 'auto'
        asked_pixels = self.criterion.counted == 'auto'
        return sum(
            (asked_plane and d.score.plane_from == 'all')
            or (asked_pixels and d.score.counted == 'all')
            for d in self.decisions
        )

    def is_above(self, decision: Decision) -> bool:
        """Tell whether a frame is above the threshold."""
        return decision.score.hole_pixels > self.threshold_px


def plane_tilt_deg(plane: GroundPlane) -> float:
    """Return the angle between a plane's normal and the camera's vertical."""
    return math.degrees(math.acos(min(1.0, float(plane.normal @ CAMERA_UP))))


def summarize_drives(outcome: Resampling) -> tuple[DriveSummary, ...]:
    """Count frames per drive, in the order of the dataset."""
    drives: dict[str, list[Decision]] = {}
    for decision in outcome.decisions:
        drives.setdefault(decision.score.entry.drive, []).append(decision)
    return tuple(_summarize(name, own, outcome) for name, own in drives.items())


def cautions(outcome: Resampling) -> tuple[str, ...]:
    """Return what a person should know before trusting the split, in sentences."""
    total = len(outcome.decisions)
    told = []
    if outcome.above > len(outcome.dropped):
        told.append(
            f'{outcome.above} frames ({outcome.above / total:.1%}) are above the threshold, only '
            f'the worst {outcome.cap:.0%} (--cap) were dropped: look whether plane or model fails '
            'before trusting the split'
        )
    if 2 * outcome.refused > total:
        told.append(
            'most frames have no ground plane: the model does not see a flat road yet; train '
            'stage one longer, or try another choice of --road-only and --all-pixels'
        )
    if outcome.unlabelled:
        told.append(
            f'{outcome.unlabelled} frames have no labels, or no road in them: there the plane is '
            'fitted to all pixels or all are counted, which takes more far road for holes'
        )
    return tuple(told)


def resample_document(
    outcome: Resampling, contract: ModelContract, model: Path, dataset: Path
) -> dict[str, Any]:
    """Return what ``resample.json`` says; no path, so that it is the same everywhere."""
    return {
        'model': model.name,
        'dataset': dataset.resolve().name,
        'criterion': {**asdict(outcome.criterion), 'cap': outcome.cap},
        'network_size': [contract.width, contract.height],
        'threshold_px_at_network_size': round(outcome.threshold_px, 3),
        'unit': 'm' if outcome.metric else 'unknown scale',
        'targets': len(outcome.decisions),
        'above_threshold': outcome.above,
        'dropped': len(outcome.dropped),
        'without_ground_plane': outcome.refused,
        'drives': [_drive_json(d) for d in summarize_drives(outcome)],
        'frames': [_decision_json(d) for d in outcome.decisions],
    }


def _summarize(drive: str, decisions: Sequence[Decision], outcome: Resampling) -> DriveSummary:
    planes = [d.score.plane for d in decisions if isinstance(d.score.plane, GroundPlane)]
    return DriveSummary(
        drive=drive,
        targets=len(decisions),
        above=sum(outcome.is_above(d) for d in decisions),
        dropped=sum(d.dropped for d in decisions),
        without_plane=len(decisions) - len(planes),
        camera_height=median(p.offset_m for p in planes) if planes else None,
        tilt_deg=median(plane_tilt_deg(p) for p in planes) if planes else None,
    )


def _drive_json(drive: DriveSummary) -> dict[str, Any]:
    return {
        'drive': drive.drive,
        'targets': drive.targets,
        'above_threshold': drive.above,
        'dropped': drive.dropped,
        'dropped_share': round(drive.dropped_share, 4),
        'without_ground_plane': drive.without_plane,
        'camera_height_median': _rounded(drive.camera_height),
        'tilt_deg_median': _rounded(drive.tilt_deg),
    }


def _decision_json(decision: Decision) -> dict[str, Any]:
    score, plane = decision.score, decision.score.plane
    document: dict[str, Any] = {
        'drive': score.entry.drive,
        'frame': score.entry.frame,
        'decision': 'dropped' if decision.dropped else 'kept',
        'reason': decision.reason,
        'hole_pixels': score.hole_pixels,
        'missing_vehicle_pixels': score.missing_pixels,
        'counted': score.counted,
        'plane_from': score.plane_from,
        'plane': None,
    }
    if isinstance(plane, GroundPlane):
        # Rounded, so that the last bits of another processor do not show.
        document['plane'] = {
            'normal': [round(float(n), 5) for n in plane.normal],
            'camera_height': round(plane.offset_m, 5),
            'inlier_share': round(plane.inlier_share, 4),
            'residual': round(plane.residual_m, 5),
            'confidence': round(plane.confidence, 4),
        }
    return document


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
