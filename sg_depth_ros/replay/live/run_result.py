"""What one run of a bag through the node gave."""

from dataclasses import dataclass
from typing import Any

from sg_depth_ros.evaluation.findings import Findings
from sg_depth_ros.metrics import DepthMetrics
from sg_depth_ros.replay.live.modes import Mode
from sg_depth_ros.replay.live.node_numbers import NodeNumbers
from sg_depth_ros.replay.live.timing import Timing
from sg_depth_ros.replay.live.usage import Usage


@dataclass(frozen=True, eq=False)
class RunResult:
    """Outputs, times, what the node took of the machine, and the depth that it published."""

    mode: Mode
    frames_in: int
    depth_images: int
    camera_infos: int
    clouds: int
    masks: int
    clouds_compared: int  # with the depth, point by point
    timing: Timing
    usage: Usage | None  # of the node; None where there is no /proc
    node: NodeNumbers
    problems: tuple[str, ...]  # outputs that did not come, or not as promised
    died: str  # why the node ended before the run did; empty where it did not
    given_up: str  # why the node was not played to any more; empty where it was to the end
    broken_off: str  # why the bag was not played to its end; empty where it was
    findings: Findings  # of the images that gave depth

    @property
    def key(self) -> str:
        """The name of the mode in files."""
        return self.mode.replace(' ', '_')

    @property
    def errors(self) -> DepthMetrics | None:
        """The errors by which a model of this kind is ranked; None without ground truth."""
        summary = self.findings.summary
        is_unscaled = self.findings.scaling == 'unscaled'
        return summary.unscaled if is_unscaled else summary.median_scaled

    def to_json(self) -> dict[str, Any]:
        """Return the numbers by name."""
        return {
            'frames_in': self.frames_in,
            'depth_images': self.depth_images,
            'camera_infos': self.camera_infos,
            'clouds': self.clouds,
            'masks': self.masks,
            'clouds_compared': self.clouds_compared,
            **self.timing.to_json(),
            'usage': None if self.usage is None else self.usage.to_json(),
            'node': self.node.to_json(),
            'problems': list(self.problems),
            'died': self.died or None,
            'given_up': self.given_up or None,
            'bag_broken_off': self.broken_off or None,
            'depth': self.findings.to_json(),
        }
