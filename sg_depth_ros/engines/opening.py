"""
Choosing an engine: what is tried in which order, and why the others were not taken.

Every engine is tested against the depth stored in the model before anyone gets it.
"""

import logging
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Literal
from typing import NamedTuple
from typing import get_args

from sg_depth_ros.engines.engine import Engine
from sg_depth_ros.engines.engine import EngineFailedError
from sg_depth_ros.engines.engine import EngineUnavailableError
from sg_depth_ros.engines.engine import PlanMissingError
from sg_depth_ros.engines.engine import TimedEngine
from sg_depth_ros.engines.options import Device
from sg_depth_ros.engines.options import EngineKind
from sg_depth_ros.engines.options import EngineOptions
from sg_depth_ros.engines.self_test import TOLERANCES
from sg_depth_ros.engines.self_test import SelfTestResult
from sg_depth_ros.engines.self_test import Tolerance
from sg_depth_ros.engines.self_test import run_self_test
from sg_depth_ros.engines.variants import find_variant
from sg_depth_ros.errors import UserError
from sg_depth_ros.errors import one_line
from sg_depth_ros.model_file import ModelFile
from sg_depth_ros.model_file import read_model_file

if TYPE_CHECKING:
    from sg_depth_ros.engines.tensorrt.progress import BuildProgress

LOGGER = logging.getLogger('sg_depth_ros.engines')


class Refusal(NamedTuple):
    """An engine that was not taken."""

    name: str  # such as 'TensorRT'; names the file where that is not the one asked for
    reason: str


class OpenedEngine(NamedTuple):
    """The engine that was taken, and why no other."""

    engine: TimedEngine
    path: Path  # of what the engine runs: the file asked for or its fp32 sibling
    self_test: SelfTestResult | None  # passed; None where the file carries none, or none was asked
    refusals: tuple[Refusal, ...]


class _Candidate(NamedTuple):
    """A library with a file and a device."""

    library: str
    name: str  # the library, with the file where that is not the one asked for
    model: ModelFile
    open: Callable[[], TimedEngine]
    tolerance: Tolerance


def choose_engine(
    model: Path,
    kind: EngineKind = 'auto',
    options: EngineOptions = EngineOptions(),
    on_progress: 'Callable[[BuildProgress], bool] | None' = None,
) -> OpenedEngine:
    """
    Open the best engine that this machine has and whose depth is right.

    ``auto`` tries TensorRT, then ONNX Runtime with CUDA, then ONNX Runtime on the CPU. Where the
    file is fp16 and falling back is allowed, each is also tried with the fp32 file beside it, on
    the CPU first with that: half precision is no faster there.

    :param model: the ``model.onnx`` that ``python -m training export`` wrote.
    :param kind: the library.
    :param options: how engines are built and run.
    :param on_progress: is told how far TensorRT is with building; returns False to give up.
    :return: an engine that belongs to the calling thread, and what was not taken.
    :raises UserError: where the file is none of ours or damaged, and where no engine can run it;
        then every reason is in the message; and where a plan is missing that must not be built.
    :raises BuildCancelledError: where ``on_progress`` gave up.
    """
    _check(kind, options)
    file = read_model_file(model)
    refusals: list[Refusal] = []
    told: set[tuple[str, str]] = set()
    for candidate in _candidates(file, kind, options, on_progress):
        try:
            engine, result = _tested_engine(candidate, options.self_test)
        except Exception as error:
            if _ends_the_search(error):
                raise
            # Libraries raise what they like; whatever it is, another engine may still do. Only
            # the words are kept: the traceback would keep what is left of the engine alive.
            refusal = Refusal(candidate.name, one_line(error))
            # What is missing is missing for the other file too: said once.
            if (candidate.library, refusal.reason) not in told:
                told.add((candidate.library, refusal.reason))
                _log_refusal(refusal, error)
                refusals.append(refusal)
            continue
        _log_choice(file, candidate, engine, result)
        return OpenedEngine(engine, candidate.model.path, result, tuple(refusals))
    assert refusals, 'there is always something to try'
    raise UserError(_failure(file, refusals))


def open_engine(
    model: Path, kind: EngineKind = 'auto', options: EngineOptions = EngineOptions()
) -> Engine:
    """
    Open a model file with the library of choice, ready to infer at full speed.

    :param model: the ``model.onnx`` that ``python -m training export`` wrote.
    :param kind: the library; ``auto`` takes the best that works here, see ``choose_engine``.
    :param options: how engines are built and run.
    :return: an engine that belongs to the calling thread.
    :raises UserError: where the file is no model of ours, or no engine can run it.
    """
    return choose_engine(model, kind, options).engine


def _check(kind: EngineKind, options: EngineOptions) -> None:
    if kind not in get_args(EngineKind):
        raise UserError(f'unknown engine {kind!r}; choose {", ".join(get_args(EngineKind))}')
    device, threads = options.onnxruntime.device, options.onnxruntime.threads
    if device not in get_args(Device):
        raise UserError(f'unknown device {device!r}; choose {", ".join(get_args(Device))}')
    if threads is not None and threads < 1:
        raise UserError(f'threads is {threads}, must be at least 1')


