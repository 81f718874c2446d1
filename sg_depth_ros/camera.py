"""
Camera geometry: intrinsics, how they change with the image, rays, and the one resize.

Convention: pixel centres lie at integer coordinates, so the image spans from -0.5 to W - 0.5.
Frames are optical (REP 103): x right, y down, z forward.
"""

import math
from dataclasses import dataclass
from dataclasses import replace
from typing import NamedTuple
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.errors import UserError

Scalar = TypeVar('Scalar', bound=np.generic)

# Below it a pinhole camera would see more than 175 degrees. Intrinsics that are shares of the
# image, as some datasets hold them, are below it: fx / width is then 0.3 to 2 pixels.
SHORTEST_FOCAL_SHARE = 0.02


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera without distortion, in pixels of an image of ``width`` x ``height``."""

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int

    def __post_init__(self) -> None:
        """Refuse what is no camera."""
        if self.width <= 0 or self.height <= 0:
            raise UserError(f'image size {self.width}x{self.height} is not positive')
        values = (self.fx, self.fy, self.cx, self.cy)
        if not all(math.isfinite(v) for v in values) or self.fx <= 0 or self.fy <= 0:
            raise UserError(
                'uncalibrated camera: fx, fy, cx, cy = '
                f'{self.fx}, {self.fy}, {self.cx}, {self.cy}; focal lengths must be positive'
            )
        if self.fx < SHORTEST_FOCAL_SHARE * self.width:
            raise UserError(
                f'fx, fy, cx, cy = {self.fx:g}, {self.fy:g}, {self.cx:g}, {self.cy:g} of images '
                f'{self.width}x{self.height}: no pixels, it seems, but shares of the image; '
                'multiply fx and cx by the width, fy and cy by the height'
            )

    @staticmethod
    def from_matrix(matrix: NDArray[np.floating], width: int, height: int) -> 'Intrinsics':
        """
        Read fx, fy, cx, cy from the left 3x3 of a K (3, 3) or P (3, 4) matrix in pixels.

        :raises UserError: where the matrix holds no calibrated camera.
        """
        k = np.asarray(matrix, np.float64)
        return Intrinsics(
            float(k[0, 0]), float(k[1, 1]), float(k[0, 2]), float(k[1, 2]), width, height
        )

    def matrix(self) -> NDArray[np.float64]:
        """Return K, shape (3, 3), in pixels."""
        return np.array(
            [[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]], np.float64
        )

    def resized(self, width: int, height: int) -> 'Intrinsics':
        """Return the camera of the image resized to ``width`` x ``height``."""
        sx, sy = width / self.width, height / self.height
        return Intrinsics(
            fx=self.fx * sx,
            fy=self.fy * sy,
            cx=(self.cx + 0.5) * sx - 0.5,
            cy=(self.cy + 0.5) * sy - 0.5,
            width=width,
            height=height,
        )

    def cropped(self, left: int, top: int, width: int, height: int) -> 'Intrinsics':
        """Return the camera of the window of ``width`` x ``height`` at (left, top)."""
        return replace(self, cx=self.cx - left, cy=self.cy - top, width=width, height=height)

    def horizontal_fov_deg(self) -> float:
        """Return the horizontal field of view in degrees."""
        left = math.atan2(self.cx + 0.5, self.fx)
        right = math.atan2(self.width - 0.5 - self.cx, self.fx)
        return math.degrees(left + right)

    def rays(self) -> NDArray[np.float32]:
        """Return each pixel's ray with z = 1, shape (H, W, 3); a point is ray x depth."""
        x = (np.arange(self.width) - self.cx) / self.fx
        y = (np.arange(self.height) - self.cy) / self.fy
        rays = np.ones((self.height, self.width, 3), np.float32)
        rays[..., 0] = x[None, :]
        rays[..., 1] = y[:, None]
        return rays


class Window(NamedTuple):
    """A part of an image, in its pixels."""

    left: int
    top: int
    width: int
    height: int

    def of(self, image: NDArray[Scalar]) -> NDArray[Scalar]:
        """Return that part of an image (H, W, ...), without a copy."""
        return image[self.top : self.top + self.height, self.left : self.left + self.width]


def resize_image(
    image: NDArray[np.uint8], width: int, height: int, out: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """
    Resize as training and vehicle both do: pixel-area averaging down, bilinear up.

    The vehicle's ``preprocessing.py`` goes another way to nearly the same where images are halved.

    :param image: (H, W) or (H, W, C).
    :param out: (height, width) or (height, width, C) to write into; None: a new array.
    :return: (height, width) or (height, width, C); the image itself if the size already fits.
    """
    if image.shape[0] == height and image.shape[1] == width:
        return image
    shrinks = width <= image.shape[1] and height <= image.shape[0]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized = cv2.resize(image, (width, height), dst=out, interpolation=method)
    return np.asarray(resized, np.uint8)


def resize_labels(labels: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Resize class ids (H, W) without mixing them: nearest pixel centre."""
    if labels.shape == (height, width):
        return labels
    return np.asarray(
        cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT), np.uint8
    )


def project(points: NDArray[np.floating], camera: Intrinsics) -> NDArray[np.float64]:
    """
    Project points in the optical frame to pixels.

    :param points: (N, 3) metres, z > 0.
    :return: (N, 2) pixel coordinates (u, v), centres at integers.
    """
    p = np.asarray(points, np.float64)
    u = camera.fx * p[:, 0] / p[:, 2] + camera.cx
    v = camera.fy * p[:, 1] / p[:, 2] + camera.cy
    return np.stack([u, v], axis=1)


def sparse_depth_image(
    points: NDArray[np.floating],
    camera: Intrinsics,
    T_camera_points: NDArray[np.float64] | None = None,
) -> NDArray[np.float32]:
    """
    Project points into a depth image, the nearest point winning each pixel.

    :param points: (N, 3) metres; points behind the camera and not finite ones are ignored.
    :param T_camera_points: (4, 4) from their frame to the optical one; None: they are in it.
    :return: depth_m (H, W), 0 where no point falls.
    """
    T = np.eye(4) if T_camera_points is None else T_camera_points
    # Coordinate by coordinate, each of fewer points: most of a cloud is not in the picture.
    z = _coordinate(points, T[2])
    ahead = np.flatnonzero((z > 0.1) & (z < np.inf))
    points, z = points[ahead], z[ahead]
    u = np.rint(camera.fx * _coordinate(points, T[0]) / z + camera.cx)
    inside = np.flatnonzero((u >= 0) & (u < camera.width))
    points, z, u = points[inside], z[inside], u[inside]
    v = np.rint(camera.fy * _coordinate(points, T[1]) / z + camera.cy)
    inside = np.flatnonzero((v >= 0) & (v < camera.height))
    pixels = (v[inside] * camera.width + u[inside]).astype(np.intp)
    depth_m = np.zeros(camera.height * camera.width, np.float32)
    depth_m[pixels] = np.inf
    np.minimum.at(depth_m, pixels, z[inside].astype(np.float32))
    return depth_m.reshape(camera.height, camera.width)


def _coordinate(points: NDArray[np.floating], row: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return one coordinate of points (N, 3) moved by one row (4,) of a transform."""
    moved = np.full(len(points), row[3], np.float64)
    for axis in range(3):
        moved += np.multiply(points[:, axis], row[axis], dtype=np.float64)
    return moved
