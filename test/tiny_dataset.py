"""A dataset folder of black pictures of a road, on which the tiny model is right: for tests."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tiny_model import tiny_contract
from tiny_model import write_tiny_model

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.classes import CAR_ID
from sg_depth_ros.classes import ROAD_ID
from sg_depth_ros.contract import ModelContract
from training.data.drive import Drive
from training.data.drive import Frame
from training.data.drive import frame_path
from training.data.drive import labels_path
from training.data.drive import lidar_path
from training.data.drive import write_drive
from training.data.drive import write_frame
from training.data.drive import write_labels
from training.data.drive import write_lidar

CAMERA_HEIGHT_M = 1.65
CAR = (slice(22, 28), slice(28, 36))  # rows and columns: some 7 m ahead on the road
CAR_PIXELS = 48


def road_depth_m(camera: Intrinsics) -> NDArray[np.float32]:
    """Return the depth (H, W) of a level road, 100 m where there is none."""
    down = camera.rays()[..., 1]
    depth_m = CAMERA_HEIGHT_M / np.maximum(down, CAMERA_HEIGHT_M / 100.0)
    return depth_m.astype(np.float32)


def write_road_model(path: Path, *, metric: bool = True) -> ModelContract:
    """Write a model that sees the road right where the image is black, too far where it is red."""
    contract = tiny_contract(metric=metric)
    write_tiny_model(path, contract, ramp_m=road_depth_m(contract.intrinsics))
    return contract


def write_dataset(
    dataset: Path,
    *,
    drive: str = 'road',
    frames: int = 8,
    cars_at: tuple[int, ...] = (),
    lidar_at: tuple[int, ...] = (),
    lidar_factor: float = 1.0,
    with_labels: bool = False,
) -> Drive:
    """
    Write a drive of black frames; the car frames hold a red car, which the model sees too far.

    :param lidar_at: frames with ground truth at twice the size: the road times ``lidar_factor``.
    """
    camera = tiny_contract().intrinsics
    folder = dataset / drive
    for name in (
        'frames',
        *(('lidar',) if lidar_at else ()),
        *(('labels',) if with_labels else ()),
    ):
        (folder / name).mkdir(parents=True)
    described = Drive(
        name=drive,
        source='test',
        intrinsics=camera,
        original_intrinsics=camera.resized(128, 64),
        frames=tuple(Frame(i, i * 100_000_000, speed_m_s=5.0) for i in range(frames)),
    )
    for index in range(frames):
        image = np.zeros((32, 64, 3), np.uint8)
        labels = np.full((32, 64), ROAD_ID, np.uint8)
        if index in cars_at:
            image[CAR] = (255, 0, 0)
            labels[CAR] = CAR_ID
        write_frame(image, frame_path(folder, index))
        if with_labels:
            write_labels(labels, labels_path(folder, index))
        if index in lidar_at:
            truth_m = road_depth_m(described.original_intrinsics) * np.float32(lidar_factor)
            write_lidar(truth_m, lidar_path(folder, index))
    write_drive(described, folder)
    return described


def write_standing_car(dataset: Path, index: int, *, drive: str = 'road') -> None:
    """Give a frame with labels a car large enough to be judged where it stands, seen too far."""
    image, labels = np.zeros((32, 64, 3), np.uint8), np.full((32, 64), ROAD_ID, np.uint8)
    image[17:28, 26:38] = (255, 0, 0)
    labels[17:28, 26:38] = CAR_ID
    write_frame(image, frame_path(dataset / drive, index))
    write_labels(labels, labels_path(dataset / drive, index))
