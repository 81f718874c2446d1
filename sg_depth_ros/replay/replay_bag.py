"""
Replay a bag through the real node, running in its own process, and check what it publishes.

    python -m sg_depth_ros.replay.replay_bag BAG --model model.onnx --out DIR

In lock step every image must give exactly one depth image, one camera_info that fits it, one
cloud and one mask, with the image's stamp and frame. At recorded speed latency, jitter, CPU and
memory are measured as they are on a vehicle; at full speed, the highest rate. The depth that came
is judged against the bag's LiDAR or --depth-topic.

Writes report.html, metrics.json, junit.xml, frames.csv (depth), timing.csv, strip.png, node.log,
and removes those of an earlier replay when it begins.

Exit status: 0 passed, 1 outputs missing or a limit exceeded, 2 a user's mistake, 130 interrupted.
"""

import argparse
import shlex
import signal
import sys
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import ExitStack
from contextlib import closing
from contextlib import contextmanager
from types import FrameType

from rich.console import Console

from sg_depth_ros.bags.bag import Bag
from sg_depth_ros.bags.bag import open_bag
from sg_depth_ros.contract import ModelContract
from sg_depth_ros.engines import open_engine
from sg_depth_ros.errors import exit_on_user_error
from sg_depth_ros.evaluation.drive_note import DriveNote
from sg_depth_ros.evaluation.findings import Findings
from sg_depth_ros.evaluation.models import NamedModel
from sg_depth_ros.output import output_folder
from sg_depth_ros.replay.bag_arguments import bag_options_of
from sg_depth_ros.replay.dds_profile import dds_profile
from sg_depth_ros.replay.drive_notes import drive_facts
from sg_depth_ros.replay.drive_notes import why_not_judged
from sg_depth_ros.replay.live.files import LOG_NAME
from sg_depth_ros.replay.live.files import forget_results
from sg_depth_ros.replay.live.files import print_replay
from sg_depth_ros.replay.live.files import write_results
from sg_depth_ros.replay.live.limit_arguments import chosen_limits
from sg_depth_ros.replay.live.limits import check_limits
from sg_depth_ros.replay.live.modes import MODES
from sg_depth_ros.replay.live.node_process import NodeDiedError
from sg_depth_ros.replay.live.options import argument_parser
from sg_depth_ros.replay.live.options import check_arguments
from sg_depth_ros.replay.live.page import Replay
from sg_depth_ros.replay.live.ros_domain import leased_ros_domain
from sg_depth_ros.replay.live.run import ReplaySetting
from sg_depth_ros.replay.live.run_judge import RunJudge
from sg_depth_ros.replay.live.runs import replay_all
from sg_depth_ros.replay.live.verdict import checks_of
from sg_depth_ros.replay.recorded_drive import RecordedCamera
from sg_depth_ros.replay.recorded_drive import RecordedDrive
from sg_depth_ros.replay.recorded_drive import recorded_camera
from sg_depth_ros.replay.recorded_drive import recorded_drive

FAILED_EXIT_STATUS = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    given = argument_parser((__doc__ or '').strip()).parse_args(words)
    command = f'python -m sg_depth_ros.replay.replay_bag {shlex.join(words)}'
    with _leaving_on_sigterm():
        try:
            return exit_on_user_error(lambda: replay_bag(given, command))
        except NodeDiedError as error:
            print(f'error: {error}', file=sys.stderr)
            return FAILED_EXIT_STATUS


def replay_bag(arguments: argparse.Namespace, command: str) -> int:
    """
    Replay, check, write the results, and print them.

    :return: the exit status.
    :raises UserError: where bag, model or output folder cannot be used.
    :raises NodeDiedError: where the node did not live to see the first image.
    """
    check_arguments(arguments)
    modes = MODES[arguments.mode]
    limits = chosen_limits(arguments, modes)
    options = bag_options_of(arguments)
    console = Console()
    with ExitStack() as stack:
        stack.enter_context(dds_profile(arguments.dds_profile))
        with closing(open_engine(arguments.model, arguments.engine)) as engine:
            contract, engine_description = engine.contract, engine.description
        bag = stack.enter_context(open_bag(arguments.bag))
        camera = recorded_camera(bag, options)
        drive = stack.enter_context(recorded_drive(bag.path.name, bag, camera, options))
        out = stack.enter_context(output_folder(arguments.out))
        forget_results(out)
        domain_id = arguments.domain_id
        if domain_id is None:
            domain_id = stack.enter_context(leased_ros_domain())
        setting = _setting(arguments, bag, camera, contract, domain_id)
        model = NamedModel(arguments.model.name, arguments.model)
        judge = RunJudge(bag, drive, model, contract, options.judging)
        outcome = replay_all(modes, setting, judge, out, console)
        checks = check_limits(limits, outcome.runs)
        replay = Replay(
            runs=outcome.runs,
            checks=checks_of(modes, outcome.runs, checks),
            limits=checks,
            shelves=outcome.shelves,
            views=outcome.views,
            note=_note(drive, outcome.runs[0].findings, str(arguments.bag)),
            engine=engine_description,
        )
        names = {'bag': str(arguments.bag), 'model': str(arguments.model), 'command': command}
        write_results(replay, outcome.middle, out, **names)
    print_replay(replay, out, console)
    return 0 if replay.passed else FAILED_EXIT_STATUS


def _setting(
    arguments: argparse.Namespace,
    bag: Bag,
    camera: RecordedCamera,
    contract: ModelContract,
    domain_id: int,
) -> ReplaySetting:
    return ReplaySetting(
        bag=bag,
        camera=camera,
        contract=contract,
        model=arguments.model,
        engine=arguments.engine,
        node_parameters=tuple(arguments.node_parameter),
        rate=arguments.rate,
        in_flight=arguments.in_flight,
        stale_periods=arguments.stale_after,
        start_timeout_s=arguments.start_timeout,
        frame_timeout_s=arguments.frame_timeout,
        domain_id=domain_id,
        log=arguments.out / LOG_NAME,
    )


def _note(drive: RecordedDrive, findings: Findings, source: str) -> DriveNote:
    truth = drive.truth
    why_not = why_not_judged(truth.source, truth.why_not, truth.max_offset_s, findings.frames)
    return DriveNote(drive.name, source, drive_facts(drive), why_not)


@contextmanager
def _leaving_on_sigterm() -> Iterator[None]:
    """Let a SIGTERM end the node as well: leave through the same doors as an exception."""

    def leave(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    previous = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


if __name__ == '__main__':
    sys.exit(main())
