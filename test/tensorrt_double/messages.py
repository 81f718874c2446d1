"""Base classes that the code under test derives from."""

import threading

from tensorrt_double.enums import Severity


class _Trampoline:
    """A class of C++ that Python derives from: its __init__ has to be called."""

    _initialized = False

    def __init__(self):
        self._initialized = True


def check_derived(thing, base):
    """Raise what pybind11 raises where an argument is not of the base or not made properly."""
    if not isinstance(thing, base):
        raise TypeError(f'incompatible function arguments: {thing!r} is no {base.__name__}')
    if not thing._initialized:
        raise TypeError(f'{base.__name__}.__init__() must be called when overriding __init__')


class ILogger(_Trampoline):
    Severity = Severity
    INTERNAL_ERROR = Severity.INTERNAL_ERROR
    ERROR = Severity.ERROR
    WARNING = Severity.WARNING
    INFO = Severity.INFO
    VERBOSE = Severity.VERBOSE

    def log(self, severity, msg):
        raise NotImplementedError


class Logger(ILogger):
    def __init__(self, min_severity=Severity.WARNING):
        super().__init__()
        self.min_severity = min_severity

    def log(self, severity, msg):
        if int(severity) <= int(self.min_severity):
            print(f'[TRT] [{severity.name}] {msg}')


class IProgressMonitor(_Trampoline):
    def phase_start(self, phase_name, parent_phase, num_steps):
        raise NotImplementedError

    def step_complete(self, phase_name, step):
        raise NotImplementedError

    def phase_finish(self, phase_name):
        raise NotImplementedError


def say(world, logger, severity, message):
    """Log a line; from where C++ cannot take an exception."""
    in_cpp(world, 'ILogger.log', lambda: logger.log(severity, message))


def in_cpp(world, call, action):
    """Call Python from C++: an exception there ends the process."""
    try:
        return action()
    except BaseException as error:
        return world.misuse(f'{call} raised {error!r} into C++')


def in_other_thread(action):
    """Do something in a thread of TensorRT's own, and wait for it."""
    failures = []

    def run():
        try:
            action()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run, name='TensorRT double')
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
