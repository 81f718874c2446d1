"""From a model file to an engine: TensorRT and GPU found, plan built or from the cache, opened."""

from collections.abc import Callable
from typing import NamedTuple

from sg_depth_ros.engines.cuda import CudaDevice
from sg_depth_ros.engines.cuda import find_cuda_device
from sg_depth_ros.engines.options import TensorRTOptions
from sg_depth_ros.engines.tensorrt.builder import BuiltPlan
from sg_depth_ros.engines.tensorrt.builder import build_plan
from sg_depth_ros.engines.tensorrt.library import LOGGER
from sg_depth_ros.engines.tensorrt.library import Library
from sg_depth_ros.engines.tensorrt.library import load_tensorrt
from sg_depth_ros.engines.tensorrt.loaded_plan import PlanRefusedError
from sg_depth_ros.engines.tensorrt.plan_cache import CachedPlan
from sg_depth_ros.engines.tensorrt.plan_cache import cache_folder
from sg_depth_ros.engines.tensorrt.plan_cache import cached_plan
from sg_depth_ros.engines.tensorrt.plan_key import plan_key
from sg_depth_ros.engines.tensorrt.progress import BuildProgress
from sg_depth_ros.engines.tensorrt.progress import OnProgress
from sg_depth_ros.engines.tensorrt.runtime import PlanOrigin
from sg_depth_ros.engines.tensorrt.runtime import TensorRTEngine
from sg_depth_ros.model_file import ModelFile


def open_tensorrt_engine(
    model: ModelFile, options: TensorRTOptions, on_progress: OnProgress | None = None
) -> TensorRTEngine:
    """
    Open a model with TensorRT; where its plan must be built first, that takes minutes.

    :param model: the model file.
    :param options: how its plan is built, kept and run.
    :param on_progress: told how far a build is, also one of another process that this one waits
        for; False gives up.
    :return: an engine that belongs to the calling thread; ``plan`` tells of its plan.
    :raises EngineUnavailableError: where the GPU, TensorRT or enough memory is missing, or
        TensorRT refuses the model.
    :raises PlanMissingError: where the plan would have to be built and must not.
    :raises BuildCancelledError: where ``on_progress`` gave up.
    """
    work = _Work(load_tensorrt(), find_cuda_device(), model, options, on_progress)
    plan = _plan(work)
    try:
        return _engine(work, plan)
    except PlanRefusedError as error:
        # Just built and refused: the next one would be no better.
        if plan.was_built:
            raise
        LOGGER.warning('%s; the plan %s is built again', error, plan.path)
    # Out of the handler, where the traceback would keep what is left of the attempt alive.
    return _engine(work, _plan(work, distrusted_sha256=plan.sha256))


class _Work(NamedTuple):
    library: Library
    device: CudaDevice
    model: ModelFile
    options: TensorRTOptions
    on_progress: OnProgress | None


def _plan(work: _Work, distrusted_sha256: str | None = None) -> CachedPlan:
    library, options = work.library, work.options

    def build(timing_cache: bytes | None) -> BuiltPlan:
        return build_plan(library, work.model, options, timing_cache, work.on_progress)

    key = plan_key(
        work.model.sha256,
        f'{library.name} {library.version}',
        work.device.name,
        work.device.compute_capability,
        options,
    )
    return cached_plan(
        key,
        cache_folder() if options.cache_folder is None else options.cache_folder,
        build,
        model=work.model.path,
        allow_build=options.allow_build,
        rebuild=options.rebuild and distrusted_sha256 is None,
        timing_cache=options.timing_cache,
        distrusted_sha256=distrusted_sha256,
        on_wait=_on_wait(work.on_progress),
    )


def _on_wait(on_progress: OnProgress | None) -> Callable[[float], bool] | None:
    if on_progress is None:
        return None
    return lambda waited_s: on_progress(
        BuildProgress('waiting for another process to build it', 0.0, waited_s)
    )


def _engine(work: _Work, plan: CachedPlan) -> TensorRTEngine:
    engine = TensorRTEngine(
        work.library, plan.content, work.model.contract, work.device, work.options
    )
    engine.plan = PlanOrigin(plan.path, len(plan.content), plan.was_built, plan.build_s, plan.note)
    return engine
