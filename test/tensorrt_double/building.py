"""The double's Builder, configuration and timing cache."""

import hashlib
import json
import threading
import weakref

import numpy as np

from tensorrt_double.enums import BuilderFlag
from tensorrt_double.enums import HardwareCompatibilityLevel
from tensorrt_double.enums import MemoryPoolType
from tensorrt_double.enums import NetworkDefinitionCreationFlag
from tensorrt_double.enums import ProfilingVerbosity
from tensorrt_double.enums import Severity
from tensorrt_double.messages import ILogger
from tensorrt_double.messages import IProgressMonitor
from tensorrt_double.messages import check_derived
from tensorrt_double.messages import in_cpp
from tensorrt_double.messages import in_other_thread
from tensorrt_double.messages import say
from tensorrt_double.parsing import Network
from tensorrt_double.plan import pack
from tensorrt_double.world import NULL_POINTER
from tensorrt_double.world import Verdict

CACHE_MAGIC = b'TIMING CACHE DOUBLE\n'


class HostMemory(np.ndarray):
    """Bytes with ``nbytes`` and the buffer protocol."""

    def __bool__(self):
        return True


def host_memory(world, content):
    memory = np.frombuffer(content, np.uint8).view(HostMemory)
    world.born(memory, 'IHostMemory')
    return memory


class TimingCache:
    def __init__(self, config, entries, made_for):
        self.world, self.entries, self.made_for = config.world, entries, made_for
        self.world.born(self, 'ITimingCache')

    def serialize(self):
        if self.world.call('ITimingCache.serialize'):
            return None
        content = json.dumps({'for': self.made_for, 'entries': sorted(self.entries)}).encode()
        return host_memory(self.world, CACHE_MAGIC + content)


class Config:
    def __init__(self, builder):
        self.builder, self.world = builder, builder.world
        self.builder_optimization_level = 3
        self.hardware_compatibility_level = HardwareCompatibilityLevel.NONE
        self.profiling_verbosity = ProfilingVerbosity.LAYER_NAMES_ONLY
        self.max_aux_streams = -1
        self._flags = {BuilderFlag.TF32}  # as the real one starts
        self._limits = {MemoryPoolType.WORKSPACE: self.world.gpu.memory_bytes}
        self._monitor = None
        self._cache = None
        self.world.born(self, 'IBuilderConfig')

    @property
    def progress_monitor(self):
        return self._monitor

    @progress_monitor.setter
    def progress_monitor(self, monitor):
        if monitor is not None:
            check_derived(monitor, IProgressMonitor)
        self._monitor = monitor

    def set_flag(self, flag):
        self._flags.add(BuilderFlag(flag))

    def clear_flag(self, flag):
        self._flags.discard(BuilderFlag(flag))

    def get_flag(self, flag):
        return BuilderFlag(flag) in self._flags

    def set_memory_pool_limit(self, pool, pool_size):
        if pool_size < 0:
            raise TypeError('incompatible function arguments: a size below 0')
        self._limits[MemoryPoolType(pool)] = pool_size

    def get_memory_pool_limit(self, pool):
        return self._limits.get(MemoryPoolType(pool), 0)

    def create_timing_cache(self, serialized_timing_cache):
        if self.world.call('IBuilderConfig.create_timing_cache'):
            self.builder.say(Severity.ERROR, 'createTimingCache: out of memory')
            return None
        content = bytes(memoryview(serialized_timing_cache))
        made_for, entries = self.builder.made_for(), set()
        if content.startswith(CACHE_MAGIC):
            document = json.loads(content[len(CACHE_MAGIC) :])
            made_for, entries = document['for'], set(document['entries'])
        elif content:
            self.builder.say(
                Severity.WARNING,
                'Failed to deserialize timing cache. Returning an empty timing cache.',
            )
        return TimingCache(self, entries, made_for)

    def set_timing_cache(self, cache, ignore_mismatch):
        call = 'IBuilderConfig.set_timing_cache'
        fits = cache.made_for == self.builder.made_for() or ignore_mismatch
        if self.world.call(call) or not fits:
            self.builder.say(Severity.ERROR, 'setTimingCache: the cache is of another device')
            return Verdict(self.world, call, False)
        self._cache = cache
        return Verdict(self.world, call, True)

    def get_timing_cache(self):
        return None if self.world.call('IBuilderConfig.get_timing_cache') else self._cache


