"""A small synthetic drive with turns and a stop, good to check; and the same scene turned only."""

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
from training.data.preparation.static_frames import mark_static
from training.data.synthetic.motion import Motion
from training.data.synthetic.motion import plan_motion
from training.data.synthetic.recording import T_BASE_CAMERA
from training.data.synthetic.recording import compose
from training.data.synthetic.renderer import render
from training.data.synthetic.street import build_street
from training.data.synthetic.traffic import street_at

RATE_HZ = 10.0
WEAVE_M, WEAVE_LENGTH_M = 1.1, 34.0  # to the left and right, for turns worth measuring
CAMERA = Intrinsics(150.0, 150.0, 129.0, 48.5, 256, 96)
RECORDED = CAMERA.resized(1024, 384)


def write_good_drive(folder: Path, *, start_s: float, frames: int, seconds: float = 12.0) -> Drive:
    """Drive along a street, weaving; with a stop some 10 s from the beginning."""
    rng = np.random.default_rng(5)
    motion = plan_motion(rng, seconds)
    street = build_street(rng, motion)
    described = []
    for index in range(frames):
        time_s = start_s + index / RATE_HZ
        pose = compose(_weaving(motion, time_s), T_BASE_CAMERA)
        picture = render(CAMERA, pose, street_at(street, time_s), motion.road)
        write_frame(picture.image, frame_path(folder, index))
        frame = Frame(
            index, _stamp_ns(index), _speed(motion, time_s), tuple(pose.ravel().tolist())
        )
        described.append(frame)
    return _written(folder, described)


def write_turning_drive(folder: Path, frames: int) -> Drive:
    """Turn on the spot, to the left and right, without any measured speed."""
    rng = np.random.default_rng(5)
    motion = plan_motion(rng, 12.0)
    street = street_at(build_street(rng, motion), 2.0)
    described = []
    for index in range(frames):
        # About the camera itself: about the vehicle's axle it would travel sideways.
        pose = _turned(compose(motion.pose(2.0), T_BASE_CAMERA), 0.2 * math.sin(0.2 * index))
        picture = render(CAMERA, pose, street, motion.road)
        write_frame(picture.image, frame_path(folder, index))
        described.append(Frame(index, _stamp_ns(index)))
    return _written(folder, described)


def _written(folder: Path, frames: list[Frame]) -> Drive:
    drive = mark_static(Drive(folder.name, 'test', CAMERA, RECORDED, tuple(frames)), None)
    write_drive(drive, folder)
    return drive


def _stamp_ns(index: int) -> int:
    return 1_700_000_000_000_000_000 + round(index * 1e9 / RATE_HZ)


def _weaving(motion: Motion, time_s: float) -> NDArray[np.float64]:
    base = motion.pose(time_s)
    phase = 2 * math.pi * base[0, 3] / WEAVE_LENGTH_M
    slope = WEAVE_M * 2 * math.pi / WEAVE_LENGTH_M * math.cos(phase)
    turned = _turned(base, math.atan(slope))
    turned[1, 3] += WEAVE_M * math.sin(phase)
    return turned


def _turned(base: NDArray[np.float64], yaw_rad: float) -> NDArray[np.float64]:
    cosine, sine = math.cos(yaw_rad), math.sin(yaw_rad)
    turn = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
    return np.concatenate([turn @ base[:, :3], base[:, 3:]], axis=1)


def _speed(motion: Motion, time_s: float) -> float:
    before, after = (_weaving(motion, time_s + d)[:, 3] for d in (-0.02, 0.02))
    return float(np.linalg.norm(after - before) / 0.04)
