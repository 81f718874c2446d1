"""The real node in a process of its own, and a camera and listeners around it."""

import ctypes
import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from numpy.typing import NDArray
from rcl_interfaces.srv import GetParameters
from rcl_interfaces.srv import SetParameters
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.parameter import parameter_value_to_python
from rclpy.qos import QoSProfile
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import Image
from sensor_msgs.msg import PointCloud2

from sg_depth_ros.camera import Intrinsics

CHECKOUT = Path(__file__).resolve().parents[1]
DOMAIN_ID = int(os.environ['ROS_DOMAIN_ID'])  # leased by conftest.py, one per test process
_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1
FRAME_ID = 'front_camera_optical'
OUTPUTS: dict[str, Any] = {
    'depth/image': Image,
    'depth/camera_info': CameraInfo,
    'points': PointCloud2,
}


def node_command(*arguments: str, script: Path | None = None) -> list[str]:
    """Return the command line of the node, or of a script that runs it, with ROS arguments."""
    program = ['-m', 'sg_depth_ros.node.depth_node'] if script is None else [str(script)]
    return [sys.executable, *program, '--ros-args', *arguments]


def node_environment() -> dict[str, str]:
    """Return the environment that isolates the node from other ROS programs."""
    return {
        **os.environ,
        'ROS_DOMAIN_ID': str(DOMAIN_ID),
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
        'OMP_NUM_THREADS': '1',
        'PYTHONPATH': str(CHECKOUT),
    }


def run_node(*arguments: str) -> 'subprocess.CompletedProcess[str]':
    """Run the node until it ends by itself; return its exit status and what it said."""
    return subprocess.run(
        node_command(*arguments),
        capture_output=True,
        text=True,
        env=node_environment(),
        timeout=60,
        check=False,
    )


def assigned(*parameters: str) -> list[str]:
    """Return the arguments of NAME:=VALUE parameters."""
    return [part for parameter in parameters for part in ('-p', parameter)]


def _end_with_parent() -> None:
    # A test that runs out of time ends its process at once; a node that outlived it would answer
    # the next tests that lease its domain.
    if sys.platform == 'linux':
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class NodeProcess:
    """
    ``depth_node`` running; a context manager that ends it.

    :param script: a Python file that runs it, in a world that is not this machine's.
    """

    def __init__(
        self, log: Path, model: Path, script: Path | None = None, **parameters: object
    ) -> None:
        assignments = {'model': model, 'engine_threads': 1, **parameters}
        arguments = assigned(*(f'{name}:={value}' for name, value in assignments.items()))
        self.log = log
        with log.open('w') as out:
            self.process = subprocess.Popen(
                node_command(*arguments, script=script),
                stdout=out,
                stderr=subprocess.STDOUT,
                env=node_environment(),
                cwd=CHECKOUT,
                preexec_fn=_end_with_parent,
            )

    def __enter__(self) -> 'NodeProcess':
        return self

    def __exit__(self, *raised: object) -> None:
        if self.process.poll() is None:
            self.end(signal.SIGKILL)

    def end(self, how: signal.Signals = signal.SIGINT) -> int:
        """Send a signal and return the exit status."""
        self.process.send_signal(how)
        return self.process.wait(20)

    @property
    def text(self) -> str:
        """What the node has logged so far."""
        return self.log.read_text()