class Builder:
    def __init__(self, world, logger):
        if world.call('Builder'):
            raise TypeError(NULL_POINTER)
        check_derived(logger, ILogger)
        world.check_device('Builder')
        self.world, self.logger = world, logger
        self.has_built = False
        self._thread = threading.get_ident()
        self._networks = weakref.WeakSet()
        world.born(self, 'Builder')

    def say(self, severity, message):
        say(self.world, self.logger, severity, message)

    def made_for(self):
        return f'{self.world.name} {self.world.version} {self.world.gpu.name}'

    def create_network(self, flags=0):
        self.world.check_thread(self._thread, 'the builder')
        if self.world.call('Builder.create_network'):
            self.say(Severity.ERROR, 'createNetworkV2: out of memory')
            return None
        network = Network(self, int(flags))
        self._networks.add(network)
        return network

    def create_builder_config(self):
        self.world.check_thread(self._thread, 'the builder')
        if self.world.call('Builder.create_builder_config'):
            self.say(Severity.ERROR, 'createBuilderConfig: out of memory')
            return None
        return Config(self)

    def build_serialized_network(self, network, config):
        world = self.world
        world.check_thread(self._thread, 'the builder')
        if network not in self._networks or config.builder is not self:
            world.misuse('a network or configuration of another builder')
        if network.spoilt or network.model is None:
            world.misuse('built a network that no parser filled, or one that a parser failed at')
        if not network.get_flag(NetworkDefinitionCreationFlag.STRONGLY_TYPED):
            world.misuse('the network is not strongly typed: precision would be up to TensorRT')
        self.has_built = True
        if world.call('Builder.build_serialized_network'):
            self.say(Severity.ERROR, 'buildSerializedNetwork: Could not find any implementation')
            return None
        if any(-1 in value.shape for value in network.values):
            self.say(Severity.ERROR, 'Network has dynamic inputs, but no optimization profile')
            return None
        if not self._time_kernels(network, config):
            self.say(Severity.ERROR, 'Engine build was cancelled by user callback')
            return None
        return host_memory(world, pack(self._about(config), network.model))

    def _about(self, config):
        level = config.hardware_compatibility_level
        return {
            'library': self.world.name,
            'version': self.world.version,
            'gpu': self.world.gpu.name,
            'hardware_compatible': level == HardwareCompatibilityLevel.AMPERE_PLUS,
            'version_compatible': config.get_flag(BuilderFlag.VERSION_COMPATIBLE),
            'tf32': config.get_flag(BuilderFlag.TF32),
            'optimization_level': config.builder_optimization_level,
            'workspace': config.get_memory_pool_limit(MemoryPoolType.WORKSPACE),
        }

    def _time_kernels(self, network, config):
        """Go through the phases, as TensorRT does: nested, and from threads of its own."""
        phases = Phases(self.world, config.progress_monitor)
        key = hashlib.sha256(network.model).hexdigest()
        cache = config._cache
        use_cache = cache is not None and not config.get_flag(BuilderFlag.DISABLE_TIMING_CACHE)
        steps = min(network.num_layers, 5)
        phases.start('Building engine', None, 2)
        phases.run('Cloning network graph', 'Building engine', 1)
        phases.step('Building engine', 0)
        if not (use_cache and key in cache.entries):
            self.world.kernels_timed += network.num_layers
            in_other_thread(lambda: phases.run('Timing graph nodes', 'Building engine', steps))
        phases.step('Building engine', 1)
        phases.finish('Building engine')
        if use_cache and not phases.is_cancelled:
            cache.entries.add(key)
        return not phases.is_cancelled


class Phases:
    """Calls a progress monitor, if there is one, as C++ would."""

    def __init__(self, world, monitor):
        self.world, self.monitor, self.is_cancelled = world, monitor, False

    def start(self, phase, parent, steps):
        self._call('phase_start', phase, parent, steps)

    def step(self, phase, step):
        if not self.is_cancelled:
            self.is_cancelled = self._call('step_complete', phase, step) is False

    def finish(self, phase):
        self._call('phase_finish', phase)

    def run(self, phase, parent, steps):
        self.start(phase, parent, steps)
        for step in range(steps):
            self.step(phase, step)
        self.finish(phase)

    def _call(self, method, *arguments):
        if self.monitor is None:
            return None
        self.world.progress_threads.add(threading.get_ident())
        call = f'IProgressMonitor.{method}'
        answer = in_cpp(self.world, call, lambda: getattr(self.monitor, method)(*arguments))
        if method == 'step_complete' and not isinstance(answer, bool):
            self.world.misuse(f'{call} returned {answer!r}, no bool')
        return answer
