"""
Depth on vehicles against the ground where they stand: a check of depth that needs no LiDAR (ours).

A vehicle touches the ground at its lowest pixels, and there the ground plane, seen through the
pixel, tells how far it is. Where self-supervision pushed a vehicle to infinity, its own depth is a
multiple of that. Ratios need no metric scale.

What the ratio cannot tell: where a network puts road and vehicle wrong by the same factor. What a
vehicle shows may stand a metre nearer than its wheels' contact (a bumper) or farther (a rear
window), so that 0.9 or 1.1 at 10 m is no error.
"""

import itertools
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.camera import Window
from sg_depth_ros.classes import CLASS_NAMES
from sg_depth_ros.classes import ROAD_ID
from sg_depth_ros.contact import contact_columns
from sg_depth_ros.ground import FARTHEST
from sg_depth_ros.ground import GroundPlane
from sg_depth_ros.ground import GroundPlaneRefusal
from sg_depth_ros.ground import find_ground_plane

# A train stands on rails, between platforms and ballast. One sees through cycles, and a cycle's
# few lowest pixels say little.
VEHICLE_IDS = tuple(CLASS_NAMES.index(name) for name in ('car', 'truck', 'bus'))
GROUND_IDS = tuple(CLASS_NAMES.index(name) for name in ('road', 'sidewalk', 'terrain'))
MISSING_RATIO = 1.5  # depth so many times that of the ground under it: there is no vehicle
DISTANCE_EDGES_HEIGHTS = (0.0, 5.0, 10.0, 20.0)  # in camera heights; 0, 8, 16 and 33 m in a car


@dataclass(frozen=True)
class StandingLimits:
    """Which vehicles can be judged."""

    min_pixels: int = 40
    min_columns: int = 6
    min_width: float = 0.5  # in camera heights; less of it is a stray label, or nearly all hidden
    # In camera heights over the ground, see StandingVehicle. A camera more than 2 m up looks
    # down on cars, and judges only what is taller.
    min_rise: float = 0.7
    min_plane_confidence: float = 0.15  # of judge_standing(): a doubtful ground judges nothing
    farthest_heights: float = 20.0  # beyond, a plane tilted by 0.5 degrees is wrong by 17 %
    max_row_error: float = 0.1  # by how much one row of pixels may change the contact's distance
    contact_quantile: float = 0.1  # the contact is where the nearest tenth of the columns ends
    column_spread: float = 1.25  # columns that end so much farther or nearer stand elsewhere
    min_column_share: float = 0.25  # of the columns that must stand at the contact
    min_ground_share: float = 0.8  # of them that must see the ground under the vehicle


STANDING_LIMITS = StandingLimits()


class StandingVehicle(NamedTuple):
    """
    A vehicle whose contact with the ground is seen, and how far it is by two ways.

    A network that sees road instead of it has depth ground_m / (1 - s) on the ray that passes its
    contact's place s camera heights over the ground. The median over a vehicle that rises to the
    horizon is 2 then, over one that rises 0.7 camera heights still above MISSING_RATIO; over a
    mere bumper it is nearly 1 and says nothing.
    """

    box: tuple[int, int, int, int]  # first column, first row, last column, last row
    class_id: int
    pixels: int  # below the horizon, in the columns that stand at the contact
    ground_m: float  # along z, of the ground at its lowest pixels
    depth_m: float  # median over its pixels, up to the horizon
    ground_heights: float  # ground_m in camera heights
    beyond_share: float  # of its pixels with a depth above MISSING_RATIO x ground_m

    @property
    def ratio(self) -> float:
        """Depth on it over the distance of the ground it stands on: 1 where all is right."""
        return self.depth_m / self.ground_m

    @property
    def is_missing(self) -> bool:
        """Whether depth shows what is behind it, or infinity, instead of it."""
        return self.ratio > MISSING_RATIO


class _Found(NamedTuple):
    """A vehicle and where it is seen."""

    vehicle: StandingVehicle
    window: Window
    mask: NDArray[np.bool_]  # of the window; the columns that stand at the contact, to its top


class StandingFrame(NamedTuple):
    """One frame's vehicles and the plane that they stand on."""

    vehicles: tuple[StandingVehicle, ...]
    plane: GroundPlane | GroundPlaneRefusal


