"""
Replay a bag through the real node, running in its own process, and check what it publishes.

    python -m sg_depth_ros.replay.replay_bag BAG --model model.onnx --out DIR

In lock step every image must give exactly one depth image, one camera_info that fits it, and one
cloud, with the image's stamp and frame. At recorded speed the latency is measured as it is on a
vehicle. Writes metrics.json, report.html, strip.png and node.log.
Exit status: 0 passed, 1 outputs missing or a limit exceeded, 2 a user's mistake.
"""

import argparse
import shlex
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from contextlib import closing
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as TerminalTable

from sg_depth_ros.bags.bag import open_bag
from sg_depth_ros.engines import open_engine
from sg_depth_ros.errors import UserError
from sg_depth_ros.errors import exit_on_user_error
from sg_depth_ros.output import output_folder
from sg_depth_ros.output import write_json
from sg_depth_ros.replay.check import RunResult
from sg_depth_ros.replay.dds_profile import dds_profile
from sg_depth_ros.replay.evaluate_bag import add_judging_arguments
from sg_depth_ros.replay.evaluate_bag import judging_options
from sg_depth_ros.replay.evaluate_bag import positive_float
from sg_depth_ros.replay.gallery import write_strip
from sg_depth_ros.replay.judging import DriveJudge
from sg_depth_ros.replay.judging import JudgedDrive
from sg_depth_ros.replay.judging import drive_cautions
from sg_depth_ros.replay.metric_blocks import drive_lines
from sg_depth_ros.replay.metric_blocks import terminal_table
from sg_depth_ros.replay.node_process import NodeDiedError
from sg_depth_ros.replay.recorded_drive import recorded_camera
from sg_depth_ros.replay.recorded_drive import recorded_truth
from sg_depth_ros.replay.recording import Recording
from sg_depth_ros.replay.replay_page import Replay
from sg_depth_ros.replay.replay_page import replay_report
from sg_depth_ros.replay.replay_page import run_table
from sg_depth_ros.replay.replay_page import slow_cautions
from sg_depth_ros.replay.replay_run import Mode
from sg_depth_ros.replay.replay_run import ReplaySetting
from sg_depth_ros.replay.replay_run import judge_recording
from sg_depth_ros.replay.replay_run import replay_once
from sg_depth_ros.replay.ros_domain import LARGEST_ROS_DOMAIN
from sg_depth_ros.replay.ros_domain import leased_ros_domain
from sg_depth_ros.report.page import cell_text
from sg_depth_ros.report.page import write_report

