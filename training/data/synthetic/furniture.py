"""What stands beside a road: trees, lamps, signs and people; and how a solid is put in place."""

import math

import numpy as np

from sg_depth_ros.classes import CLASS_NAMES
from training.data.synthetic.motion import Place
from training.data.synthetic.shapes import Cylinder
from training.data.synthetic.shapes import Ellipsoid
from training.data.synthetic.shapes import Material
from training.data.synthetic.shapes import Shape
from training.data.synthetic.shapes import Solid
from training.data.synthetic.shapes import box

Color = tuple[float, float, float]

LEAF_COLORS: tuple[Color, ...] = ((0.24, 0.38, 0.14), (0.30, 0.42, 0.16), (0.36, 0.40, 0.15))
CLOTH_COLORS: tuple[Color, ...] = ((0.25, 0.30, 0.50), (0.60, 0.20, 0.20), (0.30, 0.30, 0.28))


def make_tree(rng: np.random.Generator, place: Place, size: float) -> list[Solid]:
    """Make a tree: a trunk and a crown of lobes; ``size`` multiplies all of it."""
    trunk_m = rng.uniform(2.2, 3.2) * size
    radius = rng.uniform(0.12, 0.22) * size
    bark = (0.33, 0.26, 0.20)
    solids = [
        put_solid(
            rng, Cylinder(radius, -0.1, trunk_m + 0.6), Material.BARK, 'vegetation', bark, place
        )
    ]
    leaf = pick_color(rng, LEAF_COLORS)
    crown_m = rng.uniform(1.3, 1.9) * size
    for _ in range(5):
        angle, out = rng.uniform(0, 2 * math.pi), rng.uniform(0.35, 0.8) * crown_m
        r = crown_m * rng.uniform(0.55, 0.85)
        lobe = Ellipsoid((r, r, r * rng.uniform(0.75, 1.0)))
        center = (
            place.x_m + out * math.cos(angle),
            place.y_m + out * math.sin(angle),
            trunk_m + crown_m * rng.uniform(0.5, 1.3),
        )
        shade = rng.uniform(0.85, 1.15)
        color = (leaf[0] * shade, leaf[1] * shade, leaf[2] * shade)
        solids.append(
            Solid(
                lobe,
                Material.FOLIAGE,
                CLASS_NAMES.index('vegetation'),
                color,
                float(rng.uniform(0, 100)),
                center,
            )
        )
    return solids


def make_lamp(rng: np.random.Generator, place: Place) -> list[Solid]:
    """Make a street lamp whose arm reaches over the road."""
    height = rng.uniform(5.0, 7.0)
    gray = (0.45, 0.47, 0.46)
    # The arm reaches over the road, which lies at negative y of everything beside it.
    arm = box((-0.06, 0.06), (-1.6, 0.0), (height - 0.15, height))
    return [
        put_solid(rng, Cylinder(0.09, -0.1, height), Material.METAL, 'pole', gray, place),
        put_solid(rng, arm, Material.METAL, 'pole', gray, place),
    ]


def make_sign(rng: np.random.Generator, place: Place) -> list[Solid]:
    """Make a traffic sign on a pole, facing along the road."""
    height = rng.uniform(2.3, 2.8)
    plate = box((-0.03, 0.03), (-0.38, 0.38), (-0.38, 0.38))
    color = pick_color(rng, ((0.15, 0.28, 0.62), (0.75, 0.15, 0.15), (0.85, 0.75, 0.15)))
    gray = (0.55, 0.56, 0.56)
    return [
        put_solid(rng, Cylinder(0.05, -0.1, height), Material.METAL, 'pole', gray, place),
        put_solid(rng, plate, Material.SIGN, 'traffic sign', color, place, height - 0.38),
    ]


def make_person(rng: np.random.Generator, place: Place) -> list[Solid]:
    """Make a person who stands still."""
    height = rng.uniform(1.55, 1.9)
    head = Ellipsoid((0.11, 0.11, 0.15))
    person = CLASS_NAMES.index('person')
    return [
        put_solid(
            rng,
            Cylinder(0.13, 0.0, 0.5 * height),
            Material.CLOTH,
            'person',
            (0.2, 0.2, 0.28),
            place,
        ),
        put_solid(
            rng,
            Cylinder(0.22, 0.47 * height, height - 0.28),
            Material.CLOTH,
            'person',
            pick_color(rng, CLOTH_COLORS),
            place,
        ),
        Solid(
            head,
            Material.METAL,
            person,
            (0.75, 0.58, 0.48),
            0.0,
            (place.x_m, place.y_m, height - 0.15),
        ),
    ]


def put_solid(
    rng: np.random.Generator,
    shape: Shape,
    material: Material,
    label: str,
    color: Color,
    place: Place,
    height_m: float = 0.0,
) -> Solid:
    """Put a shape at a place, with a texture of its own."""
    return Solid(
        shape=shape,
        material=material,
        label=CLASS_NAMES.index(label),
        color=color,
        texture_seed=float(rng.uniform(0, 100)),
        origin_m=(place.x_m, place.y_m, height_m),
        yaw_rad=place.yaw_rad,
    )


def pick_color(rng: np.random.Generator, colors: tuple[Color, ...]) -> Color:
    """Draw one of some colours."""
    return colors[int(rng.integers(len(colors)))]
