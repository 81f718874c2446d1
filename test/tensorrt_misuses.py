"""Programs that misuse TensorRT or CUDA in one way each, and what the double says of them."""

import contextlib
import sys
import threading

import numpy as np
from tensorrt_double import Misuse

SIZES = {'image': 32 * 64 * 3, 'depth': 32 * 64 * 4, 'labels': 32 * 64, 'confidence': 32 * 64}
TO_DEVICE, TO_HOST = 1, 2


def value(answer):
    """Look at the status and return what comes with it."""
    assert int(answer[0]) == 0
    return answer[1] if len(answer) > 1 else None


class Session:
    """The calls of a correct program, from which the tests below depart."""

    def __init__(self, content):
        self.cuda, self.trt = sys.modules['cuda.bindings.runtime'], sys.modules['tensorrt']
        trt = self.trt
        self.log = trt.Logger(trt.Logger.INTERNAL_ERROR)
        self.builder = trt.Builder(self.log)
        self.network = self.builder.create_network(1 << 1)
        self.parser = trt.OnnxParser(self.network, self.log)
        self.config = self.builder.create_builder_config()
        self.content = content
        self.stream = value(self.cuda.cudaStreamCreateWithFlags(1))
        self.memory = {name: value(self.cuda.cudaMalloc(size)) for name, size in SIZES.items()}
        self.pinned = {
            name: value(self.cuda.cudaHostAlloc(size, 0)) for name, size in SIZES.items()
        }

    def build(self):
        assert self.parser.parse(self.content)
        return bytes(self.builder.build_serialized_network(self.network, self.config))

    def load(self, plan=None):
        self.runtime = self.trt.Runtime(self.log)
        self.engine = self.runtime.deserialize_cuda_engine(plan or self.build())
        self.context = self.engine.create_execution_context()
        for name, address in self.memory.items():
            assert self.context.set_tensor_address(name, address)
        return self

    def execute(self):
        assert self.context.execute_async_v3(int(self.stream))

    def copy(self, name='image', kind=TO_DEVICE):
        pair = (self.memory[name], self.pinned[name])
        target, source = pair if kind == TO_DEVICE else pair[::-1]
        value(self.cuda.cudaMemcpyAsync(target, source, SIZES[name], kind, self.stream))

    def wait(self):
        value(self.cuda.cudaStreamSynchronize(self.stream))

    def free(self):
        for address in self.memory.values():
            value(self.cuda.cudaFree(address))
        for address in self.pinned.values():
            value(self.cuda.cudaFreeHost(address))
        value(self.cuda.cudaStreamDestroy(self.stream))
        self.__dict__.clear()


def in_another_thread(action):
    def run():
        with contextlib.suppress(Misuse):
            action()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()


def capture(session):
    value(session.cuda.cudaStreamBeginCapture(session.stream, 1))


def free_image(session):
    value(session.cuda.cudaFree(session.memory.pop('image')))


def misuse_execute_without_address(session):
    session.load()
    session.context = session.engine.create_execution_context()
    session.execute()


def misuse_free_what_is_queued(session):
    session.copy()
    free_image(session)


def misuse_free_then_execute(session):
    session.load()
    free_image(session)
    session.execute()


def misuse_small_memory(session):
    session.load()
    small = session.memory['small'] = value(session.cuda.cudaMalloc(100))
    assert session.context.set_tensor_address('image', small)
    session.execute()


def misuse_host_address(session):
    session.load()
    assert session.context.set_tensor_address('image', session.pinned['image'])
    session.execute()


def misuse_pageable_memory(session):
    pageable = np.zeros(SIZES['image'], np.uint8)
    session.cuda.cudaMemcpyAsync(
        session.memory['image'], pageable.ctypes.data, pageable.nbytes, TO_DEVICE, session.stream
    )


def misuse_wrong_direction(session):
    session.cuda.cudaMemcpyAsync(
        session.memory['image'], session.pinned['image'], 8, TO_HOST, session.stream
    )


def misuse_copy_over_the_end(session):
    session.cuda.cudaMemcpyAsync(
        session.memory['labels'],
        session.pinned['image'],
        SIZES['image'],
        TO_DEVICE,
        session.stream,
    )


def misuse_default_stream(session):
    session.load()
    session.context.execute_async_v3(0)


def misuse_double_free(session):
    value(session.cuda.cudaFree(session.memory['image']))
    session.cuda.cudaFree(session.memory.pop('image'))


def misuse_free_of_another_kind(session):
    session.cuda.cudaFree(session.pinned['image'])


def misuse_stream_of_another_thread(session):
    in_another_thread(session.wait)


def misuse_context_of_another_thread(session):
    session.load()
    in_another_thread(session.execute)


def misuse_free_context_in_another_thread(session):
    session.load()
    in_another_thread(lambda: session.__dict__.pop('context'))


def misuse_ignore_a_status(session):
    session.cuda.cudaStreamSynchronize(session.stream)


def misuse_ignore_a_verdict(session):
    session.load()
    session.context.set_tensor_address('nothing', 0)