class StandingGroup(NamedTuple):
    """Vehicles put together; None where there are none."""

    name: str
    vehicles: int
    ratio_median: float | None
    ratio_p10: float | None
    ratio_p90: float | None
    missing_share: float | None
    beyond_share: float | None  # mean

    def to_json(self) -> dict[str, Any]:
        """Return the fields by their names."""
        return dict(self._asdict())


class StandingSummary(NamedTuple):
    """The vehicles of many frames."""

    frames: int
    frames_without_plane: int
    frames_with_vehicles: int
    total: StandingGroup
    per_distance: tuple[StandingGroup, ...]

    def to_json(self) -> dict[str, Any]:
        """Return a document for JSON; distances are in camera heights."""
        return {
            'frames': self.frames,
            'frames_without_plane': self.frames_without_plane,
            'frames_with_vehicles': self.frames_with_vehicles,
            'missing_ratio': MISSING_RATIO,
            'total': self.total.to_json(),
            'per_distance': [group.to_json() for group in self.per_distance],
        }


def judge_standing(
    depth_m: NDArray[np.floating],
    labels: NDArray[np.uint8],
    camera: Intrinsics,
    *,
    metric: bool,
    limits: StandingLimits = STANDING_LIMITS,
    seed: int = 0,
) -> StandingFrame:
    """
    Fit the ground plane to the road that depth itself shows, and find the vehicles on it.

    :param depth_m: (H, W), positive; infinity is allowed.
    :param labels: (H, W) class ids.
    :param metric: whether depth is in metres; else the road's range is in camera heights.
    """
    plane = find_ground_plane(
        depth_m, camera, metric=metric, fit_pixels=labels == ROAD_ID, seed=seed
    )
    if isinstance(plane, GroundPlane) and plane.confidence < limits.min_plane_confidence:
        plane = GroundPlaneRefusal(
            f'the road is no clear plane: confidence {plane.confidence:.2f}'
        )
    return StandingFrame(find_standing_vehicles(depth_m, labels, camera, plane, limits), plane)


def find_standing_vehicles(
    depth_m: NDArray[np.floating],
    labels: NDArray[np.uint8],
    camera: Intrinsics,
    plane: GroundPlane | GroundPlaneRefusal,
    limits: StandingLimits = STANDING_LIMITS,
) -> tuple[StandingVehicle, ...]:
    """
    Find the vehicles whose contact with the ground is seen, and compare depth with the ground.

    Vehicles that touch in the image count as one: the nearest of them is judged.

    :param depth_m: (H, W), positive; infinity is allowed.
    :param labels: (H, W) class ids.
    :param camera: of both.
    :param plane: in depth's unit, for instance of ``find_ground_plane``; none: no vehicle.
    :return: from left to right.
    """
    found = _find(depth_m, labels, camera, plane, limits)
    return tuple(sorted((f.vehicle for f in found), key=lambda vehicle: vehicle.box))


def find_missing_vehicles(
    depth_m: NDArray[np.floating],
    labels: NDArray[np.uint8],
    camera: Intrinsics,
    plane: GroundPlane | GroundPlaneRefusal,
    limits: StandingLimits = STANDING_LIMITS,
) -> NDArray[np.bool_]:
    """
    Find the pixels of vehicles that depth does not show where they stand.

    Above the horizon, where no depth is below the ground, they are the only sign of a hole. The
    parameters are those of ``find_standing_vehicles``; a doubtful plane tells of no vehicle.

    :return: (H, W); of missing vehicles, what is clearly beyond the ground they stand on.
    """
    pixels = np.zeros(depth_m.shape, np.bool_)
    if isinstance(plane, GroundPlane) and plane.confidence >= limits.min_plane_confidence:
        for found in _find(depth_m, labels, camera, plane, limits):
            if found.vehicle.is_missing:
                beyond = found.window.of(depth_m) > MISSING_RATIO * found.vehicle.ground_m
                found.window.of(pixels)[found.mask & beyond] = True
    return pixels


