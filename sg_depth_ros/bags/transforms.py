"""Transforms between the frames of a vehicle, as /tf_static and /tf hold them."""

import bisect
import math
from collections import deque
from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from typing import Any
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# How long a moving transform is taken to hold before its first and after its last message.
HOLD_NS = 500_000_000
Edge = tuple[str, str]  # parent, child


@dataclass(frozen=True)
class StaticTransforms:
    """A graph of frames; an edge (parent, child) carries T_parent_child (4, 4)."""

    edges: Mapping[Edge, NDArray[np.float64]] = field(default_factory=dict)

    @property
    def frames(self) -> tuple[str, ...]:
        """Return the names of all frames, sorted."""
        return tuple(sorted({frame for edge in self.edges for frame in edge}))

    def lookup(self, target: str, source: str) -> NDArray[np.float64] | None:
        """
        Chain the transforms between two frames.

        :return: T_target_source (4, 4), which takes points of source to target; None where the
            frames are not connected.
        """
        path = connect(self.edges, target, source)
        return None if path is None else _chain(path, self.edges)


class PoseSample(NamedTuple):
    """Where a frame sits in its parent at one moment."""

    stamp_ns: int
    translation_m: tuple[float, float, float]
    quaternion: tuple[float, float, float, float]  # w, x, y, z; of length 1


class MovingTransform:
    """
    Where a frame sits in its parent over time: in between, interpolated.

    :param samples: in any order; of several with one stamp the last counts.
    """

    def __init__(self, samples: Iterable[PoseSample]) -> None:
        by_stamp = {s.stamp_ns: s for s in samples}
        ordered = [by_stamp[stamp] for stamp in sorted(by_stamp)]
        self._stamps_ns = [s.stamp_ns for s in ordered]
        self._translations_m = np.array([s.translation_m for s in ordered], np.float64)
        self._quaternions = np.array([s.quaternion for s in ordered], np.float64)

    def at(self, stamp_ns: int) -> NDArray[np.float64] | None:
        """
        Return T_parent_child (4, 4) at a stamp.

        The translation is interpolated linearly, the rotation along the shorter arc.

        :return: None more than ``HOLD_NS`` before the first sample or after the last.
        """
        stamps = self._stamps_ns
        after = bisect.bisect_left(stamps, stamp_ns)
        before = max(after - 1, 0)
        after = min(after, len(stamps) - 1)
        if not stamps[before] - HOLD_NS <= stamp_ns <= stamps[after] + HOLD_NS:
            return None
        span = stamps[after] - stamps[before]
        share = min(max((stamp_ns - stamps[before]) / span, 0.0), 1.0) if span else 0.0
        t = self._translations_m
        q = _between(self._quaternions[before], self._quaternions[after], share)
        return _matrix(q, t[before] + share * (t[after] - t[before]))


@dataclass(frozen=True)
class ConnectingTransforms:
    """The transforms between two frames, of which some may move."""

    target: str
    source: str
    path: tuple[tuple[Edge, bool], ...]  # as ``connect`` gives it
    static: Mapping[Edge, NDArray[np.float64]]
    moving: Mapping[Edge, MovingTransform]

    def at(self, stamp_ns: int) -> NDArray[np.float64] | None:
        """Return T_target_source (4, 4) at a stamp; None where nobody knows it."""
        known = dict(self.static)
        for edge, transform in self.moving.items():
            at_stamp = transform.at(stamp_ns)
            if at_stamp is None:
                return None
            known[edge] = at_stamp
        return _chain(self.path, known)


def connect(
    edges: Iterable[Edge], target: str, source: str
) -> tuple[tuple[Edge, bool], ...] | None:
    """
    Find the shortest way between two frames.

    :return: the edges from target to source, each with whether it leads from parent to child;
        None where the frames are not connected.
    """
    neighbours: dict[str, list[tuple[str, Edge, bool]]] = {}
    for parent, child in edges:
        neighbours.setdefault(parent, []).append((child, (parent, child), True))
        neighbours.setdefault(child, []).append((parent, (parent, child), False))
    target, source = frame_name(target), frame_name(source)
    waiting = deque([target])
    paths: dict[str, tuple[tuple[Edge, bool], ...]] = {target: ()}
    while waiting:
        frame = waiting.popleft()
        if frame == source:
            return paths[frame]
        for neighbour, edge, down in neighbours.get(frame, ()):
            if neighbour not in paths:
                paths[neighbour] = (*paths[frame], (edge, down))
                waiting.append(neighbour)
    return None


