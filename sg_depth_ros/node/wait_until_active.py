"""
Waits until a lifecycle node is active, then ends: for launch files that play a bag into it.

    python -m sg_depth_ros.node.wait_until_active /depth_node

Asks again and again: a transition may be over before anybody hears of it, and an engine may take
minutes to build.
"""

import sys
from typing import Any

import rclpy
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState
from rclpy.executors import ExternalShutdownException

PERIOD_S = 0.5
ANSWER_TIMEOUT_S = 2.0


def main(arguments: list[str]) -> int:
    """Return 0 as soon as the node is active, 1 where told to stop before."""
    rclpy.init(args=arguments)
    (name,) = rclpy.utilities.remove_ros_args(arguments)[1:]
    node = rclpy.create_node('wait_until_active')
    client: Any = node.create_client(GetState, f'{name.rstrip("/")}/get_state')
    try:
        while rclpy.ok():
            if not client.wait_for_service(PERIOD_S):
                continue
            future = client.call_async(GetState.Request())
            rclpy.spin_until_future_complete(node, future, timeout_sec=ANSWER_TIMEOUT_S)
            answer = future.result() if future.done() else None
            if answer is not None and answer.current_state.id == State.PRIMARY_STATE_ACTIVE:
                return 0
            client.remove_pending_request(future)
            rclpy.spin_once(node, timeout_sec=PERIOD_S)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()
    return 1


if __name__ == '__main__':
    sys.exit(main(sys.argv))
