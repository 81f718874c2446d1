"""
A double of TensorRT and of CUDA's bindings, in this process and without a GPU.

Same names, signatures and return conventions as the real ones: CUDA answers with tuples whose
first item is the status; TensorRT with None or False, and a line to the logger. Plans hold the
ONNX file, which ONNX Runtime then runs. Work queued on a stream is done when somebody waits for
the stream, not before. Whatever the real ones would punish by a crash, a leak or wrong numbers
is a misuse here: it raises, and is told again at the end even where the code under test swallowed
it. So is a status or a False that nobody looked at.

    @pytest.fixture
    def world(monkeypatch):
        with installed_double(monkeypatch) as world:
            yield world

``world.fail('cudaMalloc', 2)`` lets the second use of a call fail, ``World.calls`` lists the uses
of all calls that can fail, ``world.fail_at(index)`` lets that one fail, ``world.forgive()`` says
that the test has seen the error and goes on.
"""

from tensorrt_double.installing import installed_double
from tensorrt_double.world import Gpu
from tensorrt_double.world import Misuse
from tensorrt_double.world import World

__all__ = ['Gpu', 'Misuse', 'World', 'installed_double']
