"""
Judge models on bags offline: every image once, without ROS, through the node's own functions.

    python -m sg_depth_ros.replay.evaluate_bag BAG --model model.onnx --out DIR
    python -m sg_depth_ros.replay.evaluate_bag BAG BAG --model new=a.onnx old=b.onnx --out DIR

A bag is a rosbag2 (sqlite3 or MCAP, compressed or not) with a camera. Depth is judged against the
bag's LiDAR, through /tf_static and /tf or --extrinsics, or against --depth-topic. Without either
there is still: infinite depth, vehicles that are not where they stand, how steady depth and the
camera's height are, how flat the road is.

Writes report.html, metrics.json, frames.csv, models.csv, tables.md and evaluation.png, and removes
those of an earlier run when it begins; equal input gives equal files. Interrupted, even by
kill -9, the same command goes on where it was. A bag that cannot be read does not spoil the
others: it is named in the end.

Exit status: 0 done, 2 a user's mistake or a bag that could not be judged, 130 interrupted.
"""

import argparse
import shlex
import shutil
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple
from typing import get_args

from sg_depth_ros.bags.writer import BagStorage
from sg_depth_ros.contract import ModelContract
from sg_depth_ros.engines import EngineKind
from sg_depth_ros.engines import EngineOptions
from sg_depth_ros.engines import open_engine
from sg_depth_ros.engines.cores import usable_cores
from sg_depth_ros.errors import USER_ERROR_EXIT_STATUS
from sg_depth_ros.errors import UserError
from sg_depth_ros.errors import exit_on_user_error
from sg_depth_ros.evaluation.models import NamedModel
from sg_depth_ros.evaluation.models import named_models
from sg_depth_ros.output import output_folder
from sg_depth_ros.replay.bag_arguments import add_protocol_arguments
from sg_depth_ros.replay.bag_arguments import add_topic_arguments
from sg_depth_ros.replay.bag_arguments import bag_options_of
from sg_depth_ros.replay.bag_arguments import positive_int
from sg_depth_ros.replay.offline.jobs import run_tasks
from sg_depth_ros.replay.offline.judged_bag import BagTask
from sg_depth_ros.replay.offline.judged_bag import NamedBag
from sg_depth_ros.replay.offline.judged_bag import task_key
from sg_depth_ros.replay.offline.progress import BagProgress
from sg_depth_ros.replay.offline.results import PAGE_NAME
from sg_depth_ros.replay.offline.results import JudgedBags
from sg_depth_ros.replay.offline.results import JudgedModel
from sg_depth_ros.replay.offline.results import collect_bags
from sg_depth_ros.replay.offline.results import forget_results
from sg_depth_ros.replay.offline.results import print_results
from sg_depth_ros.replay.offline.results import write_results
from sg_depth_ros.replay.offline.survey import BagFailure
from sg_depth_ros.replay.offline.survey import BagSurvey
from sg_depth_ros.replay.offline.survey import named_bags
from sg_depth_ros.replay.offline.survey import survey_bag
from sg_depth_ros.replay.recorded_drive import BagOptions

UNFINISHED_NAME = 'unfinished'  # what an interrupted evaluation has found so far
PREDICTIONS_NAME = 'predictions'


class RunOptions(NamedTuple):
    """How the work is done, and what is written beside the numbers."""

    engine: EngineKind = 'auto'
    jobs: int | None = None
    gallery: int = 4  # frames of each kind
    predictions: BagStorage | None = None  # None: no bags of predictions


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    given = argument_parser().parse_args(words)
    command = f'python -m sg_depth_ros.replay.evaluate_bag {shlex.join(words)}'
    return exit_on_user_error(lambda: _evaluate(given, command))


def argument_parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    parser = argparse.ArgumentParser(prog='evaluate_bag', description=(__doc__ or '').strip())
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add('bag', type=Path, nargs='+', help='rosbag2: its folder, or a .mcap or .db3 file')
    add(
        '--model',
        nargs='+',
        required=True,
        metavar='[NAME=]FILE',
        help='model.onnx with its contract; the first is what others are compared with',
    )
    add('--out', type=Path, required=True, metavar='DIR', help='folder for what is written')
    add(
        '--predictions',
        nargs='?',
        const='mcap',
        choices=get_args(BagStorage),
        help='also write a bag of what was predicted of each bag, on the topics of the node, for '
        'RViz or Foxglove: DIR/predictions/BAG (default storage: mcap; about 3.8 MB an image of '
        '640x192); a bag that is interrupted begins anew then',
    )
    add(
        '--engine',
        choices=get_args(EngineKind),
        default='auto',
        help='library that runs the models (default: auto)',
    )
    add(
        '--jobs',
        type=positive_int,
        metavar='N',
        help='so many bags and models at a time, each in a process with its share of the cores '
        '(default: one for every two cores, no more than there are)',
    )
    add(
        '--gallery',
        type=positive_int,
        default=4,
        metavar='N',
        help='show so many of the best and of the worst frames, and so on (default: 4)',
    )
    add_topic_arguments(parser)
    add_protocol_arguments(parser)
    return parser


