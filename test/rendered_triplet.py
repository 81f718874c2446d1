"""A rendered scene seen from three places, with its true depth and motion: for tests."""

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import Intrinsics
from training.data.drive import Drive
from training.data.drive import Frame
from training.data.drive import frame_path
from training.data.drive import write_drive
from training.data.drive import write_frame

CAMERA = Intrinsics(70.0, 72.0, 60.0, 27.0, 128, 64)
GROUND_Y_M = 1.5
WALL_Z_M = 20.0
# Upright rectangles on the ground: left, right, top and distance, in metres.
BOARDS = (
    (-2.6, -1.0, 0.3, 7.0),
    (0.6, 2.2, -0.4, 5.0),
    (2.6, 9.0, -3.0, 11.0),
    (-9.0, -4.0, -2.5, 12.0),
)
RAYS_PER_SIDE = 3
# Where the camera is at previous, target and following, and how far it has turned about y. It
# drives askew: straight ahead, a wrong focal length would move no pixel.
STEP_M = (0.25, 0.0, 0.25)
STEP_RAD = 0.01
PLACES = (-1, 0, 1)
STEP_NS = 100_000_000
TARGET = 1


def camera_pose(place: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return T_world_camera: rotation (3, 3) and position (3,) in metres."""
    c, s = math.cos(place * STEP_RAD), math.sin(place * STEP_RAD)
    rotation = np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
    return rotation, place * np.array(STEP_M)


def true_motion(place: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return T_context_target of the target at place 0: rotation (3, 3), translation (3,)."""
    rotation, position = camera_pose(place)
    return rotation.T, -rotation.T @ position


def render(place: int) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Return the image (H, W, 3) and its depth in metres (H, W)."""
    rotation, position = camera_pose(place)
    n = RAYS_PER_SIDE
    fine = CAMERA.resized(CAMERA.width * n, CAMERA.height * n)
    rays = fine.rays() @ rotation.T  # their camera's z is 1, so that the parameter is depth
    depth_m = np.where(rays[..., 2] > 0, (WALL_Z_M - position[2]) / rays[..., 2], np.inf)
    met = np.zeros(depth_m.shape, np.int64)
    down = np.maximum(rays[..., 1], 1e-6)
    _meet(depth_m, met, 1, (GROUND_Y_M - position[1]) / down, np.ones_like(met, bool))
    for number, (left, right, top, z) in enumerate(BOARDS, start=2):
        at = (z - position[2]) / rays[..., 2]
        x, y, _ = np.moveaxis(position + at[..., None] * rays, -1, 0)
        hit = (left < x) & (x < right) & (top < y) & (y < GROUND_Y_M)
        _meet(depth_m, met, number, at, hit)
    colors = _paint(position + depth_m[..., None] * rays, met)
    image = colors.reshape(CAMERA.height, n, CAMERA.width, n, 3).mean((1, 3))
    centre = depth_m[n // 2 :: n, n // 2 :: n]
    return np.rint(255 * image).astype(np.uint8), centre


def write_rendered_drive(dataset: Path) -> NDArray[np.float64]:
    """Write a drive of one triplet; return the true depth of its target in metres (H, W)."""
    folder = dataset / 'rendered'
    (folder / 'frames').mkdir(parents=True)
    for index, place in enumerate(PLACES):
        write_frame(render(place)[0], frame_path(folder, index))
    speed_m_s = math.hypot(*STEP_M) / (STEP_NS * 1e-9)
    frames = tuple(Frame(i, i * STEP_NS, speed_m_s) for i in range(len(PLACES)))
    write_drive(Drive('rendered', 'test', CAMERA, CAMERA, frames), folder)
    return render(0)[1]


def _meet(
    depth_m: NDArray[np.float64],
    met: NDArray[np.int64],
    number: int,
    at: NDArray[np.float64],
    hit: NDArray[np.bool_],
) -> None:
    """Note where a surface is hit in front of what was hit so far."""
    nearer = hit & (at > 0) & (at < depth_m)
    depth_m[nearer] = at[nearer]
    met[nearer] = number


def _paint(points: NDArray[np.float64], surface: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return colours (..., 3) in 0..1: waves of half a metre and more that differ per surface."""
    across, y, z = np.moveaxis(points, -1, 0)
    along = np.where(surface == 1, z, y)
    colors = []
    for channel in range(3):
        waves = sum(
            np.sin(f * (1 + 0.1 * channel) * across + 1.7 * surface + channel)
            * np.cos(f * (1 + 0.13 * channel) * along + 2 * f + surface)
            for f in (0.5, 1.1, 2.3, 4.1)
        )
        colors.append(0.5 + 0.12 * waves + 0.12 * np.sin(2.1 * surface + 2 * channel))
    return np.clip(np.stack(colors, axis=-1), 0, 1)
