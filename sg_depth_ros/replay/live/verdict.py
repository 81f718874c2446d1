"""What was promised of a replay's runs, and whether it held."""

from collections.abc import Sequence
from typing import NamedTuple

from sg_depth_ros.replay.live.check import CHECKED_KINDS
from sg_depth_ros.replay.live.limits import LimitCheck
from sg_depth_ros.replay.live.modes import EVERY_MODES
from sg_depth_ros.replay.live.modes import Mode
from sg_depth_ros.replay.live.recording import OUTPUT_TOPICS
from sg_depth_ros.replay.live.run_result import RunResult


class Check(NamedTuple):
    """One thing that was promised of a run; ``failures`` is empty where it held."""

    mode: Mode
    promise: str
    found: str  # what came, or what was measured
    failures: tuple[str, ...]

    def sentences(self) -> tuple[str, ...]:
        """Return the failures with the run that they are of."""
        return tuple(f'{self.mode}: {failure}' for failure in self.failures)


def checks_of(
    modes: Sequence[Mode], runs: Sequence[RunResult], limits: Sequence[LimitCheck]
) -> tuple[Check, ...]:
    """
    Return all that was promised: that the node lives, its outputs, and the limits.

    :param modes: that were to be run.
    """
    checks: list[Check] = []
    for run in runs:
        checks += _checks_of_run(run)
        checks += (_check_of_limit(c) for c in limits if c.mode == run.mode)
    checks += (
        Check(mode, 'is run', 'no', ('not run, since the node had died',))
        for mode in modes[len(runs) :]
    )
    return tuple(checks)


def _checks_of_run(run: RunResult) -> list[Check]:
    died = (run.died,) if run.died else ()
    checks = [Check(run.mode, 'the node runs to the end', 'it died' if died else 'yes', died)]
    if run.mode in EVERY_MODES and not died:
        given_up = (f'{run.given_up}, after {run.frames_in} images',) if run.given_up else ()
        found = 'no' if given_up else 'yes'
        checks.append(Check(run.mode, 'the node answers in time', found, given_up))
    counts = (run.depth_images, run.camera_infos, run.clouds, run.masks)
    for kind, count in zip(CHECKED_KINDS, counts):
        topic = OUTPUT_TOPICS[kind]
        problems = tuple(p for p in run.problems if p.startswith(f'{topic}: '))
        promise = f'{topic}: one per image, and right'
        checks.append(Check(run.mode, promise, f'{count} of {run.frames_in}', problems))
    return checks


def _check_of_limit(check: LimitCheck) -> Check:
    kind = check.limit.kind
    sign = '≥' if kind.is_least else '≤'
    return Check(
        check.mode,
        f'{kind.what} {sign} {kind.text(check.limit.value)}',
        'not known' if check.measured is None else kind.text(check.measured),
        () if check.passed else (check.sentence(),),
    )
