"""Depth as millimetres and as colours."""

import cv2
import numpy as np

from sg_depth_ros.depth_pictures import DepthColors
from sg_depth_ros.depth_pictures import Millimetres
from sg_depth_ros.depth_pictures import paint_labels


def row(*depth_m):
    return np.array([depth_m], np.float32)


def painted(depth_m, max_depth_m=50.0):
    rgb = np.full((*depth_m.shape, 3), 99, np.uint8)
    DepthColors(max_depth_m).paint(depth_m, rgb)
    return rgb


def test_millimetres_are_rounded_and_what_does_not_fit_is_invalid():
    depth_m = row(0.0014, 1.2346, 65.5349, 65.5351, 65.536, 1e30, np.nan, np.inf)
    depth_mm = np.full(depth_m.shape, 7, np.uint16)
    Millimetres().write(depth_m, depth_mm)
    assert depth_mm.tolist() == [[1, 1235, 65535, 65535, 0, 0, 0, 0]]


def test_millimetres_follow_another_size():
    writer = Millimetres()
    for shape in ((2, 3), (4, 5), (2, 3)):
        depth_mm = np.zeros(shape, np.uint16)
        writer.write(np.full(shape, 2, np.float32), depth_mm)
        assert (depth_mm == 2000).all()


def test_a_colour_is_a_depth_whatever_else_is_in_the_image():
    alone = painted(row(10.0))[0, 0]
    among = painted(row(10.0, 0.1, 49.0, np.nan, np.inf))[0, 0]
    np.testing.assert_array_equal(alone, among)


def test_the_scale_goes_from_red_to_blue_and_ends():
    rgb = painted(row(0.5, 25.0, 49.5, 50.0, 500.0, np.inf))[0].astype(int)
    assert rgb[0].argmax() == 0 and rgb[1].argmax() == 1
    assert rgb[2, 2] > rgb[2, 0]
    assert (rgb[3] == rgb[4]).all() and (rgb[3] == rgb[5]).all()
    steps = painted(np.linspace(0.5, 50, 200, dtype=np.float32)[None])[0]
    assert len(np.unique(steps, axis=0)) > 150


def test_unknown_is_black_and_nothing_else_is():
    rgb = painted(row(np.nan, 0.001, 50.0, np.inf))[0]
    assert not rgb[0].any() and rgb[1:].any(axis=1).all()


def test_turbo_is_as_opencv_has_it():
    rgb = painted(row(0.0))[0, 0]
    end = cv2.applyColorMap(np.full((1, 1), 255, np.uint8), cv2.COLORMAP_TURBO)[0, 0]
    np.testing.assert_array_equal(rgb, end[::-1])


def test_labels_are_painted_by_their_id():
    colors = np.random.default_rng(0).integers(0, 256, (256, 1, 3), np.uint8)
    labels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    rgb = np.empty((16, 16, 3), np.uint8)
    paint_labels(labels, colors, rgb)
    np.testing.assert_array_equal(rgb, colors[labels, 0])
