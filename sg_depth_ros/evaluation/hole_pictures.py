"""Pictures with pixels of infinite depth marked."""

import cv2
import numpy as np
from numpy.typing import NDArray

MARK_COLOR = (255, 0, 60)


def marked_picture(image: NDArray[np.uint8], holes: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Paint pixels of infinite depth red, with an outline that shows even a single one."""
    picture: NDArray[np.uint8] = image.copy()
    ring = cv2.dilate(holes.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    picture[ring & ~holes] = 255
    picture[holes] = MARK_COLOR
    return picture