def misuse_go_on_after_a_failure(session):
    session.load()
    session.context.engine.world.fail('IExecutionContext.execute_async_v3')
    bool(session.context.execute_async_v3(int(session.stream)))
    session.copy('depth', TO_HOST)


def misuse_wait_while_capturing(session):
    capture(session)
    session.wait()


def misuse_allocate_while_capturing(session):
    capture(session)
    session.cuda.cudaMalloc(8)


def misuse_capture_the_first_run(session):
    session.load()
    capture(session)
    session.execute()


def misuse_graph_over_freed_memory(session):
    capture(session)
    session.copy()
    graph = value(session.cuda.cudaStreamEndCapture(session.stream))
    executable = value(session.cuda.cudaGraphInstantiateWithFlags(graph, 0))
    value(session.cuda.cudaGraphDestroy(graph))
    free_image(session)
    value(session.cuda.cudaGraphLaunch(executable, session.stream))
    try:
        session.wait()
    finally:
        value(session.cuda.cudaGraphExecDestroy(executable))


def misuse_context_gone_before_its_work_is_done(session):
    session.load()
    session.execute()
    del session.context
    session.wait()


def misuse_leave_work_on_a_stream(session):
    session.copy()
    value(session.cuda.cudaStreamDestroy(session.stream))


def misuse_parse_after_build(session):
    session.build()
    session.parser.parse(session.content)


def misuse_build_what_was_not_parsed(session):
    session.builder.build_serialized_network(session.network, session.config)


def misuse_build_what_failed_to_parse(session):
    bool(session.parser.parse(b'no model'))
    session.builder.build_serialized_network(session.network, session.config)


def misuse_build_with_the_configuration_of_another_builder(session):
    assert session.parser.parse(session.content)
    other = session.trt.Builder(session.log).create_builder_config()
    session.builder.build_serialized_network(session.network, other)


def misuse_build_weakly_typed(session):
    session.network = session.builder.create_network(0)
    session.parser = session.trt.OnnxParser(session.network, session.log)
    session.build()


def monitored(session, step_complete):
    class Monitor(session.trt.IProgressMonitor):
        def phase_start(self, phase_name, parent_phase, num_steps):
            pass

        def phase_finish(self, phase_name):
            pass

    Monitor.step_complete = step_complete
    session.config.progress_monitor = Monitor()
    session.build()


def misuse_raise_into_the_build(session):
    def step_complete(self, phase_name, step):
        raise KeyboardInterrupt

    monitored(session, step_complete)


def misuse_monitor_that_gives_no_answer(session):
    monitored(session, lambda self, phase_name, step: None)


def misuse_raise_into_the_log(session):
    def log(self, severity, msg):
        raise ValueError

    session.log = type('Log', (session.trt.ILogger,), {'log': log})()
    session.trt.Runtime(session.log).deserialize_cuda_engine(b'no plan')


EXPECTED = {
    misuse_execute_without_address: 'without an address',
    misuse_free_what_is_queued: 'freed while cudaMemcpyAsync is queued',
    misuse_free_then_execute: 'memory that was freed',
    misuse_small_memory: 'in memory of 100',
    misuse_host_address: 'pinned memory where device is needed',
    misuse_pageable_memory: 'not pinned',
    misuse_wrong_direction: 'memory where',
    misuse_copy_over_the_end: '6144 bytes in memory of 2048',
    misuse_default_stream: 'default stream',
    misuse_double_free: 'freed twice',
    misuse_free_of_another_kind: 'pinned memory freed as device memory',
    misuse_stream_of_another_thread: 'another thread',
    misuse_context_of_another_thread: 'another thread',
    misuse_free_context_in_another_thread: 'IExecutionContext freed in another thread',
    misuse_ignore_a_status: 'nobody looked at what cudaStreamSynchronize',
    misuse_ignore_a_verdict: 'nobody looked at what IExecutionContext.set_tensor_address',
    misuse_go_on_after_a_failure: 'cudaMemcpyAsync although IExecutionContext.execute_async_v3',
    misuse_wait_while_capturing: 'while capturing',
    misuse_allocate_while_capturing: 'cudaMalloc while a stream is capturing',
    misuse_capture_the_first_run: 'before the first run',
    misuse_graph_over_freed_memory: 'ran on memory that was freed',
    misuse_context_gone_before_its_work_is_done: 'freed before its work was done',
    misuse_leave_work_on_a_stream: '1 operations queued',
    misuse_parse_after_build: 'filled or built before',
    misuse_build_what_was_not_parsed: 'no parser filled',
    misuse_build_what_failed_to_parse: 'a parser failed at',
    misuse_build_with_the_configuration_of_another_builder: 'another builder',
    misuse_build_weakly_typed: 'not strongly typed',
    misuse_raise_into_the_build: 'KeyboardInterrupt() into C++',
    misuse_monitor_that_gives_no_answer: 'returned None, no bool',
    misuse_raise_into_the_log: 'ValueError() into C++',
}
