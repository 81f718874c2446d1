"""
Shapes, solids made of them, and where a ray enters each: convex bodies, cylinders, ellipsoids.

World and local frames are metric, z up; a solid is its shape turned about z and moved.
"""

import math
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


class Vector(NamedTuple):
    """Three components of many vectors, each an array of one shape (or one number)."""

    x: Array
    y: Array
    z: Array


class Entry(NamedTuple):
    """Where rays enter a shape: the ray parameter (inf where they miss) and the face."""

    depth: Array
    face: NDArray[np.int8]


class Material(IntEnum):
    """How a surface is painted; ``painting.py`` has a function for each."""

    GROUND = 0
    SKY = 1
    FACADE = 2
    ROOF = 3
    FOLIAGE = 4
    BARK = 5
    METAL = 6
    CAR_BODY = 7
    CAR_CABIN = 8
    WHEEL = 9
    FENCE = 10
    SIGN = 11
    CLOTH = 12


@dataclass(frozen=True, eq=False)
class Convex:
    """The points with ``normals @ p <= offsets``; ``faces`` paint along two tangents each."""

    normals: Array  # [K, 3], unit length, outwards
    offsets: Array  # [K]
    tangents: Array  # [K, 2, 3]: along the face, and up it
    vertices: Array  # [8, 3]

    @cached_property
    def face_axes(self) -> Array:
        """Each face's normal, tangent along and tangent up, (K, 9)."""
        return np.concatenate([self.normals[:, None], self.tangents], axis=1).reshape(-1, 9)


