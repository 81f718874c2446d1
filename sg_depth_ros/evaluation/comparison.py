"""Two models on the same frames, frame by frame: it tells more than two means."""

from typing import Any
from typing import NamedTuple

import numpy as np

from sg_depth_ros.evaluation.findings import Findings
from sg_depth_ros.evaluation.findings import Scaling

ALIKE = 0.0005  # AbsRel: frames nearer than this look the same in every table


class Difference(NamedTuple):
    """AbsRel of a model less that of a reference; below 0 the model is better."""

    model: str
    reference: str
    scaling: Scaling
    mean: float
    frames: int  # with ground truth
    better_frames: int  # where the model's AbsRel is below the reference's by more than ALIKE
    worse_frames: int
    drives: int
    better_drives: int  # by their mean
    worse_drives: int

    def to_json(self) -> dict[str, Any]:
        """Return the numbers by name."""
        return self._asdict()

    def sentence(self) -> str:
        """Say it in words."""
        alike = self.frames - self.better_frames - self.worse_frames
        drives = ''
        if self.drives > 1:
            drives = (
                f', in {self.better_drives} of {self.drives} drives better and in '
                f'{self.worse_drives} worse'
            )
        return (
            f'{self.scaling}, {self.model} beats {self.reference} in {self.better_frames} of '
            f'{self.frames} frames, is worse in {self.worse_frames} and alike in {alike}{drives}; '
            f'AbsRel {rounded(self.mean, 4):+.4f} in the mean'
        )


def rounded(value: float, decimals: int) -> float:
    """Round, and let what rounds to zero have no sign."""
    return round(value, decimals) + 0.0


def compare(model: Findings, reference: Findings, scaling: Scaling) -> Difference | None:
    """
    Compare two models by AbsRel on the frames that both were judged on.

    :return: None without ground truth.
    """
    drives: dict[str, list[float]] = {}
    for own, other in zip(model.frames, reference.frames):
        assert own.entry == other.entry
        if own.judgement is not None and other.judgement is not None:
            difference = own.metrics(scaling).abs_rel - other.metrics(scaling).abs_rel
            drives.setdefault(own.entry.drive, []).append(difference)
    if not drives:
        return None
    every = np.concatenate(list(drives.values()))
    means = np.array([np.mean(d) for d in drives.values()])
    return Difference(
        model=model.name,
        reference=reference.name,
        scaling=scaling,
        mean=float(every.mean()),
        frames=len(every),
        better_frames=int((every < -ALIKE).sum()),
        worse_frames=int((every > ALIKE).sum()),
        drives=len(drives),
        better_drives=int((means < -ALIKE).sum()),
        worse_drives=int((means > ALIKE).sum()),
    )


def shared_scaling(models: tuple[Findings, ...]) -> Scaling:
    """Return by which numbers all the models can be ranked."""
    return 'unscaled' if all(m.contract.metric for m in models) else 'median-scaled'
