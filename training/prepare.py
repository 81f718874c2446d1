"""``prepare``: turn recordings into drives of a dataset folder."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from sg_depth_ros.engines.cores import usable_cores
from sg_depth_ros.errors import USER_ERROR_EXIT_STATUS
from sg_depth_ros.errors import UserError
from training.data.preparation.prepare import DriveIsThere
from training.data.preparation.prepare import PreparedDrive
from training.data.preparation.prepare import PrepareOptions
from training.data.preparation.prepare import Progressed
from training.data.preparation.prepare import check_size_options
from training.data.preparation.screen import PrepareScreen
from training.data.preparation.tasks import Recording
from training.data.preparation.tasks import Task
from training.data.preparation.tasks import cameras_of
from training.data.preparation.tasks import make_drive
from training.data.preparation.tasks import open_recording
from training.data.preparation.tasks import refuse_same_names
from training.data.preparation.workers import Failed
from training.data.preparation.workers import Job
from training.data.preparation.workers import Workers
from training.data.preparation.workspace import dataset_folder
from training.data.sources import Source
from training.data.sources import SourceOptions
from training.prepare_arguments import prepare_parser


def main(arguments: list[str]) -> int | None:
    """Run ``prepare`` with its command line."""
    options = prepare_parser().parse_args(arguments)
    prepare_options = PrepareOptions(
        width=options.width,
        height=options.height,
        name=options.name,
        licence=options.licence,
        min_motion_m=options.min_motion,
        overwrite=options.overwrite,
    )
    check_size_options(options.width, options.height)
    for path in options.sources:
        _check_places(path, options.out)
    recordings = _recordings(options)
    if options.name is not None and len(recordings) > 1:
        raise UserError(f'--name {options.name}: names one drive, not {len(recordings)}')
    screen = PrepareScreen(tuple(r.path for r in recordings), options.out, Console())
    with dataset_folder(options.out), screen:
        if len(recordings) == 1:
            _prepare_here(recordings[0], options.out, prepare_options, screen)
        else:
            jobs = min(options.jobs or usable_cores(), len(recordings))
            _prepare_beside(recordings, options.out, prepare_options, jobs, screen)
    screen.print_result()
    return USER_ERROR_EXIT_STATUS if screen.failed else None


def _recordings(options: argparse.Namespace) -> list[Recording]:
    """Return the recordings in the order given, each camera on its own if asked for."""
    source_options = SourceOptions(
        camera=options.camera,
        image_topic=options.image_topic,
        camera_info_topic=options.camera_info_topic,
        odometry_topic=options.odometry_topic,
        lidar_topic=options.lidar_topic,
        camera_info=options.camera_info,
        speed=options.speed,
        rate_hz=options.rate,
    )
    if not options.all_cameras:
        return [Recording(path, source_options) for path in options.sources]
    if options.camera is not None or options.image_topic is not None:
        raise UserError('--all-cameras with --camera or --image-topic: give one of them')
    return [r for path in options.sources for r in cameras_of(path, source_options)]


def _prepare_here(
    recording: Recording, dataset: Path, options: PrepareOptions, screen: PrepareScreen
) -> None:
    def show(progressed: Progressed) -> None:
        screen.show(0, progressed)

    task = Task(recording, open_recording(recording, show), dataset, options)
    screen.name(0, task.name)
    screen.end(0, make_drive(task, show))


def _prepare_beside(
    recordings: Sequence[Recording],
    dataset: Path,
    options: PrepareOptions,
    jobs: int,
    screen: PrepareScreen,
) -> None:
    """Prepare in processes; what cannot be opened or made does not keep the others."""
    opened: dict[int, Source] = {}

    def take_source(number: int, outcome: Source | Failed) -> None:
        if isinstance(outcome, Failed):
            screen.end(number, outcome)
        else:
            opened[number] = outcome

    with Workers(jobs) as workers:
        workers.run(Job(open_recording, screen.show, take_source), recordings)
        numbers = sorted(opened)
        tasks = [Task(recordings[n], opened[n], dataset, options) for n in numbers]
        refuse_same_names(tasks)
        for number, task in zip(numbers, tasks):
            screen.name(number, task.name)

        def show(position: int, progressed: Progressed) -> None:
            screen.show(numbers[position], progressed)

        def end(position: int, outcome: PreparedDrive | DriveIsThere | Failed) -> None:
            screen.end(numbers[position], outcome)

        workers.run(Job(make_drive, show, end), tasks)


def _check_places(recording: Path, dataset: Path) -> None:
    if dataset.resolve().is_relative_to(recording.resolve()):
        raise UserError(f'--out {dataset} lies in the recording {recording}; it stays untouched')
    if dataset.exists() and not dataset.is_dir():
        raise UserError(f'--out {dataset} is no folder')
