"""Which frames were taken at rest: they teach nothing, whatever depth explains them."""

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import resize_image
from training.data.drive import Drive
from training.data.drive import Frame
from training.data.triplets import MAX_OFFSET

DEFAULT_MIN_MOTION_M = 0.1
MIN_FLOW_PX = 0.5  # of an image 640 wide
_FLOW_WIDTH_PX = 320  # half the reference: enough for a median, and four times as fast


def flow_image(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """
    Return what is enough of an image to tell whether it moves.

    :param image: RGB (H, W, 3).
    :return: gray, 320 wide.
    """
    height = max(16, round(image.shape[0] * _FLOW_WIDTH_PX / image.shape[1]))
    small = resize_image(image, _FLOW_WIDTH_PX, height)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)


def median_flow_px(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> float:
    """
    Measure how much the image moves from one frame to the next, where nothing else tells.

    :param before: ``flow_image`` of one frame.
    :param after: of the next.
    :return: the median length of the optical flow, in pixels of an image 640 wide.
    """
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    flow = np.asarray(dis.calc(before, after, None))  # type: ignore[call-overload]
    length = np.linalg.norm(flow, axis=2)
    return float(np.median(length)) * 640 / _FLOW_WIDTH_PX


def mark_static(
    drive: Drive,
    flow_px: Sequence[float] | None,
    min_motion_m: float = DEFAULT_MIN_MOTION_M,
) -> Drive:
    """
    Mark as dropped the frames that have no moved neighbour on one side.

    Where motion is known: towards one side the camera has not left ``min_motion_m`` within the
    neighbours that training would take. Where it is unknown: the median optical flow to the next
    or previous frame is below ``MIN_FLOW_PX``. The first and last frame are never marked.

    :param flow_px: between consecutive frames at 640 wide, or None where it was not measured.
    """
    frames = list(drive.frames)
    for frame in drive.frames[1:-1]:
        reason = _by_displacement(drive, frame.index, min_motion_m)
        if reason is None and drive.scale_source == 'none' and flow_px is not None:
            reason = _by_flow(frame, flow_px)
        if reason is not None:
            frames[frame.index] = replace(frame, dropped=reason)
    return replace(drive, frames=tuple(frames))


def _by_displacement(drive: Drive, index: int, min_motion_m: float) -> str | None:
    for step, side in ((1, 'next'), (-1, 'previous')):
        last = index + step * MAX_OFFSET
        if not 0 <= last < len(drive.frames):
            continue  # slow, perhaps, but there is too little to call it rest
        offsets = range(1, MAX_OFFSET + 1)
        moved_m = [drive.displacement_m(index, index + step * offset) for offset in offsets]
        known_m = [m for m in moved_m if m is not None]
        if len(known_m) == MAX_OFFSET and max(known_m) < min_motion_m:
            return f'static: {max(known_m):.2f} m in the {side} {MAX_OFFSET} frames'
    return None


def _by_flow(frame: Frame, flow_px: Sequence[float]) -> str | None:
    if flow_px[frame.index] < MIN_FLOW_PX:
        return f'static: {flow_px[frame.index]:.2f} px median flow to the next frame'
    if flow_px[frame.index - 1] < MIN_FLOW_PX:
        return f'static: {flow_px[frame.index - 1]:.2f} px median flow from the previous frame'
    return None
