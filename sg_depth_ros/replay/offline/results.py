"""What an evaluation found of several bags, put together and written."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from typing import NamedTuple

from sg_depth_ros.contract import ModelContract
from sg_depth_ros.evaluation.drive_note import DriveNote
from sg_depth_ros.evaluation.files import FRAMES_NAME
from sg_depth_ros.evaluation.files import METRICS_NAME
from sg_depth_ros.evaluation.files import MODELS_NAME
from sg_depth_ros.evaluation.files import metrics_document
from sg_depth_ros.evaluation.files import write_frames
from sg_depth_ros.evaluation.files import write_models
from sg_depth_ros.evaluation.findings import Findings
from sg_depth_ros.evaluation.findings import FrameFinding
from sg_depth_ros.evaluation.frame_key import FrameKey
from sg_depth_ros.evaluation.frame_pictures import FrameView
from sg_depth_ros.evaluation.gallery import choose_frames
from sg_depth_ros.evaluation.judging import assemble_findings
from sg_depth_ros.evaluation.models import NamedModel
from sg_depth_ros.evaluation.page import evaluation_page
from sg_depth_ros.evaluation.page import evaluation_panel
from sg_depth_ros.evaluation.printing import markdown
from sg_depth_ros.evaluation.printing import print_tables
from sg_depth_ros.output import write_json
from sg_depth_ros.output import write_picture
from sg_depth_ros.output import write_text_atomically
from sg_depth_ros.replay.offline.judged_bag import BagTask
from sg_depth_ros.replay.offline.judged_bag import view_frames
from sg_depth_ros.replay.offline.survey import BagFailure
from sg_depth_ros.replay.offline.survey import BagSurvey
from sg_depth_ros.replay.offline.survey import failure_note
from sg_depth_ros.replay.offline.survey import survey_note
from sg_depth_ros.replay.recorded_drive import BagOptions
from sg_depth_ros.report.page import write_report

PAGE_NAME = 'report.html'
PANEL_NAME = 'evaluation.png'
MARKDOWN_NAME = 'tables.md'
RESULT_NAMES = (PAGE_NAME, PANEL_NAME, FRAMES_NAME, MODELS_NAME, MARKDOWN_NAME, METRICS_NAME)


class JudgedModel(NamedTuple):
    """A model and what it promises."""

    model: NamedModel
    contract: ModelContract


@dataclass(frozen=True, eq=False)
class JudgedBags:
    """What was found of every model on all bags."""

    models: tuple[Findings, ...]
    per_bag: tuple[tuple[Findings, ...], ...]  # of every bag that was judged, all models
    notes: tuple[DriveNote, ...]  # of all bags, in the order given
    failures: tuple[BagFailure, ...]
    received_ns: dict[str, list[int]]  # when the images of each bag were received, by position

    def to_json(self) -> dict[str, Any]:
        """Return what ``metrics.json`` holds; no times, so that it can be compared."""
        document = metrics_document(self.models)
        if self.models[0].summary.unscaled is None:
            document['why'] = ' '.join(note.caution for note in self.notes if note.caution)
        document['bags'] = [
            {'name': note.name, **dict(note.facts), 'caution': note.caution} for note in self.notes
        ]
        if len(self.per_bag) > 1:
            document['per_bag'] = {
                models[0].dataset: metrics_document(models) for models in self.per_bag
            }
        return document


def collect_bags(
    surveys: tuple[BagSurvey | BagFailure, ...],
    models: tuple[JudgedModel, ...],
    tasks: Sequence[BagTask],
    failures: Sequence[BagFailure],
    options: BagOptions,
) -> JudgedBags:
    """Put together what the tasks have kept."""
    reasons = {f.bag: f for f in reversed(failures)}
    found: dict[str, list[tuple[FrameFinding, ...]]] = {}
    received_ns: dict[str, list[int]] = {}
    notes = []
    for survey in surveys:
        bag = survey.bag
        if bag in reasons:
            notes.append(failure_note(reasons[bag]))
            continue
        assert isinstance(survey, BagSurvey)
        kept = [task.steps() for task in tasks if task.bag == bag]
        read = [steps.read() for steps in kept]
        outcomes = [steps.outcome() for steps in kept]
        outcome = outcomes[0]
        assert outcome is not None, 'a task without an outcome has failed'
        assert outcomes.count(outcome) == len(models), 'all models see the same images'
        found[bag.name] = [tuple(progress.found) for progress in read]
        received_ns[bag.name] = read[0].received_ns
        notes.append(survey_note(survey, outcome, read[0].damage, read[0].found))
    everything = next(iter(found)) if len(found) == 1 else f'{len(found)} bags'
    return JudgedBags(
        models=tuple(
            assemble_findings(
                *model,
                everything,
                options.judging,
                [frame for per_model in found.values() for frame in per_model[number]],
            )
            for number, model in enumerate(models)
        ),
        per_bag=tuple(
            tuple(
                assemble_findings(*model, bag, options.judging, frames)
                for model, frames in zip(models, per_model)
            )
            for bag, per_model in found.items()
        ),
        notes=tuple(notes),
        failures=tuple(reasons[s.bag] for s in surveys if s.bag in reasons),
        received_ns=received_ns,
    )


def forget_results(out: Path) -> None:
    """Remove what an earlier run found: where this one fails, it must not stand there."""
    for name in RESULT_NAMES:
        (out / name).unlink(missing_ok=True)


def write_results(
    judged: JudgedBags, tasks: Sequence[BagTask], out: Path, gallery: int, command: str
) -> None:
    """
    Write numbers, tables, pictures and the page.

    :param gallery: so many frames of each kind are shown.
    :param command: to be shown on the page.
    """
    shelves = choose_frames(judged.models, gallery)
    shown = {entry for shelf in shelves for entry in shelf.entries}
    views = [_views(judged, findings, tasks, shown) for findings in judged.models]
    page = evaluation_page(judged.models, shelves, views, command, drives=judged.notes)
    write_report(page, out / PAGE_NAME)
    write_picture(evaluation_panel(shelves, views), out / PANEL_NAME)
    write_frames(judged.models, out)
    write_models(judged.models, out)
    write_text_atomically(markdown(judged.models), out / MARKDOWN_NAME)
    write_json(judged.to_json(), out / METRICS_NAME)


def print_results(judged: JudgedBags) -> None:
    """Print the tables, and what must be known of bags."""
    print_tables(judged.models)
    for note in judged.notes:
        if note.caution:
            print(f'{note.name}: {note.caution}')


def _views(
    judged: JudgedBags, findings: Findings, tasks: Sequence[BagTask], shown: set[FrameKey]
) -> dict[FrameKey, FrameView]:
    """Predict the frames that are shown once more."""
    views: dict[FrameKey, FrameView] = {}
    for task in tasks:
        found = [f for f in findings.frames if f.entry in shown and f.entry.drive == task.bag.name]
        if task.model.name == findings.name and found:
            views.update(view_frames(task, found, judged.received_ns[task.bag.name]))
    return views
