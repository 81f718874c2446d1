"""
Gives the plan for a model on this machine, built by one process and kept for all.

A plan belongs to one model, one TensorRT and one GPU (plan_key.py); plan_files.py keeps it.
"""

import hashlib
import logging
import os
import shlex
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from sg_depth_ros.engines.engine import PlanMissingError
from sg_depth_ros.engines.options import TensorRTOptions
from sg_depth_ros.engines.tensorrt.builder import BuiltPlan
from sg_depth_ros.engines.tensorrt.plan_files import StoredPlan
from sg_depth_ros.engines.tensorrt.plan_files import UnusablePlanError
from sg_depth_ros.engines.tensorrt.plan_files import locked
from sg_depth_ros.engines.tensorrt.plan_files import read_keys
from sg_depth_ros.engines.tensorrt.plan_files import read_plan
from sg_depth_ros.engines.tensorrt.plan_files import read_timing
from sg_depth_ros.engines.tensorrt.plan_files import write_plan
from sg_depth_ros.engines.tensorrt.plan_files import write_timing
from sg_depth_ros.engines.tensorrt.plan_key import PlanKey
from sg_depth_ros.errors import UserError

FOLDER_VARIABLE = 'SG_DEPTH_ROS_CACHE'

_log = logging.getLogger('sg_depth_ros.engines')


class CachedPlan(NamedTuple):
    """A plan, from the cache or just built."""

    content: bytes
    sha256: str
    path: Path | None  # where it is kept; None: it could not be
    was_built: bool  # by this call
    build_s: float  # how long that took, whenever it was
    note: str | None  # what a user should know: why it was built again, or not kept


def cache_folder() -> Path:
    """
    Return the folder for plans: the user's choice, else where programs keep such things.

    Source: XDG Base Directory Specification, XDG_CACHE_HOME.
    """
    chosen = os.environ.get(FOLDER_VARIABLE)
    try:
        if chosen:
            return Path(chosen).expanduser()
        xdg = Path(os.environ.get('XDG_CACHE_HOME') or 'unset')
        # The specification: a relative path is to be ignored.
        return (xdg if xdg.is_absolute() else Path.home() / '.cache') / 'sg_depth_ros'
    except RuntimeError as error:
        raise UserError(
            f'no home folder to keep TensorRT plans in; name a folder in {FOLDER_VARIABLE}'
        ) from error


def cached_plan(
    key: PlanKey,
    folder: Path,
    build: Callable[[bytes | None], BuiltPlan],
    *,
    model: Path,
    allow_build: bool = True,
    rebuild: bool = False,
    timing_cache: bool = True,
    distrusted_sha256: str | None = None,
    on_wait: Callable[[float], bool] | None = None,
) -> CachedPlan:
    """
    Return the plan for a key, built where the cache has none that is whole.

    Of several processes that want one plan, one builds and the others wait for it. Where the
    folder cannot be written, the plan is built and used all the same; its note says so.

    :param key: what the plan is to be for.
    :param folder: of the cache; made, for this user alone, where it is missing.
    :param build: builds the plan; is given the timing cache of earlier builds, if there is one.
    :param model: the model file, for messages.
    :param allow_build: False refuses instead of building.
    :param rebuild: build also where there is a plan that is whole.
    :param timing_cache: keep what the build measured, and give it to the next.
    :param distrusted_sha256: of a plan that is not to be returned, for it could not be opened.
    :param on_wait: called now and then, with the seconds so far, while another process builds;
        False gives up.
    :raises PlanMissingError: where a plan would have to be built and must not.
    :raises BuildCancelledError: where ``on_wait`` gave up.
    """
    path = folder / f'{key.name()}.plan'
    # Without a lock first: plans are replaced as a whole, and the folder may be another user's.
    plan, why_not = _find(path, key, rebuild, distrusted_sha256)
    if plan is not None:
        return plan
    if not allow_build:
        raise PlanMissingError(
            f'{why_not or _nearest(folder, key)}; building is not allowed here: '
            f'run "{_build_command(model, key, folder)}" first'
        )
    with locked(path.with_suffix('.lock'), on_wait) as problem:
        # Whoever held the lock has built it.
        plan, why_not = _find(path, key, rebuild, distrusted_sha256)
        if plan is not None:
            return plan
        if why_not:
            _log.warning('%s; it is built again', why_not)
        timing = folder / f'{key.timing_name()}.timing' if timing_cache else None
        built = build(None if timing is None else read_timing(timing))
        stored = StoredPlan(built.plan, hashlib.sha256(built.plan).hexdigest(), built.build_s)
        if problem is None:
            problem = write_plan(path, key, stored)
            if timing is not None and built.timing_cache:
                write_timing(timing, built.timing_cache)
    return _just_built(stored, path, why_not, problem)


def _find(
    path: Path, key: PlanKey, rebuild: bool, distrusted_sha256: str | None
) -> tuple[CachedPlan | None, str]:
    """Return the plan that is there, or why it will not do; nothing where there is none."""
    if rebuild:
        return None, ''
    try:
        stored = read_plan(path, key)
    except UnusablePlanError as error:
        return None, str(error)
    if stored.sha256 == distrusted_sha256:
        return None, f'the plan {path} could not be opened'
    return CachedPlan(stored.content, stored.sha256, path, False, stored.build_s, None), ''


def _just_built(stored: StoredPlan, path: Path, why_not: str, problem: str | None) -> CachedPlan:
    if problem is not None:
        problem = f'the plan is used but not kept, the next start builds it again ({problem})'
        _log.warning('%s', problem)
    notes = '; '.join(filter(None, (why_not, problem)))
    kept = path if problem is None else None
    return CachedPlan(stored.content, stored.sha256, kept, True, stored.build_s, notes or None)


def _nearest(folder: Path, key: PlanKey) -> str:
    """Say that there is no plan, and what the one that comes nearest is for."""
    keys = read_keys(folder, f'{key.model_sha256[:16]}.*.json')
    keys = [other for other in keys if other.differing(key)]  # else its plan was deleted
    if not keys:
        return f'no TensorRT plan of this model in {folder}'
    nearest = min(keys, key=lambda other: len(other.differing(key)))
    return (
        f'no TensorRT plan of this model for this machine in {folder} '
        f'(the one there {nearest.difference(key)})'
    )


def _build_command(model: Path, key: PlanKey, folder: Path) -> str:
    """Return the command line that builds the plan of a key."""
    words = ['ros2', 'run', 'sg_depth_ros', 'build_engine', str(model)]
    standard = None
    with suppress(UserError):  # no home: then the folder was chosen
        standard = cache_folder()
    if folder != standard:
        words += ['--cache', str(folder)]
    if key.optimization_level != TensorRTOptions().optimization_level:
        words += ['--optimization-level', str(key.optimization_level)]
    if key.workspace_mb is not None:
        words += ['--workspace-mb', str(key.workspace_mb)]
    for flag in ('tf32', 'hardware_compatible', 'version_compatible'):
        if getattr(key, flag):
            words.append(f'--{flag.replace("_", "-")}')
    return shlex.join(words)
