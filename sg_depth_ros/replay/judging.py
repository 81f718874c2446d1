"""A drive judged frame by frame, whether its depth was computed offline or came over a topic."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.bags.bag import StampedImage
from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.contract import ModelContract
from sg_depth_ros.drive_metrics import DepthChange
from sg_depth_ros.drive_metrics import FrameValue
from sg_depth_ros.drive_metrics import HoleCount
from sg_depth_ros.drive_metrics import InfiniteDepthSummary
from sg_depth_ros.drive_metrics import TemporalScale
from sg_depth_ros.drive_metrics import depth_change
from sg_depth_ros.drive_metrics import summarize_infinite_depth
from sg_depth_ros.drive_metrics import temporal_scale
from sg_depth_ros.evaluation.published import judge_published
from sg_depth_ros.ground import GroundPlane
from sg_depth_ros.ground import GroundPlaneRefusal
from sg_depth_ros.infinite_depth import DEFAULT_CRITERION
from sg_depth_ros.infinite_depth import find_holes_in_depth
from sg_depth_ros.infinite_depth import refuse_unlike_planes
from sg_depth_ros.metrics import EvaluationSummary
from sg_depth_ros.metrics import ImageJudgement
from sg_depth_ros.metrics import summarize
from sg_depth_ros.pipeline import window_of
from sg_depth_ros.replay.gallery import Gallery
from sg_depth_ros.replay.gallery import ShownFrame
from sg_depth_ros.replay.ground_truth import GroundTruth
from sg_depth_ros.replay.recorded_drive import BagOptions
from sg_depth_ros.replay.recorded_drive import RecordedCamera
from sg_depth_ros.replay.recorded_drive import check_size


@dataclass(frozen=True, eq=False)
class JudgedDrive:
    """Everything a page says about the depth of a drive."""

    summary: EvaluationSummary
    truth: GroundTruth
    times_s: tuple[float, ...]  # since the first image
    judgements: tuple[ImageJudgement | None, ...]  # one per image
    invalid_pixels: int  # measured, but without valid depth
    infinite_depth: InfiniteDepthSummary  # of the frames that have depth
    temporal_scale: TemporalScale | None
    depth_change: DepthChange | None
    gallery: Gallery

    def to_json(self) -> dict[str, Any]:
        """Return the metrics with the reason where there are none."""
        scale, change = self.temporal_scale, self.depth_change
        document = {
            **self.summary.to_json(),
            'infinite_depth': self.infinite_depth.to_json(),
            'temporal_scale': None if scale is None else scale.to_json(),
            'median_depth_change': None if change is None else change.to_json(),
        }
        if self.summary.unscaled is None:
            return {**document, 'why': self.why_not}
        return {**document, 'invalid_pixels': self.invalid_pixels}

    @property
    def why_not(self) -> str | None:
        """Say why nothing could be judged, or None where something was."""
        if self.summary.unscaled is not None:
            return None
        if self.truth.why_not is not None:
            return self.truth.why_not
        if self.invalid_pixels:
            return 'No measured pixel has a valid depth.'
        offset_ms = self.truth.max_offset_ns * 1e-6
        return (
            f'No cloud of {self.truth.source} was taken within {offset_ms:g} ms of an image and '
            'reaches into it.'
        )


class DriveJudge:
    """Judges the frames of a drive one after the other."""

    def __init__(
        self,
        truth: GroundTruth,
        contract: ModelContract,
        camera: RecordedCamera,
        options: BagOptions,
    ) -> None:
        """Begin a drive of ``camera.image_count`` images."""
        self._truth = truth
        self._contract = contract
        self._camera = camera
        self._cap_m = options.cap_m
        self._crop = options.crop
        self._gallery = Gallery(camera.image_count)
        self._judgements: list[ImageJudgement | None] = []
        self._times_s: list[float] = []
        self._hole_pixels: list[int] = []
        self._planes: list[GroundPlane | GroundPlaneRefusal] = []
        self._median_depths: list[FrameValue] = []
        self._invalid_pixels = 0

    def add(
        self,
        recorded: StampedImage,
        depth_m: NDArray[np.float32] | None,
        labels: NDArray[np.uint8],
        camera: Intrinsics,
    ) -> None:
        """
        Judge the next frame.

        :param depth_m: (h, w) as published, None where nothing was.
        :param labels: (h, w) class ids.
        :param camera: of the depth image.
        :raises UserError: where the image is not of the first one's size.
        """
        check_size(recorded, self._camera)
        number = len(self._judgements)
        self._times_s.append((recorded.stamp_ns - self._camera.first_stamp_ns) * 1e-9)
        # The node may have cropped the image before the network saw it.
        window = window_of(self._camera.intrinsics, camera)
        truth_m = self._truth.depth_at(recorded.stamp_ns)
        truth_m = None if truth_m is None else window.of(truth_m)
        judgement = None
        if depth_m is not None and truth_m is not None:
            published = judge_published(
                depth_m, truth_m, labels, cap_m=self._cap_m, crop=self._crop
            )
            judgement = published.judgement
            self._invalid_pixels += published.invalid_pixels
        self._judgements.append(judgement)
        if depth_m is None:
            return
        self._look_without_truth(number, depth_m, labels, camera)
        undistortion = self._camera.rectified.undistortion
        image = recorded.image if undistortion is None else undistortion.apply(recorded.image)
        image = window.of(image)
        abs_rel = None if judgement is None else judgement.unscaled.abs_rel
        self._gallery.offer(ShownFrame(number, image, labels, depth_m, camera, truth_m, abs_rel))

    def _look_without_truth(
        self,
        number: int,
        depth_m: NDArray[np.float32],
        labels: NDArray[np.uint8],
        camera: Intrinsics,
    ) -> None:
        # +Inf is published for all beyond the model's range, also for far road: as near as it may
        # be, road is no hole, and the holes of near vehicles still are.
        nearest_m = np.minimum(depth_m, np.float32(self._contract.max_depth_m))
        holes = find_holes_in_depth(nearest_m, labels, camera, metric=self._contract.metric)
        self._hole_pixels.append(int(np.count_nonzero(holes.pixels)))
        self._planes.append(holes.plane)
        if not np.isnan(nearest_m).all():
            median = float(np.nanmedian(nearest_m))
            self._median_depths.append(FrameValue(self._camera.topics.image, number, median))

    def result(self) -> JudgedDrive:
        """Put the frames together."""
        contract, drive = self._contract, self._camera.topics.image
        planes = refuse_unlike_planes(self._planes)
        ratios = [
            FrameValue(drive, number, judgement.scale_ratio)
            for number, judgement in enumerate(self._judgements)
            if judgement is not None
        ]
        return JudgedDrive(
            summary=summarize(
                self._judgements, contract.class_names, cap_m=self._cap_m, crop=self._crop
            ),
            truth=self._truth,
            times_s=tuple(self._times_s),
            judgements=tuple(self._judgements),
            invalid_pixels=self._invalid_pixels,
            infinite_depth=summarize_infinite_depth(
                [HoleCount(*c) for c in zip(self._hole_pixels, planes)],
                DEFAULT_CRITERION.threshold_at(contract.width, contract.height),
                DEFAULT_CRITERION.limits,
            ),
            temporal_scale=temporal_scale(ratios),
            depth_change=depth_change(self._median_depths),
            gallery=self._gallery,
        )


def drive_cautions(drive: JudgedDrive, contract: ModelContract) -> tuple[str, ...]:
    """Return the sentences that a reader of the numbers must know."""
    cautions = []
    if drive.why_not is not None:
        cautions.append(f'The error of the depth cannot be judged. {drive.why_not}')
    if not contract.metric:
        cautions.append(
            'The model is not metric: its depth is right up to one unknown factor only, so the '
            'unscaled numbers mean nothing; look at the median-scaled ones.'
        )
    if drive.invalid_pixels and drive.summary.unscaled is not None:
        cautions.append(
            f'{drive.invalid_pixels} measured pixels have no valid depth; they are not judged.'
        )
    return tuple(cautions)
