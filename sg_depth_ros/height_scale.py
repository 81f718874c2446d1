"""
The scale of a model that is not metric, from the height at which its camera is mounted.

The ground under the camera is that height below it: fitted to the network's depth it lies some
number of the network's units below, and metres per unit are the ratio of the two.
"""

import math
from collections import deque
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.contract import ModelContract
from sg_depth_ros.engines.engine import Prediction
from sg_depth_ros.ground import GroundPlane
from sg_depth_ros.ground import GroundPlaneRefusal
from sg_depth_ros.ground import find_ground_plane
from sg_depth_ros.pipeline import focal_correction

INTERVAL_S = 0.3  # of the images' stamps, between two fits: each takes milliseconds
WIDEST_PX = 320  # of the depth image that the plane is fitted to
# The median of this many planes is smoothed, so that a single wrong one does nothing. Before the
# first scale there must be so many, found in images one after the other.
MEDIAN_OF = 5
FEWEST_PLANES = 3
# Of a plane, see GroundPlane: on two drives of KITTI with planes at most 4 % off it was 0.38 to
# 0.85, on one between parked cars with planes 20 % off 0.10 to 0.16.
MIN_CONFIDENCE = 0.25
MIN_GROUND_SHARE = 0.02  # of the image
# Road alone where there is enough of it: kerbs and meadows lie higher than what is driven on.
GROUND_CLASSES = (('road',), ('road', 'sidewalk', 'terrain'))


class FoundScale(NamedTuple):
    """What is known of the scale."""

    scale: float | None  # metres per unit of the network's depth; None: not known yet
    note: str  # why the last image gave none, else empty


class HeightScale:
    """
    The smoothed scale, from image to image.

    It is kept relative to the focal correction, so that it holds when a camera zooms.

    :param smoothing_s: time constant of the smoothing; may be changed at any time.
    """

    def __init__(self, height_m: float, contract: ModelContract, smoothing_s: float) -> None:
        if not (math.isfinite(height_m) and height_m > 0):
            raise ValueError(f'a camera height of {height_m} m is not above the ground')
        self.smoothing_s = smoothing_s
        self._height_m = height_m
        self._contract = contract
        self._logs: deque[float] = deque(maxlen=MEDIAN_OF)
        self._smoothed: float | None = None  # logarithm
        self._looked_s: float | None = None
        self._found_s = 0.0
        self._note = ''

    def reset(self) -> None:
        """Forget the scale."""
        self._logs.clear()
        self._smoothed, self._looked_s, self._note = None, None, ''

    def update(
        self, prediction: Prediction, camera: Intrinsics, stamp_s: float | None = None
    ) -> FoundScale:
        """
        Look at the ground again if it is time to, and return the scale.

        :param prediction: of the image, depth in any unit.
        :param camera: of the prediction.
        :param stamp_s: the image's; None: as long after the last look as looks are apart.
        """
        looked_s = self._looked_s
        if stamp_s is None:
            stamp_s = 0.0 if looked_s is None else looked_s + INTERVAL_S
        elapsed_s = math.inf if looked_s is None else stamp_s - looked_s
        # Of stamps that went back nothing is known: as if it were time.
        if self._smoothed is None or not 0 <= elapsed_s < INTERVAL_S:
            self._looked_s = stamp_s
            self._look(prediction, camera, stamp_s)
        if self._smoothed is None:
            return FoundScale(None, self._note)
        correction = focal_correction(camera, self._contract)
        return FoundScale(math.exp(self._smoothed) * correction, self._note)

    def _look(self, prediction: Prediction, camera: Intrinsics, stamp_s: float) -> None:
        plane = ground_of(prediction, camera, self._contract.class_names)
        if isinstance(plane, GroundPlaneRefusal):
            kept = '' if self._smoothed is None else '; the scale found before is kept'
            self._note = f'no ground plane: {plane.reason}{kept}'
            return
        self._note = ''
        correction = focal_correction(camera, self._contract)
        self._logs.append(math.log(self._height_m / plane.offset_m / correction))
        if len(self._logs) < FEWEST_PLANES and self._smoothed is None:
            self._note = f'{len(self._logs)} of {FEWEST_PLANES} ground planes found'
            return
        median = float(np.median(self._logs))
        if self._smoothed is None:
            self._smoothed = median
        else:
            elapsed_s = max(stamp_s - self._found_s, 0.0)
            decay = math.exp(-elapsed_s / self.smoothing_s) if self.smoothing_s > 0 else 0.0
            self._smoothed = median + decay * (self._smoothed - median)
        self._found_s = stamp_s


def ground_of(
    prediction: Prediction, camera: Intrinsics, class_names: tuple[str, ...]
) -> GroundPlane | GroundPlaneRefusal:
    """
    Fit the ground to the prediction of one image, where its labels say that there is ground.

    :param prediction: depth in any unit; labels count where the model knows a road.
    :param camera: of the prediction.
    :param class_names: of the labels.
    """
    step = max(1, math.ceil(camera.width / WIDEST_PX))
    depth = prediction.depth_m[::step, ::step]
    labels = prediction.labels[::step, ::step]
    height, width = depth.shape
    # Every step-th pixel's centre, at integers again.
    small = Intrinsics(
        *(camera.fx / step, camera.fy / step, camera.cx / step, camera.cy / step), width, height
    )
    with np.errstate(invalid='ignore'):
        valid = (depth > 0) & (depth < np.inf)
    if 'road' in class_names:
        ground = _ground_pixels(labels, class_names)
        if ground is None:
            return GroundPlaneRefusal('hardly any pixels are road or other ground')
        valid &= ground
    plane = find_ground_plane(depth, small, metric=False, fit_pixels=valid)
    if isinstance(plane, GroundPlane) and plane.confidence < MIN_CONFIDENCE:
        return GroundPlaneRefusal(
            f'the best plane has a confidence of {plane.confidence:.2f}, {MIN_CONFIDENCE:g} is '
            'needed'
        )
    return plane


def _ground_pixels(
    labels: NDArray[np.uint8], class_names: tuple[str, ...]
) -> NDArray[np.bool_] | None:
    """Return where the ground is, (H, W), or None where there is hardly any."""
    for names in GROUND_CLASSES:
        ids = [class_names.index(name) for name in names if name in class_names]
        pixels = np.isin(labels, ids)
        if np.count_nonzero(pixels) >= MIN_GROUND_SHARE * pixels.size:
            return pixels
    return None
