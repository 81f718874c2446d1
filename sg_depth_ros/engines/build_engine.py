"""
Build, test and time the engines of a model on this machine.

    ros2 run sg_depth_ros build_engine model.onnx

Where TensorRT and a GPU are there, it builds the plan and keeps it in the cache, so that the node
starts at once. Whatever engine comes out is run on the image in the file and compared with the
depth in the file, then timed. Exit status: 0 where a usable engine came out, else 2.
"""

import argparse
import json
import logging
import sys
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import ExitStack
from contextlib import closing
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from sg_depth_ros.contract import ModelContract
from sg_depth_ros.contract import Precision
from sg_depth_ros.engines.build_arguments import argument_parser
from sg_depth_ros.engines.build_arguments import engine_options
from sg_depth_ros.engines.build_arguments import node_parameters
from sg_depth_ros.engines.build_report import BuildReport
from sg_depth_ros.engines.build_report import TriedEngine
from sg_depth_ros.engines.build_report import print_report
from sg_depth_ros.engines.build_report import report_document
from sg_depth_ros.engines.engine import TimedEngine
from sg_depth_ros.engines.onnxruntime_engine import OnnxRuntimeEngine
from sg_depth_ros.engines.opening import OpenedEngine
from sg_depth_ros.engines.opening import Refusal
from sg_depth_ros.engines.opening import choose_engine
from sg_depth_ros.engines.options import EngineKind
from sg_depth_ros.engines.options import EngineOptions
from sg_depth_ros.engines.tensorrt.progress import BuildProgress
from sg_depth_ros.engines.tensorrt.progress import OnProgress
from sg_depth_ros.engines.tensorrt.progress import shown_progress
from sg_depth_ros.engines.tensorrt.runtime import PlanOrigin
from sg_depth_ros.engines.tensorrt.runtime import TensorRTEngine
from sg_depth_ros.engines.timing import EngineTimes
from sg_depth_ros.engines.timing import time_engines
from sg_depth_ros.engines.variants import find_variant
from sg_depth_ros.errors import UserError
from sg_depth_ros.errors import exit_on_user_error
from sg_depth_ros.model_file import ModelFile
from sg_depth_ros.model_file import read_model_file

LINE_EVERY_S = 10.0


class _Trial(NamedTuple):
    """A file to open, and how."""

    model: ModelFile
    kind: EngineKind
    options: EngineOptions


class _Opened(NamedTuple):
    trial: _Trial
    engine: OpenedEngine


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = argument_parser((__doc__ or '').strip()).parse_args(arguments)
    with _shown_log(options.verbose):
        return exit_on_user_error(lambda: build_engine(options))


def build_engine(arguments: argparse.Namespace) -> int:
    """
    Build, test, time and print.

    :raises UserError: where the model cannot be used or no engine runs it.
    """
    console = Console(stderr=arguments.json)
    model = read_model_file(arguments.model)
    with ExitStack() as stack:
        opened, refusals = _open_all(model, arguments, stack)
        times = _time_all(opened, arguments.runs) if opened else []
        engines = tuple(_tried(one, time) for one, time in zip(opened, times))
    report = BuildReport(model, engines, tuple(refusals))
    if arguments.json:
        print(json.dumps(report_document(report), indent=2, allow_nan=False))
    elif engines:
        print_report(report, console)
    if not engines:
        raise UserError('; '.join(refusal.reason for refusal in refusals))
    return 0


def _open_all(
    model: ModelFile, arguments: argparse.Namespace, stack: ExitStack
) -> tuple[list[_Opened], list[Refusal]]:
    """Open what was asked for; the stack closes it. One that fails does not hold up the others."""
    opened: list[_Opened] = []
    refusals: list[Refusal] = []
    kind, options = arguments.engine, engine_options(arguments)
    trials = [_Trial(model, kind, options)]
    if arguments.all_precisions:
        trials += [_Trial(other, kind, options) for other in _siblings(model)]
    while trials:
        trial = trials.pop(0)
        try:
            engine = _open(trial, stack)
        except UserError as error:
            refusals.append(Refusal(_trial_name(trial), str(error)))
            continue
        opened.append(_Opened(trial, engine))
        # What is missing on this machine is missing for every file.
        known = {refusal.reason for refusal in refusals}
        refusals += [refusal for refusal in engine.refusals if refusal.reason not in known]
        if arguments.all_precisions and _has_tf32_left_to_try(trial, engine):
            trials.insert(0, _with_tf32(trial, engine))
    return opened, refusals