def frame_name(name: str) -> str:
    """Return a frame's name as tf2 knows it, without tf1's leading slash."""
    return name.removeprefix('/')


def pose_sample(stamp_ns: int, transform: Any) -> PoseSample:
    """
    Read a geometry_msgs/Transform.

    :raises ValueError: where the quaternion is zero or not finite.
    """
    t, q = transform.translation, transform.rotation
    return PoseSample(
        stamp_ns,
        (float(t.x), float(t.y), float(t.z)),
        unit_quaternion(float(q.w), float(q.x), float(q.y), float(q.z)),
    )


def unit_quaternion(w: float, x: float, y: float, z: float) -> tuple[float, float, float, float]:
    """
    Bring a quaternion to length 1.

    :raises ValueError: where it is zero or not finite.
    """
    norm = math.sqrt(w * w + x * x + y * y + z * z)
    if not math.isfinite(norm) or norm < 1e-6:
        raise ValueError(
            f'rotation quaternion x {x:g}, y {y:g}, z {z:g}, w {w:g} has no direction'
        )
    return w / norm, x / norm, y / norm, z / norm


def quaternion_matrix(
    quaternion: tuple[float, float, float, float], translation_m: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Return the transform (4, 4) of a quaternion w, x, y, z of length 1 and a translation."""
    return _matrix(np.array(quaternion), np.asarray(translation_m, np.float64))


def quaternion_from_rotation(
    rotation: NDArray[np.floating],
) -> tuple[float, float, float, float]:
    """
    Return the unit quaternion x, y, z, w with w >= 0 of a rotation matrix (3, 3).

    The largest component is taken first, so that no division is by a small number.
    """
    r = np.asarray(rotation, np.float64)
    trace = np.trace(r)
    # 4 q q^T
    outer = np.empty((4, 4))
    outer[:3, :3] = r + r.T + (1 - trace) * np.eye(3)
    outer[3, :3] = outer[:3, 3] = r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]
    outer[3, 3] = 1 + trace
    largest = int(np.argmax(np.diag(outer)))
    q = outer[largest] / (2 * math.sqrt(outer[largest, largest]))
    q = q if q[3] >= 0 else -q
    return float(q[0]), float(q[1]), float(q[2]), float(q[3])


def _chain(
    path: tuple[tuple[Edge, bool], ...], edges: Mapping[Edge, NDArray[np.float64]]
) -> NDArray[np.float64]:
    T_target_frame = np.eye(4)
    for edge, down in path:
        T_parent_child = edges[edge]
        T_target_frame = T_target_frame @ (
            T_parent_child if down else np.linalg.inv(T_parent_child)
        )
    return T_target_frame


def _between(
    first: NDArray[np.float64], second: NDArray[np.float64], share: float
) -> NDArray[np.float64]:
    """Interpolate on the sphere of unit quaternions (Shoemake, SIGGRAPH 1985)."""
    cosine = float(first @ second)
    if cosine < 0:  # the same rotation, on the nearer side
        second, cosine = -second, -cosine
    angle = math.acos(min(cosine, 1.0))
    if angle < 1e-6:
        return first
    mixed = math.sin((1 - share) * angle) * first + math.sin(share * angle) * second
    return np.asarray(mixed / math.sin(angle), np.float64)


def _matrix(
    quaternion: NDArray[np.float64], translation_m: NDArray[np.float64]
) -> NDArray[np.float64]:
    w, x, y, z = quaternion
    t = translation_m
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y), t[0]],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x), t[1]],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y), t[2]],
            [0.0, 0.0, 0.0, 1.0],
        ],
        np.float64,
    )
