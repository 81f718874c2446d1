"""What is in bags before they are judged, and what there is to say of them afterwards."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from sg_depth_ros.bags.bag import open_bag
from sg_depth_ros.bags.bag_files import recorded_files
from sg_depth_ros.errors import UserError
from sg_depth_ros.evaluation.drive_note import DriveNote
from sg_depth_ros.evaluation.findings import FrameFinding
from sg_depth_ros.evaluation.models import distinct_ends
from sg_depth_ros.evaluation.models import folder_name
from sg_depth_ros.replay.drive_notes import drive_facts
from sg_depth_ros.replay.drive_notes import why_not_judged
from sg_depth_ros.replay.offline.judged_bag import NamedBag
from sg_depth_ros.replay.offline.kept_steps import Outcome
from sg_depth_ros.replay.recorded_drive import BagOptions
from sg_depth_ros.replay.recorded_drive import RecordedDrive
from sg_depth_ros.replay.recorded_drive import recorded_camera
from sg_depth_ros.replay.recorded_drive import recorded_drive
from sg_depth_ros.report.page import number_of


class BagSurvey(NamedTuple):
    """A bag that can be judged."""

    bag: NamedBag
    image_count: int
    truth_source: str  # empty: none
    why_not: str | None  # no ground truth
    max_offset_s: float
    facts: tuple[tuple[str, str], ...]


class BagFailure(NamedTuple):
    """A bag that cannot be judged, and why."""

    bag: NamedBag
    reason: str


def named_bags(paths: Sequence[Path]) -> tuple[NamedBag, ...]:
    """
    Name bags by as much of the end of their paths as tells them apart.

    :raises UserError: where a bag is given twice, be it as its folder and as a file in it.
    """
    given: dict[Path, Path] = {}
    for path in paths:
        for file in {path.resolve(), *(f.resolve() for f in recorded_files(path))}:
            if file in given:
                as_other = '' if given[file] == path else f', also as {given[file]}'
                raise UserError(f'{path}: given twice{as_other}')
            given[file] = path
    ends = distinct_ends(paths)
    folders = _distinct_folders([ends[path] for path in paths])
    return tuple(NamedBag(ends[p], p, folder) for p, folder in zip(paths, folders))


def survey_bag(bag: NamedBag, options: BagOptions) -> BagSurvey | BagFailure:
    """Open a bag and look at its camera and at what was measured beside it."""
    try:
        with open_bag(bag.path) as opened:
            camera = recorded_camera(opened, options)
            with recorded_drive(bag.name, opened, camera, options) as drive:
                return _survey(bag, drive)
    except UserError as error:
        return BagFailure(bag, str(error))


def failure_note(failure: BagFailure) -> DriveNote:
    """Return what a report says of a bag that could not be judged."""
    return DriveNote(
        failure.bag.name, str(failure.bag.path), (), f'Not evaluated: {failure.reason}'
    )


def survey_note(
    survey: BagSurvey, outcome: Outcome, damage: Sequence[str], found: Sequence[FrameFinding]
) -> DriveNote:
    """Return what a report says of a bag that was judged."""
    return DriveNote(
        survey.bag.name,
        str(survey.bag.path),
        survey.facts,
        ' '.join(_cautions(survey, outcome, damage, found)),
    )


def _distinct_folders(names: Sequence[str]) -> list[str]:
    """Return a folder's name for each; where letters that none may have differ, with a number."""
    folders: list[str] = []
    for name in names:
        folder, number = folder_name(name), 2
        while folder in folders:
            folder = f'{folder_name(name)}_{number}'
            number += 1
        folders.append(folder)
    return folders


def _survey(bag: NamedBag, drive: RecordedDrive) -> BagSurvey:
    truth = drive.truth
    return BagSurvey(
        bag,
        drive.camera.image_count,
        truth.source,
        truth.why_not,
        truth.max_offset_s,
        drive_facts(drive),
    )


def _cautions(
    survey: BagSurvey, outcome: Outcome, damage: Sequence[str], found: Sequence[FrameFinding]
) -> list[str]:
    why_not = why_not_judged(survey.truth_source, survey.why_not, survey.max_offset_s, found)
    said = [why_not] if why_not else []
    if damage:
        said.append(
            f'{len(damage)} of {outcome.images} images cannot be decoded and are left out; the '
            f'first: {damage[0]}'
        )
    if outcome.broken_off:
        said.append(
            f'The recording broke off behind {number_of("images", outcome.images)}, '
            f'which {"was" if outcome.images == 1 else "were"} judged. '
            f'{outcome.broken_off}'
        )
    return said
