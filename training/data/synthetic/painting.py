"""How each material looks: colour 0..1 at points of a surface, before light."""

from collections.abc import Callable

import numpy as np

from training.data.synthetic.shapes import Array
from training.data.synthetic.shapes import Material
from training.data.synthetic.shapes import Vector
from training.data.synthetic.surface import Surface
from training.data.synthetic.textures import SurfacePoints
from training.data.synthetic.textures import band
from training.data.synthetic.textures import cell_noise
from training.data.synthetic.textures import noise
from training.data.synthetic.textures import stripes

Color = tuple[float, float, float]
REAR, FRONT, RIGHT, LEFT, BOTTOM, TOP = range(6)  # faces of a hexahedron

GLASS: Color = (0.16, 0.20, 0.24)
WHITE: Color = (0.88, 0.88, 0.86)
STOREY_M = 3.0


def layers(points: SurfacePoints, wavelengths_m: tuple[float, ...], amplitude: float) -> Array:
    """Return 1 + a sum of noise layers, each of the same amplitude, to multiply colours with."""
    total: Array = np.float32(amplitude) * noise(points, wavelengths_m[0], wavelengths_m[0])
    for wavelength in wavelengths_m[1:]:
        total += np.float32(amplitude) * noise(points, wavelength, wavelength)
    total += np.float32(1.0)
    return total


def mix(under: Vector, over: Color | Vector, share: Array) -> Vector:
    """Lay a colour over another with a share of 0..1."""
    return Vector(*(u + (np.asarray(o, np.float32) - u) * share for u, o in zip(under, over)))


def scaled(color: Vector, factor: Array | float) -> Vector:
    """Multiply a colour."""
    return Vector(*(c * np.asarray(factor, np.float32) for c in color))


def paint(material: Material, surface: Surface) -> Vector:
    """Return the colour of a surface of one material."""
    return _PAINTERS[material](surface)


def _facade(s: Surface) -> Vector:
    p = s.points
    style = np.floor(p.seed)  # 0..99, one per house
    period = 2.4
    shifted = p.u_m + (p.seed - style) * np.float32(2.0)
    above = p.v_m - np.float32(1.75)
    color = scaled(s.color, layers(p, (5.0, 1.9, 0.8, 0.33, 0.14), 0.075))
    courses = stripes(p.v_m, p.footprint_v_m, 0.36, 0.05)
    color = scaled(color, 1 - 0.18 * courses * (style % 3 == 0))
    color = scaled(color, 1 - 0.30 * band(p.v_m, p.footprint_v_m, -1.0, 0.7))
    ledge = stripes(p.v_m - np.float32(0.8), p.footprint_v_m, STOREY_M, 0.18)
    color = scaled(color, 1 + 0.16 * ledge)
    storeys = band(p.v_m, p.footprint_v_m, 1.5, 1e3)
    # Panes lie in frames; the products of two stripes are exact means over the pixel.
    frame = stripes(shifted - 0.1, p.footprint_u_m, period, 1.3)
    frame = frame * stripes(above + 0.1, p.footprint_v_m, STOREY_M, 1.6)
    color = mix(color, scaled(s.color, 1.25), frame * storeys)
    pane = stripes(shifted - 0.2, p.footprint_u_m, period, 1.1)
    pane = pane * stripes(above, p.footprint_v_m, STOREY_M, 1.4)
    bar = stripes(shifted - 0.71, p.footprint_u_m, period, 0.08)
    cells = p._replace(u_m=shifted - 0.2, v_m=above)
    light = 1 + 0.55 * cell_noise(cells, period, STOREY_M)
    light = light * layers(p, (1.1, 0.5), 0.12)
    glass = Vector(*(np.float32(g) * light for g in GLASS))
    color = mix(color, glass, pane * (1 - bar) * storeys)
    shop = band(p.v_m, p.footprint_v_m, 3.25, 3.85) * (style % 4 == 1)
    awning: Color = (0.62, 0.18, 0.16)
    return mix(color, awning, 0.85 * shop * stripes(p.u_m, p.footprint_u_m, 0.9, 0.5))


def _roof(s: Surface) -> Vector:
    p = s.points
    color = scaled(s.color, layers(p, (3.0, 1.2, 0.5, 0.22), 0.08))
    return scaled(color, 1 - 0.3 * stripes(p.v_m, p.footprint_v_m, 0.5, 0.12))


def _foliage(s: Surface) -> Vector:
    p = s.points
    leaves = layers(p, (1.7, 0.8, 0.4, 0.2, 0.1), 0.17)
    color = scaled(s.color, np.clip(leaves, 0.25, 2.2))
    warm = 0.12 * noise(p._replace(seed=p.seed + 7), 0.9, 0.9)
    return Vector(color.x * (1 + warm), color.y, color.z * (1 - warm))


def _bark(s: Surface) -> Vector:
    p = s.points
    rough = 1 + 0.12 * noise(p, 0.08, 0.5) + 0.12 * noise(p, 0.2, 0.25) + 0.1 * noise(p, 0.5, 0.9)
    return scaled(s.color, rough)


def _metal(s: Surface) -> Vector:
    p = s.points
    stickers = 0.25 * stripes(p.v_m - 0.4, p.footprint_v_m, 1.9, 0.35)
    return scaled(s.color, layers(p, (0.9, 0.35, 0.15), 0.06) - stickers)


