"""One model on one bag, offline: every image judged, and kept, until it is done."""

import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import ExitStack
from contextlib import closing
from contextlib import contextmanager
from dataclasses import asdict
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sg_depth_ros.bags.bag import open_bag
from sg_depth_ros.bags.bag_files import recorded_files
from sg_depth_ros.bags.writer import BagStorage
from sg_depth_ros.engines import Engine
from sg_depth_ros.engines import EngineKind
from sg_depth_ros.engines import EngineOptions
from sg_depth_ros.engines import OnnxRuntimeOptions
from sg_depth_ros.engines import open_engine
from sg_depth_ros.evaluation.findings import FrameFinding
from sg_depth_ros.evaluation.finished import fingerprint
from sg_depth_ros.evaluation.frame_key import FrameKey
from sg_depth_ros.evaluation.frame_pictures import FrameView
from sg_depth_ros.evaluation.in_order import in_order
from sg_depth_ros.evaluation.judging import judge_frame
from sg_depth_ros.evaluation.judging import view_frame
from sg_depth_ros.evaluation.models import NamedModel
from sg_depth_ros.replay.offline.kept_steps import KeptSteps
from sg_depth_ros.replay.offline.kept_steps import Outcome
from sg_depth_ros.replay.offline.kept_steps import Progress
from sg_depth_ros.replay.offline.prediction_bag import PredictionBag
from sg_depth_ros.replay.offline.predictions import BagPredictor
from sg_depth_ros.replay.offline.predictions import DamagedImage
from sg_depth_ros.replay.offline.predictions import PredictedImage
from sg_depth_ros.replay.recorded_drive import BagOptions
from sg_depth_ros.replay.recorded_drive import recorded_camera
from sg_depth_ros.replay.recorded_drive import recorded_drive

STEP_FRAMES = 200
STEP_S = 30.0
MOST_JUDGES = 4  # threads; beyond, they wait for one another more than they judge
WAITING_FRAMES = 8  # predictions kept while the judges are behind


class NamedBag(NamedTuple):
    """A bag and what tables call it."""

    name: str
    path: Path
    folder_name: str  # the name as that of a folder; no other bag has it


@dataclass(frozen=True)
class BagTask:
    """A model and a bag to judge it on."""

    bag: NamedBag
    model: NamedModel
    options: BagOptions
    kept: Path  # folder for the steps
    key: str  # of ``task_key``
    engine: EngineKind = 'auto'
    threads: int = 1
    predictions: Path | None = None  # bag to write them into
    storage: BagStorage = 'mcap'

    def steps(self) -> KeptSteps:
        """Return what is kept of this task."""
        return KeptSteps(self.kept, self.key)


def task_key(
    bag: NamedBag,
    model: NamedModel,
    options: BagOptions,
    engine: EngineKind,
    predictions: Path | None,
) -> str:
    """Return a hash of all that the findings of a model on a bag depend on."""
    states = [(path.name, path.stat()) for path in recorded_files(bag.path)]
    extrinsics = options.extrinsics
    told = [
        bag.name,
        [(name, state.st_size, state.st_mtime_ns) for name, state in states],
        {name: str(value) for name, value in asdict(options).items()},
        None if extrinsics is None else extrinsics.read_text(),
        engine,
        # A bag of predictions cannot go on: who wants one begins at the beginning.
        str(predictions),
    ]
    return fingerprint(told, model.path)


class _Judged(NamedTuple):
    """What was found of an image, or why there is nothing."""

    received_ns: int
    finding: FrameFinding | str


class _Step(NamedTuple):
    """
    Images that are judged and not yet kept.

    Ctrl-C comes between any two statements: one for the next image and one for the next step, so
    that none is kept twice or by half.
    """

    first: int  # of them, in the bag
    judged: list[_Judged]

    @property
    def end(self) -> int:
        """The first image behind them."""
        return self.first + len(self.judged)

    def keep(self, steps: KeptSteps) -> None:
        """Write them; once more is the same as once."""
        findings = [j.finding for j in self.judged]
        progress = Progress(
            [j.received_ns for j in self.judged],
            [finding for finding in findings if not isinstance(finding, str)],
            [finding for finding in findings if isinstance(finding, str)],
        )
        steps.write(self.first, progress)


