"""
The part of TensorRT's Python API that is used here, as types.

Each protocol bears the name of TensorRT's own class or enumeration, and lists exactly what our
code takes from it, all of which TensorRT 10.0 to 11 have. So mypy checks our code against this
file and a test checks this file against the real bindings. The module (``tensorrt``, or
``tensorrt_rtx``) is always called ``trt``.

What the bindings do not say in their signatures: whatever cannot be made or read is None, and
what fails is False; neither raises, the reason goes to the logger. A Builder, a Runtime and a
parser use their logger as long as they live.
"""

# ruff: noqa: D102 (what TensorRT's methods do, its own documentation says)

from collections.abc import Iterator
from typing import Any
from typing import Protocol
from typing import TypeAlias


class EnumMember(Protocol):
    """A member of one of TensorRT's enumerations; equal to itself, and usable as a key."""

    @property
    def name(self) -> str: ...
    def __int__(self) -> int: ...


class Severity(Protocol):
    """``ILogger.Severity``: the lower, the worse."""

    INTERNAL_ERROR: EnumMember
    ERROR: EnumMember
    WARNING: EnumMember
    INFO: EnumMember


class ILogger(Protocol):
    """Base class of what takes TensorRT's messages; ``log`` is called from any thread."""

    Severity: Severity

    def log(self, severity: EnumMember, msg: str) -> None: ...


class IProgressMonitor(Protocol):
    """Base class of what follows a build; called from any thread. Nothing may be raised in it."""

    def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None: ...
    def step_complete(self, phase_name: str, step: int) -> bool: ...
    def phase_finish(self, phase_name: str) -> None: ...


class DataType(Protocol):
    """Types of tensors."""

    FLOAT: EnumMember
    UINT8: EnumMember


class TensorIOMode(Protocol):
    """Whether a tensor goes in or comes out."""

    INPUT: EnumMember
    OUTPUT: EnumMember


class TensorLocation(Protocol):
    """Whose memory a tensor is in."""

    DEVICE: EnumMember


class NetworkDefinitionCreationFlag(Protocol):
    """Bits of ``create_network``: ``1 << int(flag)``."""

    STRONGLY_TYPED: EnumMember


class BuilderFlag(Protocol):
    """What ``IBuilderConfig.set_flag`` takes."""

    TF32: EnumMember
    VERSION_COMPATIBLE: EnumMember


class HardwareCompatibilityLevel(Protocol):
    """On which GPUs a plan runs."""

    AMPERE_PLUS: EnumMember


class MemoryPoolType(Protocol):
    """Pools of memory that can be limited."""

    WORKSPACE: EnumMember


class Dims(Protocol):
    """A shape."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> int: ...
    def __iter__(self) -> Iterator[int]: ...


class IHostMemory(Protocol):
    """Bytes that TensorRT holds; read them with ``bytes(...)``."""

    def __buffer__(self, flags: int, /) -> memoryview: ...


class INetworkDefinition(Protocol):
    """A network that a parser fills."""


class ITimingCache(Protocol):
    """How long kernels took on this GPU."""

    def serialize(self) -> IHostMemory | None: ...


class IBuilderConfig(Protocol):
    """How a plan is built."""

    builder_optimization_level: int
    hardware_compatibility_level: EnumMember
    progress_monitor: IProgressMonitor

    def set_flag(self, flag: EnumMember) -> None: ...
    def clear_flag(self, flag: EnumMember) -> None: ...
    def set_memory_pool_limit(self, pool: EnumMember, pool_size: int) -> None: ...
    def create_timing_cache(self, serialized_timing_cache: bytes) -> ITimingCache | None: ...
    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool: ...


class Builder(Protocol):
    """Makes networks, and plans of them."""

    def create_network(self, flags: int = 0) -> INetworkDefinition | None: ...
    def create_builder_config(self) -> IBuilderConfig | None: ...
    def build_serialized_network(
        self, network: INetworkDefinition, config: IBuilderConfig
    ) -> IHostMemory | None: ...


class ParserError(Protocol):
    """What a parser could not take; every member is a method."""

    def code(self) -> EnumMember: ...
    def desc(self) -> str: ...
    def node(self) -> int: ...
    def node_name(self) -> str: ...
    def node_operator(self) -> str: ...


class OnnxParser(Protocol):
    """Fills a network from an ONNX file."""

    @property
    def num_errors(self) -> int: ...
    def get_error(self, index: int) -> ParserError: ...
    def parse(self, model: bytes, path: str | None = None) -> bool: ...


class IExecutionContext(Protocol):
    """A plan with the memory for one inference at a time."""

    def set_tensor_address(self, name: str, memory: int) -> bool: ...
    def execute_async_v3(self, stream_handle: int) -> bool: ...


class ICudaEngine(Protocol):
    """A plan in the GPU's memory."""

    @property
    def num_io_tensors(self) -> int: ...
    def get_tensor_name(self, index: int) -> str: ...
    def get_tensor_mode(self, name: str) -> EnumMember: ...
    def get_tensor_dtype(self, name: str) -> EnumMember: ...
    def get_tensor_shape(self, name: str) -> Dims: ...
    def get_tensor_location(self, name: str) -> EnumMember: ...
    def create_execution_context(self) -> IExecutionContext | None: ...


class Runtime(Protocol):
    """Reads plans. Host code is the lean runtime that version-compatible plans bring along."""

    engine_host_code_allowed: bool

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None: ...


# In the class below its own attributes hide the classes of the same names.
_Builder: TypeAlias = Builder
_BuilderFlag: TypeAlias = BuilderFlag
_DataType: TypeAlias = DataType
_HardwareCompatibilityLevel: TypeAlias = HardwareCompatibilityLevel
_INetworkDefinition: TypeAlias = INetworkDefinition
_MemoryPoolType: TypeAlias = MemoryPoolType
_NetworkDefinitionCreationFlag: TypeAlias = NetworkDefinitionCreationFlag
_OnnxParser: TypeAlias = OnnxParser
_Runtime: TypeAlias = Runtime
_TensorIOMode: TypeAlias = TensorIOMode
_TensorLocation: TypeAlias = TensorLocation
_Logger: TypeAlias = ILogger


class TensorRT(Protocol):
    """The module itself."""

    __version__: str

    def __hash__(self) -> int: ...

    # To be derived from: mypy takes only real classes as bases, hence no type.
    ILogger: Any
    IProgressMonitor: Any

    BuilderFlag: _BuilderFlag
    DataType: _DataType
    HardwareCompatibilityLevel: _HardwareCompatibilityLevel
    MemoryPoolType: _MemoryPoolType
    NetworkDefinitionCreationFlag: _NetworkDefinitionCreationFlag
    TensorIOMode: _TensorIOMode
    TensorLocation: _TensorLocation

    def Builder(self, logger: _Logger) -> _Builder: ...
    def OnnxParser(self, network: _INetworkDefinition, logger: _Logger) -> _OnnxParser: ...
    def Runtime(self, logger: _Logger) -> _Runtime: ...