def evaluate_bags(
    bags: Sequence[NamedBag],
    models: Sequence[NamedModel],
    out: Path,
    options: BagOptions,
    run: RunOptions,
    command: str = '',
) -> JudgedBags:
    """
    Judge models on bags, and write numbers, tables, pictures and a page.

    :param out: the folder to write into.
    :param command: to be shown on the page.
    :raises UserError: where a model cannot be used, or not a single bag.
    """
    contracts = [_contract(model, run.engine) for model in models]
    surveys = [survey_bag(bag, options) for bag in bags]
    usable = [s for s in surveys if isinstance(s, BagSurvey)]
    failures = [s for s in surveys if isinstance(s, BagFailure)]
    if not usable:
        raise UserError(_no_bag(failures))
    jobs = _jobs(run.jobs, len(usable) * len(models))
    threads = max(1, usable_cores() // jobs)
    with output_folder(out):
        tasks = [
            _task(survey.bag, model, out, options, run, threads, several=len(models) > 1)
            for survey in usable
            for model in models
        ]
        for task in tasks:
            _check_predictions(task)
        forget_results(out)
        names = [f'{t.bag.name}, {t.model.name}' if len(models) > 1 else t.bag.name for t in tasks]
        images = [survey.image_count for survey in usable for _ in models]
        with BagProgress(names, images) as progress:
            failed = run_tasks(tasks, jobs, progress.update)
        failures += [BagFailure(f.task.bag, f.reason) for f in failed]
        if all(any(f.bag == s.bag for f in failures) for s in usable):
            raise UserError(_no_bag(failures))
        judged = collect_bags(
            tuple(surveys), tuple(map(JudgedModel, models, contracts)), tasks, failures, options
        )
        write_results(judged, tasks, out, run.gallery, command)
        shutil.rmtree(out / UNFINISHED_NAME, ignore_errors=True)
    return judged


def _evaluate(given: argparse.Namespace, command: str) -> int:
    models = named_models(given.model, 'model.onnx')
    bags = named_bags(given.bag)
    run = RunOptions(given.engine, given.jobs, given.gallery, given.predictions)
    try:
        judged = evaluate_bags(bags, models, given.out, bag_options_of(given), run, command)
    except KeyboardInterrupt:
        if (given.out / UNFINISHED_NAME).exists():
            print('what was found is kept; the same command goes on', file=sys.stderr)
        raise
    print_results(judged)
    print(f'report: {given.out / PAGE_NAME}')
    for failure in judged.failures:
        print(f'error: {failure.bag.name} was not judged: {failure.reason}', file=sys.stderr)
    return USER_ERROR_EXIT_STATUS if judged.failures else 0


def _contract(model: NamedModel, engine: EngineKind) -> ModelContract:
    """Open a model before hours of work, and build what TensorRT builds once."""
    with closing(open_engine(model.path, engine, EngineOptions(allow_fallback=False))) as opened:
        return opened.contract


def _task(
    bag: NamedBag,
    model: NamedModel,
    out: Path,
    options: BagOptions,
    run: RunOptions,
    threads: int,
    *,
    several: bool,
) -> BagTask:
    predictions = None
    if run.predictions is not None:
        name = f'{bag.folder_name}-{model.folder_name}' if several else bag.folder_name
        predictions = out / PREDICTIONS_NAME / name
    return BagTask(
        bag,
        model,
        options,
        out / UNFINISHED_NAME / bag.folder_name / model.folder_name,
        task_key(bag, model, options, run.engine, predictions),
        run.engine,
        threads,
        predictions,
        run.predictions or 'mcap',
    )


def _check_predictions(task: BagTask) -> None:
    """Refuse to write over predictions before work is done for others."""
    path = task.predictions
    if path is not None and path.exists() and task.steps().outcome() is None:
        raise UserError(f'{path}: exists already; remove it, or give another --out')


def _jobs(wanted: int | None, tasks: int) -> int:
    return min(tasks, wanted or max(1, usable_cores() // 2))


def _no_bag(failures: Sequence[BagFailure]) -> str:
    if len(failures) == 1:
        return failures[0].reason
    reasons = '; '.join(f'{f.bag.name}: {f.reason}' for f in failures)
    return f'none of the {len(failures)} bags can be judged: {reasons}'


if __name__ == '__main__':
    sys.exit(main())