FAILED_EXIT_STATUS = 1
_MODES: dict[str, tuple[Mode, ...]] = {
    'lockstep': ('lock step',),
    'recorded': ('recorded speed',),
    'both': ('lock step', 'recorded speed'),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = argument_parser().parse_args(arguments)
    command = f'replay_bag {shlex.join(sys.argv[1:] if arguments is None else arguments)}'
    # A SIGTERM must end the node as well, so it leaves through the same doors as an exception.
    previous = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        return exit_on_user_error(lambda: replay_bag(options, command))
    except NodeDiedError as error:
        print(f'error: {error}', file=sys.stderr)
        return FAILED_EXIT_STATUS
    finally:
        signal.signal(signal.SIGTERM, previous)


def argument_parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    parser = argparse.ArgumentParser(prog='replay_bag', description=(__doc__ or '').strip())
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add_judging_arguments(parser)
    add = parser.add_argument
    add(
        '--mode',
        choices=tuple(_MODES),
        default='both',
        help='lockstep: every image, one after the other; recorded: at recorded speed '
        '(default: %(default)s)',
    )
    add(
        '--rate',
        type=positive_float,
        default=1.0,
        help='speed of the recorded mode: 2 is twice as fast (default: %(default)s)',
    )
    add(
        '--max-latency-p95-ms',
        type=positive_float,
        metavar='MS',
        help='fail where 95 %% of the depth images take longer (default: no limit)',
    )
    add(
        '--max-missed',
        type=float,
        metavar='SHARE',
        help='fail where at recorded speed more than this share of the images gives no depth '
        '(default: no limit)',
    )
    add(
        '--node-parameter',
        action='append',
        default=[],
        metavar='NAME:=VALUE',
        help='a further parameter of the node, any number of times',
    )
    add(
        '--engine',
        choices=('auto', 'onnxruntime', 'tensorrt'),
        default='auto',
        help="the node's engine (default: %(default)s)",
    )
    add(
        '--dds-profile',
        type=Path,
        metavar='FILE',
        help='Fast DDS profile of player and node (default: what the environment names, '
        'else the one of this package for large images)',
    )
    add(
        '--domain-id',
        type=int,
        help=f'ROS domain, 0 to {LARGEST_ROS_DOMAIN} (default: one of its own)',
    )
    add(
        '--start-timeout',
        type=positive_float,
        default=60.0,
        metavar='SECONDS',
        help='how long the node may take to be ready (default: %(default)s)',
    )
    add(
        '--frame-timeout',
        type=positive_float,
        default=10.0,
        metavar='SECONDS',
        help='in lock step, how long the outputs of an image may take (default: %(default)s)',
    )
    return parser


def replay_bag(arguments: argparse.Namespace, command: str) -> int:
    """
    Replay, check, write the results, and print them.

    :return: the exit status.
    :raises UserError: where bag, model or output folder cannot be used.
    :raises NodeDiedError: where the node did not survive.
    """
    _check_arguments(arguments)
    console = Console()
    options = judging_options(arguments)
    with ExitStack() as stack:
        stack.enter_context(dds_profile(arguments.dds_profile))
        with closing(open_engine(arguments.model, arguments.engine)) as engine:
            contract, engine_description = engine.contract, engine.description
        bag = stack.enter_context(open_bag(arguments.bag))
        camera = recorded_camera(bag, options)
        with console.status('projecting the LiDAR'):
            truth = recorded_truth(bag, camera, options)
        out = stack.enter_context(output_folder(arguments.out))
        domain_id = arguments.domain_id
        if domain_id is None:
            domain_id = stack.enter_context(leased_ros_domain())
        log = out / 'node.log'
        log.unlink(missing_ok=True)
        setting = ReplaySetting(
            bag=bag,
            camera=camera,
            contract=contract,
            model=arguments.model,
            engine=arguments.engine,
            node_parameters=tuple(arguments.node_parameter),
            rate=arguments.rate,
            start_timeout_s=arguments.start_timeout,
            frame_timeout_s=arguments.frame_timeout,
            domain_id=domain_id,
            log=log,
            console=console,
        )
        runs: list[RunResult] = []
        drive: JudgedDrive | None = None
        for mode in _MODES[arguments.mode]:
            with Recording(out) as recording:
                runs.append(replay_once(mode, setting, recording))
                if drive is None:
                    judge = DriveJudge(truth, contract, camera, options)
                    drive = judge_recording(setting, recording, judge)
        assert drive is not None
        replay = Replay(
            runs=tuple(runs),
            drive=drive,
            camera=camera,
            contract=contract,
            engine=engine_description,
            failures=_failures(runs, arguments),
            max_latency_p95_ms=arguments.max_latency_p95_ms,
        )
        report = replay_report(
            replay, bag=str(arguments.bag), model=arguments.model, command=command
        )
        write_report(report, out / 'report.html')
        write_strip(drive.gallery, out / 'strip.png')
        write_json(metrics_document(replay), out / 'metrics.json')
    _print(replay, console)
    print(f'report: {out / "report.html"}')
    return 0 if replay.passed else FAILED_EXIT_STATUS


def _check_arguments(arguments: argparse.Namespace) -> None:
    domain_id = arguments.domain_id
    if domain_id is not None and not 0 <= domain_id <= LARGEST_ROS_DOMAIN:
        raise UserError(f'--domain-id {domain_id} is not within 0 to {LARGEST_ROS_DOMAIN}')
    if arguments.max_missed is not None and not 0 <= arguments.max_missed <= 1:
        raise UserError(f'--max-missed {arguments.max_missed} is no share, 0 to 1')
    for parameter in arguments.node_parameter:
        if ':=' not in parameter:
            raise UserError(f'--node-parameter {parameter}: not of the form NAME:=VALUE')


def _failures(runs: Sequence[RunResult], arguments: argparse.Namespace) -> tuple[str, ...]:
    failures = [f'{run.mode}: {problem}' for run in runs for problem in run.problems]
    limit_ms = arguments.max_latency_p95_ms
    # Lock step knows no camera's pace, so its latency counts only where nothing else was run.
    measured = runs[-1]
    if limit_ms is not None and measured.latency is not None and measured.latency.p95 > limit_ms:
        failures.append(
            f'{measured.mode}: latency p95 {measured.latency.p95:.1f} ms, limit {limit_ms:g} ms'
        )
    if arguments.max_missed is not None and measured.mode == 'recorded speed':
        share = measured.missed_frames / max(measured.frames_in, 1)
        if share > arguments.max_missed:
            failures.append(
                f'{measured.mode}: {share:.1%} of the images gave no depth, '
                f'limit {arguments.max_missed:.1%}'
            )
    return tuple(failures)


def metrics_document(replay: Replay) -> dict[str, Any]:
    """
    Return what ``metrics.json`` holds.

    The counts and the latency at the top are those of the first run, whose depth is judged; each
    run's own stand under ``runs``.
    """
    return {
        'passed': replay.passed,
        'failures': list(replay.failures),
        **replay.runs[0].to_json(),
        'runs': {run.mode.replace(' ', '_'): run.to_json() for run in replay.runs},
        **replay.drive.to_json(),
    }


def _print(replay: Replay, console: Console) -> None:
    table = run_table(replay.runs)
    printed = TerminalTable(title='Replay', title_justify='left')
    for number, column in enumerate(table.columns):
        printed.add_column(column, justify='right' if number else 'left')
    for row in table.rows:
        printed.add_row(*(cell_text(cell, table.decimals) for cell in row))
    console.print(printed)
    drive = replay.drive
    if drive.summary.unscaled is not None:
        title = f'Depth as published, {drive.summary.images} images'
        console.print(terminal_table(drive.summary, title))
    for line in drive_lines(drive.infinite_depth, drive.temporal_scale, drive.depth_change):
        console.print(line, highlight=False, markup=False)
    for caution in (*slow_cautions(replay.runs), *drive_cautions(drive, replay.contract)):
        console.print(caution, style='yellow', highlight=False, markup=False)
    for failure in replay.failures:
        console.print(f'failed: {failure}', style='red', highlight=False, markup=False)
    print('passed' if replay.passed else 'failed')


if __name__ == '__main__':
    sys.exit(main())
