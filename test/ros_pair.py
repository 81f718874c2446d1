"""A node under test and another beside it, which must discover each other as processes do."""

import os
import time
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node


class RosPair:
    """``node`` is where the part under test lives, ``other`` talks to it."""

    def __init__(self, contexts: tuple[Context, Context]) -> None:
        # A namespace of its own: what a killed test run has left may still be in the domain.
        self.node: Node = rclpy.create_node(
            'depth_node', namespace=f'test_{os.getpid()}', context=contexts[0]
        )
        self.other: Node = rclpy.create_node('other', context=contexts[1])
        self.executors = [SingleThreadedExecutor(context=context) for context in contexts]
        self.executors[0].add_node(self.node)
        self.executors[1].add_node(self.other)

    def topic(self, name: str) -> str:
        """Return the full name of a topic of the node."""
        resolved: str = self.node.resolve_topic_name(f'~/{name}')
        return resolved

    def wait(self, condition: Callable[[], object], timeout_s: float = 10) -> None:
        """Spin until a condition holds."""
        end_s = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < end_s, 'it did not happen in time'
            self._spin_once()

    def spin(self, seconds: float) -> None:
        """Spin for a time."""
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            self._spin_once()

    def _spin_once(self) -> None:
        for executor in self.executors:
            executor.spin_once(timeout_sec=0.01)


@contextmanager
def ros_pair(*arguments: str) -> Iterator[RosPair]:
    """Make both nodes; ROS arguments such as remappings are for the node under test."""
    contexts = Context(), Context()
    rclpy.init(args=['test', '--ros-args', *arguments] if arguments else None, context=contexts[0])
    rclpy.init(context=contexts[1])
    pair = RosPair(contexts)
    try:
        yield pair
    finally:
        for executor in pair.executors:
            executor.shutdown()
        pair.node.destroy_node()
        pair.other.destroy_node()
        for context in contexts:
            rclpy.shutdown(context=context)
