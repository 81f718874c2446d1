"""Static transforms between the frames of a vehicle, as /tf_static holds them."""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class StaticTransforms:
    """A graph of frames; an edge (parent, child) carries T_parent_child (4, 4)."""

    edges: Mapping[tuple[str, str], NDArray[np.float64]] = field(default_factory=dict)

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
        target, source = frame_name(target), frame_name(source)
        waiting = deque([(target, np.eye(4))])
        seen = {target}
        while waiting:
            frame, T_target_frame = waiting.popleft()
            if frame == source:
                return T_target_frame
            for (parent, child), T_parent_child in self.edges.items():
                if parent == frame and child not in seen:
                    seen.add(child)
                    waiting.append((child, T_target_frame @ T_parent_child))
                elif child == frame and parent not in seen:
                    seen.add(parent)
                    waiting.append((parent, T_target_frame @ np.linalg.inv(T_parent_child)))
        return None


def frame_name(name: str) -> str:
    """Return a frame's name as tf2 knows it, without tf1's leading slash."""
    return name.removeprefix('/')


def transform_matrix(transform: Any) -> NDArray[np.float64]:
    """
    Turn a geometry_msgs/Transform into T_parent_child (4, 4).

    :raises ValueError: where the quaternion is zero or not finite.
    """
    q = transform.rotation
    quaternion = np.array([q.w, q.x, q.y, q.z], np.float64)
    norm = float(np.linalg.norm(quaternion))
    if not np.isfinite(norm) or norm < 1e-6:
        raise ValueError(f'rotation quaternion {quaternion} has no direction')
    w, x, y, z = quaternion / norm
    t = transform.translation
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y), t.x],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x), t.y],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y), t.z],
            [0.0, 0.0, 0.0, 1.0],
        ],
        np.float64,
    )


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
