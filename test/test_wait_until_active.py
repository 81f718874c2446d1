"""What launch files wait with before they play a bag."""

import subprocess
import sys
import time

import pytest
import rclpy
from node_harness import node_environment
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode

NAME = '/front/seer'


@pytest.fixture
def ros():
    context = Context()
    rclpy.init(context=context)
    yield context
    context.try_shutdown()


def test_it_ends_once_the_node_is_active_and_not_before(ros):
    waiting = subprocess.Popen(
        [sys.executable, '-m', 'sg_depth_ros.node.wait_until_active', NAME],
        env=node_environment(),
    )
    node = LifecycleNode('seer', namespace='front', context=ros)
    executor = SingleThreadedExecutor(context=ros)
    executor.add_node(node)

    def spin(seconds):
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s and waiting.poll() is None:
            executor.spin_once(timeout_sec=0.05)
        return waiting.poll()

    try:
        node.trigger_configure()
        assert spin(4) is None
        node.trigger_activate()
        assert spin(20) == 0
    finally:
        waiting.kill()
        waiting.wait()
        executor.shutdown()
        node.destroy_node()
