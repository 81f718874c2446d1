"""Depth on vehicles against the ground where they stand, in rendered scenes."""

import json
import math
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.classes import CAR_ID
from sg_depth_ros.classes import CLASS_NAMES
from sg_depth_ros.classes import ROAD_ID
from sg_depth_ros.classes import SKY_ID
from sg_depth_ros.classes import UNKNOWN_ID
from sg_depth_ros.ground import GroundPlane
from sg_depth_ros.ground import GroundPlaneRefusal
from sg_depth_ros.standing import StandingFrame
from sg_depth_ros.standing import find_missing_vehicles
from sg_depth_ros.standing import find_standing_vehicles
from sg_depth_ros.standing import judge_standing
from sg_depth_ros.standing import summarize_standing

number = partial(st.floats, allow_subnormal=False)

CAMERA = Intrinsics(fx=200.0, fy=200.0, cx=159.5, cy=40.5, width=320, height=96)
HEIGHT_M = 1.65
TRUCK_ID = CLASS_NAMES.index('truck')
PERSON_ID = CLASS_NAMES.index('person')


class Scene(NamedTuple):
    depth_m: NDArray[np.float64]
    labels: NDArray[np.uint8]
    camera: Intrinsics
    plane: GroundPlane
    road_m: NDArray[np.float64]  # depth without the vehicles

    def vehicles(self, depth_m: NDArray[np.floating] | None = None):
        shown = self.depth_m if depth_m is None else depth_m
        return find_standing_vehicles(shown, self.labels, self.camera, self.plane)


class Box(NamedTuple):
    """The rear of a vehicle: an upright rectangle that faces the camera."""

    distance_m: float
    side_m: float = 0.0
    width_m: float = 1.8
    height_m: float = 1.5
    above_ground_m: float = 0.0
    class_id: int = CAR_ID


def render(
    *boxes: Box,
    camera: Intrinsics = CAMERA,
    height_m: float = HEIGHT_M,
    pitch_deg: float = 0.0,
):
    """Render boxes, the later ones before the earlier, on a road under the sky."""
    pitch = math.radians(pitch_deg)
    level = np.array(
        [[1, 0, 0], [0, math.cos(pitch), math.sin(pitch)], [0, -math.sin(pitch), math.cos(pitch)]]
    )
    rays = camera.rays().astype(np.float64) @ level.T  # x right, y straight down, z level
    down = rays[..., 1]
    depth = np.where(down > 1e-3, height_m / np.maximum(down, 1e-9), 100.0).clip(max=100.0)
    labels = np.where(down > 0, ROAD_ID, SKY_ID).astype(np.uint8)
    road = depth.copy()
    for box in boxes:
        hit = box.distance_m / rays[..., 2]
        x, y = rays[..., 0] * hit, height_m - down * hit - box.above_ground_m
        inside = (np.abs(x - box.side_m) <= box.width_m / 2) & (y >= 0) & (y <= box.height_m)
        depth[inside], labels[inside] = hit[inside], box.class_id
    plane = GroundPlane(-level[1], height_m, 1.0, 0.0)
    return Scene(depth, labels, camera, plane, road)


def test_a_vehicle_is_as_far_as_the_ground_under_it():
    scene = render(Box(12.0, side_m=-1.0), Box(8.0, side_m=3.0, height_m=3.2, class_id=TRUCK_ID))
    car, truck = scene.vehicles()
    assert (car.class_id, truck.class_id) == (CAR_ID, TRUCK_ID)
    for vehicle, distance_m in ((car, 12.0), (truck, 8.0)):
        assert vehicle.ground_m == pytest.approx(distance_m, rel=0.04)
        assert vehicle.depth_m == pytest.approx(distance_m)
        assert vehicle.ratio == vehicle.depth_m / vehicle.ground_m
        assert vehicle.ground_heights == pytest.approx(vehicle.ground_m / HEIGHT_M)
        assert not vehicle.is_missing
        assert vehicle.beyond_share == 0.0
    rows, columns = np.nonzero(scene.labels == CAR_ID)
    assert car.box == (columns.min(), rows.min(), columns.max(), rows.max())
    assert car.pixels == rows.size


