"""
Judge a model on a bag offline: every image once, without ROS, through the node's own functions.

    python -m sg_depth_ros.replay.evaluate_bag BAG --model model.onnx --out DIR

Writes ``metrics.json`` and ``report.html``. Equal input gives an equal ``metrics.json``.
"""

import argparse
import itertools
import shlex
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from contextlib import closing
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from sg_depth_ros.bags.bag import Bag
from sg_depth_ros.bags.bag import open_bag
from sg_depth_ros.contract import ModelContract
from sg_depth_ros.engines import Engine
from sg_depth_ros.engines import EngineOptions
from sg_depth_ros.engines import open_engine
from sg_depth_ros.errors import exit_on_user_error
from sg_depth_ros.estimator import DepthEstimator
from sg_depth_ros.estimator import EstimatorSettings
from sg_depth_ros.metrics import CAP_M
from sg_depth_ros.output import output_folder
from sg_depth_ros.output import write_json
from sg_depth_ros.replay.evaluation_page import evaluation_report
from sg_depth_ros.replay.gallery import write_strip
from sg_depth_ros.replay.ground_truth import MAX_OFFSET_S
from sg_depth_ros.replay.judging import DriveJudge
from sg_depth_ros.replay.judging import JudgedDrive
from sg_depth_ros.replay.judging import drive_cautions
from sg_depth_ros.replay.metric_blocks import drive_lines
from sg_depth_ros.replay.metric_blocks import terminal_table
from sg_depth_ros.replay.recorded_drive import BagOptions
from sg_depth_ros.replay.recorded_drive import RecordedCamera
from sg_depth_ros.replay.recorded_drive import recorded_camera
from sg_depth_ros.replay.recorded_drive import recorded_truth
from sg_depth_ros.report.page import write_report


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = argument_parser().parse_args(arguments)
    command = f'evaluate_bag {shlex.join(sys.argv[1:] if arguments is None else arguments)}'
    return exit_on_user_error(lambda: evaluate_bag(options, command))


def argument_parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    parser = argparse.ArgumentParser(prog='evaluate_bag', description=(__doc__ or '').strip())
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add_judging_arguments(parser)
    parser.add_argument(
        '--engine',
        choices=('auto', 'onnxruntime', 'tensorrt'),
        default='auto',
        help='library that runs the model (default: auto)',
    )
    return parser


def add_judging_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what this command and ``replay_bag`` have in common."""
    parser.add_argument('bag', type=Path, help='rosbag2: its folder, or a .mcap or .db3 file')
    parser.add_argument('--model', type=Path, required=True, help='model.onnx with its contract')
    parser.add_argument('--out', type=Path, required=True, help='folder for what is written')
    parser.add_argument(
        '--image-topic', metavar='TOPIC', help="image topic (default: the bag's only camera)"
    )
    parser.add_argument(
        '--camera-info-topic',
        metavar='TOPIC',
        help='camera_info topic (default: the one beside the image topic)',
    )
    parser.add_argument(
        '--lidar-topic',
        metavar='TOPIC',
        help="PointCloud2 for ground truth (default: the bag's only one)",
    )
    parser.add_argument(
        '--max-frames',
        type=positive_int,
        metavar='N',
        help='stop after so many images (default: all)',
    )
    parser.add_argument(
        '--cap',
        type=positive_float,
        default=CAP_M,
        metavar='METRES',
        help='judge what is measured nearer than this (default: %(default)s)',
    )
    parser.add_argument(
        '--crop',
        choices=('garg', 'none'),
        default='garg',
        help="part of the image that is judged: garg, that of KITTI's LiDAR, or none: all of it "
        '(default: %(default)s)',
    )
    parser.add_argument(
        '--max-lidar-offset',
        type=positive_float,
        default=MAX_OFFSET_S,
        metavar='SECONDS',
        help='how far the stamps of an image and its cloud may lie apart (default: %(default)s)',
    )


def judging_options(arguments: argparse.Namespace) -> BagOptions:
    """Return what ``add_judging_arguments`` parsed."""
    return BagOptions(
        image_topic=arguments.image_topic,
        camera_info_topic=arguments.camera_info_topic,
        lidar_topic=arguments.lidar_topic,
        max_frames=arguments.max_frames,
        cap_m=arguments.cap,
        crop=arguments.crop,
        max_lidar_offset_s=arguments.max_lidar_offset,
    )


def positive_int(text: str) -> int:
    """Parse a number of things."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f'{text} is not positive')
    return value


