"""
Keeps built plans: under a lock, whole or not at all, each beside what it was built for.

A plan belongs to one model, one TensorRT and one GPU. Of each there are three files: NAME.plan;
NAME.json, which says what it is for and its digest; NAME.lock, empty, held by whoever builds it.
"""

import fcntl
import hashlib
import json
import logging
import os
import shlex
import time
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from sg_depth_ros.engines.engine import PlanMissingError
from sg_depth_ros.engines.options import TensorRTOptions
from sg_depth_ros.engines.tensorrt.builder import BuiltPlan
from sg_depth_ros.engines.tensorrt.plan_key import PlanKey
from sg_depth_ros.engines.tensorrt.progress import BuildCancelledError
from sg_depth_ros.errors import UserError

FOLDER_VARIABLE = 'SG_DEPTH_ROS_CACHE'
_LOCK_POLL_S = 0.1
_DIGEST_BYTES = hashlib.sha256().digest_size

_log = logging.getLogger('sg_depth_ros.engines')


class CachedPlan(NamedTuple):
    """A plan, from the cache or just built."""

    content: bytes
    sha256: str
    path: Path | None  # where it is kept; None: it could not be
    was_built: bool  # by this call
    build_s: float  # how long that took, whenever it was
    note: str | None  # what a user should know: why it was built again, or not kept


class _Unusable(Exception):
    """Why what lies in the cache cannot be used."""


def cache_folder() -> Path:
    """
    Return the folder for plans: the user's choice, else where programs keep such things.

    Source: XDG Base Directory Specification, XDG_CACHE_HOME.
    """
    chosen = os.environ.get(FOLDER_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    xdg = Path(os.environ.get('XDG_CACHE_HOME') or 'unset')
    try:
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
    try:
        return _found(path, key, distrusted_sha256, rebuild)
    except _Unusable as error:
        note = str(error)
    if not allow_build:
        raise PlanMissingError(
            f'{note or _nearest(folder, key)}; building is not allowed here: '
            f'run "{_build_command(model, key, folder)}" first'
        )
    timing = folder / f'{key.timing_name()}.timing' if timing_cache else None
    with _locked(path.with_suffix('.lock'), on_wait) as problem:
        try:
            # Whoever held the lock has built it.
            return _found(path, key, distrusted_sha256, rebuild)
        except _Unusable as error:
            note = str(error)
        if note:
            _log.warning('%s; it is built again', note)
        built = build(None if timing is None else _read_timing(timing))
        sha256 = hashlib.sha256(built.plan).hexdigest()
        if problem is None:
            problem = _write(path, key, built, sha256)
            if timing is not None and built.timing_cache:
                _write_timing(timing, built.timing_cache)
    if problem is not None:
        problem = f'the plan is used but not kept, the next start builds it again ({problem})'
        _log.warning('%s', problem)
    notes = '; '.join(filter(None, (note, problem)))
    kept = path if problem is None else None
    return CachedPlan(built.plan, sha256, kept, True, built.build_s, notes or None)


def _found(path: Path, key: PlanKey, distrusted_sha256: str | None, rebuild: bool) -> CachedPlan:
    """Read a plan unless another one is wanted; see ``_read``."""
    if rebuild:
        raise _Unusable('')
    return _read(path, key, distrusted_sha256)


def _read(path: Path, key: PlanKey, distrusted_sha256: str | None) -> CachedPlan:
    """
    Read a plan that is whole and for this key.

    :raises _Unusable: with the reason; an empty one where there simply is none.
    """
    try:
        content, text = path.read_bytes(), path.with_suffix('.json').read_bytes()
    except FileNotFoundError as error:
        raise _Unusable('') from error
    except OSError as error:
        raise _Unusable(f'the plan {path} cannot be read ({error.strerror})') from error
    try:
        document = json.loads(text)
        kept = PlanKey(**document['key'])
        sha256, build_s = str(document['plan_sha256']), float(document['build_s'])
    except (ValueError, KeyError, TypeError) as error:
        raise _Unusable(f'the plan {path} has a description that cannot be read') from error
    if kept.identity() != key.identity():
        raise _Unusable(f'the plan {path} {kept.difference(key)}')
    if hashlib.sha256(content).hexdigest() != sha256:
        raise _Unusable(f'the plan {path} is damaged or cut short')
    if sha256 == distrusted_sha256:
        raise _Unusable(f'the plan {path} could not be opened')
    return CachedPlan(content, sha256, path, False, build_s, None)


def _nearest(folder: Path, key: PlanKey) -> str:
    """Say that there is no plan, and what the one that comes nearest is for."""
    keys = []
    for file in folder.glob(f'{key.model_sha256[:16]}.*.json'):
        with suppress(OSError, ValueError, KeyError, TypeError):
            keys.append(PlanKey(**json.loads(file.read_bytes())['key']))
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


@contextmanager
def _locked(path: Path, on_wait: Callable[[float], bool] | None) -> Iterator[str | None]:
    """Hold the lock, or yield why it cannot be had; the system frees it when a process dies."""
    descriptor = None
    try:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            _acquire(descriptor, on_wait)
            problem = None
        except OSError as error:  # not to be written; or a file system without locks
            problem = f'{path}: {error.strerror}'
        yield problem
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _acquire(descriptor: int, on_wait: Callable[[float], bool] | None) -> None:
    # Asked again and again: a wait within flock could not be given up.
    start_s = time.monotonic()
    while not _try_lock(descriptor):
        if on_wait is not None and not on_wait(time.monotonic() - start_s):
            raise BuildCancelledError('the wait for another build was given up')
        time.sleep(_LOCK_POLL_S)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write(path: Path, key: PlanKey, built: BuiltPlan, sha256: str) -> str | None:
    """Keep a plan; return why not where it cannot be kept. Only under its lock."""
    document = {'key': key._asdict(), 'plan_sha256': sha256, 'build_s': round(built.build_s, 3)}
    text = json.dumps(document, indent=2) + '\n'
    # The description last: until it is there, the digest of an older one tells them apart.
    return _replace(path, built.plan) or _replace(path.with_suffix('.json'), text.encode())


def _replace(path: Path, content: bytes) -> str | None:
    temporary = path.with_name(f'{path.name}.tmp')  # one name: what a killed process left goes
    try:
        with temporary.open('wb') as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # a vehicle's power goes without notice
        os.replace(temporary, path)  # noqa: PTH105
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        return f'{path}: {error.strerror}'
    return None


def _read_timing(path: Path) -> bytes | None:
    """Return what earlier builds measured; TensorRT is not shown a damaged one."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, cache = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    return cache if hashlib.sha256(cache).digest() == digest else None


def _write_timing(path: Path, cache: bytes) -> None:
    # Builds of several models share it, and no lock: the last one stays.
    mine = path.with_name(f'{path.stem}.{os.getpid()}')
    problem = _replace(mine, hashlib.sha256(cache).digest() + cache)
    try:
        if problem is None:
            mine.replace(path)
    except OSError as error:
        problem = str(error.strerror)
    if problem is not None:
        _log.debug('the timing cache is not kept (%s)', problem)