def _siblings(model: ModelFile) -> Iterator[ModelFile]:
    precisions: tuple[Precision, ...] = get_args(Precision)
    for precision in precisions:
        if precision != model.contract.precision:
            sibling = find_variant(model, precision)
            if sibling is not None:
                yield sibling


def _has_tf32_left_to_try(trial: _Trial, opened: OpenedEngine) -> bool:
    return (
        _runs_on_a_gpu(opened.engine)
        and trial.model.contract.precision == 'fp32'
        and not trial.options.tensorrt.tf32
    )


def _with_tf32(trial: _Trial, opened: OpenedEngine) -> _Trial:
    """Return the same engine with TF32."""
    options = replace(
        trial.options,
        tensorrt=replace(trial.options.tensorrt, tf32=True),
        onnxruntime=replace(trial.options.onnxruntime, tf32=True, device='cuda'),
    )
    kind: EngineKind = 'onnxruntime' if _plan(opened.engine) is None else 'tensorrt'
    return _Trial(trial.model, kind, options)


def _runs_on_a_gpu(engine: TimedEngine) -> bool:
    is_on_cuda = isinstance(engine, OnnxRuntimeEngine) and engine.device == 'cuda'
    return isinstance(engine, TensorRTEngine) or is_on_cuda


def _trial_name(trial: _Trial) -> str:
    tf32 = ' with TF32' if trial.options.tensorrt.tf32 else ''
    return f'{trial.model.path.name}{tf32}'


def _open(trial: _Trial, stack: ExitStack) -> OpenedEngine:
    with _build_shown(f'building {_trial_name(trial)}') as on_progress:
        opened = choose_engine(trial.model.path, trial.kind, trial.options, on_progress)
    stack.enter_context(closing(opened.engine))
    return opened


@contextmanager
def _build_shown(title: str) -> Iterator[OnProgress]:
    """Show progress from when there is some: most calls find their plan in the cache."""
    with ExitStack() as stack:
        show: OnProgress | None = None

        def on_progress(progress: BuildProgress) -> bool:
            nonlocal show
            if show is None:
                show = stack.enter_context(shown_progress(title))
            return show(progress)

        yield on_progress


def _time_all(opened: Sequence[_Opened], runs: int) -> list[EngineTimes]:
    engines: list[TimedEngine] = [one.engine.engine for one in opened]
    images = [_image(engine.contract) for engine in engines]
    with _timing_shown() as on_progress:
        return time_engines(engines, images, runs, on_progress)


@contextmanager
def _timing_shown() -> Iterator[Callable[[float], None]]:
    """Show a bar on a terminal; elsewhere a line now and then, for a slow CPU takes minutes."""
    console = Console(stderr=True)
    if console.is_terminal:
        with Progress(console=console, transient=True) as bar:
            task = bar.add_task('timing', total=1.0)
            yield lambda share: bar.update(task, completed=share)
        return
    next_line_s = time.monotonic() + LINE_EVERY_S

    def on_progress(share: float) -> None:
        nonlocal next_line_s
        if time.monotonic() >= next_line_s:
            next_line_s = time.monotonic() + LINE_EVERY_S
            console.print(f'timing: {100 * share:.0f} %', highlight=False)

    yield on_progress


def _image(contract: ModelContract) -> NDArray[np.uint8]:
    """Return a real image where the file has one; networks take as long for noise."""
    if contract.self_test is not None:
        return contract.self_test.image
    shape = (contract.height, contract.width, 3)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def _plan(engine: TimedEngine) -> PlanOrigin | None:
    return engine.plan if isinstance(engine, TensorRTEngine) else None


def _tried(one: _Opened, times: EngineTimes) -> TriedEngine:
    engine = one.engine.engine
    plan, precision = _plan(engine), engine.contract.precision
    return TriedEngine(
        model_path=one.engine.path,
        precision=precision,
        tf32=_runs_on_a_gpu(engine) and one.trial.options.tensorrt.tf32 and precision == 'fp32',
        description=engine.description,
        self_test=one.engine.self_test,
        plan=plan,
        times=times,
        node_parameters=() if plan is None else node_parameters(one.trial.options),
    )


@contextmanager
def _shown_log(verbose: bool) -> Iterator[None]:
    """Show warnings of our libraries on stderr, all that they log where asked."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter('%(levelname)s: %(message)s'))
    logger = logging.getLogger('sg_depth_ros')
    if not verbose:
        # Why an engine was not taken is in the report; once is enough.
        handler.addFilter(lambda record: record.name != 'sg_depth_ros.engines')
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if verbose else logging.WARNING)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


if __name__ == '__main__':
    sys.exit(main())
