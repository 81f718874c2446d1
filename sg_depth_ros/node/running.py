"""The process around the node: its command line, its start and its exit status."""

import argparse
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.executors import SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import TransitionCallbackReturn

from sg_depth_ros.errors import USER_ERROR_EXIT_STATUS
from sg_depth_ros.errors import UserError
from sg_depth_ros.node.parameter_docs import parameter_help

if TYPE_CHECKING:
    from sg_depth_ros.node.depth_node import DepthNode


def run(make_node: Callable[[], 'DepthNode'], args: list[str]) -> int:
    """
    Run the node until it is told to stop.

    :param args: the command line with the program's name first.
    :return: exit status: 0 after Ctrl-C, SIGTERM and a successful ``build_only``; with
        ``build_only`` or ``exit_on_failure`` 2 where the start fails for a user's mistake, 1 where
        it fails otherwise.
    :raises UserError: for a command line or parameters that cannot be.
    """
    # rclpy ends the spin on SIGINT and SIGTERM; a KeyboardInterrupt besides would come anywhere,
    # also while the engine is being freed, for launch and a terminal both send the signal. Python
    # would undo a handler of ours at the process's very end, and the second signal kill it there.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        _parse(args)
        rclpy.init(args=args)
    except rclpy_implementation.RCLError as error:
        raise UserError(' '.join(str(error).split())) from error
    except rclpy_implementation.UnknownROSArgsError as error:  # no RCLError
        raise UserError(f'ROS does not know the arguments {error}') from error
    node: DepthNode | None = None
    try:
        node = make_node()
        status = _start(node)
        if status is not None:
            return status
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        executor.spin()
    except (ExternalShutdownException, rclpy_implementation.RCLError):
        if rclpy.ok():
            raise
        # Told to stop: while spinning, or while things were being made.
    finally:
        if node is not None:
            node.release()
            node.destroy_node()
        rclpy.try_shutdown()
    return 0


def _start(node: 'DepthNode') -> int | None:
    """Do what happens without being asked; return the exit status where the process shall end."""
    settings, success = node.settings.current, TransitionCallbackReturn.SUCCESS
    if settings.build_only:
        if node.trigger_configure() == success:
            node.get_logger().info('build_only: the engine is there and tested')
            return 0
    elif not settings.autostart or (
        node.trigger_configure() == success and node.trigger_activate() == success
    ):
        return None
    if not rclpy.ok():  # told to stop meanwhile
        return 0
    if settings.build_only or settings.exit_on_failure:
        return USER_ERROR_EXIT_STATUS if isinstance(node.failure, UserError) else 1
    name = node.get_fully_qualified_name()
    node.get_logger().info(
        f'waiting to be configured again: set what is wrong (ros2 param set {name} ...), then '
        f'ros2 lifecycle set {name} configure, and activate'
    )
    return None


def _parse(args: list[str]) -> None:
    """Answer --help, and refuse what ROS does not know."""
    parser = argparse.ArgumentParser(
        prog='depth_node',
        usage='depth_node --ros-args -p model:=model.onnx [-p NAME:=VALUE ...] '
        '[-r ~/image:=TOPIC] [-r ~/camera_info:=TOPIC] [--params-file FILE]',
        description='Metric depth, a coloured cloud and semantic labels from a camera.',
        epilog=parameter_help(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args(rclpy.utilities.remove_ros_args(args)[1:])