def positive_float(text: str) -> float:
    """Parse a positive number; infinity and NaN are none."""
    value = float(text)
    if not 0 < value < float('inf'):
        raise argparse.ArgumentTypeError(f'{text} is not positive and finite')
    return value


def evaluate_bag(arguments: argparse.Namespace, command: str) -> int:
    """
    Evaluate, write the results, and print them.

    :raises UserError: where bag, model or output folder cannot be used.
    """
    console = Console()
    options = judging_options(arguments)
    # No other precision in its place: this file's depth is what is judged.
    this_file = EngineOptions(allow_fallback=False)
    with ExitStack() as stack:
        opened = open_engine(arguments.model, arguments.engine, this_file)
        engine = stack.enter_context(closing(opened))
        bag = stack.enter_context(open_bag(arguments.bag))
        out = stack.enter_context(output_folder(arguments.out))
        camera = recorded_camera(bag, options)
        drive = judge_offline(bag, camera, engine, options, console)
        contract, description = engine.contract, engine.description
        report = evaluation_report(
            drive,
            camera,
            contract,
            bag=str(arguments.bag),
            model=str(arguments.model),
            engine=description,
            command=command,
        )
        write_report(report, out / 'report.html')
        write_strip(drive.gallery, out / 'strip.png')
        write_json(metrics_document(drive, camera, contract), out / 'metrics.json')
    for caution in drive_cautions(drive, contract):
        console.print(caution, style='yellow', highlight=False, markup=False)
    if drive.summary.unscaled is not None:
        title = f'{drive.summary.images} of {camera.image_count} images have ground truth'
        console.print(terminal_table(drive.summary, title))
    for line in drive_lines(drive.infinite_depth, drive.temporal_scale, drive.depth_change):
        console.print(line, highlight=False, markup=False)
    print(f'report: {out / "report.html"}')
    return 0


def judge_offline(
    bag: Bag,
    camera: RecordedCamera,
    engine: Engine,
    options: BagOptions,
    console: Console,
) -> JudgedDrive:
    """Run every image through the engine and judge what the node would have published."""
    contract = engine.contract
    with console.status('projecting the LiDAR'):
        truth = recorded_truth(bag, camera, options)
    settings = EstimatorSettings(is_rectified=camera.is_rectified, allow_unscaled_depth=True)
    estimator = DepthEstimator(engine, settings)
    judge = DriveJudge(truth, contract, camera, options)
    images = itertools.islice(bag.images(camera.topics), camera.image_count)
    for recorded in track(
        images,
        'evaluating',
        total=camera.image_count,
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ):
        estimate = estimator.estimate(recorded.image, camera.info)
        judge.add(
            recorded,
            # The pictures shown at the end are kept; the estimator fills its depth again.
            None if estimate.depth_m is None else estimate.depth_m.copy(),
            estimate.prediction.labels,
            estimate.camera or contract.intrinsics,
        )
    return judge.result()


def metrics_document(
    drive: JudgedDrive, camera: RecordedCamera, contract: ModelContract
) -> dict[str, Any]:
    """Return what ``metrics.json`` holds; no times and no paths, so that it can be compared."""
    return {
        'frames': len(drive.judgements),
        'image_topic': camera.topics.image,
        'model': {
            'network': contract.network,
            'guidance': contract.guidance,
            'training_stage': contract.training_stage,
            'metric': contract.metric,
            'width': contract.width,
            'height': contract.height,
        },
        **drive.to_json(),
    }


if __name__ == '__main__':
    sys.exit(main())
