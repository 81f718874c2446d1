"""Does what the node published keep its promises? Pure: works on a recording, without ROS."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.classes import UNKNOWN_ID
from sg_depth_ros.errors import UserError
from sg_depth_ros.point_cloud import POINT_DTYPE
from sg_depth_ros.replay.live.recording import OUTPUT_TOPICS
from sg_depth_ros.replay.live.recording import OutputKind
from sg_depth_ros.replay.live.recording import Recording
from sg_depth_ros.replay.live.recording import image_pixels

CHECKED_KINDS: tuple[OutputKind, ...] = ('depth', 'camera_info', 'points', 'mask')
_INTRINSICS_TOLERANCE_PX = 0.01
_POINT_TOLERANCE = 1e-4  # relative to the depth
_NUMBER = re.compile(r'[0-9]+(\.[0-9]+)?(e[-+]?[0-9]+)?')


def find_problems(
    recording: Recording, camera: Intrinsics, classes: int, every: bool
) -> tuple[str, ...]:
    """
    Return what is wrong with the outputs of one run, each as a sentence that begins with a topic.

    :param camera: what the depth's camera_info must say.
    :param classes: that the model knows; a label is less, or unknown.
    :param every: each image must have given exactly one of each output; otherwise at most one.
    """
    problems = _count_problems(recording, every) + _content_problems(recording, camera, classes)
    if next(recording.of_kind('depth'), None) is None:
        problems.insert(0, f'{OUTPUT_TOPICS["depth"]}: not a single one came')
    return tuple(problems)


def _count_problems(recording: Recording, every: bool) -> list[str]:
    sent = Counter(s.stamp_ns for s in recording.sent)
    problems = []
    for kind in CHECKED_KINDS:
        came = Counter(entry.stamp_ns for entry in recording.of_kind(kind))
        topic = OUTPUT_TOPICS[kind]
        missing = [t for t in sent if came[t] < sent[t]]
        doubled = [t for t in sent if came[t] > sent[t]]
        strange = [t for t in came if t not in sent]
        if every and missing:
            problems.append(f'{topic}: missing for {_stamps(missing)} of {len(sent)} images')
        if doubled:
            problems.append(f'{topic}: more than one for {_stamps(doubled)}')
        if strange:
            problems.append(f'{topic}: stamps of no image: {_stamps(strange)}')
    return problems


def _stamps(stamps_ns: Sequence[int]) -> str:
    first = ', '.join(f'{t * 1e-9:.3f} s' for t in stamps_ns[:3])
    return f'{len(stamps_ns)} (stamp {first}{", ..." if len(stamps_ns) > 3 else ""})'


def _content_problems(recording: Recording, camera: Intrinsics, classes: int) -> list[str]:
    """Check every output of every image; each kind of problem is told once, with its count."""
    frames = {s.stamp_ns: s.frame_id for s in recording.sent}
    found: list[str] = []
    for entries in recording.by_image():
        if entries[0].stamp_ns not in frames:
            continue
        frame_id = frames[entries[0].stamp_ns]
        depth_m: NDArray[np.float32] | None = None
        # Depth first: the others must fit it.
        kept = [entry for entry in entries if entry.size]
        for entry in sorted(kept, key=lambda e: e.kind != 'depth'):
            message = recording.message(entry)
            topic = OUTPUT_TOPICS[entry.kind]
            if message.header.frame_id != frame_id:
                found.append(f'{topic}: frame_id "{message.header.frame_id}", not "{frame_id}"')
            try:
                if entry.kind == 'depth':
                    depth_m = published_depth(message)
                elif entry.kind == 'camera_info':
                    check_camera_info(message, camera, depth_m)
                elif entry.kind == 'points' and depth_m is not None:
                    check_cloud(message, camera, depth_m)
                elif entry.kind == 'mask':
                    published_labels(message, classes, depth_m)
            except ValueError as error:
                found.append(f'{topic}: {error}')
    return _told_once(found)


def _told_once(found: Sequence[str]) -> list[str]:
    """Of problems that differ in their numbers only, tell the first and how many there are."""
    kinds: dict[str, list[str]] = {}
    for text in found:
        kinds.setdefault(_NUMBER.sub('0', text), []).append(text)
    return [_counted(texts) for texts in kinds.values()]


def _counted(texts: Sequence[str]) -> str:
    if len(texts) == 1:
        return texts[0]
    such = '' if len(set(texts)) == 1 else 'such as this, '
    return f'{texts[0]} ({such}{len(texts)} times)'


def published_depth(message: Any) -> NDArray[np.float32]:
    """
    Read a depth image and check it against REP 117 and 118.

    :return: depth_m (H, W); NaN invalid, +Inf far.
    :raises ValueError: where it is not 32FC1 or holds a depth that is zero or negative.
    """
    if message.encoding != '32FC1':
        raise ValueError(f'encoding {message.encoding!r}, not 32FC1')
    depth_m = image_pixels(message, 'f4').astype(np.float32)
    with np.errstate(invalid='ignore'):
        if (depth_m <= 0).any():
            raise ValueError('depth that is zero or negative')
    return depth_m


def published_labels(
    message: Any, classes: int, depth_m: NDArray[np.float32] | None = None
) -> NDArray[np.uint8]:
    """
    Read a mask and check it.

    :return: (H, W) class ids.
    :raises ValueError: where it is not mono8, holds a class that the model does not know, or is
        neither of the depth's size nor, as Nav2 wants it, of the cloud's.
    """
    if message.encoding != 'mono8':
        raise ValueError(f'encoding {message.encoding!r}, not mono8')
    labels: NDArray[np.uint8] = image_pixels(message, 'u1').copy()
    strange = np.unique(labels[(labels >= classes) & (labels != UNKNOWN_ID)])
    if len(strange):
        raise ValueError(f'class {strange[0]}, but the model has {classes}')
    if depth_m is not None:
        stride = -(-depth_m.shape[0] // max(labels.shape[0], 1))
        if depth_m[::stride, ::stride].shape != labels.shape:
            raise ValueError(
                f'{labels.shape[1]}x{labels.shape[0]}, but the depth is '
                f'{depth_m.shape[1]}x{depth_m.shape[0]}'
            )
    return labels


def check_camera_info(
    message: Any, camera: Intrinsics, depth_m: NDArray[np.float32] | None
) -> None:
    """
    Check that an info describes the depth image and the recorded camera.

    :raises ValueError: naming what does not fit.
    """
    size = (int(message.width), int(message.height))
    if depth_m is not None and size != depth_m.shape[::-1]:
        raise ValueError(f'{size[0]}x{size[1]}, but the depth is {depth_m.shape[::-1]}')
    if np.any(np.asarray(message.d) != 0):
        raise ValueError('distortion, though the depth is that of a pinhole camera')
    try:
        told = Intrinsics.from_matrix(np.asarray(message.k).reshape(3, 3), *size)
        projected = Intrinsics.from_matrix(np.asarray(message.p).reshape(3, 4), *size)
    except UserError as error:
        raise ValueError(str(error)) from error
    for name, one in (('K', told), ('P', projected)):
        values = [(getattr(one, f), getattr(camera, f)) for f in ('fx', 'fy', 'cx', 'cy')]
        if any(abs(a - b) > _INTRINSICS_TOLERANCE_PX for a, b in values):
            raise ValueError(
                f'{name} does not fit the image: fx {one.fx:.2f} cx {one.cx:.2f}, from the '
                f'recording fx {camera.fx:.2f} cx {camera.cx:.2f}'
            )


def check_cloud(message: Any, camera: Intrinsics, depth_m: NDArray[np.float32]) -> None:
    """
    Check that a cloud is organised and that each point is its pixel's ray times its depth.

    :raises ValueError: naming what does not fit.
    """
    offsets = {f.name: f.offset for f in message.fields}
    if [offsets.get(n) for n in ('x', 'y', 'z', 'rgb')] != [0, 4, 8, 12]:
        raise ValueError(f'fields {offsets}, not x y z rgb at 0 4 8 12')
    stride = -(-depth_m.shape[0] // max(int(message.height), 1))
    expected_m = depth_m[::stride, ::stride]
    if (message.height, message.width) != expected_m.shape:
        raise ValueError(
            f'{message.width}x{message.height} points for a depth image of '
            f'{depth_m.shape[1]}x{depth_m.shape[0]}'
        )
    data = np.frombuffer(message.data, np.uint8).reshape(message.height, message.row_step)
    used = data[:, : message.width * message.point_step].reshape(-1, message.point_step)
    cloud = np.ascontiguousarray(used[:, : POINT_DTYPE.itemsize]).view(POINT_DTYPE)
    points = np.stack([cloud[n] for n in 'xyz'], axis=-1).reshape(*expected_m.shape, 3)
    valid = np.isfinite(expected_m)
    if not np.isnan(points[~valid]).all():
        raise ValueError('points where the depth is invalid or infinite')
    rays = camera.rays()[::stride, ::stride]
    expected = rays[valid] * expected_m[valid][:, None]
    error = np.abs(points[valid] - expected).max(axis=1, initial=0.0)
    if not (error <= _POINT_TOLERANCE * np.maximum(expected_m[valid], 1.0)).all():
        raise ValueError(f'points up to {np.nanmax(error):.3g} m away from ray times depth')
