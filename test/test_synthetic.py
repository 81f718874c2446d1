"""The synthetic street: shapes, textures and cars are where its truth says they are."""

import math

import cv2
import numpy as np
import pytest

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.camera import project
from sg_depth_ros.classes import CAR_ID
from sg_depth_ros.classes import MOVABLE_IDS
from sg_depth_ros.classes import ROAD_ID
from sg_depth_ros.classes import SKY_ID
from training.data.synthetic import recording
from training.data.synthetic.casting import beam_grid
from training.data.synthetic.casting import camera_grid
from training.data.synthetic.casting import cast
from training.data.synthetic.casting import rotate
from training.data.synthetic.motion import plan_motion
from training.data.synthetic.recording import Recipe
from training.data.synthetic.shapes import Cylinder
from training.data.synthetic.shapes import Ellipsoid
from training.data.synthetic.shapes import Material
from training.data.synthetic.shapes import Solid
from training.data.synthetic.shapes import Vector
from training.data.synthetic.shapes import box
from training.data.synthetic.shapes import enter
from training.data.synthetic.shapes import hexahedron
from training.data.synthetic.street import KERB_M
from training.data.synthetic.street import build_street
from training.data.synthetic.textures import SurfacePoints
from training.data.synthetic.textures import noise
from training.data.synthetic.textures import stripes
from training.data.synthetic.traffic import street_at

RECIPE = Recipe(seconds=3.0, seed=4, width=192, height=64)
FORWARD = np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 1.5]], np.float64)
CAMERA = Intrinsics(110.0, 112.0, 97.0, 30.0, 192, 64)


def solid_of(shape, x_m, y_m, yaw_rad=0.0):
    return Solid(shape, Material.METAL, 5, (0.5, 0.5, 0.5), 0.0, (x_m, y_m, 0.0), yaw_rad)


def street_moment(seconds=8.0, time_s=4.0):
    rng = np.random.default_rng(3)
    motion = plan_motion(rng, seconds)
    return motion, street_at(build_street(rng, motion), time_s)


@pytest.fixture(scope='module')
def recorded():
    return list(recording.instants(RECIPE))


def pose_of(instant):
    return np.array(instant.frame.T_world_camera).reshape(3, 4)


def world_points(instant):
    pose = pose_of(instant)
    points = RECIPE.camera().rays() * instant.picture.depth_m[..., None]
    return points @ pose[:, :3].T + pose[:, 3]


@pytest.mark.parametrize(
    'shape',
    [
        box((-2.0, 1.0), (-0.5, 0.7), (-1.0, 2.0)),
        hexahedron((-2, 2, -1, 1), (-1.2, 0.5, -0.7, 0.7), 0.0, 1.5),
        hexahedron((-2, 2, -1, 1), (-2, 2, 0.0, 0.01), 0.0, 1.5),
        Cylinder(0.8, -0.5, 1.5),
        Ellipsoid((1.5, 0.6, 1.0)),
    ],
    ids=['box', 'cabin', 'gable', 'cylinder', 'ellipsoid'],
)
def test_rays_enter_a_shape_where_marching_along_them_does(shape):
    rng = np.random.default_rng(0)
    origin = np.array([-6.0, 0.8, 0.6])
    direction = np.array([6.0, -0.8, 0.0]) + rng.normal(0, 0.8, (300, 3))
    steps = np.linspace(0, 3, 6001)
    points = origin + steps[:, None, None] * direction
    if isinstance(shape, Ellipsoid):
        inside = ((points / shape.radii_m) ** 2).sum(axis=-1) <= 1
    elif isinstance(shape, Cylinder):
        upright = (points[..., 2] >= shape.low_m) & (points[..., 2] <= shape.high_m)
        inside = upright & (np.hypot(points[..., 0], points[..., 1]) <= shape.radius_m)
    else:
        inside = (points @ shape.normals.T <= shape.offsets).all(axis=-1)
    marched = np.where(inside.any(axis=0), steps[inside.argmax(axis=0)], np.inf)
    local = Vector(*(np.float32(o) for o in origin))
    entry = enter(shape, local, Vector(*direction.astype(np.float32).T))
    through_wall = np.isfinite(marched)
    if isinstance(shape, Cylinder):
        # A tube without lids: rays that come in through its ends do not meet its wall there.
        at = origin + marched[:, None] * direction
        through_wall &= np.hypot(at[:, 0], at[:, 1]) > shape.radius_m - 0.02
    assert through_wall.sum() > 60 and (~np.isfinite(marched)).sum() > 60
    # Rays that only brush an edge may slip between two steps.
    agree = np.abs(entry.depth[through_wall] - marched[through_wall]) < 2e-3
    assert agree.mean() > 0.98
    assert np.isinf(entry.depth[np.isinf(marched)]).mean() > 0.98


