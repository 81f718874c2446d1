"""The node's parameters: declared from one dataclass, read into it, checked."""

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from dataclasses import fields
from pathlib import Path
from typing import Any
from typing import NamedTuple

from rcl_interfaces.msg import FloatingPointRange
from rcl_interfaces.msg import IntegerRange
from rcl_interfaces.msg import ParameterDescriptor
from rcl_interfaces.msg import SetParametersResult
from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.parameter import Parameter

from sg_depth_ros.errors import UserError


class _Documentation(NamedTuple):
    description: str
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    read_only: bool = False


def _parameter(default: Any, description: str, **details: Any) -> Any:
    return field(
        default=default, metadata={'documentation': _Documentation(description, **details)}
    )


@dataclass(frozen=True)
class NodeParameters:
    """What the node runs with; every field is a ROS parameter of the same name."""

    model: str = _parameter('', 'Path of the model.onnx to run. Required.')
    engine: str = _parameter(
        'auto',
        'Library that runs the model.',
        choices=('auto', 'onnxruntime', 'tensorrt'),
    )
    engine_threads: int = _parameter(
        0, 'CPU threads of the engine; 0: one per core.', minimum=0, maximum=256
    )
    engine_device: str = _parameter(
        'auto',
        'Where ONNX Runtime runs the model; auto: with CUDA where that works, else on the CPU.',
        choices=('auto', 'cpu', 'cuda'),
    )
    engine_cache: str = _parameter(
        '',
        'Folder of the plans that TensorRT builds; empty: $SG_DEPTH_ROS_CACHE, else '
        '$XDG_CACHE_HOME/sg_depth_ros, else ~/.cache/sg_depth_ros.',
    )
    allow_engine_build: bool = _parameter(
        True,
        'Build a plan that is not in the cache, which takes minutes. Without it configuring fails '
        'at once and names the command that builds the plan.',
    )
    allow_engine_fallback: bool = _parameter(
        True, 'Where an fp16 model fails its self-test, run the fp32 file beside it.'
    )
    engine_workspace_mb: int = _parameter(
        0,
        'GPU memory that a layer may use in the plan, in MiB; 0: all there is.',
        minimum=0,
        maximum=1 << 20,
    )
    engine_optimization_level: int = _parameter(
        3,
        'How long TensorRT searches for a fast plan: 0 builds fastest, 5 searches longest.',
        minimum=0,
        maximum=5,
    )
    engine_tf32: bool = _parameter(
        False, 'Let the GPU multiply float32 with 10 bits of mantissa: faster, less exact.'
    )
    engine_hardware_compatible: bool = _parameter(
        False, 'Use a plan for every GPU from Ampere on, slower; not on a Jetson.'
    )
    engine_version_compatible: bool = _parameter(
        False, 'Use a plan for later TensorRTs of the same major version too, slower.'
    )
    autostart: bool = _parameter(
        True, 'Configure and activate at start, without a lifecycle manager.', read_only=True
    )
    processing_mode: str = _parameter(
        'latest',
        'latest: the newest image, older ones are dropped, for driving. '
        'every: every image in order, none dropped, for evaluation.',
        choices=('latest', 'every'),
    )
    image_transport: str = _parameter(
        'raw',
        'raw: sensor_msgs/Image on ~/image. '
        'compressed: sensor_msgs/CompressedImage on ~/image/compressed.',
        choices=('raw', 'compressed'),
    )
    input_reliability: str = _parameter(
        'auto',
        'Reliability of the input subscriptions; auto: what the publisher offers.',
        choices=('auto', 'reliable', 'best_effort'),
    )
    input_depth: int = _parameter(
        0, 'Images queued by ROS; 0: 5 for latest, 1000 for every.', minimum=0, maximum=10000
    )
    output_depth: int = _parameter(
        0, 'Messages kept per output; 0: 2 for latest, 200 for every.', minimum=0, maximum=10000
    )
    input_distortion: str = _parameter(
        'auto',
        'none: the images are rectified and P describes them. camera_info: distorted as K and D '
        'say. auto: none where the topic is named image_rect*, else camera_info.',
        choices=('auto', 'none', 'camera_info'),
    )
    camera_info_wait_s: float = _parameter(
        5.0,
        'How long processing_mode every holds images back for the first camera_info, in seconds.',
        minimum=0.0,
        maximum=600.0,
    )
    focal_correction: bool = _parameter(
        True,
        'Multiply depth by the ratio of this focal length to that of training. Without it, depth '
        'needs no camera_info but is metric for the training camera only.',
    )
    allow_unscaled_depth: bool = _parameter(
        False, 'Publish depth of a model that is not metric, up to an unknown scale.'
    )
    max_depth_m: float = _parameter(
        0.0,
        "Depth beyond is published as infinite, in metres; 0: the model's own limit.",
        minimum=0.0,
        maximum=10000.0,
    )
    cloud_stride: int = _parameter(
        1, 'The cloud takes every n-th row and column of the depth.', minimum=1, maximum=64
    )
    cloud_labels: bool = _parameter(False, 'Give every point of the cloud its class id, "label".')
    depth_color_max_m: float = _parameter(
        50.0,
        'End of the colour scale of ~/depth/color in metres, fixed so that a colour is a depth.',
        minimum=0.1,
        maximum=10000.0,
    )

    @property
    def every_frame(self) -> bool:
        """Whether no image may be dropped."""
        return self.processing_mode == 'every'


