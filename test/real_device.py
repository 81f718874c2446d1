"""Whether this machine has a GPU that CUDA can use, for tests that need a real one."""

from sg_depth_ros.engines.cuda import find_cuda_device
from sg_depth_ros.engines.cuda import use_cuda_device
from sg_depth_ros.engines.engine import EngineUnavailableError


def why_no_device():
    """Return what is missing; None where there is a device."""
    try:
        use_cuda_device(find_cuda_device())
    except EngineUnavailableError as error:
        return str(error)
    return None
