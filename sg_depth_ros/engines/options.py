"""What a user decides about engines."""

from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Literal

EngineKind = Literal['auto', 'onnxruntime', 'tensorrt']
Device = Literal['auto', 'cpu', 'cuda']


@dataclass(frozen=True)
class OnnxRuntimeOptions:
    """How ONNX Runtime runs a model."""

    threads: int | None = None  # of the CPU; None: one per core this process may use
    device: Device = 'auto'  # auto: CUDA where ONNX Runtime has it and it works, else the CPU
    tf32: bool = False  # on CUDA, as for TensorRT below


@dataclass(frozen=True)
class TensorRTOptions:
    """How TensorRT builds, keeps and runs a plan."""

    cache_folder: Path | None = None  # of plans; None: the user's own, plan_cache.cache_folder
    allow_build: bool = True  # False: a plan that is not in the cache is refused
    rebuild: bool = False  # build also where the cache has the plan
    optimization_level: int = 3  # 0 builds fastest, 5 searches longest
    workspace_mb: int | None = None  # GPU memory that a layer may use; None: all there is
    tf32: bool = False  # products of float32 with 10 bits of mantissa, on Ampere and later
    timing_cache: bool = True  # remember measurements from one build for the next
    hardware_compatible: bool = False  # the plan runs on every GPU from Ampere on, slower
    version_compatible: bool = False  # the plan runs under later TensorRTs of one major version
    cuda_graph: bool = True  # record the work once and replay it: less overhead per image


@dataclass(frozen=True)
class EngineOptions:
    """How engines are opened."""

    onnxruntime: OnnxRuntimeOptions = field(default_factory=OnnxRuntimeOptions)
    tensorrt: TensorRTOptions = field(default_factory=TensorRTOptions)
    # To the fp32 file beside an fp16 one, where fp16 fails, and on the CPU, where it is slower.
    allow_fallback: bool = True
    self_test: bool = True  # False is for those who judge the engine themselves