def _candidates(
    file: ModelFile,
    kind: EngineKind,
    options: EngineOptions,
    on_progress: 'Callable[[BuildProgress], bool] | None',
) -> Iterator[_Candidate]:
    """Give what can be tried, best first; a sibling is read only when it comes to it."""
    if kind != 'onnxruntime':
        yield _tensorrt(file, file, options, on_progress)
    sibling: ModelFile | None = None
    if options.allow_fallback and file.contract.precision != 'fp32':
        sibling = find_variant(file, 'fp32')
    files = (file,) if sibling is None else (file, sibling)
    if kind != 'onnxruntime' and sibling is not None:
        yield _tensorrt(file, sibling, options, on_progress)
    if kind != 'tensorrt':
        device = options.onnxruntime.device
        if device != 'cpu':
            for model in files:
                yield _onnxruntime(file, model, options, 'cuda')
        if device != 'cuda':
            for model in reversed(files):
                yield _onnxruntime(file, model, options, 'cpu')


def _tensorrt(
    asked: ModelFile,
    model: ModelFile,
    options: EngineOptions,
    on_progress: 'Callable[[BuildProgress], bool] | None',
) -> _Candidate:
    def open_it() -> TimedEngine:
        # Imported late, as below: whoever only names types needs no inference library.
        from sg_depth_ros.engines.tensorrt.opening import open_tensorrt_engine

        return open_tensorrt_engine(model, options.tensorrt, on_progress)

    tolerance = _tolerance(model, options.tensorrt.tf32)
    return _Candidate('TensorRT', _name('TensorRT', asked, model), model, open_it, tolerance)


def _onnxruntime(
    asked: ModelFile, model: ModelFile, options: EngineOptions, device: Literal['cpu', 'cuda']
) -> _Candidate:
    def open_it() -> TimedEngine:
        from sg_depth_ros.engines.onnxruntime_engine import OnnxRuntimeEngine

        return OnnxRuntimeEngine(
            model, device, options.onnxruntime.threads, tf32=options.onnxruntime.tf32
        )

    library = f'ONNX Runtime on {device.upper()}'
    tolerance = _tolerance(model, device == 'cuda' and options.onnxruntime.tf32)
    return _Candidate(library, _name(library, asked, model), model, open_it, tolerance)


def _tolerance(model: ModelFile, tf32: bool) -> Tolerance:
    precision = model.contract.precision
    return TOLERANCES['tf32' if tf32 and precision == 'fp32' else precision]


def _name(library: str, asked: ModelFile, model: ModelFile) -> str:
    return library if model is asked else f'{library} with {model.path.name}'


def _tested_engine(candidate: _Candidate, test: bool) -> tuple[TimedEngine, SelfTestResult | None]:
    """
    Open an engine and test it; one that fails does not stay open.

    :param test: False leaves the test out.
    :raises UserError: where its depth is wrong, saying by how much.
    """
    engine = candidate.open()
    try:
        result = run_self_test(engine, candidate.tolerance) if test else None
        if result is not None and not result.passed:
            raise UserError(f'{result.summary()} ({engine.description})')
    except BaseException:
        try:
            engine.close()
        except Exception:
            LOGGER.exception('%s: closing failed', candidate.name)
        raise
    return engine, result


def _ends_the_search(error: Exception) -> bool:
    """Whoever gave up wants no engine, and whoever forbids building no slower one unawares."""
    from sg_depth_ros.engines.tensorrt.progress import BuildCancelledError

    return isinstance(error, (PlanMissingError, BuildCancelledError))


def _log_refusal(refusal: Refusal, error: Exception) -> None:
    if isinstance(error, EngineUnavailableError) and not isinstance(error, EngineFailedError):
        # Most machines lack something; that is nothing to warn of.
        LOGGER.info('%s is not used: %s', *refusal)
    else:
        LOGGER.warning('%s is not used: %s', *refusal)
        LOGGER.debug('%s: where that comes from', refusal.name, exc_info=error)


def _log_choice(
    asked: ModelFile, candidate: _Candidate, engine: Engine, result: SelfTestResult | None
) -> None:
    file, precision = candidate.model, candidate.model.contract.precision
    summary = 'not self-tested' if result is None else result.summary()
    LOGGER.info('%s (%s): %s; %s', file.path, precision, engine.description, summary)
    if engine.contract.self_test is None:
        LOGGER.warning(
            '%s carries no self-test: whether %s computes the right depth is not known',
            file.path,
            engine.description,
        )
    if candidate.library != 'ONNX Runtime on CPU':
        return
    if file is not asked:
        LOGGER.info('%s is taken for %s: fp16 is no faster on a CPU', file.path, asked.path.name)
    elif precision != 'fp32':
        LOGGER.info('%s: %s is no faster on a CPU than fp32', file.path, precision)


def _failure(file: ModelFile, refusals: list[Refusal]) -> str:
    """Tell in one line why nothing is left; the file is named once, though reasons name it too."""
    where = str(file.path)
    reasons = [
        f'{name} cannot be used: {reason.removeprefix(where).removeprefix(": ")}'
        for name, reason in refusals
    ]
    return f'{where}: {"; ".join(reasons)}'
