"""Metric depth as images other than metres: millimetres of 16 bits, and colours for people."""

import cv2
import numpy as np
from numpy.typing import NDArray

LARGEST_MM = 65535


class Millimetres:
    """Writes depth as 16UC1 has it (REP 118), without allocating while the size stays."""

    def __init__(self) -> None:
        self._scaled = np.empty((0, 0), np.float32)
        self._valid = np.empty((0, 0), bool)

    def write(self, depth_m: NDArray[np.float32], out: NDArray[np.uint16]) -> None:
        """
        Write millimetres.

        :param depth_m: (H, W); NaN, infinite and what 16 bits do not hold become 0, invalid.
        :param out: (H, W).
        """
        if self._scaled.shape != depth_m.shape:
            self._scaled = np.empty(depth_m.shape, np.float32)
            self._valid = np.empty(depth_m.shape, bool)
        with np.errstate(invalid='ignore', over='ignore'):
            np.multiply(depth_m, np.float32(1000), out=self._scaled)
            np.rint(self._scaled, out=self._scaled)
            np.less_equal(self._scaled, np.float32(LARGEST_MM), out=self._valid)  # not NaN
        out.fill(0)
        np.copyto(out, self._scaled, casting='unsafe', where=self._valid)


class DepthColors:
    """
    Paints depth on a fixed scale, so that a colour means metres: red is near, blue far.

    :param max_depth_m: where the scale ends; what lies beyond has its last colour.
    """

    def __init__(self, max_depth_m: float) -> None:
        self._max_depth_m = max_depth_m
        self._share = np.empty((0, 0), np.float32)
        self._nearness = np.empty((0, 0), np.uint8)
        self._unknown = np.empty((0, 0), bool)
        # Nearness 1 to 255 are colours; 0 is kept for what is unknown.
        scale = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_TURBO)
        self._colors = np.ascontiguousarray(scale[..., ::-1])  # [256, 1, 3], RGB
        self._colors[0] = 0

    def paint(self, depth_m: NDArray[np.float32], out: NDArray[np.uint8]) -> None:
        """
        Paint a depth image.

        :param depth_m: (H, W); NaN becomes black.
        :param out: RGB (H, W, 3), contiguous.
        """
        if self._share.shape != depth_m.shape:
            self._share = np.empty(depth_m.shape, np.float32)
            self._nearness = np.empty(depth_m.shape, np.uint8)
            self._unknown = np.empty(depth_m.shape, bool)
        share = self._share
        np.multiply(depth_m, np.float32(-254 / self._max_depth_m), out=share)
        np.add(share, np.float32(255), out=share)
        np.clip(share, 1, 255, out=share)  # also of -inf; NaN stays
        np.isnan(share, out=self._unknown)
        np.copyto(share, 0, where=self._unknown)
        np.copyto(self._nearness, share, casting='unsafe')
        cv2.applyColorMap(self._nearness, self._colors, out)


def paint_labels(
    labels: NDArray[np.uint8], colors: NDArray[np.uint8], out: NDArray[np.uint8]
) -> None:
    """
    Paint class ids.

    :param labels: (H, W).
    :param colors: RGB (256, 1, 3), of every id.
    :param out: RGB (H, W, 3), contiguous.
    """
    cv2.applyColorMap(labels, colors, out)
