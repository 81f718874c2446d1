"""What every engine checks of a call: the thread that it comes from, and the image."""

import threading

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.contract import ModelContract


class OwnerThread:
    """The thread that an engine belongs to: the one that made this."""

    def __init__(self) -> None:
        self._ident = threading.get_ident()

    def check(self) -> None:
        """
        Check that the calling thread is the owner.

        :raises RuntimeError: where it is another one.
        """
        if threading.get_ident() != self._ident:
            raise RuntimeError(
                'the engine belongs to the thread that opened it; use and close it there'
            )


def check_image(image: NDArray[np.uint8], contract: ModelContract) -> None:
    """
    Check that an image is RGB (H, W, 3) of the contract's size.

    :raises ValueError: for another shape or type.
    """
    shape = (contract.height, contract.width, 3)
    if image.shape != shape or image.dtype != np.uint8:
        raise ValueError(
            f'the engine takes a uint8 image of {shape}, not {image.dtype} '
            f'of {tuple(image.shape)}; resize it with camera.resize_image'
        )