def test_a_wall_ahead_has_its_distance_as_depth_and_the_ground_that_of_its_plane():
    wall = solid_of(box((0.0, 1.0), (-2.0, 2.0), (0.0, 3.0)), 12.1, 0.0)
    hits = cast(camera_grid(CAMERA), FORWARD, [wall])
    on_wall = hits.solid == 0
    np.testing.assert_allclose(hits.depth_m[on_wall], 12.1, rtol=1e-6)
    # Corners of the wall's front by hand: half a wall is 2 m, the foot 1.5 m down, 12.1 m away.
    rows, columns = np.nonzero(on_wall)
    assert columns.min() == math.ceil(97.0 - 110.0 * 2 / 12.1)
    assert columns.max() == math.floor(97.0 + 110.0 * 2 / 12.1)
    assert rows.max() == math.floor(30.0 + 112.0 * 1.5 / 12.1)
    v = np.arange(64)[:, None] * np.ones((1, 192))
    ground = hits.solid == -1
    np.testing.assert_allclose(hits.depth_m[ground], 1.5 * 112.0 / (v[ground] - 30.0), rtol=1e-5)
    assert (ground | on_wall | (v <= 30)).all()


@pytest.mark.parametrize('sensor', ['camera', 'lidar'])
def test_culling_changes_nothing(sensor):
    motion, moment = street_moment()
    pose = recording.compose(motion.pose(4.0), recording.T_BASE_CAMERA)
    if sensor == 'camera':
        grid = camera_grid(Intrinsics(37.0, 37.0, 31.0, 11.0, 64, 22))
    else:
        up, right = np.linspace(0.05, -0.4, 16), np.linspace(-1.05, 1.05, 60)
        grid = beam_grid(up.astype(np.float32), right.astype(np.float32))
    hits = cast(grid, pose, moment.solids)
    direction = rotate(pose[:, :3], grid.rays)
    depth = np.where(direction.z < 0, -np.float32(pose[2, 3]) / direction.z, np.inf)
    for solid in moment.solids:
        c, s = np.float32(math.cos(solid.yaw_rad)), np.float32(math.sin(solid.yaw_rad))
        away = [np.float32(o - p) for o, p in zip(pose[:, 3], solid.origin_m)]
        if math.dist(pose[:, 3], solid.origin_m) > 200:
            continue
        origin = Vector(c * away[0] + s * away[1], c * away[1] - s * away[0], away[2])
        turned = Vector(
            c * direction.x + s * direction.y, c * direction.y - s * direction.x, direction.z
        )
        depth = np.minimum(depth, enter(solid.shape, origin, turned).depth)
    near = depth < 150
    np.testing.assert_array_equal(hits.depth_m[near], depth[near])
    assert len(np.unique(hits.solid)) > 15


def test_noise_fades_where_a_pixel_spans_it():
    rng = np.random.default_rng(1)
    place = rng.uniform(0, 500, (2, 5000)).astype(np.float32)
    seed = np.zeros(5000, np.float32)

    def contrast(footprint_m):
        extent = np.full(5000, footprint_m, np.float32)
        return noise(SurfacePoints(*place, extent, extent, seed), 0.8, 0.8).std()

    assert contrast(0.01) == pytest.approx(1.0, abs=0.1)
    assert contrast(0.4) < 0.6
    assert contrast(1.6) < 0.01


