"""
Lets the double's TensorRT work with a real device, through the real ``cuda-bindings``.

Its network runs on the CPU within the stream: copies to pinned memory, a function of the host,
copies back. So it is asynchronous and can be captured, as the real TensorRT.
"""

import ctypes

import numpy as np

HOST_FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class RealCuda:
    """What the double's TensorRT needs of a device, see CudaDouble."""

    def __init__(self, world):
        from cuda.bindings import driver
        from cuda.bindings import runtime

        self.world, self.runtime, self.driver = world, runtime, driver
        # Of the driver itself: through the bindings, a function that was captured in a graph runs
        # at its first launch only (github.com/NVIDIA/cuda-python/issues/790).
        self.launch_function = ctypes.CDLL('libcuda.so.1').cuLaunchHostFunc
        self.launch_function.argtypes = (ctypes.c_void_p, HOST_FUNCTION, ctypes.c_void_p)
        self.live_staging = set()

    def leaks(self):
        return ['staging memory of a context'] * len(self.live_staging)

    def check_tensor(self, address, size, what):
        attributes = self.call(self.runtime.cudaPointerGetAttributes, address)
        if attributes.type != self.runtime.cudaMemoryType.cudaMemoryTypeDevice:
            self.world.misuse(f'{what}: {attributes.type} where device memory is needed')
        status, base, length = self.driver.cuMemGetAddressRange(address)
        if int(status) or address + size > int(base) + int(length):
            self.world.misuse(f'{what}: {size} bytes in memory that is smaller')

    def staging(self, sizes):
        return Staging(self, sizes)

    def stream_state(self, handle):
        if not handle:
            self.world.misuse('execute_async_v3 on the default stream, which waits for all others')
        state = self.call(self.runtime.cudaStreamIsCapturing, self.runtime.cudaStream_t(handle))
        states = self.runtime.cudaStreamCaptureStatus
        return (
            state != states.cudaStreamCaptureStatusNone,
            state == states.cudaStreamCaptureStatusInvalidated,
        )

    def invalidate_capture(self, handle):
        """Nothing to do: what follows a failure destroys the capture."""

    def queue(self, handle, reads, writes, compute, staging):
        stream = self.runtime.cudaStream_t(handle)
        kinds = self.runtime.cudaMemcpyKind
        inputs, outputs = staging.split(len(reads))
        for (address, size), (host, _) in zip(reads, inputs):
            self._copy(host, address, size, kinds.cudaMemcpyDeviceToHost, stream)

        def run(_):
            try:
                results = compute([content.tobytes() for _, content in inputs])
                for (_, content), result in zip(outputs, results):
                    content[:] = np.frombuffer(result, np.uint8)
            except BaseException as error:
                self.world.misuses.append(f'the network failed: {error!r}')

        status = self.launch_function(handle, staging.keep(HOST_FUNCTION(run)), None)
        if status:
            self.world.misuse(f'cuLaunchHostFunc failed: {status}')
        for (address, size), (host, _) in zip(writes, outputs):
            self._copy(address, host, size, kinds.cudaMemcpyHostToDevice, stream)

    def _copy(self, target, source, size, kind, stream):
        self.call(self.runtime.cudaMemcpyAsync, target, source, size, kind, stream)

    def call(self, function, *arguments):
        status, *results = function(*arguments)
        if int(status):
            self.world.misuse(f'{function.__name__} failed: {status}')
        return results[0] if results else None


class Staging:
    """Pinned memory of a context, and the functions that were queued with it."""

    def __init__(self, cuda, sizes):
        self._cuda, self._functions = cuda, []
        addresses = [int(cuda.call(cuda.runtime.cudaHostAlloc, size, 0)) for size in sizes]
        self._places = [
            (
                address,
                np.frombuffer((ctypes.c_uint8 * size).from_address(address), np.uint8),
            )
            for address, size in zip(addresses, sizes)
        ]
        cuda.live_staging.add(id(self))

    def split(self, input_count):
        return self._places[:input_count], self._places[input_count:]

    def keep(self, function):
        self._functions.append(function)
        return function

    def close(self):
        for address, _ in self._places:
            self._cuda.call(self._cuda.runtime.cudaFreeHost, address)
        self._cuda.live_staging.discard(id(self))