@settings(max_examples=60, deadline=None)
@given(
    distance_m=number(5, 30),
    focal_px=number(120, 700),
    height_m=number(1.2, 2.0),
    pitch_deg=number(-4, 4),
    scale=st.sampled_from([0.02, 1.0, 50.0]),
)
def test_the_ratio_is_one_at_any_pose_distance_and_scale(
    distance_m: float, focal_px: float, height_m: float, pitch_deg: float, scale: float
):
    camera = Intrinsics(focal_px, focal_px, 200.3, 90.8, 400, 200)
    scene = render(Box(distance_m), camera=camera, height_m=height_m, pitch_deg=pitch_deg)
    plane = replace(scene.plane, offset_m=height_m * scale)
    seen = find_standing_vehicles(scene.depth_m * scale, scene.labels, camera, plane)
    holes = find_standing_vehicles(scene.road_m * scale, scene.labels, camera, plane)
    row_error = distance_m / height_m / focal_px
    contact = camera.cy + focal_px * math.tan(
        math.atan2(height_m, distance_m) - math.radians(pitch_deg)
    )
    if not seen:
        too_low, too_far = contact > camera.height - 2, row_error > 0.09
        assert too_low or too_far or distance_m / height_m > 19
        return
    (vehicle,), (hole,) = seen, holes
    assert vehicle.ratio == pytest.approx(1.0, abs=0.02 + row_error)
    assert vehicle.ground_m == pytest.approx(distance_m * scale, rel=0.02 + row_error)
    assert not vehicle.is_missing
    # Dissolved into the road, whose depth has nothing to do with the vehicle's.
    assert hole.ratio > 1.4
    assert hole.ground_m == vehicle.ground_m


@pytest.mark.parametrize('distance_m', [7.0, 12.0, 25.0])
@pytest.mark.parametrize('behind', ['road', 'far', 'infinity'])
def test_a_hole_is_missing(behind: str, distance_m: float):
    scene = render(Box(distance_m))
    depth_m = scene.depth_m.copy()
    hole = scene.labels == CAR_ID
    depth_m[hole] = {'road': scene.road_m[hole], 'far': 100.0, 'infinity': np.inf}[behind]
    (vehicle,) = scene.vehicles(depth_m)
    assert vehicle.is_missing
    assert vehicle.beyond_share > 0.5
    assert math.isfinite(vehicle.ratio)


def test_a_small_hole_is_counted_but_leaves_the_vehicle():
    scene = render(Box(10.0))
    depth_m = scene.depth_m.copy()
    rows, columns = np.nonzero(scene.labels == CAR_ID)
    upper = rows < np.quantile(rows, 0.3)
    depth_m[rows[upper], columns[upper]] = 80.0
    (vehicle,) = scene.vehicles(depth_m)
    assert vehicle.ratio == pytest.approx(1.0, rel=0.05)
    assert vehicle.beyond_share == pytest.approx(0.3, abs=0.05)


def test_a_vehicle_in_the_air_is_nearer_than_the_ground_seen_under_it():
    (vehicle,) = render(Box(10.0, above_ground_m=0.5, height_m=2.0)).vehicles()
    assert vehicle.ratio == pytest.approx(1 - 0.5 / HEIGHT_M, rel=0.04)


def covered(scene: Scene, rows: slice, label: int):
    """Return the scene with other labels over a part of the image."""
    labels = scene.labels.copy()
    labels[rows] = label
    return scene._replace(labels=labels)


@pytest.mark.parametrize('label', ['person', 'vegetation', 'bicycle', 'truck', 'building'])
def test_a_hidden_contact_is_not_judged(label: str):
    scene = render(Box(10.0))
    bottom = int(np.nonzero(scene.labels == CAR_ID)[0].max())
    hidden = covered(scene, np.s_[bottom - 3 : bottom + 8], CLASS_NAMES.index(label))
    assert len(scene.vehicles()) == 1
    assert hidden.vehicles() == ()


