"""Which frames of a resampling a person should look at."""

from collections.abc import Sequence
from typing import NamedTuple

from sg_depth_ros.evaluation.frame_key import FrameKey
from sg_depth_ros.ground import GroundPlaneRefusal
from training.resampling.decisions import Decision
from training.resampling.outcome import Resampling

MOST_DROPPED = 24
MOST_BORDERLINE = 6  # of each kind
MOST_REFUSED = 6


class ShownFrames(NamedTuple):
    """Frames to show; within each group those with the most pixels below ground first."""

    dropped: tuple[Decision, ...]  # of all, from the worst to the mildest
    just_dropped: tuple[Decision, ...]  # nearest to the threshold
    just_kept: tuple[Decision, ...]  # nearest to it from below
    capped: tuple[Decision, ...]  # above it, but kept because of the cap: the worst
    refused: tuple[Decision, ...]  # without a plane, over the whole dataset

    @property
    def entries(self) -> tuple[FrameKey, ...]:
        """Each of them once, in the order of drives and frames."""
        return tuple(sorted({d.score.entry for group in self for d in group}))


def choose_shown(outcome: Resampling) -> ShownFrames:
    """Choose the frames of the sheets; the same for the same decisions."""
    ranked = sorted(outcome.decisions, key=lambda d: (-d.score.hole_pixels, d.score.entry))
    dropped = [d for d in ranked if d.dropped]
    kept = [d for d in ranked if not d.dropped]
    capped = [d for d in kept if outcome.is_above(d)]
    under = [d for d in kept if d.score.hole_pixels and not outcome.is_above(d)]
    refused = [d for d in outcome.decisions if isinstance(d.score.plane, GroundPlaneRefusal)]
    return ShownFrames(
        dropped=spread(dropped, MOST_DROPPED),
        just_dropped=tuple(dropped[-MOST_BORDERLINE:]),
        just_kept=tuple(under[:MOST_BORDERLINE]),
        capped=tuple(capped[:MOST_BORDERLINE]),
        refused=spread(refused, MOST_REFUSED),
    )


def spread(decisions: Sequence[Decision], most: int) -> tuple[Decision, ...]:
    """Return at most so many, evenly from the first to the last."""
    if len(decisions) <= most:
        return tuple(decisions)
    return tuple(decisions[round(i * (len(decisions) - 1) / (most - 1))] for i in range(most))