@dataclass(frozen=True)
class Cylinder:
    """An upright tube without lids."""

    radius_m: float
    low_m: float
    high_m: float

    @property
    def vertices(self) -> Array:
        """The eight corners of the box around it."""
        r = self.radius_m
        return np.array(list(product((-r, r), (-r, r), (self.low_m, self.high_m))), np.float32)

    @property
    def face_axes(self) -> Array:
        """One row (1, 9); the axes differ from point to point."""
        return np.zeros((1, 9), np.float32)


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid around the local origin."""

    radii_m: tuple[float, float, float]

    @property
    def vertices(self) -> Array:
        """The eight corners of the box around it."""
        return np.array(list(product(*((-r, r) for r in self.radii_m))), np.float32)

    @property
    def face_axes(self) -> Array:
        """One row (1, 9); the axes differ from point to point."""
        return np.zeros((1, 9), np.float32)


Shape = Convex | Cylinder | Ellipsoid


@dataclass(frozen=True, eq=False)
class Solid:
    """A painted shape at its place in the world."""

    shape: Shape
    material: Material
    label: int
    color: tuple[float, float, float]  # 0..1
    texture_seed: float  # moves the noise, so that no two houses share their stains
    origin_m: tuple[float, float, float]
    yaw_rad: float = 0.0
    same_speed: bool = False  # belongs to a car that moves along with the camera

    @cached_property
    def corners_m(self) -> Array:
        """The eight points that enclose it, (8, 3), in the world."""
        c, s = math.cos(self.yaw_rad), math.sin(self.yaw_rad)
        turn = np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]], np.float32)
        return self.shape.vertices @ turn + np.asarray(self.origin_m, np.float32)


def hexahedron(
    base: tuple[float, float, float, float],
    top: tuple[float, float, float, float],
    low_m: float,
    high_m: float,
) -> Convex:
    """
    Make a body between two rectangles, such as a box, a car's cabin or a gabled roof.

    :param base: x_min, x_max, y_min, y_max at ``low_m``.
    :param top: the same at ``high_m``; may have no extent along x or y, as a ridge.
    """
    height = high_m - low_m
    # Outward normal of each slanted side from its run over the height.
    sides = [
        (-height, 0.0, top[0] - base[0]),
        (height, 0.0, base[1] - top[1]),
        (0.0, -height, top[2] - base[2]),
        (0.0, height, base[3] - top[3]),
        (0.0, 0.0, -1.0),
        (0.0, 0.0, 1.0),
    ]
    anchors = [
        (base[0], 0.0, low_m),
        (base[1], 0.0, low_m),
        (0.0, base[2], low_m),
        (0.0, base[3], low_m),
        (0.0, 0.0, low_m),
        (0.0, 0.0, high_m),
    ]
    normals = np.array(sides, np.float64)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    vertices = [(x, y, low_m) for x in base[:2] for y in base[2:]]
    vertices += [(x, y, high_m) for x in top[:2] for y in top[2:]]
    return Convex(
        normals=normals.astype(np.float32),
        offsets=np.sum(normals * np.array(anchors), axis=1).astype(np.float32),
        tangents=np.array([_tangents(n) for n in normals], np.float32),
        vertices=np.array(vertices, np.float32),
    )


def box(x_m: tuple[float, float], y_m: tuple[float, float], z_m: tuple[float, float]) -> Convex:
    """Make a box from its bounds along each local axis."""
    return hexahedron((*x_m, *y_m), (*x_m, *y_m), *z_m)


def enter(shape: Shape, origin: Vector, direction: Vector) -> Entry:
    """
    Find where rays enter a shape from outside.

    :param origin: of the rays, in the shape's local frame; one number each.
    :param direction: of the rays, local, arrays of one shape.
    :return: ray parameter in units of the direction's length, inf where the ray misses.
    """
    if isinstance(shape, Convex):
        return _enter_convex(shape, origin, direction)
    if isinstance(shape, Cylinder):
        return _enter_cylinder(shape, origin, direction)
    return _enter_ellipsoid(shape, origin, direction)


def _tangents(normal: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    up = np.array([0.0, 0.0, 1.0]) if abs(normal[2]) < 0.99 else np.array([0.0, 1.0, 0.0])
    up = up - normal * (up @ normal)
    up /= np.linalg.norm(up)
    return np.cross(up, normal), up


def _enter_convex(shape: Convex, origin: Vector, direction: Vector) -> Entry:
    near = np.zeros(direction.x.shape, np.float32)
    far = np.full(direction.x.shape, np.inf, np.float32)
    face = np.full(direction.x.shape, -1, np.int8)
    for k, (n, offset) in enumerate(zip(shape.normals, shape.offsets)):
        approach = n[0] * direction.x + n[1] * direction.y + n[2] * direction.z
        # A ray exactly along a face would divide by zero; it then enters or leaves far away.
        approach[approach == 0] = 1e-12
        room = offset - (n[0] * origin.x + n[1] * origin.y + n[2] * origin.z)
        crossing = room / approach
        if room < 0:
            # Outside this face: rays towards it enter here, all others miss.
            inwards = approach < 0
            later = inwards & (crossing > near)
            near[later] = crossing[later]
            face[later] = k
            far[~inwards] = -1.0
        else:
            np.minimum(far, np.where(approach > 0, crossing, np.float32(np.inf)), out=far)
    near[(near > far) | (face < 0)] = np.inf
    return Entry(near, face)


def _enter_cylinder(shape: Cylinder, origin: Vector, direction: Vector) -> Entry:
    a = direction.x**2 + direction.y**2
    half_b = origin.x * direction.x + origin.y * direction.y
    c = origin.x**2 + origin.y**2 - np.float32(shape.radius_m**2)
    depth = _nearer_root(a, half_b, c)
    with np.errstate(invalid='ignore'):
        z = origin.z + depth * direction.z
        depth[~((z >= shape.low_m) & (z <= shape.high_m))] = np.inf
    return Entry(depth, np.zeros(depth.shape, np.int8))


def _enter_ellipsoid(shape: Ellipsoid, origin: Vector, direction: Vector) -> Entry:
    a = np.zeros(direction.x.shape, np.float32)
    half_b = np.zeros_like(a)
    c = np.float32(-1.0)
    for o, d, radius in zip(origin, direction, shape.radii_m):
        weight = np.float32(1 / radius**2)
        a += weight * d**2
        half_b += weight * o * d
        c = c + weight * o**2
    depth = _nearer_root(a, half_b, c)
    return Entry(depth, np.zeros(depth.shape, np.int8))


def _nearer_root(a: Array, half_b: Array, c: Array) -> Array:
    discriminant = half_b**2 - a * c
    depth = np.full(a.shape, np.inf, np.float32)
    hit = (discriminant > 0) & (half_b < 0) & (a > 0)
    depth[hit] = (-half_b[hit] - np.sqrt(discriminant[hit])) / a[hit]
    depth[depth <= 0] = np.inf
    return depth