@pytest.mark.parametrize('label', ['road', 'sidewalk', 'terrain'])
def test_a_vehicle_stands_on_road_sidewalk_or_terrain(label: str):
    scene = render(Box(10.0))
    labels = scene.labels.copy()
    labels[labels == ROAD_ID] = CLASS_NAMES.index(label)
    assert len(scene._replace(labels=labels).vehicles()) == 1


def test_what_the_lower_border_cuts_off_is_not_judged():
    assert render(Box(5.0)).vehicles() == ()
    whole = render(Box(7.0))
    assert len(whole.vehicles()) == 1
    # The nearest wheel of a car seen from its corner.
    columns = np.nonzero(whole.labels == CAR_ID)[1]
    wheel = np.s_[80:, columns.max() - 5 : columns.max() + 1]
    assert covered(whole, wheel, CAR_ID).vehicles() == ()


def test_far_vehicles_are_left_out():
    fine, coarse = replace(CAMERA, fx=400.0, fy=400.0), replace(CAMERA, fx=100.0, fy=100.0)
    assert len(render(Box(31.0), camera=fine).vehicles()) == 1
    assert render(Box(35.0), camera=fine).vehicles() == ()  # more than 20 camera heights
    # A quarter of the focal length: one row is worth 10 % from 16.5 m on.
    assert len(render(Box(15.0, width_m=2.5), camera=coarse).vehicles()) == 1
    assert render(Box(18.0, width_m=2.5), camera=coarse).vehicles() == ()


def test_rough_labels_move_the_contact_little():
    scene = render(Box(10.0))
    labels = scene.labels.copy()
    rows, columns = np.nonzero(labels == CAR_ID)
    bottom, middle = int(rows.max()), int(np.median(columns))
    rng = np.random.default_rng(0)
    for column in range(columns.min(), columns.max() + 1):
        rim = int(rng.integers(0, 4))  # nobody knows where the tyre ends and the shadow begins
        labels[bottom - rim + 1 : bottom + 1 + int(rng.integers(0, 3)), column] = UNKNOWN_ID
    labels[bottom : bottom + 9, middle] = CAR_ID  # a stray tongue
    (vehicle,) = scene._replace(labels=labels).vehicles()
    assert vehicle.ground_m == pytest.approx(10.0, rel=0.08)


def test_the_contact_is_in_the_middle_of_an_unknown_rim():
    scene = render(Box(10.0))
    bottom = int(np.nonzero(scene.labels == CAR_ID)[0].max())
    (vehicle,) = covered(scene, np.s_[bottom - 2 : bottom + 4], UNKNOWN_ID).vehicles()
    assert vehicle.ground_m == pytest.approx(scene.vehicles()[0].ground_m, rel=0.01)


def test_a_wide_unknown_rim_hides_the_contact():
    scene = render(Box(10.0, height_m=3.0))
    bottom = int(np.nonzero(scene.labels == CAR_ID)[0].max())
    assert covered(scene, np.s_[bottom - 8 : bottom + 8], UNKNOWN_ID).vehicles() == ()


def test_the_nearest_of_vehicles_that_touch_is_judged():
    # A tall van behind the car looks over its roof, a second car stands beside and behind it.
    scene = render(Box(30.0, height_m=9.0), Box(16.0, side_m=1.9), Box(10.0))
    (vehicle,) = scene.vehicles()
    assert vehicle.ground_m == pytest.approx(10.0, rel=0.04)
    assert vehicle.ratio == pytest.approx(1.0, rel=0.04)
    assert vehicle.beyond_share < 0.2


@pytest.mark.parametrize(
    'box', [Box(10.0, height_m=0.6), Box(10.0, width_m=0.5), Box(10.0, class_id=PERSON_ID)]
)
def test_what_shows_too_little_of_a_vehicle_is_not_judged(box: Box):
    assert render(box).vehicles() == ()


