"""How frames of a recording hang together, by /tf_static and /tf."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.bags.bag import Bag
from sg_depth_ros.bags.messages import stamp_ns
from sg_depth_ros.bags.topics import TF_TYPE
from sg_depth_ros.bags.transforms import ConnectingTransforms
from sg_depth_ros.bags.transforms import Edge
from sg_depth_ros.bags.transforms import MovingTransform
from sg_depth_ros.bags.transforms import PoseSample
from sg_depth_ros.bags.transforms import StaticTransforms
from sg_depth_ros.bags.transforms import connect
from sg_depth_ros.bags.transforms import frame_name
from sg_depth_ros.bags.transforms import pose_sample
from sg_depth_ros.bags.transforms import quaternion_matrix
from sg_depth_ros.errors import UserError


def static_transforms(bag: Bag) -> StaticTransforms:
    """
    Return what every ``tf_static`` topic of the bag says; the last word counts.

    :raises UserError: where a rotation is none.
    """
    edges: dict[Edge, NDArray[np.float64]] = {}
    for edge, sample in _poses(bag, 'tf_static'):
        edges[edge] = quaternion_matrix(sample.quaternion, np.array(sample.translation_m))
    return StaticTransforms(edges)


def transforms_between(bag: Bag, target: str, source: str) -> ConnectingTransforms | None:
    """
    Find how two frames hang together, by ``tf_static`` and, where that is not enough, ``tf``.

    The poses of the moving frames between the two are kept in memory, of no others.

    :return: None where they are not connected.
    :raises UserError: where a rotation is none.
    """
    static = static_transforms(bag)
    path = connect(static.edges, target, source)
    moving: dict[Edge, list[PoseSample]] = {}
    if path is None:
        edges = {*static.edges, *(edge for edge, _ in _poses(bag, 'tf'))}
        path = connect(sorted(edges), target, source)
        if path is None:
            return None
        wanted = {edge for edge, _ in path} - static.edges.keys()
        for edge, sample in _poses(bag, 'tf'):
            if edge in wanted:
                moving.setdefault(edge, []).append(sample)
    return ConnectingTransforms(
        frame_name(target),
        frame_name(source),
        path,
        {edge: static.edges[edge] for edge, _ in path if edge in static.edges},
        {edge: MovingTransform(samples) for edge, samples in moving.items()},
    )


def transformed_frames(bag: Bag) -> tuple[str, ...]:
    """Return the names of all frames that the transforms of a bag connect, sorted."""
    edges = {edge for kind in ('tf_static', 'tf') for edge, _ in _poses(bag, kind)}
    return tuple(sorted({frame for edge in edges for frame in edge}))


def _poses(bag: Bag, kind: Literal['tf', 'tf_static']) -> Iterator[tuple[Edge, PoseSample]]:
    """
    Return what the topics of this name say, message by message.

    :raises UserError: where a rotation is none.
    """
    names = [t.name for t in bag.topics_of(TF_TYPE) if t.name.rpartition('/')[2] == kind]
    for entry in bag.messages(*names):
        for stamped in entry.message.transforms:
            parent, child = frame_name(stamped.header.frame_id), stamped.child_frame_id
            try:
                sample = pose_sample(stamp_ns(stamped.header), stamped.transform)
            except ValueError as error:
                raise UserError(
                    f'{bag.path}: {entry.topic}: {parent} -> {child}: {error}'
                ) from error
            yield (parent, frame_name(child)), sample
