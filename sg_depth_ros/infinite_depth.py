"""
Infinite depth: which pixels of a depth image show holes, and how many are too many.

Guizilini et al., ICLR 2020: a car ahead at the camera's own speed stands still in the image, so
self-supervision pushes it to infinity, where it lies below the ground. The threshold of 10 pixels
is the authors'; all else is ours, and so is asking the labels: where there are any, the plane is
fitted to the road only, and only what can move is counted. So is looking for vehicles that depth
does not show where they stand: seen from a car, the upper half of a car ahead is above the
horizon, where nothing is below the ground, however far it is.

``resample`` drops frames by it, ``evaluate`` and replays count by it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.classes import MOVABLE_IDS
from sg_depth_ros.classes import ROAD_ID
from sg_depth_ros.classes import UNKNOWN_ID
from sg_depth_ros.ground import BELOW_GROUND
from sg_depth_ros.ground import FIT_RANGE_M
from sg_depth_ros.ground import BelowGround
from sg_depth_ros.ground import GroundPlane
from sg_depth_ros.ground import GroundPlaneRefusal
from sg_depth_ros.ground import find_infinite_depth
from sg_depth_ros.standing import find_missing_vehicles

PAPER_AREA_PX = 640 * 192  # what the threshold of 10 pixels was chosen for
LEAST_ROAD_SHARE = 0.01  # of the picture: labels with less road do not choose the plane's pixels
FEWEST_PLANES = 10  # of a drive, to tell what its plane is usually like
HEIGHT_SPREAD = 1.3  # a plane further from the drive's median height than this factor is refused
ANGLE_SPREAD_DEG = 5.0  # so is one that is tilted more against the drive's median normal

PlanePixels = Literal['auto', 'road', 'all']
CountedPixels = Literal['auto', 'movable', 'all']


@dataclass(frozen=True)
class HoleCriterion:
    """When a frame counts as one with infinite depth; ``auto`` asks the labels, if any."""

    threshold_px: float = 10.0  # at 640x192; grows with the area of larger pictures
    limits: BelowGround = BELOW_GROUND
    fit_range_m: tuple[float, float] = FIT_RANGE_M
    plane_from: PlanePixels = 'auto'
    counted: CountedPixels = 'auto'
    missing_vehicles: bool = True  # count vehicles that are not where they stand, too
    seed: int = 0

    def threshold_at(self, width: int, height: int) -> float:
        """
        Return the threshold in pixels of an image of ``width`` x ``height``.

        It does not shrink with smaller images: 1 pixel at 192x64 would be noise.
        """
        return self.threshold_px * max(1.0, width * height / PAPER_AREA_PX)


DEFAULT_CRITERION = HoleCriterion()
# What the paper describes: labels are not asked, and the plane is taken to hold at any distance.
PAPER_CRITERION = HoleCriterion(
    limits=BelowGround(BELOW_GROUND.margin, angle_deg=0.0),
    plane_from='all',
    counted='all',
    missing_vehicles=False,
)


class Holes(NamedTuple):
    """The pixels of infinite depth of one depth image; none where the plane was refused."""

    pixels: NDArray[np.bool_]  # [H, W], clearly below the ground, or of missing vehicles
    missing: NDArray[np.bool_]  # [H, W], those of vehicles that are not where they stand
    plane: GroundPlane | GroundPlaneRefusal
    plane_from: Literal['road', 'all']
    counted: Literal['movable', 'all']


def find_holes_in_depth(
    depth_m: NDArray[np.floating],
    labels: NDArray[np.uint8],
    camera: Intrinsics,
    *,
    metric: bool,
    criterion: HoleCriterion = DEFAULT_CRITERION,
) -> Holes:
    """
    Find a frame's pixels of infinite depth.

    :param depth_m: (H, W), positive; infinity is allowed, NaN is nowhere.
    :param labels: (H, W) class ids; 255 where unknown.
    :param camera: of the depth image.
    :param metric: whether depth is in metres.
    """
    plane_from, counted = _plane_from(labels, criterion), _counted(labels, criterion)
    found = find_infinite_depth(
        depth_m,
        camera,
        metric=metric,
        fit_pixels=labels == ROAD_ID if plane_from == 'road' else None,
        limits=criterion.limits,
        fit_range_m=criterion.fit_range_m,
        seed=criterion.seed,
    )
    below = found.below
    if counted == 'movable':
        below = below & np.isin(labels, MOVABLE_IDS)
    missing = np.zeros_like(below)
    if criterion.missing_vehicles and plane_from == 'road':
        missing = find_missing_vehicles(depth_m, labels, camera, found.plane)
    return Holes(below | missing, missing, found.plane, plane_from, counted)


def refuse_unlike_planes(
    planes: Sequence[GroundPlane | GroundPlaneRefusal],
) -> tuple[GroundPlane | GroundPlaneRefusal, ...]:
    """
    Refuse planes unlike the others of their drive: the camera is fixed to the vehicle.

    A single plane fails on hills, in turns and between large vehicles, and then most of the
    picture is below it.

    :param planes: of the frames of one drive.
    :return: the planes in their order, or why there is none.
    """
    fitted = [p for p in planes if isinstance(p, GroundPlane)]
    if len(fitted) < FEWEST_PLANES:
        return tuple(planes)
    height = float(np.median([p.offset_m for p in fitted]))
    normal = np.median([p.normal for p in fitted], axis=0)
    normal /= np.linalg.norm(normal)
    return tuple(_checked(p, height, normal) if isinstance(p, GroundPlane) else p for p in planes)


def _plane_from(labels: NDArray[np.uint8], criterion: HoleCriterion) -> Literal['road', 'all']:
    if criterion.plane_from != 'auto':
        return criterion.plane_from
    return 'road' if np.mean(labels == ROAD_ID) >= LEAST_ROAD_SHARE else 'all'


def _counted(labels: NDArray[np.uint8], criterion: HoleCriterion) -> Literal['movable', 'all']:
    if criterion.counted != 'auto':
        return criterion.counted
    return 'movable' if np.any(labels != UNKNOWN_ID) else 'all'


def _checked(
    plane: GroundPlane, height: float, normal: NDArray[np.float64]
) -> GroundPlane | GroundPlaneRefusal:
    ratio = plane.offset_m / height
    angle_deg = math.degrees(math.acos(min(1.0, float(plane.normal @ normal))))
    if 1 / HEIGHT_SPREAD <= ratio <= HEIGHT_SPREAD and angle_deg <= ANGLE_SPREAD_DEG:
        return plane
    return GroundPlaneRefusal(
        f"unlike the drive's other planes: camera height {plane.offset_m:.2f}, their median is "
        f'{height:.2f}; tilted by {angle_deg:.1f} degrees against their normal'
    )