def test_stripes_cover_their_share_of_every_footprint():
    place = np.linspace(0, 20, 40001).astype(np.float32)
    sharp = ((place % 2.0) < 0.5).astype(np.float64)
    for footprint_m in (0.1, 0.7, 3.0):
        extent = np.full_like(place, footprint_m)
        half = round(footprint_m / 2 / 0.0005)
        for index in (8000, 15123, 22000):
            mean = sharp[index - half : index + half + 1].mean()
            share = stripes(place, extent, 2.0, 0.5)[index]
            assert share == pytest.approx(mean, abs=0.01)


def test_same_recipe_same_bytes_and_another_seed_another_street():
    def first_bytes(seed):
        frames = recording.instants(Recipe(seconds=3.0, seed=seed, width=96, height=32))
        chosen = [next(frames) for _ in range(2)]
        return b''.join(
            i.picture.image.tobytes() + i.picture.depth_m.tobytes() + i.scan.points.tobytes()
            for i in chosen
        )

    assert first_bytes(4) == first_bytes(4)
    assert first_bytes(4) != first_bytes(5)


def test_road_lies_where_camera_height_and_ray_say(recorded):
    for instant in recorded[::7]:
        pose = pose_of(instant)
        down = -(RECIPE.camera().rays() @ pose[2, :3])
        road = instant.picture.labels == ROAD_ID
        assert road.mean() > 0.05
        expected = pose[2, 3] / down[road]
        near = expected < 200
        np.testing.assert_allclose(instant.picture.depth_m[road][near], expected[near], rtol=1e-4)
        assert 1.4 < pose[2, 3] < 1.6


def test_labels_fit_what_stands_there(recorded):
    motion = plan_motion(np.random.default_rng(RECIPE.seed), RECIPE.seconds)
    for instant in recorded[::7]:
        labels, depth_m = instant.picture.labels, instant.picture.depth_m
        np.testing.assert_array_equal(labels == SKY_ID, np.isinf(depth_m))
        with np.errstate(invalid='ignore'):
            x, y, z = np.moveaxis(world_points(instant), -1, 0)
        seen = np.isfinite(depth_m) & (depth_m < 80)
        left = motion.road.left_of_middle(x[seen], y[seen])
        height, classes = z[seen], labels[seen]
        assert np.abs(height[classes == ROAD_ID]).max() < 0.02
        assert np.abs(left[classes == ROAD_ID]).max() < KERB_M + 0.05
        assert height[classes == 2].min() > -0.15
        assert np.abs(left[classes == 2]).min() > KERB_M
        assert np.abs(left[classes == CAR_ID]).max() < KERB_M + 1.0
        assert height[classes == CAR_ID].max() < 1.75
        assert (labels[instant.picture.same_speed] == CAR_ID).all()


def seen_again(target, source, scale):
    """
    Return the source's image as it would look from the target, where it reaches, and where the
    source sees the same surface if depth times ``scale`` is right.
    """
    camera, pose, origin = RECIPE.camera(), pose_of(source), pose_of(target)[:, 3]
    with np.errstate(invalid='ignore'):
        points = (world_points(target) - origin) * scale + origin
        points = (points - pose[:, 3]) @ pose[:, :3]
        pixels = project(points.reshape(-1, 3), camera).astype(np.float32).reshape(64, 192, 2)
    u, v = pixels[..., 0], pixels[..., 1]
    there_m = cv2.remap(source.picture.depth_m, u, v, cv2.INTER_NEAREST)
    same = np.abs(points[..., 2] / np.maximum(there_m, 0.1) - 1) < 0.1
    inside = (u > 0) & (u < 191) & (v > 0) & (v < 63) & (points[..., 2] > 0.5)
    image = source.picture.image.astype(np.float32)
    return cv2.remap(image, u, v, cv2.INTER_LINEAR), inside, same


