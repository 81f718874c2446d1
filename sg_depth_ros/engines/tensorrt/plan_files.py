"""
Plans as files: whole or not at all, each beside what it is for, and a lock.

Of each plan there are three: NAME.plan; NAME.json, which says what it is for and its digest;
NAME.lock, empty, held by whoever builds it.
"""

import fcntl
import hashlib
import json
import logging
import os
import time
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from sg_depth_ros.engines.tensorrt.plan_key import PlanKey
from sg_depth_ros.engines.tensorrt.progress import BuildCancelledError

_LOCK_POLL_S = 0.1
_DIGEST_BYTES = hashlib.sha256().digest_size

_log = logging.getLogger('sg_depth_ros.engines')


class UnusablePlanError(Exception):
    """Why a plan's files cannot be used; no text where there simply are none."""


class StoredPlan(NamedTuple):
    """A plan that is whole."""

    content: bytes
    sha256: str
    build_s: float


def read_plan(path: Path, key: PlanKey) -> StoredPlan:
    """
    Read a plan that is for this key.

    :raises UnusablePlanError: where there is none, or it is damaged or for another key.
    """
    try:
        content, text = path.read_bytes(), path.with_suffix('.json').read_bytes()
    except FileNotFoundError as error:
        raise UnusablePlanError('') from error
    except OSError as error:
        raise UnusablePlanError(f'the plan {path} cannot be read ({error.strerror})') from error
    try:
        document = json.loads(text)
        kept = _key(document)
        sha256, build_s = str(document['plan_sha256']), float(document['build_s'])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UnusablePlanError(f'the plan {path} has a damaged description') from error
    if kept.identity() != key.identity():
        raise UnusablePlanError(f'the plan {path} {kept.difference(key)}')
    if hashlib.sha256(content).hexdigest() != sha256:
        raise UnusablePlanError(f'the plan {path} is damaged or cut short')
    return StoredPlan(content, sha256, build_s)


def read_keys(folder: Path, pattern: str) -> list[PlanKey]:
    """Return what the plans in a folder are for, of those that say so."""
    keys = []
    for file in folder.glob(pattern):
        with suppress(AttributeError, KeyError, OSError, TypeError, ValueError):
            keys.append(_key(json.loads(file.read_bytes())))
    return keys


def write_plan(path: Path, key: PlanKey, plan: StoredPlan) -> str | None:
    """Keep a plan; return why not where it cannot be kept. Only under its lock."""
    document = {'key': key._asdict(), 'plan_sha256': plan.sha256, 'build_s': plan.build_s}
    text = json.dumps(document, indent=2) + '\n'
    # The description last: until it is there, the digest of an older one tells them apart.
    return _replace(path, plan.content) or _replace(path.with_suffix('.json'), text.encode())


@contextmanager
def locked(path: Path, on_wait: Callable[[float], bool] | None) -> Iterator[str | None]:
    """
    Hold a lock, or yield why it cannot be had; the system frees it when a process dies.

    :raises BuildCancelledError: where ``on_wait``, told the seconds so far, gives up.
    """
    descriptor, held, problem = None, False, None
    try:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            held = _try_lock(descriptor)
        except OSError as error:  # not to be written; or a file system without locks
            problem = f'{path}: {error.strerror}'
        if descriptor is not None and problem is None and not held:
            _wait(descriptor, on_wait)
        yield problem
    finally:
        if descriptor is not None:
            os.close(descriptor)


def read_timing(path: Path) -> bytes | None:
    """Return what earlier builds measured; TensorRT is not shown a damaged one."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, cache = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    return cache if hashlib.sha256(cache).digest() == digest else None


def write_timing(path: Path, cache: bytes) -> None:
    """Keep what a build measured, if it can be kept."""
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


def _key(document: dict[str, dict[str, object]]) -> PlanKey:
    key = PlanKey(**document['key'])  # type: ignore[arg-type]
    key.identity()  # which does not come of fields of other types
    return key


def _wait(descriptor: int, on_wait: Callable[[float], bool] | None) -> None:
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


def _replace(path: Path, content: bytes) -> str | None:
    temporary = path.with_name(f'{path.name}.tmp')  # one name: what a killed process left goes
    try:
        with temporary.open('wb') as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # a vehicle's power goes without notice
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        return f'{path}: {error.strerror}'
    return None
