"""Whatever is done to an image between sensor and network, its camera says where things are."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from typing import NamedTuple

import cv2
import numpy as np
import pytest
from camera_infos import info_of
from camera_infos import region
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tiny_model import tiny_contract

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.camera import project
from sg_depth_ros.camera import resize_image
from sg_depth_ros.contract import ModelContract
from sg_depth_ros.pipeline import Fit
from sg_depth_ros.preprocessing import Preprocessor
from sg_depth_ros.rectification import rectified_camera

COEFFICIENTS = {
    'plumb_bob': [-0.2, 0.05, 0.001, -0.002, -0.01],
    'rational_polynomial': [0.1, -0.05, 0.001, 0.001, 0.01, 0.35, -0.04, 0.02],
    'equidistant': [-0.02, 0.01, -0.004, 0.001],
}


class Chain(NamedTuple):
    """What happens to an image between the sensor and the network."""

    sensor: Intrinsics
    left: int
    top: int
    width: int  # of the region of interest; likewise the height
    height: int
    binning: tuple[int, int]
    scale: int  # by which the driver's image is smaller than its info says
    contract: ModelContract
    fit: Fit

    def info(self) -> Any:
        roi = region(self.left, self.top, self.width, self.height)
        return info_of(self.sensor, roi=roi, binning_x=self.binning[0], binning_y=self.binning[1])

    def received_size(self) -> tuple[int, int]:
        return (
            self.width // self.binning[0] // self.scale,
            self.height // self.binning[1] // self.scale,
        )

    def received(self, sensor_image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Do to a picture what sensor and driver do."""
        image = sensor_image[self.top : self.top + self.height, self.left : self.left + self.width]
        (bx, by), (width, height) = self.binning, self.received_size()
        rows, columns = by * self.scale, bx * self.scale
        used = image[: height * rows, : width * columns].astype(np.float64)
        blocks = used.reshape(height, rows, width, columns, -1)
        return np.rint(blocks.mean(axis=(1, 3))).astype(np.uint8)

    def preprocessor(self) -> Preprocessor:
        rectified = rectified_camera(self.info(), *self.received_size(), is_rectified=False)
        return Preprocessor(*self.received_size(), rectified, self.contract, self.fit)


