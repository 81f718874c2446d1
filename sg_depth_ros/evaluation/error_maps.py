"""The folder of error maps: where a model is wrong, at the ground truth's full resolution."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import resize_image
from sg_depth_ros.evaluation.findings import FrameFinding
from sg_depth_ros.evaluation.frame_key import FrameKey
from sg_depth_ros.evaluation.frame_pictures import ERROR_WORDS
from sg_depth_ros.evaluation.frame_pictures import display_scale
from sg_depth_ros.evaluation.frame_pictures import error_map
from sg_depth_ros.evaluation.frame_pictures import frame_title
from sg_depth_ros.evaluation.prediction import FramePrediction
from sg_depth_ros.output import write_picture
from sg_depth_ros.report.pictures import depth_legend
from sg_depth_ros.report.pictures import depth_picture
from sg_depth_ros.report.pictures import titled


class ErrorMaps(NamedTuple):
    """Of which frames error maps are drawn, and where to."""

    folder: Path
    entries: frozenset[FrameKey]

    def path(self, entry: FrameKey) -> Path:
        """Return where the map of a frame is."""
        return self.folder / f'{entry.drive}_{entry.frame:06d}.png'

    def remove_others(self) -> None:
        """Remove the maps of an earlier evaluation, lest they be taken for this one's."""
        kept = {self.path(entry) for entry in self.entries}
        for path in self.folder.glob('*_[0-9][0-9][0-9][0-9][0-9][0-9].png'):
            if path not in kept:
                path.unlink()


def spread_evenly(entries: Sequence[FrameKey], count: int | None) -> frozenset[FrameKey]:
    """Return so many of the frames, evenly spread over all; None: all."""
    if count is None or count >= len(entries):
        return frozenset(entries)
    # The middles of equal parts: the first and last frames of a drive are seldom typical.
    return frozenset(entries[int((i + 0.5) * len(entries) / count)] for i in range(count))


def write_error_map(
    prediction: FramePrediction,
    truth_m: NDArray[np.float32],
    finding: FrameFinding,
    metric: bool,
    maps: ErrorMaps,
) -> None:
    """
    Write a picture of error over depth, at the ground truth's size.

    :param truth_m: (H, W), 0 where it is not judged.
    """
    height, width = truth_m.shape
    scale = display_scale(metric, finding.judgement, prediction.depth_m)
    error = error_map(prediction, truth_m, scale, width, height)
    depth = resize_image(depth_picture(prediction.depth_m * scale), width, height)
    name = f'{finding.entry.drive} {finding.entry.frame:06d}'
    after = '' if metric else ', after scaling by the median'
    title = f'{name}: {frame_title(finding)}. Error{after}: {ERROR_WORDS}'
    parts = [titled(error, title), titled(depth, f'depth{after}'), depth_legend(width)]
    maps.folder.mkdir(parents=True, exist_ok=True)
    write_picture(np.vstack(parts), maps.path(finding.entry))
