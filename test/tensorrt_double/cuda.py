"""The double of ``cuda.bindings.runtime``: the functions that engines/cuda.py calls."""

import threading
import types

from tensorrt_double.cuda_codes import TEXTS
from tensorrt_double.cuda_codes import cudaError_t
from tensorrt_double.cuda_codes import cudaMemcpyKind
from tensorrt_double.cuda_codes import cudaStreamCaptureMode
from tensorrt_double.cuda_memory import Graph
from tensorrt_double.cuda_memory import Memory
from tensorrt_double.cuda_memory import Operation
from tensorrt_double.cuda_memory import Stream
from tensorrt_double.world import Status


class CudaDouble:
    """
    CUDA's runtime over numpy, for one world.

    Each function is as the bindings have it. ``module()`` makes a module of them.
    """

    cudaError_t = cudaError_t
    cudaMemcpyKind = cudaMemcpyKind
    cudaStreamCaptureMode = cudaStreamCaptureMode
    cudaStreamNonBlocking = 1
    cudaHostAllocDefault = 0

    def __init__(self, world):
        self.world = world
        self.memory = Memory(world)
        self.streams = {}
        self.graphs = {}  # and executable ones, by number
        self._numbers = iter(range(0x5000, 1 << 30, 0x10))

    def module(self):
        module = types.ModuleType('cuda.bindings.runtime')
        for name in dir(self):
            if name.startswith('cuda'):
                setattr(module, name, getattr(self, name))
        return module

    def leaks(self):
        found = [f'{b.kind} memory of {b.content.size} bytes' for b in self.memory.blocks.values()]
        return found + [repr(h) for h in (*self.streams.values(), *self.graphs.values())]

    # What the double's TensorRT needs of a device, see also real_cuda.py.

    def check_tensor(self, address, size, what):
        if address % 256:
            self.world.misuse(f'{what}: address {address:#x} is not aligned')
        self.memory.find(address, size, 'device', what)

    def staging(self, sizes):
        """Return what ``queue`` needs of its own; here nothing."""
        del sizes

    def stream_state(self, handle):
        """Return (is capturing, capture is invalid) of a stream."""
        stream = self._stream(handle, 'execute_async_v3')
        return stream.captured is not None, stream.is_invalid

    def invalidate_capture(self, handle):
        self.streams[handle].is_invalid = True

    def queue(self, handle, reads, writes, compute, staging):
        """Queue a computation from bytes at (address, size) ``reads`` to such ``writes``."""
        del staging
        sources = [self.memory.find(*read, 'device', 'an input') for read in reads]
        targets = [self.memory.find(*write, 'device', 'an output') for write in writes]

        def run():
            results = compute([content.tobytes() for _, content in sources])
            for (_, content), result in zip(targets, results):
                content[:] = memoryview(result)

        touches = tuple(block for block, _ in (*sources, *targets))
        self._enqueue(self.streams[handle], Operation('execute_async_v3', run, touches))

    # Devices

    def cudaGetDeviceCount(self):
        codes = cudaError_t
        if self.world.call('cudaGetDeviceCount'):
            return self._answer('cudaGetDeviceCount', codes.cudaErrorLaunchFailure, None)
        gpu, status = self.world.gpu, codes.cudaSuccess
        if gpu.driver_version // 1000 < gpu.runtime_version // 1000:
            status = codes.cudaErrorInsufficientDriver
        elif not gpu.count:
            status = codes.cudaErrorNoDevice
        return self._answer('cudaGetDeviceCount', status, None if status else gpu.count)

    def cudaGetDeviceProperties(self, device):
        if self._fails('cudaGetDeviceProperties'):
            return self._failure('cudaGetDeviceProperties', None)
        if not 0 <= device < self.world.gpu.count:
            return self._answer(
                'cudaGetDeviceProperties', cudaError_t.cudaErrorInvalidDevice, None
            )
        gpu = self.world.gpu
        properties = types.SimpleNamespace(
            name=gpu.name.encode(),
            major=gpu.capability[0],
            minor=gpu.capability[1],
            totalGlobalMem=gpu.memory_bytes,
            integrated=int(gpu.integrated),
        )
        return self._answer('cudaGetDeviceProperties', 0, properties)

    def cudaSetDevice(self, device):
        if self._fails('cudaSetDevice'):
            return self._failure('cudaSetDevice')
        wrong = not 0 <= device < self.world.gpu.count
        return self._answer('cudaSetDevice', cudaError_t.cudaErrorInvalidDevice if wrong else 0)

    def cudaDriverGetVersion(self):
        return Status(0), self.world.gpu.driver_version

    def cudaRuntimeGetVersion(self):
        return Status(0), self.world.gpu.runtime_version

    def cudaGetErrorName(self, error):
        return Status(0), cudaError_t(int(error)).name.encode()

    def cudaGetErrorString(self, error):
        code = cudaError_t(int(error))
        return Status(0), TEXTS.get(code, code.name.encode())

    def cudaGetLastError(self):
        return (Status(0),)

    # Memory

    def cudaMalloc(self, size):
        return self._allocate('cudaMalloc', 'device', size)

    def cudaHostAlloc(self, size, flags):
        assert flags in (0, 1, 2, 4), 'flags of cudaHostAlloc'
        return self._allocate('cudaHostAlloc', 'pinned', size)

    def cudaFree(self, devPtr):
        return self._release('cudaFree', 'device', devPtr)

    def cudaFreeHost(self, ptr):
        return self._release('cudaFreeHost', 'pinned', ptr)

    def _allocate(self, call, kind, size):
        if self._fails(call):
            return self._failure(call, None, code=cudaError_t.cudaErrorMemoryAllocation)
        self._check_not_capturing(call)
        if size <= 0:
            self.world.misuse(f'{call} of {size} bytes')
        return self._answer(call, 0, self.memory.allocate(kind, int(size)))

    def _release(self, call, kind, address):
        # Where freeing fails on purpose, it has happened: one cannot do better than try.
        fails = self._fails(call)
        self._check_not_capturing(call)
        if int(address):
            self.memory.free(kind, int(address), self.streams.values())
        return self._failure(call) if fails else self._answer(call, 0)

    def cudaMemcpyAsync(self, dst, src, count, kind, stream):
        call = 'cudaMemcpyAsync'
        queue = self._stream(stream, call)
        if self._fails(call, optional=queue.captured is not None):
            queue.is_invalid = queue.captured is not None
            return self._failure(call)
        kinds = {1: ('device', 'pinned'), 2: ('pinned', 'device'), 3: ('device', 'device')}
        target_kind, source_kind = kinds[int(kind)]
        target_block, target = self.memory.find(dst, count, target_kind, f'target of {call}')
        source_block, source = self.memory.find(src, count, source_kind, f'source of {call}')

        def run():
            target[:] = source

        self._enqueue(queue, Operation(call, run, (target_block, source_block)))
        return self._answer(call, 0)

    # Streams

    def cudaStreamCreateWithFlags(self, flags):
        if self._fails('cudaStreamCreateWithFlags'):
            return self._failure('cudaStreamCreateWithFlags', None)
        assert flags in (0, 1), 'flags of cudaStreamCreateWithFlags'
        stream = Stream(next(self._numbers))
        self.streams[int(stream)] = stream
        return self._answer('cudaStreamCreateWithFlags', 0, stream)

    def cudaStreamSynchronize(self, stream):
        call = 'cudaStreamSynchronize'
        queue = self._stream(stream, call)
        fails = self._fails(call)
        if queue.captured is not None:
            queue.is_invalid = True
            self.world.misuse(f'{call} while capturing')
        work, queue.queue = queue.queue, []
        if fails:  # the work went wrong: what it should have written is not there
            self.world.failed = self.world.failed or call
            return self._failure(call, code=cudaError_t.cudaErrorLaunchFailure)
        for operation in work:
            self.memory.checked_run(operation)
        return self._answer(call, 0)

    def cudaStreamDestroy(self, stream):
        call = 'cudaStreamDestroy'
        queue = self._stream(stream, call)
        fails = self._fails(call)
        if queue.queue:
            self.world.misuse(f'{call} with {len(queue.queue)} operations queued')
        del self.streams[int(queue)]
        return self._failure(call) if fails else self._answer(call, 0)

    # Graphs

    def cudaStreamBeginCapture(self, stream, mode):
        call = 'cudaStreamBeginCapture'
        queue = self._stream(stream, call)
        if self._fails(call):
            return self._failure(call)
        cudaStreamCaptureMode(mode)
        if queue.captured is not None:
            self.world.misuse(f'{call} on a stream that is capturing')
        queue.captured, queue.is_invalid = [], False
        return self._answer(call, 0)

    def cudaStreamEndCapture(self, stream):
        call = 'cudaStreamEndCapture'
        queue = self._stream(stream, call)
        fails = self._fails(call)
        if queue.captured is None:
            self.world.misuse(f'{call} on a stream that is not capturing')
        operations, queue.captured = queue.captured, None
        was_invalid, queue.is_invalid = queue.is_invalid, False
        if was_invalid:  # an error was told before: this one says nothing new
            return Status(cudaError_t.cudaErrorStreamCaptureInvalidated), None
        if fails:
            return self._failure(call, None, code=cudaError_t.cudaErrorStreamCaptureInvalidated)
        return self._answer(call, 0, self._made(Graph(next(self._numbers), operations)))

    def cudaGraphInstantiateWithFlags(self, graph, flags):
        call = 'cudaGraphInstantiateWithFlags'
        source = self._graph(graph, 'graph', call)
        if self._fails(call):
            return self._failure(call, None, code=cudaError_t.cudaErrorMemoryAllocation)
        assert flags == 0, 'flags of cudaGraphInstantiateWithFlags'
        executable = Graph(next(self._numbers), list(source.operations))
        executable.kind = 'executable graph'
        return self._answer(call, 0, self._made(executable))

    def cudaGraphLaunch(self, graphExec, stream):
        call = 'cudaGraphLaunch'
        executable = self._graph(graphExec, 'executable graph', call)
        queue = self._stream(stream, call)
        if self._fails(call):
            return self._failure(call, code=cudaError_t.cudaErrorLaunchFailure)
        for operation in executable.operations:
            self._enqueue(queue, operation)
        return self._answer(call, 0)

    def cudaGraphDestroy(self, graph):
        return self._destroy_graph('cudaGraphDestroy', 'graph', graph)

    def cudaGraphExecDestroy(self, graphExec):
        return self._destroy_graph('cudaGraphExecDestroy', 'executable graph', graphExec)

    def _destroy_graph(self, call, kind, graph):
        fails = self._fails(call)
        del self.graphs[int(self._graph(graph, kind, call))]
        return self._failure(call) if fails else self._answer(call, 0)

    # Common to all

    def _fails(self, call, optional=False):
        return self.world.call(call, optional)

    def _answer(self, call, status, *results):
        return (Status(status).expect_look(self.world, call), *results)

    def _failure(self, call, *results, code=cudaError_t.cudaErrorInvalidValue):
        return self._answer(call, code, *results)

    def _made(self, graph):
        self.graphs[int(graph)] = graph
        return graph

    def _enqueue(self, stream, operation):
        (stream.queue if stream.captured is None else stream.captured).append(operation)

    def _stream(self, stream, call):
        number = int(stream) if stream is not None else 0
        if not number:
            self.world.misuse(f'{call} on the default stream, which waits for all others')
        if number not in self.streams:
            self.world.misuse(f'{call} on a stream that was destroyed or never was')
        found = self.streams[number]
        self.world.check_thread(found.thread, f'the stream, by {call},')
        return found

    def _graph(self, graph, kind, call):
        found = self.graphs.get(int(graph) if graph is not None else 0)
        if found is None or found.kind != kind:
            self.world.misuse(f'{call} on what is no {kind}, or no more')
        self.world.check_thread(found.thread, f'the {kind}, by {call},')
        return found

    def _check_not_capturing(self, call):
        for stream in self.streams.values():
            if stream.captured is not None and stream.thread == threading.get_ident():
                stream.is_invalid = True
                self.world.misuse(f'{call} while a stream is capturing')
