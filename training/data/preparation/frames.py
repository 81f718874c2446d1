"""The files of each frame: image, labels and LiDAR, resized once and written."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import resize_image
from sg_depth_ros.camera import resize_labels
from sg_depth_ros.errors import UserError
from training.data.drive import frame_path
from training.data.drive import labels_path
from training.data.drive import lidar_path
from training.data.drive import write_frame
from training.data.drive import write_labels
from training.data.drive import write_lidar
from training.data.preparation.journal import FrameRecord
from training.data.preparation.journal import record_frame
from training.data.preparation.static_frames import flow_image
from training.data.preparation.static_frames import median_flow_px
from training.data.sources.source import Source
from training.data.sources.source import SourceContent

_WRITERS = 2  # threads; decoding is half of the work and is not shared


@dataclass(frozen=True, eq=False)
class _FrameWork:
    index: int
    content: SourceContent
    before: NDArray[np.uint8] | None  # flow images of the frame before and of this one
    after: NDArray[np.uint8] | None


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
    Write the files of the frames that are not done, and say so of each, in their order.

    While one frame is decoded, those before are resized, encoded and written.

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
    writing: deque[Future[FrameRecord]] = deque()
    writers = ThreadPoolExecutor(_WRITERS)
    try:
        for work in _work(source, len(done)):
            writing.append(writers.submit(_write_frame, work, drive_folder, size))
            if len(writing) > 2 * _WRITERS:  # more would fill the memory
                yield writing.popleft().result()
        while writing:
            yield writing.popleft().result()
    finally:
        writers.shutdown(cancel_futures=True)


def _work(source: Source, first: int) -> Iterator[_FrameWork]:
    """Return what is to be done for the frames from ``first`` on."""
    motion_known = any(f.speed_m_s is not None or f.T_world_camera for f in source.frames)
    # The flow to the first frame that is missing starts in the one before.
    start = first if motion_known else max(0, first - 1)
    before: NDArray[np.uint8] | None = None
    for index, content in enumerate(source.read(first=start), start):
        _check_size(content, source, index)
        after = None if motion_known else flow_image(content.image)
        if index >= first:
            yield _FrameWork(index, content, before, after)
        before = after


def _write_frame(work: _FrameWork, drive_folder: Path, size: tuple[int, int]) -> FrameRecord:
    content, index = work.content, work.index
    write_frame(resize_image(content.image, *size), frame_path(drive_folder, index))
    if content.labels is not None:
        write_labels(resize_labels(content.labels, *size), labels_path(drive_folder, index))
    if content.lidar_m is not None:
        write_lidar(content.lidar_m, lidar_path(drive_folder, index))
    flow_px = None
    if work.before is not None and work.after is not None:
        flow_px = median_flow_px(work.before, work.after)
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