def judge_bag(task: BagTask, on_progress: Callable[[int], object] = lambda images: None) -> None:
    """
    Judge every image of the bag, beginning behind what is kept, and keep what is found.

    Interrupted, it keeps what it has. A recording that broke off is judged as far as it goes.

    :param on_progress: told how many images are done.
    :raises UserError: where bag or model cannot be used, or not a single image can be read.
    """
    steps = task.steps()
    outcome = steps.outcome()
    if outcome is not None:
        on_progress(outcome.images)
        return
    before = Progress() if task.predictions is not None else steps.read()
    on_progress(before.images)
    with _predictor(task, task.predictions) as (engine, predictor):

        def judge(predicted: PredictedImage | DamagedImage) -> _Judged:
            if isinstance(predicted, DamagedImage):
                return _Judged(*predicted)
            received_ns, prediction, truth_m, time_s = predicted
            options = task.options.judging
            return _Judged(
                received_ns,
                judge_frame(prediction, truth_m, engine.contract, options, time_s),
            )

        predictions = predictor.predictions(before.images)
        judged = in_order(judge, predictions, min(MOST_JUDGES, task.threads), WAITING_FRAMES)
        done = _keep_judged(judged, steps, before.images, on_progress)
    steps.finish(Outcome(done, predictor.broken_off))


def view_frames(
    task: BagTask, found: Sequence[FrameFinding], received_ns: Sequence[int]
) -> dict[FrameKey, FrameView]:
    """
    Predict some of the judged images again, with all that pictures need.

    :param found: of these images.
    :param received_ns: when every image of the bag was received, by position.
    :raises UserError: where bag or model cannot be used any more.
    """
    findings = {f.entry.frame: f for f in found}
    with _predictor(task) as (engine, predictor):
        return {
            FrameKey(*p.prediction.entry): view_frame(
                task.model.name,
                findings[p.prediction.entry.frame],
                p.prediction,
                p.truth_m,
                engine.contract,
                task.options.judging,
            )
            for p in predictor.predictions_of(sorted(findings), received_ns)
        }


@contextmanager
def _predictor(
    task: BagTask, predictions: Path | None = None
) -> Iterator[tuple[Engine, BagPredictor]]:
    """Open model and bag, and the bag of predictions if there is to be one."""
    # No other precision in its place: this file's depth is what is judged.
    options = EngineOptions(OnnxRuntimeOptions(threads=task.threads), allow_fallback=False)
    with ExitStack() as stack:
        engine = stack.enter_context(closing(open_engine(task.model.path, task.engine, options)))
        bag = stack.enter_context(open_bag(task.bag.path))
        camera = recorded_camera(bag, task.options)
        drive = stack.enter_context(recorded_drive(task.bag.name, bag, camera, task.options))
        writer = None
        if predictions is not None:
            opened = PredictionBag(predictions, task.storage)
            writer = stack.enter_context(opened)
        yield engine, BagPredictor(engine, bag, drive, writer)


def _keep_judged(
    judged: Iterator[_Judged],
    steps: KeptSteps,
    before: int,
    on_progress: Callable[[int], object],
) -> int:
    """Keep what is found, step by step; return how many images are done in all."""
    step, began_s = _Step(before, []), time.monotonic()
    try:
        for image in judged:
            step.judged.append(image)
            on_progress(step.end)
            if len(step.judged) == STEP_FRAMES or time.monotonic() - began_s > STEP_S:
                step.keep(steps)
                step = _Step(step.end, [])
                began_s = time.monotonic()
    finally:
        if step.judged:
            step.keep(steps)
    return step.end