class Bench:
    """A camera that publishes to the node and listeners on its outputs."""

    def __init__(
        self,
        outputs: dict[str, Any] | None = None,
        reliability: ReliabilityPolicy = ReliabilityPolicy.RELIABLE,
    ) -> None:
        # A node that an earlier test ran in this process stays in the ROS graph until it is
        # collected, and would be sent our requests.
        gc.collect()
        self.context = Context()
        rclpy.init(context=self.context, domain_id=DOMAIN_ID)
        self.node = rclpy.create_node('bench', context=self.context)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        qos = QoSProfile(depth=200, reliability=reliability)
        self.images = self.node.create_publisher(Image, '/depth_node/image', qos)
        self.infos = self.node.create_publisher(CameraInfo, '/depth_node/camera_info', qos)
        self.received: dict[str, list[Any]] = {}
        self._ready: set[str] = set()
        self.diagnostics: dict[str, Any] = {}
        self._clients: dict[str, Any] = {}  # by service
        self._met: set[str] = set()  # services that have had the time to meet their client
        for name, kind in (OUTPUTS if outputs is None else outputs).items():
            self.received[name] = []
            self.node.create_subscription(
                kind, f'/depth_node/{name}', self.received[name].append, QoSProfile(depth=200)
            )
        self.node.create_subscription(DiagnosticArray, '/diagnostics', self._diagnose, 10)

    def close(self) -> None:
        """Leave the graph."""
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)

    def connect(self, node: NodeProcess) -> None:
        """Wait until the node listens to the camera and sees every listener."""

        def connected() -> bool:
            assert node.process.poll() is None, node.text
            inputs = self.images.get_subscription_count(), self.infos.get_subscription_count()
            return all(inputs) and self._ready >= set(self.received)

        self.wait(connected, 30)

    def wait(self, condition: Callable[[], bool], timeout_s: float = 15) -> None:
        """Spin until a condition holds."""
        end_s = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < end_s, 'nothing came in time'
            self._executor.spin_once(timeout_sec=0.05)

    def spin(self, seconds: float) -> None:
        """Spin for a time."""
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            self._executor.spin_once(timeout_sec=0.02)

    def wait_for(self, count: int) -> None:
        """Wait until every output has come so often."""
        self.wait(lambda: all(len(messages) >= count for messages in self.received.values()))

    def counts(self) -> set[int]:
        """Return how often each output has come."""
        return {len(messages) for messages in self.received.values()}

    def client(self, kind: Any, service: str) -> Any:
        """Return a client of a service of the node, when each knows the other."""
        if service not in self._clients:
            self._clients[service] = self.node.create_client(kind, f'/depth_node/{service}')
        client = self._clients[service]
        if service not in self._met or not client.service_is_ready():
            self.wait(client.service_is_ready, 30)
            # The server may still have to learn of the client; its answer would get lost.
            self.spin(0.3)
            self._met.add(service)
        return client

    def call(self, kind: Any, service: str, request: Any) -> Any:
        """Return the answer of a service of the node."""
        future = self.client(kind, service).call_async(request)
        self.wait(future.done)
        return future.result()

    def wait_until_gone(self) -> None:
        """Wait until no service of a node that has ended is seen any longer."""
        self.wait(lambda: not any(client.service_is_ready() for client in self._clients.values()))
        self._met.clear()

    def change(self, transition: int) -> bool:
        """Ask the node for a lifecycle transition and return whether it succeeded."""
        request = ChangeState.Request(transition=Transition(id=transition))
        return bool(self.call(ChangeState, 'change_state', request).success)

    def set_parameters(self, **values: Any) -> list[str]:
        """Set parameters of the node and return the reasons of those that it refused."""
        parameters = [Parameter(n, value=v).to_parameter_msg() for n, v in values.items()]
        request = SetParameters.Request(parameters=parameters)
        results = self.call(SetParameters, 'set_parameters', request).results
        return [result.reason for result in results if not result.successful]

    def get_parameter(self, name: str) -> Any:
        """Return the value of a parameter of the node."""
        request = GetParameters.Request(names=[name])
        (value,) = self.call(GetParameters, 'get_parameters', request).values
        return parameter_value_to_python(value)

    def configure_again(self, **values: object) -> None:
        """Take an active node down, set parameters, and take it up again."""
        assert self.change(Transition.TRANSITION_DEACTIVATE)
        assert self.change(Transition.TRANSITION_CLEANUP)
        assert self.set_parameters(**values) == []
        assert self.change(Transition.TRANSITION_CONFIGURE)
        assert self.change(Transition.TRANSITION_ACTIVATE)

    def values(self, part: str) -> dict[str, str]:
        """Return keys and values of the newest status of a part."""
        return {value.key: value.value for value in self.diagnostics[part].values}

    def diagnosis(self, part: str) -> tuple[int, str]:
        """Return level and message of the newest status of a part."""
        status = self.diagnostics[part]
        return int.from_bytes(status.level, 'little'), status.message

    def _diagnose(self, array: DiagnosticArray) -> None:
        for status in array.status:
            part = status.name.split(': ')[1]
            self.diagnostics[part] = status
            if part == 'output':
                counts = {value.key: value.value for value in status.values}
                self._ready |= {
                    name
                    for name in self.received
                    if int(counts.get(f'subscribers /depth_node/{name}', '0'))
                }


def stamp(seconds: int) -> Time:
    """Return a stamp."""
    return Time(sec=seconds, nanosec=7)


def image_message(
    pixels: NDArray[np.uint8], seconds: int, encoding: str = 'rgb8', frame_id: str = FRAME_ID
) -> Image:
    """Return an image message of (H, W, 3) as the encoding has it."""
    message = Image(encoding=encoding, height=pixels.shape[0], width=pixels.shape[1])
    message.step = pixels.shape[1] * 3
    message.header.stamp = stamp(seconds)
    message.header.frame_id = frame_id
    message.data = pixels.tobytes()
    return message


def info_message(camera: Intrinsics, seconds: int = 0, **fields: Any) -> CameraInfo:
    """Return the info of an undistorted camera, with fields replaced."""
    p = np.zeros((3, 4))
    p[:, :3] = camera.matrix()
    contents: dict[str, Any] = {
        'width': camera.width,
        'height': camera.height,
        'distortion_model': 'plumb_bob',
        'd': [0.0] * 5,
        'k': camera.matrix().ravel().tolist(),
        'r': np.eye(3).ravel().tolist(),
        'p': p.ravel().tolist(),
    }
    message = CameraInfo(**{**contents, **fields})
    message.header.stamp = stamp(seconds)
    message.header.frame_id = FRAME_ID
    return message


def depth_of(message: Image) -> NDArray[np.float32]:
    """Return the depth (H, W) of a 32FC1 message."""
    assert message.encoding == '32FC1' and message.step == 4 * message.width
    return np.frombuffer(message.data, np.float32).reshape(message.height, message.width)
