"""The node in this process, on an engine that does what a test wants, for what only that shows."""

import gc
import threading
from contextlib import suppress

import numpy as np
import rclpy
from node_harness import DOMAIN_ID
from node_harness import assigned
from numpy.typing import NDArray
from rclpy.executors import ExternalShutdownException
from rclpy.executors import ShutdownException
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from tiny_model import tiny_labels
from tiny_model import tiny_ramp_m

from sg_depth_ros.contract import ModelContract
from sg_depth_ros.engines.engine import Prediction
from sg_depth_ros.node.depth_node import DepthNode
from sg_depth_ros.node.engine_opening import OpenNodeEngine


class GatedEngine:
    """Gives the tiny model's depth, when it is let: close ``gate`` and it hangs."""

    def __init__(self, contract: ModelContract) -> None:
        self.contract = contract
        self.description = 'Gated 1.0, CPU'
        self.gate = threading.Event()
        self.gate.set()
        self.in_work = threading.Event()
        self.depth_m = tiny_ramp_m(contract)

    def infer(self, image: NDArray[np.uint8]) -> Prediction:
        """Return the same depth for every image."""
        self.in_work.set()
        assert self.gate.wait(30)
        labels = tiny_labels(self.contract)
        return Prediction(self.depth_m.copy(), labels, np.zeros_like(labels))

    def run_network(self) -> None:
        """Do nothing: nothing times it."""

    def close(self) -> None:
        """Hold nothing."""


class LivingNode:
    """A DepthNode whose executor runs in a thread; a context manager that ends it."""

    def __init__(self, open_engine: OpenNodeEngine, **parameters: object) -> None:
        assignments = (f'{name}:={value}' for name, value in parameters.items())
        arguments = assigned(*assignments)
        # rclpy's lifecycle nodes know the default context only.
        rclpy.init(args=['--ros-args', *arguments], domain_id=DOMAIN_ID)
        self.node = DepthNode(open_engine)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin)
        self._thread.start()

    def configure_and_activate(self) -> None:
        """Do what the program does where ``autostart`` is set."""
        success = TransitionCallbackReturn.SUCCESS
        assert self.node.trigger_configure() == success, self.node.failure
        assert self.node.trigger_activate() == success, self.node.failure

    def __enter__(self) -> 'LivingNode':
        return self

    def __exit__(self, *raised: object) -> None:
        self._executor.shutdown()
        self._thread.join(10)
        self.node.release()
        self.node.destroy_node()
        rclpy.try_shutdown()
        # What holds each other in a circle would stay in the ROS graph, and the next test's
        # requests would go there.
        del self.node, self._executor
        gc.collect()

    def _spin(self) -> None:
        with suppress(ExternalShutdownException, ShutdownException):
            self._executor.spin()
