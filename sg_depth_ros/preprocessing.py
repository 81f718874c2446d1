"""Images of one camera to the network's input: undistorted, cropped, resized; in kept memory."""

import cv2
import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.camera import Window
from sg_depth_ros.camera import resize_image
from sg_depth_ros.camera import resize_labels
from sg_depth_ros.contract import ModelContract
from sg_depth_ros.pipeline import Fit
from sg_depth_ros.pipeline import fit_window
from sg_depth_ros.rectification import RectifiedCamera
from sg_depth_ros.rectification import Undistortion

# Where an image shrinks to about half, the mean of two interpolated samples each way is the pixel
# area's mean but for 0.3 grey levels on average (of camera images; 0.1 at a half), in a third of
# the time: OpenCV is fast at interpolating and at halving, and slow at any other area.
HALVING_RATIOS = (1.8, 2.2)


class Preprocessor:
    """
    Brings images of one size and camera to the network's size; its result is valid until the next.

    ``window`` is the part of the undistorted image that is shown, ``camera`` that of the result,
    None where the received camera is unknown, and ``outside`` (H, W) the pixels of the result
    that the lens did not see.
    """

    def __init__(
        self,
        width: int,
        height: int,
        rectified: RectifiedCamera | None,
        contract: ModelContract,
        fit: Fit,
    ) -> None:
        """
        Compute what depends on the camera alone.

        :param width: of the received images, in pixels; ``height`` likewise.
        :param rectified: their camera, None where unknown.
        """
        self._size = contract.width, contract.height
        self.window = Window(0, 0, width, height)
        self.camera: Intrinsics | None = None
        self.outside: NDArray[np.bool_] | None = None
        self._undistortion: Undistortion | None = None
        self._result = _image_of(self._size)
        if rectified is not None:
            self.window = fit_window(rectified.camera, contract, fit)
        between = _double_size(self.window, self._size)
        self._double = None if between is None else _image_of(between)
        self._straight: NDArray[np.uint8] | None = None
        if rectified is None:
            return
        cropped = rectified.camera.cropped(*self.window)
        self.camera = cropped.resized(*self._size)
        if rectified.lens is not None:
            # The maps reach only what is shown, and where they can, they do the first resize too.
            target = cropped if between is None else cropped.resized(*between)
            self._undistortion = Undistortion(rectified.lens, target)
            self._straight = _image_of((target.width, target.height))
            if self._undistortion.outside is not None:
                mask = self._undistortion.outside.view(np.uint8)
                self.outside = resize_labels(mask, *self._size).astype(np.bool_)

    def apply(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """
        Return what the network is to see of an image.

        :param image: RGB (h, w, 3) of the size that the preprocessor was made for.
        :return: (H, W, 3), contiguous; the image itself where nothing is to do.
        """
        if self._undistortion is not None:
            part = self._undistortion.apply(image, self._straight)
        else:
            part = self.window.of(image)
            if self._double is not None:
                size = self._double.shape[1], self._double.shape[0]
                cv2.resize(part, size, dst=self._double, interpolation=cv2.INTER_LINEAR)
                part = self._double
        resized = resize_image(part, *self._size, self._result)
        if not resized.flags.c_contiguous:  # a window of the network's size
            np.copyto(self._result, resized)
            return self._result
        return resized


def _double_size(window: Window, size: tuple[int, int]) -> tuple[int, int] | None:
    """Return twice the network's size where an image may take the way over it."""
    low, high = HALVING_RATIOS
    double = 2 * size[0], 2 * size[1]
    ratios = window.width / size[0], window.height / size[1]
    near = all(low <= ratio <= high for ratio in ratios)
    return double if near and double != (window.width, window.height) else None


def _image_of(size: tuple[int, int]) -> NDArray[np.uint8]:
    return np.empty((size[1], size[0], 3), np.uint8)
