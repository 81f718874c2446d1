"""
Patterns on surfaces that stay fixed to the world and fade out before they would alias.

Every pattern knows the footprint of a pixel on the surface, in metres along both of the pattern's
axes. Detail finer than that averages out, as in a real camera; without this a surface point would
change its colour from frame to frame and warping one frame into another could not match.
"""

import math
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.data.synthetic.shapes import Array

TILE = 2048  # texels per side, a power of two
CYCLES = 32  # wavelengths per tile
NOISE_SEED = 20200430


class SurfacePoints(NamedTuple):
    """Points on painted surfaces, [N] each: place along two axes and the pixel's extent there."""

    u_m: Array
    v_m: Array
    footprint_u_m: Array
    footprint_v_m: Array
    seed: Array  # moves the noise from solid to solid


@cache
def noise_tile() -> NDArray[np.int8]:
    """
    Return periodic noise of one wavelength, CYCLES of it per side, flat (TILE * TILE).

    In units of 1/40 of its standard deviation. A single narrow band, so that a sum of layers can
    fade each out at its own distance.
    """
    rng = np.random.default_rng(NOISE_SEED)
    spectrum = np.fft.rfft2(rng.standard_normal((TILE, TILE)))
    frequency = np.hypot(
        np.fft.fftfreq(TILE, 1 / TILE)[:, None], np.fft.rfftfreq(TILE, 1 / TILE)[None, :]
    )
    octaves = np.log2(np.maximum(frequency, 1e-9) / CYCLES)
    noise = np.fft.irfft2(spectrum * np.exp(-((octaves / 0.4) ** 2)), (TILE, TILE))
    noise *= 40.0 / noise.std()
    return np.clip(np.rint(noise), -127, 127).astype(np.int8).ravel()


def noise(points: SurfacePoints, wavelength_u_m: float, wavelength_v_m: float) -> Array:
    """Return noise [N] of unit variance near, fading where a pixel spans a wavelength."""
    per_u = np.float32(TILE / CYCLES / wavelength_u_m)
    per_v = np.float32(TILE / CYCLES / wavelength_v_m)
    # Layers and solids must not show the same place of the tile.
    shift = np.float32(977.0 * math.log(wavelength_u_m + 2.0 * wavelength_v_m))
    column = (points.u_m * per_u + (points.seed * np.float32(611.0) + shift)).astype(np.int32)
    row = (points.v_m * per_v + (points.seed * np.float32(373.0) - shift)).astype(np.int32)
    texel = ((row & (TILE - 1)) * TILE) + (column & (TILE - 1))
    value: Array = noise_tile()[texel].astype(np.float32)
    value *= np.float32(1 / 40)
    value *= fade(points, wavelength_u_m, wavelength_v_m)
    return value


def fade(points: SurfacePoints, wavelength_u_m: float, wavelength_v_m: float) -> Array:
    """Return how much contrast [N] is left of detail of these wavelengths: 1 near, 0 far."""
    u = points.footprint_u_m * np.float32(1 / wavelength_u_m)
    v = points.footprint_v_m * np.float32(1 / wavelength_v_m)
    # A Gaussian pixel: 0.7 left at two pixels per wavelength, 0.25 at one.
    left: Array = np.exp(np.float32(-1.4) * (u * u + v * v))
    return left


def stripes(place_m: Array, footprint_m: Array, period_m: float, width_m: float) -> Array:
    """
    Return the share [N] of each pixel that stripes cover.

    Stripes start at multiples of the period. The share is the exact mean over the footprint, so
    that stripes melt into a uniform tone far away.
    """
    x = place_m * np.float32(1 / period_m)
    half = np.maximum(footprint_m * np.float32(0.5 / period_m), np.float32(1e-4))
    duty = np.float32(width_m / period_m)
    covered: Array = _stripe_integral(x + half, duty) - _stripe_integral(x - half, duty)
    covered /= 2 * half
    return covered


def band(place_m: Array, footprint_m: Array, low_m: float, high_m: float) -> Array:
    """Return the share [N] of each pixel that lies between two places."""
    width = np.maximum(footprint_m, np.float32(1e-3))
    top = np.minimum(place_m + 0.5 * width, np.float32(high_m))
    bottom = np.maximum(place_m - 0.5 * width, np.float32(low_m))
    share: Array = np.clip((top - bottom) / width, 0.0, 1.0)
    return share


def cell_noise(points: SurfacePoints, size_u_m: float, size_v_m: float) -> Array:
    """Return one value [N] in -1..1 for each cell of a grid, fading where cells fall together."""
    column = np.floor(points.u_m * np.float32(1 / size_u_m)).astype(np.int64)
    row = np.floor(points.v_m * np.float32(1 / size_v_m)).astype(np.int64)
    key = column * 73856093 ^ row * 19349663 ^ (points.seed * 64).astype(np.int64) * 83492791
    key = (key ^ (key >> 13)) * 1274126177
    key = (key ^ (key >> 16)) & 0xFFFF
    value: Array = key.astype(np.float32) * np.float32(2 / 0xFFFF) - np.float32(1.0)
    value *= fade(points, 1.5 * size_u_m, 1.5 * size_v_m)
    return value


def _stripe_integral(x: Array, duty: np.float32) -> Array:
    whole = np.floor(x)
    return whole * duty + np.minimum(x - whole, duty)
