"""The command line of ``replay_bag``."""

import argparse
from dataclasses import fields
from pathlib import Path

from sg_depth_ros.errors import UserError
from sg_depth_ros.node.parameters import NodeParameters
from sg_depth_ros.replay.bag_arguments import add_judging_arguments
from sg_depth_ros.replay.bag_arguments import positive_float
from sg_depth_ros.replay.bag_arguments import positive_int
from sg_depth_ros.replay.live.limit_arguments import add_limit_arguments
from sg_depth_ros.replay.live.modes import MODES
from sg_depth_ros.replay.live.ros_domain import LARGEST_ROS_DOMAIN
from sg_depth_ros.replay.live.timing import DEFAULT_STALE_PERIODS

DEFAULT_IN_FLIGHT = 4
_NODE_PARAMETERS = tuple(field.name for field in fields(NodeParameters))
_OF_ROS = ('use_sim_time', 'qos_overrides.', 'start_type_description_service')


def argument_parser(description: str) -> argparse.ArgumentParser:
    """Return the command line's parser."""
    parser = argparse.ArgumentParser(prog='replay_bag', description=description)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add_judging_arguments(parser)
    _add_mode_arguments(parser)
    _add_node_arguments(parser)
    add_limit_arguments(parser)
    return parser


def check_arguments(arguments: argparse.Namespace) -> None:
    """
    Refuse what argparse cannot.

    :raises UserError: naming the option.
    """
    domain_id = arguments.domain_id
    if domain_id is not None and not 0 <= domain_id <= LARGEST_ROS_DOMAIN:
        raise UserError(f'--domain-id {domain_id} is not within 0 to {LARGEST_ROS_DOMAIN}')
    for parameter in arguments.node_parameter:
        name, is_set, _ = parameter.partition(':=')
        if not is_set:
            raise UserError(f'--node-parameter {parameter}: not of the form NAME:=VALUE')
        # ROS ignores what a node does not declare; a limit would be held to other settings.
        if name not in _NODE_PARAMETERS and not name.startswith(_OF_ROS):
            raise UserError(
                f'--node-parameter {parameter}: the node has no parameter {name}; it has '
                f'{", ".join(_NODE_PARAMETERS)}'
            )


def _add_mode_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group('how it is played').add_argument
    add(
        '--mode',
        choices=tuple(MODES),
        default='both',
        help='lockstep: every image, one after the other; recorded: in the rhythm in which they '
        'were recorded; fast: every image, as fast as the node takes them; both: lockstep and '
        'recorded; all: all three, each in a node of its own (default: %(default)s)',
    )
    add(
        '--rate',
        type=positive_float,
        default=1.0,
        help='speed of the recorded mode: 2 is twice as fast (default: %(default)s)',
    )
    add(
        '--in-flight',
        type=positive_int,
        default=DEFAULT_IN_FLIGHT,
        metavar='N',
        help='in the fast mode, how many images may wait for their outputs (default: %(default)s)',
    )
    add(
        '--stale-after',
        type=positive_float,
        default=DEFAULT_STALE_PERIODS,
        metavar='PERIODS',
        help='in the recorded mode, depth is stale when it comes later than so many intervals of '
        'the images (default: %(default)s)',
    )


def _add_node_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group('the node').add_argument
    add(
        '--node-parameter',
        action='append',
        default=[],
        metavar='NAME:=VALUE',
        help='a further parameter of the node, any number of times',
    )
    add(
        '--engine',
        choices=('auto', 'onnxruntime', 'tensorrt'),
        default='auto',
        help="the node's engine (default: %(default)s)",
    )
    add(
        '--dds-profile',
        type=Path,
        metavar='FILE',
        help='Fast DDS profile of player and node (default: what the environment names, '
        'else the one of this package for large images)',
    )
    add(
        '--domain-id',
        type=int,
        help=f'ROS domain, 0 to {LARGEST_ROS_DOMAIN} (default: one of its own)',
    )
    add(
        '--start-timeout',
        type=positive_float,
        default=60.0,
        metavar='SECONDS',
        help='how long the node may take to be ready (default: %(default)s)',
    )
    add(
        '--frame-timeout',
        type=positive_float,
        default=10.0,
        metavar='SECONDS',
        help='in the modes lockstep and fast, how long the outputs of an image may take; '
        'in fast times --in-flight (default: %(default)s)',
    )
