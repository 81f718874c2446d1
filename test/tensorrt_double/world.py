"""What goes on in the double: calls, failures on demand, misuses, and what is still alive."""

import gc
import itertools
import threading
import weakref
from collections import Counter
from dataclasses import dataclass

# Nobody can do anything but clean up and ask what happened after a call has failed.
CLEANUP = frozenset(
    {
        'cudaFree',
        'cudaFreeHost',
        'cudaStreamDestroy',
        'cudaStreamEndCapture',
        'cudaGraphDestroy',
        'cudaGraphExecDestroy',
        'cudaStreamSynchronize',  # before memory is freed that queued work uses
    }
)
# What may fail without the whole being spoilt: a plan is rebuilt, a build goes without its cache.
OPTIONAL = frozenset(
    {
        'IBuilderConfig.create_timing_cache',
        'IBuilderConfig.get_timing_cache',
        'IBuilderConfig.set_timing_cache',
        'ITimingCache.serialize',
        'Runtime.deserialize_cuda_engine',
        'cudaGetDeviceCount',
        'cudaGraphInstantiateWithFlags',
        'cudaStreamBeginCapture',
        'cudaStreamEndCapture',
    }
)

# What the bindings raise, as TypeError, where an object cannot be made.
NULL_POINTER = 'pybind11::init(): factory function returned nullptr'


class Misuse(AssertionError):
    """What the real library would punish by a crash, a leak or wrong numbers."""


@dataclass(frozen=True)
class Gpu:
    """The GPU that the double plays."""

    name: str = 'NVIDIA Double'
    capability: tuple[int, int] = (8, 9)
    memory_bytes: int = 8 << 30
    integrated: bool = False
    count: int = 1
    driver_version: int = 13000  # 0: there is no driver
    runtime_version: int = 13030


class World:
    """One test's TensorRT and CUDA, its wishes for failures and the record of what happened."""

    def __init__(self, version='10.13.0', name='tensorrt', gpu=None):
        self.version = version
        self.name = name  # of the module: tensorrt or tensorrt_rtx
        self.gpu = gpu or Gpu()
        self.calls = []
        self.misuses = []
        self.unsupported_operators = set()  # that the parser does not take
        self.is_capturable = True  # whether execute_async_v3 may be captured in a graph
        self.kernels_timed = 0  # by builds; none where the timing cache knows the network
        self.progress_threads = set()  # from which a progress monitor was called
        self.device = None  # what memory and streams are made of
        self.failed = None
        self._fail_at = None
        self._fail = set()
        self._alive = {}
        self._keys = itertools.count()
        self._lock = threading.RLock()

    def fail(self, call, nth=1):
        """Let the nth use of a call from now on fail."""
        self._fail.add((call, Counter(self.calls)[call] + nth))

    def fail_at(self, index):
        """Let the call fail that is the ``index``-th of all, counted from 0."""
        self._fail_at = index

    def forgive(self):
        """The test has seen the error: going on is right."""
        self.failed = None

    def call(self, name, optional=False):
        """Count a use; True where it is to fail. It does so before it does anything."""
        with self._lock:
            self.calls.append(name)
            if self.failed and name not in CLEANUP:
                self.misuse(f'{name} although {self.failed} had failed')
            fails = (
                len(self.calls) - 1 == self._fail_at
                or (name, Counter(self.calls)[name]) in self._fail
            )
            if fails and not optional and name not in OPTIONAL and name not in CLEANUP:
                self.failed = name
            return fails

    def misuse(self, text):
        """Record a misuse and raise it."""
        self.misuses.append(text)
        raise Misuse(text)

    def born(self, thing, what):
        """Keep account of an object that must be gone at the end."""
        key = next(self._keys)
        self._alive[key] = what
        weakref.finalize(thing, self._alive.pop, key, None)

    def alive(self, *kinds):
        """Return which objects of these kinds live, without waiting for the collector."""
        return [what for what in self._alive.values() if what in kinds]

    def check_thread(self, thread, what):
        if threading.get_ident() != thread:
            self.misuse(f'{what} used in another thread than the one that made it')

    def check_device(self, what):
        if not self.gpu.count or not self.gpu.driver_version:
            self.misuse(f'{what} without a device: the real one crashes')

    def close(self, leaks):
        """
        Say at the end of a test what went wrong in it.

        :param leaks: what CUDA's part still holds.
        """
        if self._alive:
            gc.collect()  # which is slow
        problems = list(self.misuses)
        problems += [f'{what} was not freed' for what in (*self._alive.values(), *leaks)]
        if problems:
            raise Misuse('; '.join(problems))


class _Looked:
    """Base of answers that somebody has to look at."""

    def expect_look(self, world, call):
        self.world, self.call, self.looked = world, call, False
        return self

    def look(self):
        self.looked = True

    def __del__(self):
        if not getattr(self, 'looked', True):
            self.world.misuses.append(f'nobody looked at what {self.call} returned')


class Verdict(_Looked):
    """True or False, as TensorRT's methods return it."""

    def __init__(self, world, call, value):
        self.value = value
        self.expect_look(world, call)

    def __bool__(self):
        self.look()
        return self.value

    def __eq__(self, other):
        self.look()
        return self.value == other

    __hash__ = None  # type: ignore[assignment]


class Status(int, _Looked):
    """A member of cudaError_t."""

    def __eq__(self, other):
        self.look()
        return int.__int__(self) == int(other)

    def __ne__(self, other):
        return not self == other

    def __bool__(self):
        self.look()
        return int.__int__(self) != 0

    def __int__(self):
        self.look()
        return int.__int__(self)

    __index__ = __int__

    def __hash__(self):
        self.look()
        return int.__hash__(self)