def test_the_true_depth_and_pose_explain_the_next_image(recorded):
    warped_errors, still_errors, wrong_errors = [], [], []
    for target, source in zip(recorded[::3], recorded[1::3]):
        image = target.picture.image.astype(np.float32)
        warped, inside, same = seen_again(target, source, 1.0)
        wrong, wrong_inside, _ = seen_again(target, source, 1.3)
        use = (
            inside & same & wrong_inside & ~np.isin(target.picture.labels, (*MOVABLE_IDS, SKY_ID))
        )
        assert use.mean() > 0.3
        warped_errors.append(np.abs(warped - image)[use].mean())
        wrong_errors.append(np.abs(wrong - image)[use].mean())
        still_errors.append(np.abs(source.picture.image - image)[use].mean())
    # Grey levels of 255; what remains is resampling.
    assert np.mean(warped_errors) < 6.0
    assert np.mean(warped_errors) < 0.3 * np.mean(still_errors)
    assert np.mean(warped_errors) < 0.55 * np.mean(wrong_errors)


def test_a_same_speed_car_stays_while_the_street_passes(recorded):
    stretch = [i for i in recorded if i.frame.same_speed_car]
    assert 3 <= len(stretch) <= len(recorded) // 2
    depths, walls = [], []
    for instant in stretch:
        assert instant.frame.same_speed_pixels == instant.picture.same_speed.sum() > 20
        depths.append(np.median(instant.picture.depth_m[instant.picture.same_speed]))
        walls.append(np.array(instant.frame.T_world_camera)[3::4])
    assert np.ptp(depths) < 0.1
    assert np.linalg.norm(walls[-1] - walls[0]) > 2.0
    alone = [i for i in recorded if not i.frame.same_speed_car]
    assert all(i.frame.same_speed_pixels == 0 for i in alone)


def test_the_vehicle_moves_at_its_speed_and_stops_once():
    motion = plan_motion(np.random.default_rng(1), 20.0)
    times = np.arange(0.0, 20.0, 0.1)
    places = np.array([motion.pose(t)[:, 3] for t in times])
    speeds = np.array([motion.speed_at(t) for t in times])
    steps = np.linalg.norm(np.diff(places[:, :2], axis=0), axis=1) / 0.1
    np.testing.assert_allclose(steps, (speeds[1:] + speeds[:-1]) / 2, atol=0.1)
    assert speeds.min() < 0.01 and 8 < speeds.max() < 14.5
    still = speeds < 0.01
    assert 5 <= still.sum() <= 20
    assert np.ptp(places[still], axis=0).max() < 0.01


def test_lidar_points_seen_by_the_camera_have_its_depth(recorded):
    camera = RECIPE.camera()
    for instant in recorded[::10]:
        assert len(instant.scan.points) > 4000
        lidar_in_base = instant.scan.points[:, :3] + recording.T_BASE_LIDAR[:, 3]
        in_camera = lidar_in_base - recording.T_BASE_CAMERA[:, 3]
        optical = in_camera @ recording.T_BASE_CAMERA[:, :3]
        optical = optical[optical[:, 2] > 1.0]
        pixels = np.rint(project(optical, camera)).astype(int)
        inside = ((pixels >= 0) & (pixels < (192, 64))).all(axis=1)
        dense = instant.picture.depth_m[pixels[inside, 1], pixels[inside, 0]]
        ratio = optical[inside, 2] / dense
        assert inside.sum() > 1500
        # The sensors see past edges differently, and a pixel of far road spans metres.
        assert np.median(np.abs(ratio - 1)) < 0.02
        assert (np.abs(ratio - 1) < 0.1).mean() > 0.9
        assert (instant.scan.points[:, 3] >= 0).all() and (instant.scan.points[:, 3] <= 1).all()
