"""Where the columns of a vehicle end in the image, and how far the ground is there."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.camera import Window
from sg_depth_ros.classes import UNKNOWN_ID
from sg_depth_ros.ground import GroundPlane


class ContactColumns(NamedTuple):
    """The columns of a vehicle, [w]; rows are the image's."""

    bottom: NDArray[np.int64]  # its last row
    below: NDArray[np.uint8]  # the first known label under it
    horizon: NDArray[np.float64]  # the plane's
    ground_m: NDArray[np.float64]  # along z, at the contact; inf above the horizon
    rim: NDArray[np.float64]  # by which factor the unknown labels below it leave that open


def contact_columns(
    window: Window,
    mask: NDArray[np.bool_],
    labels: NDArray[np.uint8],
    camera: Intrinsics,
    plane: GroundPlane,
) -> ContactColumns:
    """
    Return where a vehicle's columns end, and how far the ground is there.

    Below its last pixel there may be a rim of unknown labels: the contact is somewhere in it, so
    its middle is taken.
    """
    u = window.left + np.arange(window.width)
    bottom = window.top + window.height - 1 - mask[::-1].argmax(axis=0)
    under = labels[window.top :, u]
    known = under != UNKNOWN_ID
    known &= np.arange(len(under))[:, None] > bottom - window.top
    first_known = np.where(known.any(axis=0), window.top + known.argmax(axis=0), bottom + 1)
    below = labels[np.minimum(first_known, camera.height - 1), u]

    # A ray (x, y, 1) meets the plane at z = -offset / (normal . ray), if it falls at all.
    level = plane.normal[0] * (u - camera.cx) / camera.fx + plane.normal[2]

    def ground_at(row: NDArray[np.floating]) -> NDArray[np.float64]:
        falling = level + plane.normal[1] * (row - camera.cy) / camera.fy
        return np.where(falling < 0, -plane.offset_m / np.minimum(falling, -1e-9), np.inf)

    with np.errstate(invalid='ignore'):  # both above the horizon
        rim = ground_at(bottom + 0.5) / ground_at(first_known - 0.5)
    return ContactColumns(
        bottom=bottom,
        below=below,
        horizon=camera.cy - camera.fy * level / plane.normal[1],
        ground_m=ground_at(0.5 * (bottom + first_known)),
        rim=rim,
    )