def _fence(s: Surface) -> Vector:
    p = s.points
    plank = (
        1 + 0.2 * cell_noise(p, 0.16, 50.0) - 0.45 * stripes(p.u_m, p.footprint_u_m, 0.16, 0.03)
    )
    rails = 1 - 0.25 * stripes(p.v_m - 0.25, p.footprint_v_m, 0.6, 0.1)
    return scaled(s.color, plank * rails * layers(p, (1.5, 0.5, 0.2), 0.07))


def _sign(s: Surface) -> Vector:
    p, y, z = s.points, s.local.y, s.local.z
    inner = band(y, p.footprint_u_m, -0.31, 0.31) * band(z, p.footprint_v_m, -0.31, 0.31)
    bar = band(y, p.footprint_u_m, -0.22, 0.22) * band(z, p.footprint_v_m, -0.09, 0.09)
    return mix(scaled(s.color, layers(p, (0.3, 0.13), 0.04)), WHITE, 1 - inner + bar)


def _cloth(s: Surface) -> Vector:
    return scaled(s.color, layers(s.points, (0.5, 0.22, 0.1), 0.13))


def _car_paint(s: Surface) -> Vector:
    """Return lacquer that mirrors a bright sky above and the dark road below, a little dusty."""
    p = s.points
    gloss = np.float32(0.80) + np.float32(0.3) * s.local.z
    return scaled(s.color, gloss * layers(p, (1.1, 0.45, 0.18, 0.08), 0.045))


def _car_body(s: Surface) -> Vector:
    p, x, y, z = s.points, *s.local
    color = _car_paint(s)
    high = p.footprint_v_m
    bumper = band(z, high, 0.0, 0.40)
    color = mix(color, scaled(color, 0.45), bumper)
    end = (s.face == REAR) | (s.face == FRONT)
    lamp = band(z, high, 0.62, 0.80) * (1 - band(y, p.footprint_u_m, -0.52, 0.52)) * end
    red = (s.face == REAR)[:, None] * np.array([0.70, 0.08, 0.07], np.float32)
    white = (s.face == FRONT)[:, None] * np.array([0.85, 0.85, 0.80], np.float32)
    color = mix(color, Vector(*(red + white).T), lamp)
    plate = band(z, high, 0.48, 0.60) * band(y, p.footprint_u_m, -0.27, 0.27) * end
    color = mix(
        color, (0.85, 0.85, 0.82), plate * (1 - 0.4 * stripes(y, p.footprint_u_m, 0.1, 0.05))
    )
    grille = band(z, high, 0.63, 0.76) * band(y, p.footprint_u_m, -0.45, 0.45)
    color = mix(color, (0.10, 0.10, 0.11), grille * (s.face == FRONT))
    flank = (s.face == LEFT) | (s.face == RIGHT)
    door = stripes(x + 1.13, p.footprint_u_m, 1.05, 0.03) * band(x, p.footprint_u_m, -1.2, 1.1)
    handle = stripes(x + 0.3, p.footprint_u_m, 1.05, 0.18) * band(z, high, 0.76, 0.80)
    color = scaled(color, 1 - 0.6 * np.maximum(door, handle) * flank)
    seam = band(y, p.footprint_u_m, -0.7, 0.7) * stripes(z - 0.78, high, 5.0, 0.025)
    return scaled(color, 1 - 0.5 * seam * (s.face == REAR))


def _car_cabin(s: Surface) -> Vector:
    p, x, y, z = s.points, *s.local
    glassy = s.face != TOP
    top = p._replace(seed=p.seed + 3)
    reflection = layers(top, (0.7, 0.3, 0.13), 0.18) + np.float32(0.9) * (z - np.float32(1.1))
    glass = Vector(*(np.float32(g) * reflection for g in GLASS))
    side = (s.face == LEFT) | (s.face == RIGHT)
    pillar = stripes(x + 1.15, p.footprint_u_m, 1.05, 0.09) * side
    edge = (1 - band(y, p.footprint_u_m, -0.62, 0.62)) * ~side
    roof_edge = 1 - band(z, p.footprint_v_m, 0.0, 1.38)
    share = glassy * (1 - np.maximum(pillar, edge)) * (1 - roof_edge)
    return mix(_car_paint(s), glass, share)


def _wheel(s: Surface) -> Vector:
    """Paint a disc on a box: rubber and hub, and the dark of the wheel arch around them."""
    p = s.points
    radius = np.hypot(s.local.x, s.local.z)
    color = scaled(Vector(*(np.full_like(radius, c) for c in (0.045, 0.045, 0.05))), 1.0)
    rubber = band(radius, p.footprint_u_m, -1.0, 0.30)
    color = mix(color, (0.12, 0.12, 0.125), rubber)
    return mix(color, (0.50, 0.50, 0.52), band(radius, p.footprint_u_m, -1.0, 0.19))


_PAINTERS: dict[Material, Callable[[Surface], Vector]] = {
    Material.FACADE: _facade,
    Material.ROOF: _roof,
    Material.FOLIAGE: _foliage,
    Material.BARK: _bark,
    Material.METAL: _metal,
    Material.FENCE: _fence,
    Material.SIGN: _sign,
    Material.CLOTH: _cloth,
    Material.CAR_BODY: _car_body,
    Material.CAR_CABIN: _car_cabin,
    Material.WHEEL: _wheel,
}