@st.composite
def chains(draw: st.DrawFn) -> Chain:
    """Draw any chain of region, binning, scale, crop and resize."""
    width, height = draw(st.integers(60, 120)), draw(st.integers(60, 120))
    focal, aspect = draw(st.floats(0.4, 3.0)), draw(st.floats(0.6, 1.6))
    center = draw(st.floats(0.2, 0.8)), draw(st.floats(0.2, 0.8))
    sensor = Intrinsics(
        focal * width, aspect * focal * width,
        center[0] * width, center[1] * height, width, height,
    )  # fmt: skip
    binning = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    scale = draw(st.integers(1, 2))
    # Whole multiples, as drivers choose them: what a scaled image shows is then beyond doubt.
    unit = binning[0] * scale, binning[1] * scale
    part_width = unit[0] * draw(st.integers(30 // unit[0], width // unit[0]))
    part_height = unit[1] * draw(st.integers(30 // unit[1], height // unit[1]))
    network = 8 * draw(st.integers(2, 12)), 8 * draw(st.integers(2, 12))
    trained = Intrinsics(
        draw(st.floats(0.4, 2.0)) * network[0], draw(st.floats(0.4, 4.0)) * network[1],
        draw(st.floats(0.3, 0.7)) * network[0], draw(st.floats(0.3, 0.7)) * network[1], *network,
    )  # fmt: skip
    return Chain(
        sensor,
        draw(st.integers(0, width - part_width)),
        draw(st.integers(0, height - part_height)),
        part_width, part_height, binning, scale,
        replace(tiny_contract(*network), intrinsics=trained),
        draw(st.sampled_from(('auto', 'stretch', 'crop'))),
    )  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(chains(), st.floats(-1, 1), st.floats(-1, 1), st.floats(0.5, 200))
def test_a_point_is_where_the_chain_puts_its_pixel(chain: Chain, x: float, y: float, z: float):
    preprocessor = chain.preprocessor()
    camera, window = preprocessor.camera, preprocessor.window
    assert camera is not None
    point = np.array([[x * z, y * z, z]])
    # Distances from the image's corner: what divides pixels divides them as well.
    corner = project(point, chain.sensor)[0] + 0.5 - (chain.left, chain.top)
    corner = corner / chain.binning / chain.scale
    corner = (corner - window[:2]) * (camera.width, camera.height) / window[2:]
    np.testing.assert_allclose(project(point, camera)[0], corner - 0.5, rtol=1e-9, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(chains())
def test_a_painted_scene_appears_where_the_camera_says(chain: Chain):
    """A ramp over the sensor is read at the network's pixels, as the sensor's column and row."""
    sensor, preprocessor = chain.sensor, chain.preprocessor()
    assert preprocessor.camera is not None
    v, u = np.mgrid[: sensor.height, : sensor.width]
    painted = 5 + 2.0 * np.stack([u, v], axis=-1)
    shown = _shown(painted, lambda image: preprocessor.apply(chain.received(image)))
    seen_px = (shown - 5) / 2
    expected_px = project(preprocessor.camera.rays().reshape(-1, 3), sensor)
    off_px = seen_px - expected_px.reshape(seen_px.shape)
    # Enlarging repeats the outermost pixel, so the border is drawn inwards on every side alike.
    grain_px = np.array(chain.binning) * chain.scale
    np.testing.assert_array_less(np.abs(off_px.mean(axis=(0, 1))), 0.15 * grain_px)
    np.testing.assert_array_less(np.abs(off_px).max(axis=(0, 1)), 0.6 * grain_px + 0.5)


@pytest.mark.parametrize('fit', ['stretch', 'crop'])
@pytest.mark.parametrize('size', [(96, 32), (160, 96), (320, 240), (170, 125)])
@pytest.mark.parametrize('model', COEFFICIENTS)
def test_a_scene_seen_through_a_lens_appears_where_the_camera_says(
    model: str, size: tuple[int, int], fit: Fit
):
    raw = Intrinsics(180.0, 190.0, 161.5, 117.0, 320, 240)
    d = np.array(COEFFICIENTS[model])
    v, u = np.mgrid[:240, :320].astype(np.float64)
    pixels = np.stack([u, v], axis=-1).reshape(-1, 1, 2)
    straighten = cv2.fisheye.undistortPoints if model == 'equidistant' else cv2.undistortPoints
    rays = straighten(pixels, raw.matrix(), d).reshape(240, 320, 2)
    painted = np.clip(125 + 100 * rays, 0, 255)
    contract = replace(tiny_contract(*size), intrinsics=Intrinsics(90.0, 100.0, 40.0, 14.0, *size))
    rectified = rectified_camera(info_of(raw, d=d, distortion_model=model), 320, 240, False)
    preprocessor = Preprocessor(320, 240, rectified, contract, fit)
    shown = _shown(painted, preprocessor.apply)
    assert preprocessor.camera is not None
    expected = 125 + 100 * preprocessor.camera.rays()[..., :2]
    readable = ((expected > 2) & (expected < 253)).all(axis=-1)
    if preprocessor.outside is not None:
        black = cv2.dilate(preprocessor.outside.astype(np.uint8), np.ones((5, 5), np.uint8))
        readable &= black == 0
    readable[[0, -1]] = readable[:, [0, -1]] = False
    assert readable.mean() > 0.5
    off = shown - expected  # a pixel of the received image is 0.55
    assert np.abs(off[readable]).max() < 1.5
    np.testing.assert_allclose(off[readable].mean(axis=0), 0, atol=0.12)


def _shown(
    painted: NDArray[np.float64], see: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
) -> NDArray[np.float64]:
    """
    Return two channels of a picture after a way through bytes.

    Once as they are and once inverted: rounding that prefers brightness cancels.
    """
    third = np.zeros((*painted.shape[:2], 1))
    image = np.rint(np.concatenate([painted, third], axis=-1)).astype(np.uint8)
    bright = see(image)[..., :2].astype(np.float64)
    return (bright + 255.0 - see(255 - image)[..., :2]) / 2


def test_the_way_over_twice_the_size_is_the_area_average():
    rng = np.random.default_rng(0)
    image = cv2.GaussianBlur(rng.integers(0, 256, (375, 1242, 3)).astype(np.uint8), (0, 0), 1.5)
    shown = Preprocessor(1242, 375, None, tiny_contract(640, 192), 'auto').apply(image)
    exact = resize_image(image, 640, 192)
    difference = np.abs(shown.astype(int) - exact)
    assert difference.mean() < 0.3 and difference.max() <= 4
