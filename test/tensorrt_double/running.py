"""The double's Runtime, engine and execution context."""

import threading
import weakref

from tensorrt_double.enums import Severity
from tensorrt_double.enums import TensorIOMode
from tensorrt_double.enums import TensorLocation
from tensorrt_double.messages import ILogger
from tensorrt_double.messages import check_derived
from tensorrt_double.messages import say
from tensorrt_double.onnx_values import onnx_model
from tensorrt_double.plan import unpack
from tensorrt_double.world import NULL_POINTER
from tensorrt_double.world import Verdict


class _Owned:
    """What must be used, and freed, in the thread that made it."""

    def own(self, world, what):
        self.world, self.what, self.thread = world, what, threading.get_ident()
        world.born(self, what)

    def check(self):
        self.world.check_thread(self.thread, self.what)

    def __del__(self):
        if hasattr(self, 'thread') and threading.get_ident() != self.thread:
            self.world.misuses.append(f'{self.what} freed in another thread')


class Runtime(_Owned):
    def __init__(self, world, logger):
        if world.call('Runtime'):
            raise TypeError(NULL_POINTER)
        check_derived(logger, ILogger)
        world.check_device('Runtime')
        self.own(world, 'Runtime')
        self.logger = logger
        self.engine_host_code_allowed = False

    def deserialize_cuda_engine(self, serialized_engine):
        self.check()
        content = bytes(memoryview(serialized_engine))
        reason = 'Error Code 1: Serialization (on demand)'
        if not self.world.call('Runtime.deserialize_cuda_engine'):
            reason, model = self._read(content)
            if reason is None:
                return Engine(self, model)
        say(self.world, self.logger, Severity.ERROR, f'IRuntime::deserializeCudaEngine: {reason}')
        return None

    def _read(self, content):
        world = self.world
        try:
            about, model = unpack(content)
        except ValueError as error:
            return f'Error Code 1: Serialization ({error})', None
        ours, theirs = world.version, about['version']
        if about['version_compatible']:
            if not self.engine_host_code_allowed:
                return 'Error Code 2: the plan brings code of the host, which is not allowed', None
            ours, theirs = ours.split('.')[0], theirs.split('.')[0]
        if (about['library'], theirs) != (world.name, ours):
            return f'Error Code 6: the engine plan is of version {theirs}, expecting {ours}', None
        if about['gpu'] != world.gpu.name and not about['hardware_compatible']:
            return f'Error Code 6: the engine plan is of another device, {about["gpu"]}', None
        return None, model


class Engine(_Owned):
    def __init__(self, runtime, model):
        self.own(runtime.world, 'ICudaEngine')
        self.runtime = runtime
        self.model = onnx_model(model)
        self._values = {value.name: value for value in self.model.values}

    @property
    def num_io_tensors(self):
        return len(self._values)

    def get_tensor_name(self, index):
        if not 0 <= index < len(self._values):
            self.world.misuse(f'get_tensor_name({index}) of {len(self._values)}')
        return list(self._values)[index]

    def get_tensor_mode(self, name):
        if name not in self._values:
            return TensorIOMode.NONE
        return TensorIOMode.INPUT if self._values[name].is_input else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name):
        return self._find(name).type

    def get_tensor_shape(self, name):
        return self._find(name).shape

    def get_tensor_location(self, name):
        self._find(name)
        return TensorLocation.DEVICE

    def create_execution_context(self):
        self.check()
        if self.world.call('ICudaEngine.create_execution_context'):
            say(self.world, self.runtime.logger, Severity.ERROR, 'createExecutionContext: memory')
            return None
        return Context(self)

    def _find(self, name):
        if name not in self._values:
            self.world.misuse(f'there is no tensor {name!r}')
        return self._values[name]


class Context(_Owned):
    def __init__(self, engine):
        self.own(engine.world, 'IExecutionContext')
        self.engine = engine
        self._addresses = {}
        self._has_run = False
        self._staging = self.world.device.staging([v.size_bytes for v in engine.model.values])

    def __del__(self):
        super().__del__()
        if getattr(self, '_staging', None) is not None:
            self._staging.close()

    def set_tensor_address(self, name, memory):
        self.check()
        call = 'IExecutionContext.set_tensor_address'
        if self.world.call(call) or name not in self.engine._values:
            self._say(f'setTensorAddress: given invalid tensor name: {name}')
            return Verdict(self.world, call, False)
        self._addresses[name] = int(memory)
        return Verdict(self.world, call, True)

    def get_tensor_address(self, name):
        return self._addresses.get(name, 0)

    def infer_shapes(self):
        self.check()
        return []

    def execute_async_v3(self, stream_handle):
        self.check()
        call, world, device = 'IExecutionContext.execute_async_v3', self.world, self.world.device
        if not isinstance(stream_handle, int):
            raise TypeError(
                f'execute_async_v3(): incompatible function arguments: {stream_handle}'
            )
        capturing, invalid = device.stream_state(stream_handle)
        if world.call(call, optional=capturing) or invalid:
            self._say('enqueueV3: launch failed')
            if capturing:
                device.invalidate_capture(stream_handle)
            return Verdict(world, call, False)
        if capturing and not world.is_capturable:
            self._say('enqueueV3: operation not permitted when stream is capturing')
            device.invalidate_capture(stream_handle)
            return Verdict(world, call, False)
        if capturing and not self._has_run:
            world.misuse('captured before the first run, which has work of its own to do')
        values = self.engine.model.values
        places = []
        for value in values:
            if not self._addresses.get(value.name):
                world.misuse(f'execute_async_v3 without an address of {value.name!r}')
            place = (self._addresses[value.name], value.size_bytes)
            device.check_tensor(*place, f'tensor {value.name!r}')
            places.append(place)
        reads = [place for place, value in zip(places, values) if value.is_input]
        writes = [place for place, value in zip(places, values) if not value.is_input]
        device.queue(stream_handle, reads, writes, self._computing(), self._staging)
        self._has_run = True
        return Verdict(world, call, True)

    def _computing(self):
        # Work in a queue or graph does not keep the context alive, as in CUDA.
        world, run, context = self.world, self.engine.model.run, weakref.ref(self)

        def compute(inputs):
            if context() is None:
                world.misuse('a context was freed before its work was done')
            return run(inputs)

        return compute

    def _say(self, text):
        say(self.world, self.engine.runtime.logger, Severity.ERROR, f'IExecutionContext::{text}')
