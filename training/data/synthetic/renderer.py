"""Rendering one moment of a street: image, depth, labels, and which pixels move along."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.classes import SKY_ID
from training.data.synthetic.casting import GROUND_INDEX
from training.data.synthetic.casting import SKY_INDEX
from training.data.synthetic.casting import Hits
from training.data.synthetic.casting import RayGrid
from training.data.synthetic.casting import camera_grid
from training.data.synthetic.casting import cast
from training.data.synthetic.casting import rotate
from training.data.synthetic.ground import ground_labels
from training.data.synthetic.ground import paint_ground
from training.data.synthetic.ground import paint_sky
from training.data.synthetic.lighting import brightness
from training.data.synthetic.lighting import shade_under_cars
from training.data.synthetic.motion import Road
from training.data.synthetic.painting import paint
from training.data.synthetic.painting import scaled
from training.data.synthetic.shapes import Array
from training.data.synthetic.shapes import Vector
from training.data.synthetic.surface import View
from training.data.synthetic.surface import footprint
from training.data.synthetic.surface import surface_of
from training.data.synthetic.surface import tabulate
from training.data.synthetic.textures import SurfacePoints
from training.data.synthetic.traffic import Moment

SAMPLES_PER_SIDE = 2


class Picture(NamedTuple):
    """What the camera sees at one moment, and the truth about it."""

    image: NDArray[np.uint8]  # [H, W, 3], RGB
    depth_m: Array  # [H, W], along z; inf for the sky
    labels: NDArray[np.uint8]  # [H, W], Cityscapes train ids
    same_speed: NDArray[np.bool_]  # [H, W], cars that move along with the camera


def render(
    camera: Intrinsics, T_world_camera: NDArray[np.float64], moment: Moment, road: Road
) -> Picture:
    """
    Render a moment.

    Colours average several rays per pixel; depth and labels are those of the ray through the
    pixel's centre, so that no pixel holds the mean of a car and what is behind it.

    :param T_world_camera: (3, 4), optical frame.
    """
    grid = camera_grid(camera)
    hits = cast(grid, T_world_camera, moment.solids)
    # Index -1 is the ground and -2 the sky: the last two entries.
    along = np.array([solid.same_speed for solid in moment.solids] + [False, False])
    return Picture(
        image=_image(camera, T_world_camera, moment, road),
        depth_m=hits.depth_m,
        labels=_labels(hits, grid, T_world_camera, moment, road),
        same_speed=along[hits.solid],
    )


def surface_colors(
    hits: Hits, view: View, origin_m: NDArray[np.float64], moment: Moment, road: Road
) -> Array:
    """
    Return the lit colour 0..1 of what each ray meets, without the shadows of cars.

    :return: (3, H * W), red, green and blue.
    """
    colors = np.zeros((3, hits.depth_m.size), np.float32)
    flat = hits.solid.ravel()
    sky = np.flatnonzero(flat == SKY_INDEX)
    colors[:, sky] = paint_sky(_chosen(view.direction, sky), view.pixel_angle)
    ground = np.flatnonzero(flat == GROUND_INDEX)
    points = _ground_points(hits, view, origin_m, road, ground)
    colors[:, ground] = scaled(paint_ground(points), brightness(UP))
    material = np.array([s.material for s in moment.solids] + [-1, -1], np.int8)[flat]
    table = tabulate(moment.solids, origin_m)
    for kind in sorted({s.material for s in moment.solids}):
        at = np.flatnonzero(material == kind)
        if len(at):
            surface = surface_of(view, hits, table, at)
            colors[:, at] = scaled(paint(kind, surface), brightness(surface.normal))
    return colors


def view_of(grid: RayGrid, T_world_sensor: NDArray[np.float64], pixel_angle: float) -> View:
    """Return a sensor's rays in the world."""
    direction = rotate(T_world_sensor[:, :3], grid.rays)
    return View(direction, T_world_sensor[:, 0], T_world_sensor[:, 1], pixel_angle)


def _image(
    camera: Intrinsics, T_world_camera: NDArray[np.float64], moment: Moment, road: Road
) -> NDArray[np.uint8]:
    n = SAMPLES_PER_SIDE
    grid = camera_grid(camera, n)
    hits = cast(grid, T_world_camera, moment.solids)
    view = view_of(grid, T_world_camera, 1 / camera.fx)
    colors = surface_colors(hits, view, T_world_camera[:, 3], moment, road)
    colors = colors.reshape(3, *hits.depth_m.shape)
    shade_under_cars(colors, hits, grid, view, T_world_camera, moment.cars)
    fine = colors.reshape(3, camera.height, n, camera.width, n)
    total = np.zeros((3, camera.height, camera.width), np.float32)
    for i in range(n):
        for j in range(n):
            total += fine[:, :, i, :, j]
    image = np.clip(np.rint(total * np.float32(255 / n**2)), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(image.transpose(1, 2, 0))


def _labels(
    hits: Hits,
    grid: RayGrid,
    T_world_camera: NDArray[np.float64],
    moment: Moment,
    road: Road,
) -> NDArray[np.uint8]:
    labels = np.array([s.label for s in moment.solids] + [0, 0], np.uint8)[hits.solid]
    labels[hits.solid == SKY_INDEX] = SKY_ID
    ground = np.flatnonzero(hits.solid.ravel() == GROUND_INDEX)
    view = view_of(grid, T_world_camera, 1.0)
    points = _ground_points(hits, view, T_world_camera[:, 3], road, ground)
    labels.ravel()[ground] = ground_labels(points.v_m)
    return labels


UP = Vector(np.float32(0), np.float32(0), np.float32(1))


def _ground_points(
    hits: Hits, view: View, origin_m: NDArray[np.float64], road: Road, at: NDArray[np.intp]
) -> SurfacePoints:
    """Return ground hits with u along x and v to the left of the middle of the road."""
    depth = hits.depth_m.ravel()[at]
    direction = _chosen(view.direction, at)
    x_m = np.float32(origin_m[0]) + depth * direction.x
    y_m = np.float32(origin_m[1]) + depth * direction.y
    left_m = road.left_of_middle(x_m, y_m).astype(np.float32)
    slope = road.course.slope(x_m).astype(np.float32)
    length = np.sqrt(1 + slope * slope)
    flat = np.zeros_like(slope)
    along, aside = (
        Vector(1 / length, slope / length, flat),
        Vector(-slope / length, 1 / length, flat),
    )
    extent_u, extent_v = footprint(view, direction, depth, UP, (along, aside))
    return SurfacePoints(x_m, left_m, extent_u, extent_v, flat)


def _chosen(v: Vector, at: NDArray[np.intp]) -> Vector:
    return Vector(*(component.ravel()[at] for component in v))
