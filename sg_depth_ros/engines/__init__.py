"""Running an exported model: the Engine protocol and its implementations."""

from sg_depth_ros.engines.engine import Engine
from sg_depth_ros.engines.engine import EngineUnavailableError
from sg_depth_ros.engines.engine import Prediction
from sg_depth_ros.engines.engine import TimedEngine
from sg_depth_ros.engines.opening import OpenedEngine
from sg_depth_ros.engines.opening import Refusal
from sg_depth_ros.engines.opening import choose_engine
from sg_depth_ros.engines.opening import open_engine
from sg_depth_ros.engines.options import EngineKind
from sg_depth_ros.engines.options import EngineOptions
from sg_depth_ros.engines.options import OnnxRuntimeOptions
from sg_depth_ros.engines.options import TensorRTOptions

__all__ = [
    'Engine',
    'EngineKind',
    'EngineOptions',
    'EngineUnavailableError',
    'OnnxRuntimeOptions',
    'OpenedEngine',
    'Prediction',
    'Refusal',
    'TensorRTOptions',
    'TimedEngine',
    'choose_engine',
    'open_engine',
]
