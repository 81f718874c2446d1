"""The ground: asphalt with marks and patches, kerbs, paved sidewalks, grass; and the sky."""

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.classes import CLASS_NAMES
from sg_depth_ros.classes import ROAD_ID
from training.data.synthetic.motion import LANE_M
from training.data.synthetic.painting import layers
from training.data.synthetic.painting import mix
from training.data.synthetic.shapes import Array
from training.data.synthetic.shapes import Vector
from training.data.synthetic.street import KERB_M
from training.data.synthetic.street import PARKING_SLOT_M
from training.data.synthetic.street import SIDEWALK_END_M
from training.data.synthetic.textures import SurfacePoints
from training.data.synthetic.textures import band
from training.data.synthetic.textures import cell_noise
from training.data.synthetic.textures import noise
from training.data.synthetic.textures import stripes

SIDEWALK_ID = CLASS_NAMES.index('sidewalk')
TERRAIN_ID = CLASS_NAMES.index('terrain')
KERB_WIDTH_M = 0.22
CROSSING_EVERY_M = 93.0
PAINT = (0.80, 0.80, 0.77)


def ground_labels(left_m: Array) -> NDArray[np.uint8]:
    """Return the class id of ground at a distance left of the middle of the road."""
    out_m = np.abs(left_m)
    beside = np.where(out_m < SIDEWALK_END_M, np.uint8(SIDEWALK_ID), np.uint8(TERRAIN_ID))
    labels: NDArray[np.uint8] = np.where(out_m < KERB_M, np.uint8(ROAD_ID), beside)
    return labels


def paint_ground(p: SurfacePoints) -> Vector:
    """Return the ground's colour; u runs along x, v to the left of the middle of the road."""
    out_m = np.abs(p.v_m)
    edge = np.zeros((3, len(out_m)), np.float32)
    parts = (
        (out_m < KERB_M + 0.5, _asphalt, band(out_m, p.footprint_v_m, -1.0, KERB_M)),
        (
            (out_m > KERB_M - 0.5) & (out_m < SIDEWALK_END_M + 0.5),
            _sidewalk,
            band(out_m, p.footprint_v_m, KERB_M, SIDEWALK_END_M),
        ),
        (
            out_m > SIDEWALK_END_M - 0.5,
            _grass,
            band(out_m, p.footprint_v_m, SIDEWALK_END_M, 1e6),
        ),
    )
    weight = np.full(len(out_m), 1e-6, np.float32)
    for near, painter, share in parts:
        at = np.flatnonzero(near & (share > 0))
        if len(at):
            color = painter(SurfacePoints(*(values[at] for values in p)))
            weight[at] += share[at]
            for channel, values in zip(edge, color):
                channel[at] += share[at] * values
    return Vector(*(channel / weight for channel in edge))


def _asphalt(p: SurfacePoints) -> Vector:
    out_m = np.abs(p.v_m)
    tone = 0.085 * noise(p, 9.0, 3.1) + 0.06 * noise(p, 2.9, 1.4) + 0.06 * noise(p, 0.9, 0.55)
    tone += 0.05 * noise(p, 0.35, 0.3) + 0.04 * noise(p, 0.14, 0.14)
    # Wear runs along the road, so that even far ahead the eye finds something to hold on to.
    tone += 0.07 * noise(p._replace(seed=p.seed + 5), 22.0, 0.75)
    tone += 0.06 * noise(p._replace(seed=p.seed + 9), 7.0, 0.32)
    patches = cell_noise(p._replace(v_m=p.v_m + np.float32(20.3)), 6.7, 1.9)
    tone -= 0.22 * np.maximum(patches - np.float32(0.62), 0) / np.float32(0.38)
    joint = stripes(p.u_m - 3.0, p.footprint_u_m, 17.0, 0.07)
    level: Array = (1 + tone) * (1 - 0.35 * joint)
    color = Vector(*(np.float32(c) * level for c in (0.335, 0.335, 0.345)))
    lane = stripes(p.u_m, p.footprint_u_m, 9.0, 4.0) * band(p.v_m, p.footprint_v_m, -0.08, 0.08)
    side = stripes(p.u_m, p.footprint_u_m, 2.0, 1.2)
    side = side * band(out_m, p.footprint_v_m, LANE_M - 0.06, LANE_M + 0.06)
    slot = stripes(p.u_m - PARKING_SLOT_M / 2 + 0.05, p.footprint_u_m, PARKING_SLOT_M, 0.1)
    slot = slot * band(out_m, p.footprint_v_m, LANE_M, KERB_M)
    crossing = stripes(p.u_m - 31.0, p.footprint_u_m, CROSSING_EVERY_M, 3.6)
    zebra = crossing * stripes(p.v_m + 0.25, p.footprint_v_m, 1.0, 0.5)
    lines = np.maximum(np.maximum(lane, side) * (1 - crossing), zebra)
    worn = 0.85 + 0.10 * noise(p, 0.5, 0.25)
    return mix(color, PAINT, np.clip(np.maximum(lines, 0.8 * slot) * worn, 0, 1))


def _sidewalk(p: SurfacePoints) -> Vector:
    out_m = np.abs(p.v_m)
    tone = layers(p, (6.0, 2.1, 0.8, 0.3), 0.05)
    tone = tone + 0.10 * cell_noise(p, 0.75, 0.75)
    gaps = np.maximum(
        stripes(p.u_m, p.footprint_u_m, 0.75, 0.05), stripes(p.v_m, p.footprint_v_m, 0.75, 0.05)
    )
    level = tone * (1 - 0.30 * gaps)
    color = Vector(*(np.float32(c) * level for c in (0.52, 0.50, 0.47)))
    kerb = band(out_m, p.footprint_v_m, KERB_M, KERB_M + KERB_WIDTH_M)
    stone = 0.66 * (1 + 0.12 * cell_noise(p, 1.0, 30.0)) * layers(p, (0.8, 0.25), 0.05)
    stone = stone * (1 - 0.35 * stripes(p.u_m, p.footprint_u_m, 1.0, 0.05))
    return mix(color, Vector(stone, stone, stone), kerb)


def _grass(p: SurfacePoints) -> Vector:
    color = layers(p, (7.0, 2.6, 1.0, 0.4, 0.16), 0.11)
    return Vector(*(np.float32(c) * color for c in (0.33, 0.42, 0.20)))


def paint_sky(direction: Vector, pixel_angle: float) -> Vector:
    """Return the sky's colour; clouds belong to directions, so that they never come nearer."""
    level = np.hypot(direction.x, direction.y)
    height = np.maximum(direction.z / level, 0)
    spread = np.float32(1.0) / (height + np.float32(0.16))
    extent = np.float32(pixel_angle) * spread * spread
    p = SurfacePoints(
        direction.x / level * spread,
        direction.y / level * spread,
        extent,
        extent,
        np.zeros_like(level),
    )
    clouds = 0.5 * noise(p, 2.6, 2.6) + 0.32 * noise(p, 1.1, 1.1) + 0.2 * noise(p, 0.45, 0.45)
    deep = 1 - np.float32(0.3) * height
    blue = Vector(*(np.float32(c) * deep for c in (0.50, 0.68, 0.90)))
    haze = np.exp(np.float32(-5.0) * height)
    sky = mix(blue, (0.84, 0.88, 0.92), haze)
    return mix(sky, (0.93, 0.93, 0.94), np.clip(0.35 + 0.5 * clouds, 0, 0.95) * (1 - 0.7 * haze))
