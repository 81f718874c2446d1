"""``evaluate``: measure checkpoints and exported models against a dataset's LiDAR."""

import argparse
import shlex
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple
from typing import get_args

from sg_depth_ros.errors import UserError
from sg_depth_ros.evaluation.error_maps import ErrorMaps
from sg_depth_ros.evaluation.error_maps import spread_evenly
from sg_depth_ros.evaluation.files import FRAMES_NAME
from sg_depth_ros.evaluation.files import METRICS_NAME
from sg_depth_ros.evaluation.files import MODELS_NAME
from sg_depth_ros.evaluation.files import write_frames
from sg_depth_ros.evaluation.files import write_metrics
from sg_depth_ros.evaluation.files import write_models
from sg_depth_ros.evaluation.findings import Findings
from sg_depth_ros.evaluation.finished import keep
from sg_depth_ros.evaluation.finished import kept
from sg_depth_ros.evaluation.frame_key import FrameKey
from sg_depth_ros.evaluation.frame_pictures import FrameView
from sg_depth_ros.evaluation.gallery import choose_frames
from sg_depth_ros.evaluation.judging import JudgingOptions
from sg_depth_ros.evaluation.judging import assemble_findings
from sg_depth_ros.evaluation.models import NamedModel
from sg_depth_ros.evaluation.models import named_models
from sg_depth_ros.evaluation.page import evaluation_page
from sg_depth_ros.evaluation.page import evaluation_panel
from sg_depth_ros.evaluation.printing import markdown
from sg_depth_ros.evaluation.printing import print_tables
from sg_depth_ros.metrics import CAP_M
from sg_depth_ros.metrics import Crop
from sg_depth_ros.output import output_folder
from sg_depth_ros.output import write_json
from sg_depth_ros.output import write_picture
from sg_depth_ros.output import write_text_atomically
from sg_depth_ros.report.page import write_report
from training.arguments import positive_number
from training.evaluation.frames import DatasetFrames
from training.evaluation.frames import JudgedFrames
from training.evaluation.judging import evaluation_key
from training.evaluation.judging import judge_model
from training.evaluation.judging import view_frames
from training.evaluation.kitti_options import add_kitti_arguments
from training.evaluation.kitti_options import kitti_frames_from
from training.torch_engine import open_model

PANEL_NAME = 'evaluation.png'
PAGE_NAME = 'report.html'
MARKDOWN_NAME = 'tables.md'
MAPS_NAME = 'error_maps'
KEPT_NAME = 'unfinished.json'  # of a model that is done, until all are


class EvaluationOptions(NamedTuple):
    """What is judged and shown; the defaults are the protocol of KITTI's tables."""

    judging: JudgingOptions = JudgingOptions()
    lidar_only: bool = False  # leave out frames without ground truth
    error_maps: int | None = 10  # so many frames, None: all
    gallery: int = 4  # frames of each kind


DEFAULT_OPTIONS = EvaluationOptions()


def evaluate(
    models: Sequence[NamedModel],
    frames: JudgedFrames,
    out: Path,
    options: EvaluationOptions = DEFAULT_OPTIONS,
    command: str = '',
) -> tuple[Findings, ...]:
    """
    Judge models on the same frames, and write numbers, tables, pictures and a page.

    Interrupted, the same call goes on with the first model that was not done.

    :param out: the folder to write into; of several models each also gets a folder in it.
    :param command: to be shown on the page.
    :raises UserError: where a model or a frame does not fit; where that is seen before anything
        was judged, nothing is written.
    """
    entries = _entries(frames, options)
    for model in models:  # all of them: the last should not fail after the others took hours
        open_model(model.path).close()
    measured = [entry for entry in entries if frames.has_truth(entry)]
    drawn = spread_evenly(measured, options.error_maps)
    folders = [out if len(models) == 1 else out / model.folder_name for model in models]
    with output_folder(out):
        found = tuple(
            _judge(
                model,
                frames,
                entries,
                options.judging,
                ErrorMaps(folder / MAPS_NAME, drawn),
                title='evaluating' if len(models) == 1 else f'evaluating {model.name}',
            )
            for model, folder in zip(models, folders)
        )
        shelves = choose_frames(found, options.gallery)
        shown = tuple(entry for shelf in shelves for entry in shelf.entries)
        views = [
            _views(model, findings, frames, shown, options.judging)
            for model, findings in zip(models, found)
        ]
        write_metrics(found, out)
        write_frames(found, out)
        write_models(found, out)
        write_text_atomically(markdown(found), out / MARKDOWN_NAME)
        write_picture(evaluation_panel(shelves, views), out / PANEL_NAME)
        page = evaluation_page(found, shelves, views, command, drives=frames.notes())
        write_report(page, out / PAGE_NAME)
        for folder in folders:
            ErrorMaps(folder / MAPS_NAME, drawn).remove_others()
            (folder / KEPT_NAME).unlink(missing_ok=True)
    return found


