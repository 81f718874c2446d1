import numpy as np
import pytest

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.classes import ROAD_ID
from sg_depth_ros.evaluation.frame_key import FrameKey
from sg_depth_ros.evaluation.without_truth import CELL_COLUMNS
from sg_depth_ros.evaluation.without_truth import CELL_ROWS
from sg_depth_ros.evaluation.without_truth import FrameCells
from sg_depth_ros.evaluation.without_truth import FrameGround
from sg_depth_ros.evaluation.without_truth import cell_depths
from sg_depth_ros.evaluation.without_truth import frame_flicker
from sg_depth_ros.evaluation.without_truth import ground_fit
from sg_depth_ros.evaluation.without_truth import summarize_flicker
from sg_depth_ros.evaluation.without_truth import summarize_ground
from sg_depth_ros.ground import GroundPlane
from sg_depth_ros.ground import GroundPlaneRefusal
from sg_depth_ros.ground import find_ground_plane

CAMERA = Intrinsics(100.0, 100.0, 95.5, 31.5, 192, 64)


def road(height_m=1.5):
    """Return the depth of a flat road below the horizon, and its labels."""
    falling = (np.arange(64) - CAMERA.cy) / CAMERA.fy
    depth_m = np.where(falling > 0, height_m / np.maximum(falling, 1e-9), np.inf)
    depth_m = np.repeat(depth_m[:, None], 192, axis=1).astype(np.float32)
    return depth_m, np.where(np.isfinite(depth_m), ROAD_ID, 10).astype(np.uint8)


def fit(depth_m, labels):
    plane = find_ground_plane(depth_m, CAMERA, metric=True, fit_pixels=labels == ROAD_ID)
    assert isinstance(plane, GroundPlane)
    return ground_fit(depth_m, labels, CAMERA, plane)


def test_a_flat_road_has_no_residual():
    assert fit(*road()).residual == pytest.approx(0, abs=1e-5)


def test_the_residual_is_the_relative_error_of_depth():
    depth_m, labels = road()
    plane = GroundPlane(np.array([0.0, -1.0, 0.0]), 1.5, 1.0, 0.0)
    uneven = depth_m * np.where(np.arange(192) % 2, 1.04, 0.96).astype(np.float32)
    assert ground_fit(uneven, labels, CAMERA, plane).residual == pytest.approx(0.04, rel=1e-3)
    # Up to scale, the plane has the same scale.
    scaled = GroundPlane(plane.normal, 0.15, 1.0, 0.0)
    found = ground_fit(uneven / np.float32(10), labels, CAMERA, scaled)
    assert found.residual == pytest.approx(0.04, rel=1e-3)


def test_without_road_or_plane_there_is_no_residual():
    depth_m, labels = road()
    plane = GroundPlane(np.array([0.0, -1.0, 0.0]), 1.5, 1.0, 0.0)
    assert ground_fit(depth_m, np.zeros_like(labels) + 13, CAMERA, plane) is None
    assert ground_fit(depth_m, labels, CAMERA, GroundPlaneRefusal('no road')) is None


def test_the_spread_of_the_cameras_height_is_within_drives():
    frames = []
    for drive, heights in (('low', (1.0, 1.1, 0.9)), ('high', (2.0, 2.0, 2.0))):
        for number, height in enumerate(heights):
            plane = GroundPlane(np.array([0.0, -1.0, 0.0]), height, 1.0, 0.0)
            frames.append(FrameGround(FrameKey(drive, number), plane, None))
    frames.append(FrameGround(FrameKey('low', 3), GroundPlaneRefusal('a hill'), None))
    summary = summarize_ground(frames)
    assert summary.frames == 6
    assert summary.height_median == pytest.approx(1.55)
    assert summary.height_spread == pytest.approx(np.std([1.0, 1.1, 0.9]) / 2)
    assert summary.residual_median is None
    assert summarize_ground(frames[-1:]) is None


def cells(depths, drive='drive'):
    grid = CELL_ROWS * CELL_COLUMNS
    return [FrameCells(FrameKey(drive, n), (float(d),) * grid) for n, d in enumerate(depths)]


def test_steady_motion_does_not_flicker():
    approaching = 30 * 0.97 ** np.arange(6)
    summary = summarize_flicker(cells(approaching))
    assert summary.frames == 4
    assert summary.mean == pytest.approx(0, abs=1e-9)


def test_trembling_depth_flickers_by_its_relative_change():
    depths = np.where(np.arange(6) % 2, 10.0, 10.5)
    assert summarize_flicker(cells(depths)).mean == pytest.approx(np.log(1.05))


def test_what_enters_a_few_cells_does_not_count():
    frames = cells([10.0] * 5)
    depths = list(frames[2].depths)
    depths[:10] = [3.0] * 10
    frames[2] = frames[2]._replace(depths=tuple(depths))
    assert max(frame_flicker(frames).values()) == 0


def test_frames_beside_a_gap_have_no_flicker():
    frames = cells([10.0, 11.0, 10.0, 11.0, 10.0])
    del frames[2]
    assert frame_flicker(frames) == {}
    assert summarize_flicker(frames) is None


def test_cells_of_sky_or_nothing_have_no_depth():
    depth_m, _ = road()
    depth_m[40:, :96] = np.nan
    depths = np.array(cell_depths(depth_m, farthest_m=100.0)).reshape(CELL_ROWS, CELL_COLUMNS)
    assert (depths[:2] == 0).all()  # beyond the horizon
    assert (depths[4:, :6] == 0).all()
    assert (depths[4:, 6:] > 0).all()
