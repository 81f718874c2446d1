"""Measured depth from a topic of depth images that are aligned with the camera."""

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.bags.bag import Bag
from sg_depth_ros.bags.connecting import transforms_between
from sg_depth_ros.bags.stamped import StampedDepth
from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.errors import UserError
from sg_depth_ros.rectification import RectifiedCamera
from sg_depth_ros.rectification import is_rectified_topic
from sg_depth_ros.rectification import rectified_camera
from sg_depth_ros.replay.ground_truth import MAX_OFFSET_S
from sg_depth_ros.replay.ground_truth import Measurement
from sg_depth_ros.replay.ground_truth import Measurements
from sg_depth_ros.replay.ground_truth import NoTruth
from sg_depth_ros.replay.ground_truth import StreamedTruth
from sg_depth_ros.replay.ground_truth import Truth

ALIGNED_M = 0.005  # how far two cameras may be apart, and in radians turned, to be one
ALIKE = 0.01  # share by which the intrinsics of one camera may differ between two messages

Straighten = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def depth_topic_truth(
    bag: Bag,
    camera: RectifiedCamera,
    camera_frame: str,
    topic: str,
    *,
    max_offset_s: float = MAX_OFFSET_S,
) -> Truth:
    """
    Take depth images as measured depth.

    They show what the camera shows: either they are of the images' size, or a camera_info beside
    them has the camera's intrinsics, at any size.

    :param bag: opened for this alone: it is read while the images are read from another one.
    :raises UserError: where they are of another camera, or no depth images.
    """
    first = next(bag.depth_images(topic), None)
    if first is None:
        return NoTruth(f'The depth topic {topic} holds no message.')
    _check_frame(bag, topic, first, camera_frame)
    try:
        size = first.decode().shape
    except UserError as error:
        raise UserError(f'{bag.path}: {topic}: {error}') from error
    straighten = _geometry(bag, topic, camera, size)
    read = partial(_measurements, bag, topic, camera.camera, size, straighten)
    return StreamedTruth(topic, read, max_offset_s)


def _measurements(
    bag: Bag,
    topic: str,
    camera: Intrinsics,
    size: tuple[int, ...],
    straighten: Straighten | None,
    since_ns: int,
) -> Measurements:
    for image in bag.depth_images(topic, since_ns=since_ns):
        yield Measurement(
            image.stamp_ns,
            image.received_ns,
            partial(_depth_m, image, camera, size, straighten),
        )


def _depth_m(
    image: StampedDepth, camera: Intrinsics, size: tuple[int, ...], straighten: Straighten | None
) -> NDArray[np.float32] | None:
    """Return metres at the size of the camera's images; None for a damaged depth image."""
    try:
        depth_m = image.decode()
    except UserError:
        return None
    if depth_m.shape != size:
        return None
    if size != (camera.height, camera.width):
        wanted = camera.width, camera.height
        resized = cv2.resize(depth_m, wanted, interpolation=cv2.INTER_NEAREST_EXACT)
        depth_m = np.asarray(resized, np.float32)
    return depth_m if straighten is None else straighten(depth_m)


def _check_frame(bag: Bag, topic: str, image: StampedDepth, camera_frame: str) -> None:
    if image.frame_id == camera_frame:
        return
    connected = transforms_between(bag, camera_frame, image.frame_id)
    T = None if connected is None else connected.at(image.stamp_ns)
    if T is None or np.abs(T - np.eye(4)).max() > ALIGNED_M:
        raise UserError(
            f'{bag.path}: {topic} is in the frame "{image.frame_id}", the images are in '
            f'"{camera_frame}": it is of another camera as far as the bag knows. Register it to '
            "the camera first (depth_image_proc's register node) or give --truth none"
        )


def _geometry(
    bag: Bag, topic: str, camera: RectifiedCamera, size: tuple[int, ...]
) -> Straighten | None:
    """
    Find out how depth images come to the geometry of the undistorted images.

    :return: None where they have it already.
    :raises UserError: where they are of another camera.
    """
    height, width = size
    target, lens = camera.camera, camera.lens
    straighten = None if camera.undistortion is None else camera.undistortion.nearest
    info = bag.camera_info_beside(topic)
    if info is None:
        if (width, height) == (target.width, target.height):
            return straighten
        raise UserError(
            f'{bag.path}: {topic} is {width}x{height}, the images are '
            f'{target.width}x{target.height}, and no camera_info lies beside it: record that too, '
            'or register depth to the camera first'
        )
    own = rectified_camera(info, width, height, is_rectified_topic(topic))
    if own.lens is None and _alike(own.camera, target):
        return None
    if own.lens is not None and lens is not None and _alike(own.lens.raw, lens.raw):
        return straighten
    raise UserError(
        f'{bag.path}: the camera_info beside {topic} is of another camera than that of the images '
        f'({_words(own.camera)}; {_words(target)}). Register depth to the camera first '
        "(depth_image_proc's register node) or give --truth none"
    )


def _alike(first: Intrinsics, second: Intrinsics) -> bool:
    a = first.resized(second.width, second.height)
    focal = abs(a.fx / second.fx - 1) <= ALIKE and abs(a.fy / second.fy - 1) <= ALIKE
    centre = max(abs(a.cx - second.cx) / second.width, abs(a.cy - second.cy) / second.height)
    return focal and centre <= ALIKE


def _words(camera: Intrinsics) -> str:
    c = camera
    return f'{c.width}x{c.height}, fx {c.fx:.1f}, fy {c.fy:.1f}, cx {c.cx:.1f}, cy {c.cy:.1f}'
