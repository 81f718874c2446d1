"""A camera and nodes in processes of their own, fed in blocks by turns."""

import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any
from typing import NamedTuple

from benchmarks.node_camera import CameraJob
from benchmarks.node_camera import Shots
from benchmarks.node_camera import Shown
from benchmarks.node_camera import serve_camera
from benchmarks.node_watch import FrameRecord
from benchmarks.node_ways import NodeJob
from benchmarks.node_ways import serve_node
from sg_depth_ros.replay.dds_profile import dds_profile
from sg_depth_ros.replay.live.ros_domain import leased_ros_domain

SPAWN = multiprocessing.get_context('spawn')
START_TIMEOUT_S = 60.0
# A listener that takes an output while the node makes the next one would, on a machine of few
# cores, take the core from it: here it waits until the node has long been done.
LISTENS_AFTER = 0.7
WARM_UP_FRAMES, WARM_UP_RATE_HZ = 30, 30.0


class Seen(NamedTuple):
    """Blocks of one node."""

    blocks: list[list[FrameRecord]]
    shown: list[Shown]


class Child:
    """A process that answers."""

    def __init__(self, target: Any, *arguments: Any) -> None:
        self._connection, theirs = SPAWN.Pipe()
        self.process = SPAWN.Process(target=_main, args=(target, theirs, *arguments), daemon=True)
        self.process.start()
        theirs.close()
        self._connection.recv()

    def ask(self, command: Any) -> Any:
        """Send a command and return the answer."""
        self._connection.send(command)
        return self._connection.recv()

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self.process.join(10)
        if self.process.is_alive():
            self.process.terminate()
            self.process.join()


def _main(target: Any, connection: Connection, *arguments: Any) -> None:
    target(connection, *arguments)


class Setting:
    """A camera and nodes that stand by."""

    def __init__(self, camera: CameraJob, job: NodeJob) -> None:
        self.ways = camera.namespaces
        self._stack = ExitStack()
        try:
            self.nodes = {way: self._child(serve_node, way, job) for way in self.ways}
            self.camera = self._child(serve_camera, camera)
            self._wait()
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> 'Setting':
        """Return the setting."""
        return self

    def __exit__(self, *error: object) -> None:
        """End the processes."""
        self._stack.close()

    def _child(self, *arguments: Any) -> Child:
        child = Child(*arguments)
        self._stack.callback(child.close)
        return child

    def _wait(self) -> None:
        end_s = time.monotonic() + START_TIMEOUT_S
        while not self.camera.ask('connected') or not all(
            node.ask('ready') for node in self.nodes.values()
        ):
            if time.monotonic() > end_s:
                raise RuntimeError('camera and nodes have not found each other')

    def take_turns(
        self, turns: int, frames: int, rate_hz: float, command: str = 'measure'
    ) -> dict[str, Seen]:
        """Feed every node in blocks and return what was seen of each."""
        seen = {way: Seen([], []) for way in self.ways}
        for way in self.ways:
            self.camera.ask(Shots(way, WARM_UP_FRAMES, WARM_UP_RATE_HZ))
        for turn in range(turns):
            for way in self.ways if turn % 2 else self.ways[::-1]:
                self.nodes[way].ask(command)
                shots = Shots(way, frames, rate_hz, listens_after=LISTENS_AFTER)
                seen[way].shown.append(self.camera.ask(shots))
                seen[way].blocks.append(self.nodes[way].ask('collect'))
        return seen


@contextmanager
def environment(with_profile: bool) -> Iterator[None]:
    """Give the processes to start a ROS domain of their own, with or without the DDS profile."""
    names = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')
    before = dict(os.environ)
    os.environ.setdefault('OMP_NUM_THREADS', '1')
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    try:
        with ExitStack() as stack:
            if 'ROS_DOMAIN_ID' not in os.environ:
                os.environ['ROS_DOMAIN_ID'] = str(stack.enter_context(leased_ros_domain()))
            for name in names:
                os.environ.pop(name, None)
            if with_profile:
                stack.enter_context(dds_profile(None))
            yield
    finally:
        os.environ.clear()
        os.environ.update(before)
