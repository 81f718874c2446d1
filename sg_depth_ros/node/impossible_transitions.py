"""
Keeps a lifecycle node alive when it is asked for a transition that its state does not have.

In Humble and Jazzy such a request raises in the executor, which ends, and with it the node:
github.com/ros2/rclpy, issue 1209.
"""

from typing import Any

from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode

from sg_depth_ros.errors import one_line


def refuse_impossible_transitions(node: LifecycleNode) -> None:
    """Have the service ``~/change_state`` answer that they failed, and the log say why."""
    service = getattr(node, '_service_change_state', None)  # rclpy's own; no public way to it
    if service is None:
        return
    change_state = service.callback

    def answer(request: Any, response: Any) -> Any:
        try:
            return change_state(request, response)
        except rclpy_implementation.RCLError as error:
            node.get_logger().error(one_line(error))
            response.success = False
            return response

    service.callback = answer
