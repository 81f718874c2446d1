"""How frames of a recording hang together, by /tf_static and /tf."""

from sg_depth_ros.bags.bag import Bag
from sg_depth_ros.bags.transforms import ConnectingTransforms
from sg_depth_ros.bags.transforms import Edge
from sg_depth_ros.bags.transforms import MovingTransform
from sg_depth_ros.bags.transforms import PoseSample
from sg_depth_ros.bags.transforms import connect
from sg_depth_ros.bags.transforms import frame_name


def transforms_between(bag: Bag, target: str, source: str) -> ConnectingTransforms | None:
    """
    Find how two frames hang together, by ``tf_static`` and, where that is not enough, ``tf``.

    The poses of the moving frames between the two are kept in memory, of no others.

    :return: None where they are not connected.
    :raises UserError: where a rotation is none.
    """
    static = bag.static_transforms()
    path = connect(static.edges, target, source)
    moving: dict[Edge, list[PoseSample]] = {}
    if path is None:
        edges = {*static.edges, *(edge for edge, _ in bag.poses('tf'))}
        path = connect(sorted(edges), target, source)
        if path is None:
            return None
        wanted = {edge for edge, _ in path} - static.edges.keys()
        for edge, sample in bag.poses('tf'):
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
    edges = {edge for kind in ('tf_static', 'tf') for edge, _ in bag.poses(kind)}
    return tuple(sorted({frame for edge in edges for frame in edge}))