def main(arguments: list[str]) -> int:
    """Run the verb."""
    given = _parser().parse_args(arguments)
    models = named_models(given.model)
    options = EvaluationOptions(
        JudgingOptions(given.flip, given.crop, given.cap),
        given.lidar_only,
        given.error_maps,
        given.gallery,
    )
    out = given.out or models[0].path.parent / 'evaluation'
    command = f'python -m training evaluate {shlex.join(arguments)}'
    print_tables(evaluate(models, _frames(given), out, options, command))
    files = (METRICS_NAME, FRAMES_NAME, MODELS_NAME, MARKDOWN_NAME, PANEL_NAME)
    print(f'{out / PAGE_NAME}; beside it {", ".join(files)}')
    for maps in sorted((*out.glob(MAPS_NAME), *out.glob(f'*/{MAPS_NAME}'))):
        print(f'{maps}/')
    return 0


def _frames(given: argparse.Namespace) -> JudgedFrames:
    if (given.data is None) == (given.kitti is None):
        raise UserError('say what to judge on: either --data DATASET or --kitti ROOT')
    kitti = kitti_frames_from(given)
    return DatasetFrames(given.data, given.drive) if kitti is None else kitti


def _entries(frames: JudgedFrames, options: EvaluationOptions) -> tuple[FrameKey, ...]:
    entries = frames.entries
    if options.lidar_only:
        entries = tuple(entry for entry in entries if frames.has_truth(entry))
        if not entries:
            raise UserError(f'{frames.name}: no frame has LiDAR; leave out --lidar-only')
    if not entries:
        raise UserError(f'{frames.name}: there is no frame to judge')
    return entries


def _judge(
    model: NamedModel,
    frames: JudgedFrames,
    entries: Sequence[FrameKey],
    options: JudgingOptions,
    maps: ErrorMaps,
    title: str,
) -> Findings:
    """Judge a model, unless an interrupted evaluation did; keep the result until all are done."""
    folder = maps.folder.parent
    key = evaluation_key(model, frames, entries, options, maps)
    with closing(open_model(model.path)) as engine:
        before = kept(folder / KEPT_NAME, key)
        if before is not None:
            print(f'{model.name}: done before the interruption', flush=True)
            return assemble_findings(model, engine.contract, frames.name, options, before)
        found = judge_model(engine, model, frames, entries, options, maps, title)
    folder.mkdir(exist_ok=True)
    keep(found.frames, key, folder / KEPT_NAME)
    write_json(found.to_json(), folder / METRICS_NAME)
    return found


def _views(
    model: NamedModel,
    findings: Findings,
    frames: JudgedFrames,
    entries: Sequence[FrameKey],
    options: JudgingOptions,
) -> dict[FrameKey, FrameView]:
    with closing(open_model(model.path)) as engine:
        return view_frames(engine, findings, frames, entries, options)


def _count(text: str) -> int | None:
    """Read a number of things, or None for all."""
    if text == 'all':
        return None
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f'{text!r} is neither a number nor "all"')
    return int(text)


def _positive_count(text: str) -> int:
    count = _count(text)
    if not count:
        raise argparse.ArgumentTypeError(f'{text} is not positive')
    return count


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='python -m training evaluate',
        description='Measure depth against the LiDAR of a dataset, at its full resolution, with '
        'and without per-image median scaling, per class and per distance; and what needs no '
        'LiDAR: frames with infinite depth, missing vehicles, temporal stability. Writes '
        f'{PAGE_NAME}, {METRICS_NAME}, {FRAMES_NAME}, {MODELS_NAME}, {MARKDOWN_NAME}, '
        f'{PANEL_NAME} and {MAPS_NAME}. Several models are judged on the same frames and '
        'compared.',
    )
    parser.add_argument(
        '--model',
        nargs='+',
        required=True,
        metavar='[NAME=]FILE',
        help='depth checkpoints or exported models; the first is what others are compared with',
    )
    parser.add_argument('--data', type=Path, metavar='DATASET', help='dataset folder')
    parser.add_argument(
        '--out',
        type=Path,
        metavar='DIR',
        help='default: the folder "evaluation" beside the first model',
    )
    _add_judging(parser)
    add_kitti_arguments(parser)
    return parser


def _add_judging(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--drive',
        action='append',
        default=[],
        metavar='NAME',
        help='judge this drive only; may be repeated (default: all)',
    )
    parser.add_argument(
        '--flip', action='store_true', help='average with the prediction of the mirrored image'
    )
    parser.add_argument(
        '--lidar-only', action='store_true', help='leave out the frames without LiDAR'
    )
    parser.add_argument(
        '--crop',
        choices=get_args(Crop),
        default='garg',
        help="part of the image to judge (default: garg, what KITTI's LiDAR covers)",
    )
    parser.add_argument(
        '--cap',
        type=positive_number,
        default=CAP_M,
        metavar='M',
        help=f'judge LiDAR nearer than this (default: {CAP_M:g} m)',
    )
    parser.add_argument(
        '--error-maps',
        type=_count,
        default=10,
        metavar='N',
        help='draw the errors of so many frames, spread evenly, or of "all" (default: 10)',
    )
    parser.add_argument(
        '--gallery',
        type=_positive_count,
        default=4,
        metavar='N',
        help='show so many of the best and of the worst frames, and so on (default: 4)',
    )
