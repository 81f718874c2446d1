"""Declares the node's parameters, and takes or refuses changes with a reason."""

from collections.abc import Iterable
from collections.abc import Sequence
from dataclasses import fields
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

from rcl_interfaces.msg import FloatingPointRange
from rcl_interfaces.msg import IntegerRange
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.exceptions import InvalidParameterTypeException
from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.parameter import Parameter

from sg_depth_ros.errors import UserError
from sg_depth_ros.node.parameters import NodeParameters
from sg_depth_ros.node.parameters import documentation_of

# What a value must look like in YAML and on the command line.
_KINDS = {
    float: 'a number with a point, such as 1.0',
    int: 'a whole number',
    bool: 'true or false',
    str: 'a text, in quotes where it could be something else',
}
_NAMES = frozenset(entry.name for entry in fields(NodeParameters))


class SettingsBox:
    """
    The parameters as they stand, for every thread.

    A change replaces them all at once, so that who reads ``current`` once has values that go
    together, and who finds another object than last time knows that something changed.
    """

    def __init__(self, current: NodeParameters) -> None:
        self._current = current

    @property
    def current(self) -> NodeParameters:
        """The parameters as they stand."""
        return self._current

    def put(self, settings: NodeParameters) -> None:
        """Replace the parameters."""
        self._current = settings

    def __call__(self) -> NodeParameters:
        """Return ``current``."""
        return self._current


def declare_parameters(node: Node) -> NodeParameters:
    """
    Declare every parameter with description, range and default.

    :return: the values that the node was started with.
    :raises UserError: for a value of a wrong type, outside its range or none of its choices.
    """
    settings = NodeParameters()
    for entry in fields(NodeParameters):
        try:
            parameter = node.declare_parameter(
                entry.name, entry.default, parameter_descriptor(entry.name)
            )
        except ParameterException as error:
            reason = ' '.join(str(error).split()).removesuffix(f': {entry.name}')
            if isinstance(error, InvalidParameterTypeException):
                reason += f'; it must be {_KINDS[type(entry.default)]}'
            raise UserError(f'parameter "{entry.name}": {reason}') from error
        settings = replace(settings, **{entry.name: parameter.value})
    check_choices(settings)
    return settings


def changed_parameters(
    current: NodeParameters, changes: 'Sequence[Parameter[Any]]', configured: bool
) -> NodeParameters:
    """
    Return the parameters after a change.

    rclpy has refused wrong types, read-only ones and what is out of range (NaN and infinity too)
    before it asks.

    :param changes: parameters of ours and of others, which are left alone.
    :param configured: whether the engine is open and the topics are there.
    :raises UserError: where a change may not be made: its reason for the caller.
    """
    ours = {change.name: change.value for change in changes if change.name in _NAMES}
    candidate = replace(current, **ours)
    check_choices(candidate)
    # What a file sets again to the same value, as "ros2 param load" does, changes nothing.
    late = [
        name
        for name in ours
        if documentation_of(name).applies != 'at once'
        and getattr(candidate, name) != getattr(current, name)
    ]
    if configured and late:
        raise UserError(
            f'{", ".join(late)}: read when configuring; deactivate and clean up the node, set it '
            'then, and configure again'
        )
    return candidate


def check_choices(settings: NodeParameters) -> None:
    """
    Check the parameters that are one of several words.

    :raises UserError: naming the parameter and its choices.
    """
    for entry in fields(settings):
        choices = documentation_of(entry.name).choices
        value = getattr(settings, entry.name)
        if choices and value not in choices:
            raise UserError(
                f'parameter "{entry.name}" is {value!r}, not one of {", ".join(choices)}'
            )


def check_model(settings: NodeParameters, node_name: str) -> None:
    """
    Check that there is a model to configure with.

    :param node_name: fully qualified, for the command in the message.
    :raises UserError: saying how to get one.
    """
    if not settings.model:
        raise UserError(
            'no model: name one with --ros-args -p model:=/path/to/model.onnx or '
            f'ros2 param set {node_name} model /path/to/model.onnx; to get one, train it on your '
            'own recordings and export it (README, "Train on your own recordings")'
        )
    if not settings.model_path.is_file():
        raise UserError(f'parameter "model": {settings.model}: no such file')


def unknown_parameters(node: Node) -> list[tuple[str, str]]:
    """
    Return the parameters given at the start that the node does not have, each with a hint.

    ROS ignores them without a word. They are no mistake where a file is meant for several nodes.
    """
    given = getattr(node, '_parameter_overrides', {})  # rclpy shows them in no other way
    unknown = [
        name
        for name in given
        if not node.has_parameter(name) and not name.startswith('qos_overrides.')
    ]
    return [(name, _did_you_mean(name)) for name in unknown]


def parameter_descriptor(name: str) -> ParameterDescriptor:
    """Return what ROS is told of a parameter: its description, range and when it applies."""
    documentation = documentation_of(name)
    descriptor = ParameterDescriptor(
        description=documentation.description, read_only=documentation.applies == 'at start'
    )
    descriptor.additional_constraints = '; '.join(
        _constraints(documentation.choices, documentation.applies)
    )
    low, high = documentation.minimum, documentation.maximum
    if low is not None and high is not None:
        if type(getattr(NodeParameters(), name)) is int:
            descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high))]
        else:
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(low), to_value=float(high))
            ]
    return descriptor


def _constraints(choices: tuple[str, ...], applies: str) -> Iterable[str]:
    if choices:
        yield f'one of: {", ".join(choices)}'
    if applies == 'when configuring':
        yield 'read when configuring'


def _did_you_mean(name: str) -> str:
    close = get_close_matches(name, _NAMES, n=1)
    return f'; did you mean "{close[0]}"?' if close else ''
