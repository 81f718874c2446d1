"""``prepare``: turn recordings into drives of a dataset folder."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from sg_depth_ros.errors import USER_ERROR_EXIT_STATUS
from sg_depth_ros.errors import UserError
from training.data.prepare import PrepareOptions
from training.data.prepare import check_size_options
from training.data.prepare import drive_name
from training.data.prepare_screen import PrepareScreen
from training.data.prepare_tasks import Task
from training.data.prepare_tasks import run_task
from training.data.prepare_tasks import run_tasks
from training.data.prepare_workspace import dataset_folder
from training.data.sources import SourceOptions
from training.data.sources import open_source
from training.prepare_arguments import prepare_parser


def main(arguments: list[str]) -> int | None:
    """Run ``prepare`` with its command line."""
    options = prepare_parser().parse_args(arguments)
    check_size_options(options.width, options.height)
    for recording in options.sources:
        _check_places(recording, options.out)
    tasks = _tasks(options)
    names = _names(tasks)
    jobs = min(options.jobs or _cpu_count(), len(tasks))
    screen = PrepareScreen(names, options.out, Console())
    with dataset_folder(options.out), screen:
        if len(tasks) == 1:
            screen.end(0, run_task(tasks[0], lambda progressed: screen.show(0, progressed)))
        else:
            run_tasks(tasks, jobs, screen.show, screen.end)
    screen.print_result()
    for name, message in screen.failures:
        sys.stdout.flush()
        print(f'error: {name}: {message}', file=sys.stderr)
    return USER_ERROR_EXIT_STATUS if screen.failures else None


def _check_places(recording: Path, dataset: Path) -> None:
    if dataset.resolve().is_relative_to(recording.resolve()):
        raise UserError(f'--out {dataset} lies in the recording {recording}; it stays untouched')
    if dataset.exists() and not dataset.is_dir():
        raise UserError(f'--out {dataset} is no folder')


def _tasks(options: argparse.Namespace) -> list[Task]:
    """Return the drives to make, in the order given."""
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
    prepare_options = PrepareOptions(
        width=options.width,
        height=options.height,
        name=options.name,
        licence=options.licence,
        min_motion_m=options.min_motion,
        overwrite=options.overwrite,
    )
    tasks = [
        Task(recording, source_options, options.out, prepare_options)
        for recording in options.sources
    ]
    if options.name is not None and len(tasks) > 1:
        raise UserError(f'--name {options.name}: names one drive, but {len(tasks)} are to be made')
    return tasks


def _names(tasks: Sequence[Task]) -> tuple[str, ...]:
    """
    Return what the drives will be called.

    :raises UserError: where two would be called the same.
    """
    taken: dict[str, Path] = {}
    for task in tasks:
        source = open_source(task.recording, task.source_options)
        name = drive_name(source.name, task.options.name)
        if name in taken:
            raise UserError(
                f'{taken[name]} and {task.recording} would both be called {name}; prepare one of '
                'them on its own, with --name'
            )
        taken[name] = task.recording
    return tuple(taken)


def _cpu_count() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