def summarize_standing(frames: Iterable[StandingFrame]) -> StandingSummary:
    """Put the vehicles of frames together, in all and by distance."""
    judged = tuple(frames)
    vehicles = [vehicle for frame in judged for vehicle in frame.vehicles]
    groups = []
    for near, far in itertools.pairwise(DISTANCE_EDGES_HEIGHTS):
        inside = [v for v in vehicles if near <= v.ground_heights < far]
        groups.append(_group(f'{near:g}-{far:g} camera heights', inside))
    return StandingSummary(
        frames=len(judged),
        frames_without_plane=sum(isinstance(f.plane, GroundPlaneRefusal) for f in judged),
        frames_with_vehicles=sum(bool(f.vehicles) for f in judged),
        total=_group('all', vehicles),
        per_distance=tuple(groups),
    )


def _find(
    depth_m: NDArray[np.floating],
    labels: NDArray[np.uint8],
    camera: Intrinsics,
    plane: GroundPlane | GroundPlaneRefusal,
    limits: StandingLimits,
) -> Iterator[_Found]:
    if isinstance(plane, GroundPlaneRefusal):
        return
    for class_id in VEHICLE_IDS:
        mask = (labels == class_id).astype(np.uint8)
        count, regions, boxes, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
        for region in range(1, count):
            left, top, width, height, pixels = (int(v) for v in boxes[region])
            # What the image's border cuts off may stand anywhere.
            if pixels < limits.min_pixels or top + height >= camera.height:
                continue
            window = Window(left, top, width, height)
            mask = window.of(regions) == region
            found = _judged(window, class_id, mask, depth_m, labels, camera, plane, limits)
            if found is not None:
                yield found


def _group(name: str, vehicles: Sequence[StandingVehicle]) -> StandingGroup:
    if not vehicles:
        return StandingGroup(name, 0, None, None, None, None, None)
    p10, median, p90 = np.quantile([v.ratio for v in vehicles], (0.1, 0.5, 0.9))
    return StandingGroup(
        name=name,
        vehicles=len(vehicles),
        ratio_median=float(median),
        ratio_p10=float(p10),
        ratio_p90=float(p90),
        missing_share=float(np.mean([v.is_missing for v in vehicles])),
        beyond_share=float(np.mean([v.beyond_share for v in vehicles])),
    )


def _judged(
    window: Window,
    class_id: int,
    mask: NDArray[np.bool_],
    depth_m: NDArray[np.floating],
    labels: NDArray[np.uint8],
    camera: Intrinsics,
    plane: GroundPlane,
    limits: StandingLimits,
) -> _Found | None:
    """Judge a vehicle; None where its contact with the ground is not seen or is too far."""
    columns = contact_columns(window, mask, labels, camera, plane)
    # np.quantile calls its method=, of NumPy 1.22 and later, by another name before.
    ordered_m = np.sort(columns.ground_m)
    ground_m = float(ordered_m[int(limits.contact_quantile * (len(ordered_m) - 1))])
    heights = ground_m / plane.offset_m
    if heights > min(limits.farthest_heights, limits.max_row_error * camera.fy):
        return None
    spread = limits.column_spread
    stands = (columns.ground_m < spread * ground_m) & (columns.ground_m > ground_m / spread)
    if stands.sum() < max(limits.min_columns, limits.min_column_share * stands.size):
        return None
    seen = np.isin(columns.below, GROUND_IDS) & (columns.rim < spread)
    if seen[stands].mean() < limits.min_ground_share:
        return None

    # Above the horizon there may be a truck that stands behind the car.
    rows = window.top + np.arange(window.height)[:, None]
    judged = mask & stands & (rows >= np.minimum(columns.horizon, columns.bottom))
    xs = window.left + np.flatnonzero(stands)
    ys = window.top + np.flatnonzero(judged.any(axis=1))
    px_per_height = camera.fy / heights
    if xs.size < limits.min_width * px_per_height or ys.size < limits.min_rise * px_per_height:
        return None
    depth = np.minimum(window.of(depth_m)[judged], FARTHEST)
    vehicle = StandingVehicle(
        box=(int(xs[0]), int(ys[0]), int(xs[-1]), int(ys[-1])),
        class_id=class_id,
        pixels=depth.size,
        ground_m=ground_m,
        depth_m=float(np.median(depth)),
        ground_heights=heights,
        beyond_share=float(np.mean(depth > MISSING_RATIO * ground_m)),
    )
    return _Found(vehicle, window, mask & stands)
