"""Declares the node's parameters, reads them, and takes or refuses changes."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from rcl_interfaces.msg import FloatingPointRange
from rcl_interfaces.msg import IntegerRange
from rcl_interfaces.msg import ParameterDescriptor
from rcl_interfaces.msg import SetParametersResult
from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.parameter import Parameter

from sg_depth_ros.errors import UserError
from sg_depth_ros.node.parameters import Documentation
from sg_depth_ros.node.parameters import NodeParameters


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


def _descriptor(documentation: Documentation, kind: type) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(
        description=documentation.description, read_only=documentation.applies == 'at start'
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
