"""From hits to painted surface points: local place, normal, texture axes, a pixel's footprint."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.data.synthetic.casting import Hits
from training.data.synthetic.shapes import Array
from training.data.synthetic.shapes import Cylinder
from training.data.synthetic.shapes import Ellipsoid
from training.data.synthetic.shapes import Solid
from training.data.synthetic.shapes import Vector
from training.data.synthetic.textures import SurfacePoints

# Supersampling averages over the pixel too, so that the textures need not blur all of it.
FOOTPRINT_SHARE = 0.6
GRAZING = 0.03  # least cosine at which a footprint is still taken to grow


class View(NamedTuple):
    """The rays of a picture: directions in the world, and how far apart neighbours are."""

    direction: Vector  # [...], depth along z is their parameter
    right: NDArray[np.float64]  # [3], the camera's axes in the world
    down: NDArray[np.float64]
    pixel_angle: float  # 1 / focal length


class Surface(NamedTuple):
    """Hits on solids, [N] each."""

    points: SurfacePoints
    local: Vector  # place in the solid's frame
    normal: Vector  # in the world
    face: NDArray[np.int8]
    color: Vector  # the solid's own, red, green and blue


def dot(a: Vector, b: Vector) -> Array:
    """Return the scalar product of vectors."""
    product: Array = a.x * b.x + a.y * b.y + a.z * b.z
    return product


def footprint(
    view: View, direction: Vector, depth_m: Array, normal: Vector, axes: Sequence[Vector]
) -> list[Array]:
    """
    Return how far apart neighbouring pixels' rays meet a surface, along each of its axes.

    A ray that moves sideways by s meets the plane at P + depth * (s - D (n s) / (n D)).
    """
    facing = dot(normal, direction)
    facing = np.where(facing < 0, np.minimum(facing, -GRAZING), np.maximum(facing, GRAZING))
    scale = depth_m * np.float32(view.pixel_angle * FOOTPRINT_SHARE)
    sides = [Vector(*side.astype(np.float32)) for side in (view.right, view.down)]
    leans = [dot(normal, side) / facing for side in sides]
    extents = []
    for axis in axes:
        along = dot(axis, direction)
        across = [dot(axis, side) - along * lean for side, lean in zip(sides, leans)]
        extents.append(scale * np.hypot(*across))
    return extents


@dataclass(frozen=True, eq=False)
class SolidTable:
    """The measures of many solids as arrays, to look up those of each hit."""

    cosine: Array  # [S], of the yaw
    sine: Array
    offset_m: Array  # [3, S], from the solid's origin to the sensor
    texture_seed: Array
    color: Array  # [3, S]
    radii_m: Array  # [3, S], of ellipsoids
    curved: NDArray[np.int8]  # [S], 0 or one of CYLINDER and ELLIPSOID
    first_row: NDArray[np.int64]  # [S], of the solid's faces in ``axes``
    axes: Array  # [rows, 9]: normal, texture axis along and texture axis up


def tabulate(solids: Sequence[Solid], sensor_m: NDArray[np.float64]) -> SolidTable:
    """Lay out solids, of which there must be one at least, for a sensor's position (3,)."""
    yaw = np.array([s.yaw_rad for s in solids])
    origin_m = np.array([s.origin_m for s in solids])
    faces = [s.shape.face_axes for s in solids]
    radii = [s.shape.radii_m if isinstance(s.shape, Ellipsoid) else _NO_RADII for s in solids]
    return SolidTable(
        cosine=np.cos(yaw).astype(np.float32),
        sine=np.sin(yaw).astype(np.float32),
        offset_m=(sensor_m - origin_m).astype(np.float32).T,
        texture_seed=np.array([s.texture_seed for s in solids], np.float32),
        color=np.array([s.color for s in solids], np.float32).T,
        radii_m=np.array(radii, np.float32).T,
        curved=np.array([_CURVED.get(type(s.shape), 0) for s in solids], np.int8),
        first_row=np.cumsum([0] + [len(f) for f in faces[:-1]]),
        axes=np.concatenate(faces),
    )


def surface_of(view: View, hits: Hits, table: SolidTable, chosen: NDArray[np.intp]) -> Surface:
    """
    Describe the surface at chosen hits.

    :param chosen: flat indices [N] of rays that meet solids.
    """
    depth = hits.depth_m.ravel()[chosen]
    index = hits.solid.ravel()[chosen]
    face = hits.face.ravel()[chosen]
    direction = Vector(*(component.ravel()[chosen] for component in view.direction))
    cosine, sine = table.cosine[index], table.sine[index]
    away = Vector(*(o[index] + depth * d for o, d in zip(table.offset_m, direction)))
    local = Vector(cosine * away.x + sine * away.y, cosine * away.y - sine * away.x, away.z)
    normal, along, up = _local_axes(table, index, face, local)

    def to_world(v: Vector) -> Vector:
        return Vector(cosine * v.x - sine * v.y, sine * v.x + cosine * v.y, v.z)

    normal_world = to_world(normal)
    extents = footprint(view, direction, depth, normal_world, (to_world(along), to_world(up)))
    points = SurfacePoints(
        dot(along, local), dot(up, local), extents[0], extents[1], table.texture_seed[index]
    )
    color = Vector(*(channel[index] for channel in table.color))
    return Surface(points, local, normal_world, face, color)


CYLINDER, ELLIPSOID = 1, 2
_CURVED: dict[type, int] = {Cylinder: CYLINDER, Ellipsoid: ELLIPSOID}
_NO_RADII = (1.0, 1.0, 1.0)


def _local_axes(
    table: SolidTable, index: NDArray[np.int16], face: NDArray[np.int8], local: Vector
) -> tuple[Vector, Vector, Vector]:
    """Return normal, texture axis along and texture axis up at each hit, in its solid's frame."""
    axes = np.ascontiguousarray(table.axes[table.first_row[index] + face].T)
    curved = table.curved[index]
    for kind in (CYLINDER, ELLIPSOID):
        at = np.flatnonzero(curved == kind)
        if len(at):
            place = Vector(*(component[at] for component in local))
            axes[:, at] = _curved_axes(kind, place, table.radii_m[:, index[at]])
    return Vector(*axes[:3]), Vector(*axes[3:6]), Vector(*axes[6:])


def _curved_axes(kind: int, local: Vector, radii_m: Array) -> Array:
    """
    Return the axes (9, N) on curved surfaces.

    Textures are projected along whichever local axis the surface faces most, as onto a cube.
    """
    normal = np.stack([c / (r * r) for c, r in zip(local, radii_m)])
    if kind == CYLINDER:
        normal[2] = 0
    normal /= np.maximum(np.sqrt((normal * normal).sum(axis=0)), np.float32(1e-9))
    facing = np.abs(normal).argmax(axis=0)
    along = np.array([[0, 1, 0], [1, 0, 0], [1, 0, 0]], np.float32)[facing].T
    up = np.array([[0, 0, 1], [0, 0, 1], [0, 1, 0]], np.float32)[facing].T
    return np.concatenate([normal, along, up])