def declare_parameters(node: Node) -> None:
    """
    Declare every parameter with description, range and default.

    :raises UserError: for an override of a wrong type or outside its range.
    """
    for entry in fields(NodeParameters):
        descriptor = _descriptor(entry.metadata['documentation'], type(entry.default))
        try:
            node.declare_parameter(entry.name, entry.default, descriptor)
        except ParameterException as error:
            raise UserError(f'parameter "{entry.name}": {_one_line(error)}') from error


def read_parameters(node: Node) -> NodeParameters:
    """
    Read the declared parameters.

    :raises UserError: where a value is none of its choices or the model is missing.
    """
    parameters = NodeParameters(
        **{entry.name: node.get_parameter(entry.name).value for entry in fields(NodeParameters)}
    )
    for entry in fields(parameters):
        choices = entry.metadata['documentation'].choices
        value = getattr(parameters, entry.name)
        if choices and value not in choices:
            raise UserError(
                f'parameter "{entry.name}" is {value!r}, not one of {", ".join(choices)}'
            )
    if not parameters.model:
        raise UserError(
            'parameter "model" is not set: give the path of a model.onnx, '
            'for example --ros-args -p model:=model.onnx'
        )
    if not Path(parameters.model).is_file():
        raise UserError(f'parameter "model": {parameters.model}: no such file')
    return parameters


def refuse_changes(
    parameters: 'Sequence[Parameter[Any]]', configured: bool
) -> SetParametersResult:
    """Refuse to set a parameter of ours on a configured node: it would not take effect."""
    ours = {entry.name for entry in fields(NodeParameters)}
    names = [parameter.name for parameter in parameters if parameter.name in ours]
    if not configured or not names:
        return SetParametersResult(successful=True)
    return SetParametersResult(
        successful=False, reason=f'{", ".join(names)}: read when configuring; clean up first'
    )


def parameter_help() -> str:
    """Return a line per parameter, for --help."""
    lines = []
    for entry in fields(NodeParameters):
        documentation = entry.metadata['documentation']
        choices = f' [{" | ".join(documentation.choices)}]' if documentation.choices else ''
        lines.append(f'  {entry.name} (default {entry.default!r}){choices}')
        lines.append(f'      {documentation.description}')
    return '\n'.join(lines)


def _descriptor(documentation: _Documentation, kind: type) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(
        description=documentation.description, read_only=documentation.read_only
    )
    if documentation.choices:
        descriptor.additional_constraints = f'one of: {", ".join(documentation.choices)}'
    if documentation.minimum is not None and documentation.maximum is not None:
        low, high = documentation.minimum, documentation.maximum
        if kind is int:
            descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high))]
        else:
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(low), to_value=float(high))
            ]
    return descriptor


def _one_line(error: Exception) -> str:
    return ' '.join(str(error).split())