@pytest.mark.parametrize(('metric', 'scale'), [(True, 1.0), (False, 0.04)])
def test_the_ground_comes_from_the_road_that_depth_shows(metric: bool, scale: float):
    scene = render(Box(10.0), Box(15.0, side_m=-5.0), pitch_deg=2.0)
    noise = np.random.default_rng(0).uniform(0.97, 1.03, scene.depth_m.shape)
    frame = judge_standing(scene.depth_m * noise * scale, scene.labels, CAMERA, metric=metric)
    assert frame.plane.offset_m == pytest.approx(HEIGHT_M * scale, rel=0.02)
    assert [v.ratio for v in frame.vehicles] == pytest.approx([1.0, 1.0], abs=0.05)


def test_without_a_clear_road_nothing_is_judged():
    scene = render(Box(10.0))
    noise = np.random.default_rng(0).uniform(0.86, 1.16, scene.depth_m.shape)
    frame = judge_standing(scene.depth_m * noise, scene.labels, CAMERA, metric=True)
    assert frame.vehicles == ()
    assert 'no clear plane' in frame.plane.reason
    refused = GroundPlaneRefusal('hills')
    assert find_standing_vehicles(scene.depth_m, scene.labels, CAMERA, refused) == ()


def test_a_summary_counts_by_distance_and_is_json():
    near, far = render(Box(7.5)), render(Box(26.0, side_m=2.0), Box(12.0, side_m=-2.0))
    depth_m = far.depth_m.copy()
    depth_m[far.labels == CAR_ID] = np.inf
    frames = [
        StandingFrame(near.vehicles(), near.plane),
        StandingFrame(far.vehicles(depth_m), far.plane),
        StandingFrame((), far.plane),
        StandingFrame((), GroundPlaneRefusal('a hill')),
    ]
    summary = summarize_standing(frames)
    assert (summary.frames, summary.frames_without_plane, summary.frames_with_vehicles) == (
        4,
        1,
        2,
    )
    assert summary.total.vehicles == 3
    assert summary.total.missing_share == pytest.approx(2 / 3)
    assert [(g.vehicles, g.missing_share) for g in summary.per_distance] == [
        (1, 0.0),
        (1, 1.0),
        (1, 1.0),
    ]
    first = summary.per_distance[0]
    assert first.ratio_p10 == first.ratio_median == first.ratio_p90 == near.vehicles()[0].ratio
    document = json.loads(json.dumps(summary.to_json(), allow_nan=False))
    assert document['total']['vehicles'] == 3
    assert document['per_distance'][0]['name'] == '0-5 camera heights'
    empty = summarize_standing([]).to_json()
    assert (empty['frames'], empty['total']['ratio_median']) == (0, None)
    json.dumps(empty, allow_nan=False)


def test_missing_vehicles_are_found_to_their_roofs_and_present_ones_are_not():
    van, car = Box(16.0, height_m=2.6), Box(9.0, side_m=-3.0)
    scene = render(van, car)
    is_van = (scene.labels == CAR_ID) & (np.arange(CAMERA.width) > 140)

    def missing(depth_m: NDArray[np.floating], plane: GroundPlane = scene.plane):
        return find_missing_vehicles(depth_m, scene.labels, CAMERA, plane)

    assert not missing(scene.depth_m).any()
    # Depth shows the road behind the van, and infinity where that ends.
    through = np.where(is_van, scene.road_m, scene.depth_m)
    found = missing(through)
    assert not (found & ~is_van).any()
    assert (found == is_van & (through > 1.5 * 16.0)).mean() > 0.999
    rows = np.nonzero(found.any(axis=1))[0]
    assert rows[0] < CAMERA.cy - 5 < CAMERA.cy + 5 < rows[-1]
    assert not missing(through, replace(scene.plane, confidence=0.1)).any()
    assert not missing(through, GroundPlaneRefusal('none')).any()
