"""
From a received image to the network's input, and from its prediction to metric depth.

The node and the offline evaluation both go through these functions, so that a number measured
offline holds on the vehicle. No ROS, no engine.
"""

import math
from typing import Literal
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.camera import Window
from sg_depth_ros.camera import resize_image
from sg_depth_ros.contract import ModelContract
from sg_depth_ros.engines.engine import Prediction

# How an image comes to the shape of the network: stretched, cropped first, or cropped only where
# it would be stretched too far.
Fit = Literal['auto', 'stretch', 'crop']

STRETCH_TOLERANCE = 0.1  # how far fx/fy may differ from training's before depth suffers


class PreparedImage(NamedTuple):
    """An image as the network takes it, and the camera that would have taken it so."""

    image: NDArray[np.uint8]  # [H, W, 3], RGB, of the contract's size
    camera: Intrinsics | None  # of ``image``; None where the received camera is unknown


class CorrectedDepth(NamedTuple):
    """The depth that is published."""

    depth_m: NDArray[np.float32]  # [H, W]
    valid_share: float  # of pixels that are not NaN


def prepare_image(
    image: NDArray[np.uint8], camera: Intrinsics | None, contract: ModelContract
) -> PreparedImage:
    """
    Bring an image and its camera to the network's size.

    :param image: RGB (h, w, 3) of any size.
    :param camera: of ``image``, or None where unknown.
    """
    width, height = contract.width, contract.height
    return PreparedImage(
        resize_image(image, width, height),
        None if camera is None else camera.resized(width, height),
    )


def stretch(camera: Intrinsics, contract: ModelContract) -> float:
    """Return how much wider things look at the network's size than in training, against high."""
    trained = contract.intrinsics
    resized = camera.resized(contract.width, contract.height)
    return (resized.fx / resized.fy) / (trained.fx / trained.fy)


def fit_window(camera: Intrinsics, contract: ModelContract, fit: Fit) -> Window:
    """
    Return the part of a camera's image that the network is shown.

    A crop is the largest window whose resize stretches things no more than training did. Of rows,
    or columns, it takes those that put the principal point where it was in training, as far as the
    image reaches: the horizon stays at its height.

    :param camera: of the undistorted image.
    """
    whole = Window(0, 0, camera.width, camera.height)
    stretched = stretch(camera, contract)
    if fit == 'stretch' or (fit == 'auto' and abs(stretched - 1) <= STRETCH_TOLERANCE):
        return whole
    trained = contract.intrinsics
    if stretched > 1:
        # Too high for its width: rows go.
        height = max(round(camera.height / stretched), 1)
        share = (trained.cy + 0.5) / trained.height
        return whole._replace(top=_start(camera.cy, share, height, camera.height), height=height)
    width = max(round(camera.width * stretched), 1)
    share = (trained.cx + 0.5) / trained.width
    return whole._replace(left=_start(camera.cx, share, width, camera.width), width=width)


def fitted_camera(camera: Intrinsics, contract: ModelContract, fit: Fit = 'auto') -> Intrinsics:
    """Return the camera of the window that the network is shown, at the network's size."""
    window = fit_window(camera, contract, fit)
    return camera.cropped(*window).resized(contract.width, contract.height)


def window_of(whole: Intrinsics, part: Intrinsics) -> Window:
    """
    Return the window of an image whose crop and resize gave another camera.

    :param whole: of the undistorted image.
    :param part: of the resized window, such as the published depth's.
    """
    sx, sy = part.fx / whole.fx, part.fy / whole.fy
    width, height = round(part.width / sx), round(part.height / sy)
    left = round(whole.cx + 0.5 - (part.cx + 0.5) / sx)
    top = round(whole.cy + 0.5 - (part.cy + 0.5) / sy)
    return Window(left, top, width, height)


def focal_correction(camera: Intrinsics | None, contract: ModelContract) -> float:
    """
    Return what to multiply the network's depth with for another camera than it was trained with.

    A network sees sizes in pixels: at twice the focal length everything looks half as far. The
    focal length of a resize that is not uniform is the geometric mean of fx and fy.

    :param camera: at the network's size; None, where it is unknown, gives 1.
    """
    if camera is None:
        return 1.0
    trained = contract.intrinsics
    return math.sqrt(camera.fx * camera.fy) / math.sqrt(trained.fx * trained.fy)


class DepthCorrection:
    """Turns predictions of one model into the depth that is published, in memory that it keeps."""

    def __init__(self, contract: ModelContract) -> None:
        size = (contract.height, contract.width)
        names = contract.class_names
        self._sky = names.index('sky') if 'sky' in names else None
        self._limit_m = contract.max_depth_m
        self._depth_m = np.empty(size, np.float32)
        # OpenCV copies through a mask ten times as fast as numpy assigns through one.
        self._infinite = np.full(size, np.inf, np.float32)
        self._nan = np.full(size, np.nan, np.float32)
        self._mask, self._part, self._is_sky = (np.empty(size, np.bool_) for _ in range(3))

    def apply(
        self,
        prediction: Prediction,
        scale: float,
        max_depth_m: float | None = None,
        outside: NDArray[np.bool_] | None = None,
    ) -> CorrectedDepth:
        """
        Scale a prediction's depth and mark what is none.

        :param scale: what the network's depth is multiplied with.
        :param max_depth_m: what lies beyond is infinite; by default the contract's.
        :param outside: (H, W) pixels that show nothing, None: all show something.
        :return: depth_m (H, W) along z, valid until the next call: NaN where the network gave no
            valid number, +Inf for sky and beyond ``max_depth_m`` (REP 117), never 0.
        """
        depth_m, mask, part = self._depth_m, self._mask, self._part
        limit_m = self._limit_m if max_depth_m is None else max_depth_m
        with np.errstate(invalid='ignore', over='ignore', under='ignore'):
            np.multiply(prediction.depth_m, np.float32(scale), out=depth_m)
            np.less(prediction.depth_m, np.inf, out=part)
            np.greater(depth_m, 0, out=mask)
            np.logical_and(part, mask, out=part)
            np.greater(depth_m, np.float32(limit_m), out=mask)
        if self._sky is not None:
            np.equal(prediction.labels, self._sky, out=self._is_sky)
            np.logical_or(mask, self._is_sky, out=mask)
        cv2.copyTo(self._infinite, mask.view(np.uint8), depth_m)
        np.logical_not(part, out=mask)
        if outside is not None:
            np.logical_or(mask, outside, out=mask)
        cv2.copyTo(self._nan, mask.view(np.uint8), depth_m)
        return CorrectedDepth(depth_m, 1 - np.count_nonzero(mask) / mask.size)


def _start(center: float, share: float, length: int, available: int) -> int:
    """Return where a window begins in which ``center`` lies at ``share`` of its length."""
    wanted = round(center + 0.5 - share * length)
    return min(max(wanted, 0), available - length)
