"""The files of each frame: image, labels and LiDAR, resized once and written."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from sg_depth_ros.camera import resize_image
from sg_depth_ros.camera import resize_labels
from sg_depth_ros.errors import UserError
from training.data.drive import frame_path
from training.data.drive import labels_path
from training.data.drive import lidar_path
from training.data.drive import write_frame
from training.data.drive import write_labels
from training.data.drive import write_lidar
from training.data.prepare_journal import FrameRecord
from training.data.prepare_journal import record_frame
from training.data.sources.source import Source
from training.data.sources.source import SourceContent
from training.data.static_frames import FlowMeter


@contextmanager
def one_cv2_thread() -> Iterator[None]:
    """
    Keep OpenCV to one thread for a while.

    Images of this size gain little from threads, drives beside each other lose by them, and DIS
    optical flow splits the image by their number, which its result may depend on.
    """
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def write_frames(
    source: Source, drive_folder: Path, size: tuple[int, int], done: tuple[FrameRecord, ...]
) -> Iterator[FrameRecord]:
    """
    Write the files of the frames that are not done, and say so of each.

    :param size: width and height of the images and labels in pixels.
    :param done: the frames that are complete, from the first one on.
    :return: of each further frame, after its files are written.
    :raises UserError: where the source is damaged.
    :raises OSError: where a file cannot be written.
    """
    for subfolder in ('frames', 'labels', 'lidar'):
        (drive_folder / subfolder).mkdir(exist_ok=True)
    if len(done) == len(source.frames):
        return
    motion_known = any(f.speed_m_s is not None or f.T_world_camera for f in source.frames)
    flow = None if motion_known else FlowMeter()
    # The flow to the first frame that is missing starts in the one before.
    first = len(done) if flow is None else max(0, len(done) - 1)
    for index, content in enumerate(source.read(first=first), first):
        _check_size(content, source, index)
        flow_px = None if flow is None else flow.add(content.image)
        if index < len(done):
            continue
        yield _write_frame(content, drive_folder, index, size, flow_px)


def _write_frame(
    content: SourceContent,
    drive_folder: Path,
    index: int,
    size: tuple[int, int],
    flow_px: float | None,
) -> FrameRecord:
    write_frame(resize_image(content.image, *size), frame_path(drive_folder, index))
    if content.labels is not None:
        write_labels(resize_labels(content.labels, *size), labels_path(drive_folder, index))
    if content.lidar_m is not None:
        write_lidar(content.lidar_m, lidar_path(drive_folder, index))
    return record_frame(
        drive_folder,
        index,
        has_labels=content.labels is not None,
        lidar_points=None if content.lidar_m is None else int(np.count_nonzero(content.lidar_m)),
        flow_px=flow_px,
    )


def _check_size(content: SourceContent, source: Source, index: int) -> None:
    height, width = content.image.shape[:2]
    camera = source.intrinsics
    if (width, height) != (camera.width, camera.height):
        raise UserError(
            f'{source.description}: image {index} is {width}x{height}, the first one was '
            f'{camera.width}x{camera.height}; all must be of one size'
        )
