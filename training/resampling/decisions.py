"""Which frames the filter between the two stages drops."""

from typing import NamedTuple

from sg_depth_ros.evaluation.holes import FrameScore
from sg_depth_ros.ground import GroundPlaneRefusal


class Decision(NamedTuple):
    """Whether a frame is dropped, and why or why not."""

    score: FrameScore
    dropped: bool
    reason: str


def decide(
    scores: tuple[FrameScore, ...], threshold_px: float, cap: float
) -> tuple[Decision, ...]:
    """
    Drop the frames above the threshold, the worst first, at most a share ``cap`` of all.

    :param threshold_px: at the size the scores were counted at.
    :return: one decision per score, in their order.
    """
    above = [s for s in scores if s.hole_pixels > threshold_px]
    worst_first = sorted(above, key=lambda s: (-s.hole_pixels, s.entry))
    dropped = {s.entry for s in worst_first[: int(cap * len(scores))]}
    return tuple(_decision(s, s.entry in dropped, threshold_px, cap) for s in scores)


def _decision(score: FrameScore, dropped: bool, threshold_px: float, cap: float) -> Decision:
    if isinstance(score.plane, GroundPlaneRefusal):
        return Decision(score, False, f'no ground plane: {score.plane.reason}')
    if score.hole_pixels <= threshold_px:
        return Decision(score, False, 'not above the threshold')
    if dropped:
        seen = 'pixels below ground'
        if score.missing_pixels:
            seen = 'pixels below ground or on vehicles that are not where they stand'
        return Decision(score, True, f'infinite depth: more {seen} than the threshold')
    return Decision(score, False, f'above the threshold, but the cap of {cap:.0%} is reached')
